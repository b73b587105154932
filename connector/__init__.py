"""The inquiry connector: walks tickets along the USCIS Service Center inquiry procedure inside the office's tracker."""

__version__ = "0.1.0"
