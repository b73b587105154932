"""A small language for the tests of the store: moments by minutes, and the calls with all they need."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from connector.store import Claim, Database, Store, TicketState

START = datetime(2026, 3, 1, 15, 15, 0, 123456, tzinfo=UTC)
LEASE = timedelta(minutes=5)


@dataclass(frozen=True)
class Sighting:
    ticket_id: str
    key: str
    updated_at: datetime | None


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def claim(store: Store, minutes: float, limit: int = 100, sources: Sequence[str] = ("office",)) -> list[Claim]:
    return store.attention.claim(at(minutes), dict.fromkeys(sources, limit), LEASE)


def claim_one(store: Store, minutes: float) -> Claim:
    [claimed] = claim(store, minutes)
    return claimed


def settle(store: Store, claimed: Claim, minutes: float, **result: Any) -> bool:
    values: dict[str, Any] = {
        "stage": "call_ncsc",
        "attend_at": None,
        "key": claimed.key,
        "receipt_digest": None,
        "tracker_updated_at": None,
        "config_hash": "c1",
    }
    return store.attention.settle(claimed, now=at(minutes), **(values | result))


def attended(store: Store, ticket_id: str, minutes: float, source: str = "office", **result: Any) -> None:
    """A ticket that was noticed, claimed and settled at one moment."""
    store.attention.notice(source, ticket_id, f"CASE-{ticket_id}", at(minutes))
    [claimed] = [one for one in claim(store, minutes, sources=[source]) if one.ticket_id == ticket_id]
    assert settle(store, claimed, minutes, **result)


def state(store: Store, ticket_id: str = "1", source: str = "office") -> TicketState:
    found = store.tickets.get(source, ticket_id)
    assert found is not None
    return found


def close_connections(database: Database) -> None:
    """All that there are; the next to be used are new."""
    database._kept.close()
    if database._group is not None:
        database._group.close()
    database.engine.dispose()


def start(store: Store, held: Claim, ref: str, minutes: float, kind: str = "comment") -> bool:
    """An act is about to be done."""
    return store.acts.start(held, {ref: kind}, "call_ncsc", at(minutes), LEASE)
