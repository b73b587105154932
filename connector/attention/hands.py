"""The hands of one source: the threads that attend to its tickets. Each source has its own, so that no source waits for
another's tracker.

Claimed tickets are fetched by one call where the tracker can, and then attended to side by side. The next batch is
claimed while the last of one are in hand, so that no hand waits for a fetch. Once the source is paused or stopped, the
tickets that still wait for a hand are given back.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog

from connector.attention.attend import Attendant
from connector.attention.look import Ahead
from connector.attention.source import Source
from connector.store import Store
from connector.store.attention import Claim
from connector.store.errors import DatabaseError

log = structlog.get_logger(__name__)

_FAILURES = frozenset({"postponed", "braked", "stuck"})  # outcomes of a look after which the source may be held
DEPTH = 4  # tickets fetched at once for each hand: few enough that the last is not old when its turn comes


class Hands:
    """The hands of `source`. `is_held` says whether it is paused or braked; `on_room` hears when more can be taken."""

    def __init__(
        self,
        source: Source,
        store: Store,
        attendant: Attendant,
        size: int,
        *,
        is_held: Callable[[], bool],
        on_room: Callable[[], None],
    ) -> None:
        self._source, self._store, self._attendant = source, store, attendant
        self._size, self._is_held, self._on_room = size, is_held, on_room
        self._pool = ThreadPoolExecutor(size, thread_name_prefix=f"attend {source.name}")
        self._in_hand = 0
        self.held = False  # the source is paused or braked, as far as is known here
        self._closed = False
        self._lock = threading.Lock()

    @property
    def room(self) -> int:
        """How many tickets can be taken now."""
        with self._lock:
            if self._in_hand >= self._size:
                return 0
            ahead = min(self._source.tracker.bulk, self._size * DEPTH)
            return max(ahead, self._size - self._in_hand)

    def take(self, claims: Sequence[Claim]) -> None:
        """Attend to these. Returns at once."""
        if not claims:
            return
        with self._lock:
            self._in_hand += len(claims)
        if len(claims) > 1 and self._source.tracker.bulk > 1:
            self._pool.submit(self._fetch_ahead, claims)
        else:
            self._hand_out(claims, None)

    def close(self) -> None:
        """Finish the looks in hand and give back what waits for one. Nothing may be taken after it."""
        self._closed = True
        self._pool.shutdown(wait=True)

    def _fetch_ahead(self, claims: Sequence[Claim]) -> None:
        left, ahead = claims, None
        try:
            left, ahead = self._attendant.fetch_ahead(self._source, claims)
        except DatabaseError as error:
            self._not_noted(error)
            left = []
        if over := len(claims) - len(left):
            self._after_failure()
            self._let_go(over)
        self._hand_out(left, ahead)

    def _hand_out(self, claims: Sequence[Claim], ahead: Ahead | None) -> None:
        for claim in claims:
            try:
                self._pool.submit(self._attend, claim, ahead)
            except RuntimeError:  # closed while these were fetched
                self._attend(claim, ahead)

    def _attend(self, claim: Claim, ahead: Ahead | None) -> None:
        try:
            if self.held or self._closed:
                self._store.attention.give_back(claim)
            elif self._attendant.attend(self._source, claim, ahead) in _FAILURES:
                self._after_failure()
        except DatabaseError as error:
            self._not_noted(error)
        finally:
            self._let_go(1)

    def _after_failure(self) -> None:
        """A failed look may have paused the source: then nothing else is begun."""
        try:
            self.held = self._is_held()
        except DatabaseError as error:
            log.error("source not looked up", source=self._source.name, reason=str(error))

    def _not_noted(self, error: DatabaseError) -> None:
        # Not even the outcome could be noted: the lease runs out and the ticket comes again.
        log.error("look not noted", source=self._source.name, reason=str(error))

    def _let_go(self, number: int) -> None:
        with self._lock:
            self._in_hand -= number
            has_room = self._in_hand < self._size
        if has_room:
            self._on_room()
