"""A source at work: one mapping with its tracker, and what the attention threads share about it."""

import hashlib
import hmac
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from connector.mapping.schema import Mapping
from connector.trackers.pace import Pace
from connector.trackers.port import Tracker

# A look may wait so many seconds for its turns. More hands than that would only wait, with their leases running.
_WAIT_FOR_TURNS = 10.0


@dataclass(slots=True)
class Silence:
    """How many looks in a row the tracker has left without an answer. Thread safe."""

    _count: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def heard(self) -> None:
        with self._lock:
            self._count = 0

    @property
    def lasts(self) -> bool:
        """Whether the last look or more have been left without an answer."""
        with self._lock:
            return self._count > 0

    def unheard(self) -> int:
        with self._lock:
            self._count += 1
            return self._count


@dataclass(frozen=True, slots=True)
class Source:
    """One connected project. `digest_key` is secret and is never stored (docs/decisions)."""

    mapping: Mapping
    tracker: Tracker
    digest_key: Callable[[], bytes]
    silence: Silence = field(default_factory=Silence)
    pace: Pace = field(default_factory=Pace)  # the tracker's, by which waiting for a turn is ended

    def hands(self, default: int) -> int:
        """How many tickets of this source are attended to at once: as the mapping says, or `default`.

        Fewer where the pace of calls lets no more of them work.
        """
        wanted = self.mapping.tracker.concurrency or default
        rate = self.pace.per_second
        return wanted if rate is None else max(1, min(wanted, math.ceil(rate * _WAIT_FOR_TURNS)))

    @property
    def name(self) -> str:
        return self.mapping.source

    def receipt_digest(self, receipt_number: str | None) -> str | None:
        """A keyed digest by which tickets with one receipt number find each other; it does not tell the number."""
        if receipt_number is None:
            return None
        return hmac.new(self.digest_key(), receipt_number.encode(), hashlib.sha256).hexdigest()[:24]

    def config_hash(self) -> str:
        """Changes when an edited mapping, or another key for digests, calls for a new look at every ticket."""
        key = hashlib.sha256(self.digest_key()).hexdigest()
        return hashlib.sha256(f"{self.mapping.config_hash}:{key}".encode()).hexdigest()[:24]
