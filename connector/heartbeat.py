"""The heartbeat: a sign of life to a service outside (healthchecks.io and its like), which raises the alarm when it
stays away. It tells of what no alarm from inside can: that the process, its machine or its network is gone.

It is sent only while everything is well: the queue could be read, rounds and polls succeed, and no source is paused,
stopped by the brake or misconfigured. The URL is a secret of sorts, and never logged.
"""

import threading
from collections.abc import Callable

import requests
import structlog

log = structlog.get_logger(__name__)

EVERY_SECONDS = 60.0
TIMEOUT = (3.05, 5.0)  # seconds to connect, and between two bytes of the answer
JOIN_SECONDS = 1.0  # that stopping waits for one that is under way; longer ones are left to end with the process


class Heartbeat:
    """Asks `is_well` once a minute (or `every` so many seconds) in a thread of its own, and if so, gets `url`.

    `tell` hears what became of each: "sent", "held_back" or "failed".
    """

    def __init__(
        self,
        url: str,
        is_well: Callable[[], bool],
        *,
        tell: Callable[[str], object] = lambda _: None,
        every: float | None = None,
    ) -> None:
        self._url, self._is_well, self._tell = url, is_well, tell
        self._every = EVERY_SECONDS if every is None else every
        self._stopping = threading.Event()
        self._last: str | None = None
        # A daemon: a server that does not answer keeps no process from ending.
        self._thread = threading.Thread(target=self._keep_beating, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Returns at once. The first beat comes after a minute: before the first round nothing can be well."""
        self._thread.start()

    def stop(self) -> None:
        """No further beat. May be called without start()."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(JOIN_SECONDS)

    def _keep_beating(self) -> None:
        while not self._stopping.wait(self._every):
            outcome, reason = self._beat()
            self._tell(outcome)
            if outcome != self._last:
                say = log.warning if outcome == "failed" else log.info
                say("heartbeat", outcome=outcome, reason=reason)
            self._last = outcome

    def _beat(self) -> tuple[str, str | None]:
        """What became of one beat, and why; nothing of the URL."""
        try:
            if not self._is_well():
                return "held_back", "not everything is well: see /readyz"
        except Exception as error:  # whatever it is: then it is not well
            log.warning("health cannot be read", exc_info=error)
            return "held_back", "its health cannot be read"
        try:
            answer = requests.get(self._url, timeout=TIMEOUT, allow_redirects=False, stream=True)
            answer.close()
        except requests.Timeout:
            return "failed", "no answer in time"
        except (requests.RequestException, ValueError) as error:  # the latter is of http.client, for an odd address
            return "failed", f"no answer ({type(error).__name__})"
        return ("sent", None) if answer.ok and not answer.is_redirect else ("failed", f"answered {answer.status_code}")
