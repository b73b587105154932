"""What is made due at one node is heard at the others."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from connector.store import Store, open_database
from tests.store.helpers import Sighting, at, attended, claim
from tests.store.test_postgresql import CUT

SECONDS = 3  # after which nothing will come any more


class Ear:
    """Counts what it hears."""

    def __init__(self) -> None:
        self._heard = threading.Semaphore(0)

    def __call__(self) -> None:
        self._heard.release()

    def hears(self, seconds: float = SECONDS) -> bool:
        return self._heard.acquire(timeout=seconds)

    def forget(self) -> None:
        while self._heard.acquire(timeout=0.15):
            pass


@pytest.fixture
def here(postgresql_database: str) -> Iterator[Store]:
    opened = Store(open_database(postgresql_database, exclusive=True))
    yield opened
    opened.close()


@pytest.fixture
def there(here: Store, postgresql_database: str) -> Iterator[Store]:
    opened = Store(open_database(postgresql_database, exclusive=True))
    yield opened
    opened.close()


@pytest.fixture
def ear(there: Store) -> Ear:
    """What the node over there hears, once it listens."""
    listening = Ear()
    there.listen(listening)
    assert listening.hears(), "to look once when the listening begins, for what was said before"
    return listening


DOINGS: dict[str, Callable[[Store], object]] = {
    "notice": lambda store: store.attention.notice("office", "1", "CASE-1", at(1)),
    "notice_many": lambda store: store.attention.notice_many("office", [Sighting("2", "CASE-2", at(1))], at(1)),
    "wake": lambda store: store.attention.wake("office", ["1"], at(1)),
    "retry": lambda store: store.attention.retry("office", "1", at(1)),
    "release": lambda store: store.sources.release("office", at(1)),
}


@pytest.mark.postgres
@pytest.mark.parametrize("doing", list(DOINGS))
def test_what_makes_something_due_is_heard(here: Store, ear: Ear, doing: str) -> None:
    attended(here, "1", 0)
    here.sources.brake("office", at(0), "too many")
    ear.forget()
    DOINGS[doing](here)
    assert ear.hears()


@pytest.mark.postgres
def test_what_makes_nothing_due_is_not(here: Store, there: Store, ear: Ear) -> None:
    attended(here, "1", 0, tracker_updated_at=at(-1))
    ear.forget()
    here.attention.notice_many("office", [Sighting("1", "CASE-1", at(-1))], at(1))
    here.attention.wake("office", ["unknown"], at(1))
    here.attention.retry("office", "unknown", at(1))
    here.sources.release("office", at(1))
    claim(here, 1)
    there.attention.notice("office", "1", None, at(1))  # one's own
    assert not ear.hears(0.2)


@pytest.mark.postgres
def test_a_burst_is_told_a_few_times_and_its_last_one_is_heard(here: Store, ear: Ear) -> None:
    ear.forget()
    began = time.monotonic()
    for number in range(100):
        here.attention.notice("office", str(number), None, at(0))
    most = (time.monotonic() - began) / 0.02 + 3
    heard = 0
    while ear.hears(0.2):
        heard += 1
    assert 1 <= heard <= most


@pytest.mark.postgres
def test_what_is_said_last_before_closing_is_heard(here: Store, ear: Ear, postgresql_database: str) -> None:
    ear.forget()
    command = Store(open_database(postgresql_database, exclusive=False))
    command.attention.notice("office", "1", None, at(0))
    command.close()
    assert ear.hears()


@pytest.mark.postgres
def test_a_listener_that_was_cut_off_listens_again(here: Store, ear: Ear, postgresql_database: str) -> None:
    ear.forget()
    for _ in range(2):
        with psycopg.connect(postgresql_database, autocommit=True) as connection:
            connection.execute(CUT)
        assert ear.hears(), "and looks, for what it may have missed"
        here.attention.notice("office", "1", None, at(0))
        assert ear.hears()
        ear.forget()


@pytest.mark.postgres
def test_stopping_takes_less_than_a_second_and_is_final(here: Store, there: Store) -> None:
    ear = Ear()
    listener = there.listen(ear)
    assert ear.hears()
    began = time.monotonic()
    listener.stop()
    listener.stop()
    assert time.monotonic() - began < 1
    here.attention.notice("office", "1", None, at(0))
    assert not ear.hears(0.2)


@pytest.mark.postgres
def test_a_listener_whose_callee_fails_goes_on(here: Store, there: Store) -> None:
    ear = Ear()

    def fail() -> None:
        ear()
        raise RuntimeError

    there.listen(fail)
    assert ear.hears()
    ear.forget()
    here.attention.notice("office", "1", None, at(0))
    assert ear.hears()


def test_a_file_has_no_other_node(tmp_path: Path) -> None:
    store = Store(open_database(f"sqlite:///{tmp_path}/connector.sqlite3", exclusive=True))
    ear, threads = Ear(), threading.active_count()
    listener = store.listen(ear)
    store.attention.notice("office", "1", None, at(0))
    assert threading.active_count() == threads
    assert not ear.hears(0)
    listener.stop()
    store.close()
