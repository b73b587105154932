"""A source at work: one mapping with its tracker, and what the attention threads share about it."""

import hashlib
import hmac
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from connector.mapping.schema import Mapping
from connector.trackers.port import Tracker


@dataclass(slots=True)
class Silence:
    """How many looks in a row the tracker has left without an answer. Thread safe."""

    _count: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def heard(self) -> None:
        with self._lock:
            self._count = 0

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
