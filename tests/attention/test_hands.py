"""The hands of a source: none stands idle for a fetch, none is one too many, and what waits does not grow old."""

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import SimpleNamespace

import pytest

from connector.attention import hands as hands_module
from connector.attention.attend import Attendant
from connector.attention.clock import LEASE
from connector.attention.hands import Hands
from connector.attention.look import Ahead
from connector.attention.source import Source
from connector.store import Claim
from tests.attention.conftest import NAME, Desk
from tests.attention.test_metronome import eventually

PATIENCE = 20.0  # seconds
BATCH = 8  # tickets: what two hands have fetched at once


class Told(Attendant):
    """Tells of each fetch and look as it begins. A look ends when it is let go, or after `seconds` of its own clock."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk.store, desk.metrics, desk.clock, lease=LEASE)
        self.seconds: Callable[[Claim], float] | None = None
        self.let_go = threading.Semaphore(0)
        self._events: list[str] = []
        self._begun = threading.Semaphore(0)
        self._of_thread = threading.local()

    def fetch_ahead(self, source: Source, claims: Sequence[Claim]) -> tuple[Sequence[Claim], Ahead]:
        self._tell(f"fetch of {len(claims)}")
        return claims, Ahead({})

    def attend(self, source: Source, claim: Claim, ahead: Ahead | None = None) -> str:
        self._tell("look")
        if self.seconds is None:
            assert self.let_go.acquire(timeout=PATIENCE), "nobody has let it go"
        else:
            self._of_thread.now = self.monotonic() + self.seconds(claim)
        return "attended"

    def monotonic(self) -> float:
        """The clock of each thread, which is moved by its looks alone."""
        return float(getattr(self._of_thread, "now", 0.0))

    def _tell(self, what: str) -> None:
        self._events.append(what)
        self._begun.release()

    def expect(self, *whats: str) -> None:
        """These begin now, in this order, and nothing else has begun."""
        for _ in whats:
            assert self._begun.acquire(timeout=PATIENCE), f"only {self._events}"
        assert self._events == list(whats)
        self._events.clear()


@pytest.fixture
def told(desk: Desk) -> Told:
    return Told(desk)


@pytest.fixture
def make_hands(desk: Desk, told: Told) -> Iterator[Callable[..., Hands]]:
    """make_hands(size, on_room=...) -> hands of the desk's source; at the end every look is let go."""
    made: list[Hands] = []

    def make(size: int, on_room: Callable[[], None] = lambda: None) -> Hands:
        made.append(Hands(desk.source, desk.store, told, size, is_held=lambda: False, on_room=on_room))
        return made[-1]

    yield make
    told.let_go.release(1000)
    for hands in made:
        hands.close()


def claims(desk: Desk, first: int, number: int = BATCH) -> list[Claim]:
    """Tickets with the ids from `first` on, claimed."""
    for ticket_id in range(first, first + number):
        desk.store.attention.notice(NAME, str(ticket_id), None, desk.clock())
    return desk.store.attention.claim(desk.clock(), {NAME: number}, LEASE)


def test_the_next_batch_is_asked_for_in_time_and_fetched_before_another_look(
    desk: Desk, told: Told, make_hands: Callable[..., Hands]
) -> None:
    """Guards against hands that stand idle during a fetch: it began when there was nothing else left to do."""
    heard = threading.Semaphore(0)
    hands = make_hands(2, on_room=heard.release)
    assert hands.room == BATCH
    hands.take(claims(desk, 1))
    told.expect("fetch of 8", "look", "look")
    assert hands.room == 0
    for _ in range(3):
        assert not heard.acquire(blocking=False), "it came too early: tickets are taken from other nodes in vain"
        told.let_go.release()
        told.expect("look")
    assert heard.acquire(timeout=PATIENCE)
    assert hands.room == BATCH, "half of a batch is left"
    hands.take(claims(desk, 101))
    assert hands.room == 0
    told.expect()  # two are at the tracker, and no third
    told.let_go.release()
    told.expect("fetch of 8", "look")


@pytest.mark.parametrize("ends", ["paused", "stopped"])
def test_a_batch_that_waits_for_its_fetch_is_given_back_unfetched(
    desk: Desk, told: Told, make_hands: Callable[..., Hands], ends: str
) -> None:
    hands = make_hands(1)
    before = claims(desk, 1, 2)
    hands.take(before)
    told.expect("fetch of 2", "look")
    waiting = claims(desk, 101)
    hands.take(waiting)
    hands.held = ends == "paused"
    if ends == "stopped":
        threading.Thread(target=hands.close).start()
        eventually(lambda: hands._closed)
    told.let_go.release()
    for claim in (*before[1:], *waiting):
        eventually(partial(is_as_it_was, desk, claim))
    told.expect()  # neither the fetch nor another look


@pytest.mark.parametrize(("seconds", "room"), [(0.2, BATCH), (2.4, BATCH), (4.0, 4), (60.0, 2)])
def test_fewer_are_fetched_ahead_where_looks_take_long(
    told: Told, make_hands: Callable[..., Hands], monkeypatch: pytest.MonkeyPatch, seconds: float, room: int
) -> None:
    """Guards against tickets that are fetched twice, being old when their turn comes: at a tracker that allows one call
    a second, most were."""
    monkeypatch.setattr(hands_module, "time", SimpleNamespace(monotonic=told.monotonic))
    hands = make_hands(2)
    told.seconds = lambda claim: 100.0 if int(claim.ticket_id) < 10 else seconds  # it was slower still at first
    for number in range(110):
        hands.take([made_up(number)])
    told.expect(*["look"] * 110)
    hands.close()
    assert hands.room == room


def test_one_hand_makes_one_call_at_a_time(desk: Desk, told: Told, make_hands: Callable[..., Hands]) -> None:
    hands = make_hands(1)
    hands.take(claims(desk, 1, 4))
    told.expect("fetch of 4", "look")
    told.let_go.release()
    told.expect("look")
    assert hands.room == 0
    told.let_go.release()
    told.expect("look")
    assert hands.room == 4
    hands.take(claims(desk, 101, 4))
    told.expect()
    told.let_go.release()
    told.expect("fetch of 4", "look")


def is_as_it_was(desk: Desk, claim: Claim) -> bool:
    """Whether the ticket is due and in nobody's hand."""
    found = desk.store.tickets.get(NAME, claim.ticket_id)
    return found is not None and (found.lease_until, found.attempts, found.attend_at) == (None, 0, desk.clock())


def made_up(number: int) -> Claim:
    return Claim(
        source=NAME,
        ticket_id=str(number),
        key=None,
        stage=None,
        token="t",
        attempts=0,
        failures=0,
        config_hash=None,
        receipt_digest=None,
        first_look=True,
    )
