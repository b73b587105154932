"""The service's own look at the set-up of its sources: at start-up and every hour, beside its work. Reads alone.

What is broken is logged as an error once, and again only when it changes. A source that cannot work at all is told by
`misconfigured`, for /readyz; it keeps no other from working, and is looked at again sooner.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog

from connector.trackers.port import TrackerError
from connector.trackers.setup_port import Finding

log = structlog.get_logger(__name__)

HOUR = 3600.0  # seconds between two looks
AGAIN = 300.0  # the same where the source cannot work; no sooner, as some trackers lock out who fails to log in
JOIN = 1.0  # seconds that stopping waits for a look; longer ones are left to end with the process

# The checks without which a source cannot work at all, by the first word of their ids.
_WHOLE_SOURCE = frozenset({"credentials", "scope", "queue", "field"})


def stops_the_source(finding: Finding) -> bool:
    """Whether nothing of the source can work as long as this is so."""
    return finding.level == "error" and finding.id.partition(" ")[0] in _WHOLE_SOURCE


class Lookout:
    """Looks over each source in a thread of its own, until it is stopped. `looks`: source -> the look at it."""

    def __init__(
        self, looks: Mapping[str, Callable[[], Sequence[Finding]]], *, every: float = HOUR, again: float = AGAIN
    ) -> None:
        self._looks, self._every, self._again = looks, every, again
        self._broken: dict[str, tuple[Finding, ...]] = {}  # the errors of the last look; replaced, never changed
        self._stopping = threading.Event()
        # Daemons: a tracker that does not answer keeps no process from ending.
        self._threads = [
            threading.Thread(target=self._keep_looking, args=[name], name=f"look over {name}", daemon=True)
            for name in looks
        ]

    def start(self) -> None:
        """Returns at once; the first look is under way."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """No further look is begun or told of. Does not wait for one that takes long."""
        self._stopping.set()
        until = time.monotonic() + JOIN
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(until - time.monotonic(), 0))

    def misconfigured(self) -> dict[str, str]:
        """The sources that cannot work at all -> why. Says nothing but what anybody may read."""
        return {name: why for name in self._looks if (why := _why(name, self._broken.get(name, ())))}

    def _keep_looking(self, name: str) -> None:
        while not self._stopping.is_set():
            self._look(name)
            self._stopping.wait(self._again if any(map(stops_the_source, self._broken.get(name, ()))) else self._every)

    def _look(self, name: str) -> None:
        try:
            found = self._looks[name]()
        except Exception as error:
            known = isinstance(error, TrackerError)
            reason = error.message if isinstance(error, TrackerError) else "unexpected"
            log.warning("set-up not looked over", source=name, reason=reason, exc_info=not known)
            return
        if not self._stopping.is_set():
            self._note(name, found)

    def _note(self, name: str, found: Iterable[Finding]) -> None:
        before = self._broken.get(name)
        now = tuple(each for each in found if each.level == "error")
        self._broken[name] = now
        for each in now:
            if each not in (before or ()):
                told = {"finding": each.id, "what": each.what, "breaks": each.breaks, "mend": each.mend}
                log.error("set-up is broken", source=name, **told)
        for gone in {each.id for each in before or ()} - {each.id for each in now}:
            log.info("set-up was mended", source=name, finding=gone)
        if before is None and not now:
            log.info("set-up is in order", source=name)


def _why(source: str, broken: Sequence[Finding]) -> str:
    """The first finding that stops the source, and where to read of the others."""
    told = next((each.what for each in broken if stops_the_source(each)), "")
    return f"{told} `connector check --live {source}` says how to mend it." if told else ""
