"""The zygote of nodes that are less patient with a tracker than the product is, so that a test need not be patient.

python -m tests.faults.hasty
"""

from connector.trackers import deadline
from connector.trackers.jira import JiraTracker
from connector.trackers.zammad import ZammadTracker
from tests.faults.zygote import Zygote, serve

TIMEOUT = (2.0, 1.5)  # seconds to connect, and between two bytes of an answer; in place of 5 and 30
ANSWER_SECONDS = 2.5  # in place of 60


class HastyZygote(Zygote):
    """Forks nodes whose calls to a tracker are given up soon."""

    module = "tests.faults.hasty"


def be_hasty() -> None:
    """Shorten what the product waits for a tracker, in this process and its children."""
    deadline.ANSWER_SECONDS = ANSWER_SECONDS
    for tracker in (JiraTracker, ZammadTracker):
        defaults = tracker.__init__.__kwdefaults__
        assert "timeout" in defaults
        defaults["timeout"] = TIMEOUT


if __name__ == "__main__":
    be_hasty()
    serve()
