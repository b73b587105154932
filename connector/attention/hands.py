"""The hands of one source: the threads that attend to its tickets. Each source has its own, so that no source waits for
another's tracker.

Claimed tickets are fetched by one call where the tracker can, and then attended to side by side. A fetch takes about as
long as a look, so the next batch is claimed while half of one still waits for a hand, and the hand that is free first
fetches it: so no other stands idle meanwhile, and never are more at the tracker than the source has hands.

What waits must not grow old (look.FRESH): where looks take long, fewer tickets are fetched ahead, or none. Once the
source is paused or stopped, whatever still waits is given back.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import structlog

from connector.attention.attend import Attendant
from connector.attention.look import FRESH, Ahead
from connector.attention.source import Source
from connector.store import Store
from connector.store.attention import Claim
from connector.store.errors import DatabaseError

log = structlog.get_logger(__name__)

_FAILURES = frozenset({"postponed", "braked", "stuck"})  # outcomes of a look after which the source may be held
DEPTH = 4  # tickets fetched at once for each hand, at most
_BATCH_SECONDS = FRESH / 2  # what a batch may take; half of another is before it, and its fetch counts too
_WEIGHT = 1 / 8  # of the latest look, in the average of how long they take


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
        self._work: deque[Callable[[], None]] = deque()  # what waits for a hand: a piece for each run of _do_next
        self._in_hand = 0
        self._look_seconds = 0.0  # how long looks take, of late
        self.held = False  # the source is paused or braked, as far as is known here
        self._closed = False
        self._lock = threading.Lock()

    @property
    def room(self) -> int:
        """How many tickets can be taken now."""
        with self._lock:
            return self._room()

    def take(self, claims: Sequence[Claim]) -> None:
        """Attend to these. Returns at once."""
        if not claims:
            return
        with self._lock:
            self._in_hand += len(claims)
        if len(claims) > 1 and self._source.tracker.bulk > 1:
            self._put(partial(self._fetch_ahead, claims), first=True)
        else:
            self._hand_out(claims, None)

    def close(self) -> None:
        """Finish the looks in hand and give back what waits for one. Nothing may be taken after it."""
        self._closed = True
        self._pool.shutdown(wait=True)

    def _room(self) -> int:
        batch = min(self._source.tracker.bulk, self._size * self._depth())
        if self._in_hand >= self._size + batch // 2:
            return 0
        return max(batch, self._size - self._in_hand)

    def _depth(self) -> int:
        """How many tickets are fetched for each hand, so that it gets through them while they are fresh."""
        return DEPTH if self._look_seconds * DEPTH <= _BATCH_SECONDS else int(_BATCH_SECONDS / self._look_seconds)

    def _put(self, work: Callable[[], None], *, first: bool = False) -> None:
        """Let a hand do it: before whatever waits, or after."""
        (self._work.appendleft if first else self._work.append)(work)
        try:
            self._pool.submit(self._do_next)
        except RuntimeError:  # closed meanwhile: no hand takes anything more
            self._do_next()

    def _do_next(self) -> None:
        self._work.popleft()()

    def _fetch_ahead(self, claims: Sequence[Claim]) -> None:
        left, ahead = claims, None
        try:
            if not self._is_over():
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
            self._put(partial(self._attend, claim, ahead))

    def _attend(self, claim: Claim, ahead: Ahead | None) -> None:
        try:
            if self._is_over():
                self._store.attention.give_back(claim)
            elif self._look(claim, ahead) in _FAILURES:
                self._after_failure()
        except DatabaseError as error:
            self._not_noted(error)
        finally:
            self._let_go(1)

    def _look(self, claim: Claim, ahead: Ahead | None) -> str:
        began = time.monotonic()
        outcome = self._attendant.attend(self._source, claim, ahead)
        with self._lock:
            self._look_seconds += (time.monotonic() - began - self._look_seconds) * _WEIGHT
        return outcome

    def _is_over(self) -> bool:
        return self.held or self._closed

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
            has_room = self._room() > 0
        if has_room:
            self._on_room()
