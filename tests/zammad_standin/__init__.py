"""A strict stand-in for Zammad 6 and 7 on loopback. What it does, and the fact behind each: README.md, here."""

from tests.zammad_standin.server import ZammadStandin
from tests.zammad_standin.world import World

__all__ = ["World", "ZammadStandin"]
