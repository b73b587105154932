"""Which kinds of tracker are installed. Ours and those of foreign packages are found in the same way, by entry point.

inquiry_connector.trackers   kind = "package.module:KIND", a connector.trackers.port.Kind
inquiry_connector.scopes     kind = "package.module:check", a function from a mapping's scope to its fault, or None
inquiry_connector.setups     kind = "package.module:make", a function from a SetupConnection to a setup_port.OpenSetup
"""

from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

TRACKERS = "inquiry_connector.trackers"
SCOPES = "inquiry_connector.scopes"
SETUPS = "inquiry_connector.setups"


@lru_cache(maxsize=3)
def _installed(group: str) -> dict[str, EntryPoint]:
    return {found.name: found for found in sorted(entry_points(group=group), key=lambda found: found.name)}


def names() -> list[str]:
    """The kinds that a mapping may name."""
    return list(_installed(TRACKERS))


def load(kind: str) -> object:
    """What a kind's entry point stands for. Raises KeyError for a kind that is not installed."""
    found: object = _installed(TRACKERS)[kind].load()
    return found


def load_setup(kind: str) -> object | None:
    """What makes the set-up side of a kind, or None if it has none."""
    found = _installed(SETUPS).get(kind)
    made: object = found.load() if found else None
    return made


def scope_fault(kind: str, scope: str) -> str | None:
    """What is wrong with a scope of that kind, or None; also where the kind does not say."""
    found = _installed(SCOPES).get(kind)
    fault: str | None = found.load()(scope) if found else None
    return fault
