from connector.store import Store
from tests.store.helpers import at, attended, claim, state


def test_a_ticket_is_found_by_its_key_or_id_within_its_source(store: Store) -> None:
    attended(store, "1", 0)
    assert state(store, "CASE-1") == state(store, "1")
    assert store.tickets.get("clinic", "CASE-1") is None
    assert store.tickets.get("office", "CASE-2") is None


def test_a_number_that_is_one_tickets_key_and_anothers_id_means_the_key(store: Store) -> None:
    store.attention.notice("office", "7", "42", at(1))
    store.attention.notice("office", "42", "99", at(2))
    assert state(store, "42").ticket_id == "7"


def test_listed_soonest_first_then_those_that_only_news_can_wake(store: Store) -> None:
    attended(store, "1", 0, attend_at=None)
    attended(store, "2", 0, attend_at=at(20))
    attended(store, "3", 0, source="clinic", attend_at=at(10))
    assert [one.ticket_id for one in store.tickets.list_tickets()] == ["3", "2", "1"]
    assert [one.ticket_id for one in store.tickets.list_tickets("office")] == ["2", "1"]
    assert [one.ticket_id for one in store.tickets.list_tickets(limit=1)] == ["3"]
    assert store.tickets.list_tickets(stuck_only=True) == []
    store.attention.notice("office", "1", None, at(1))
    [held] = claim(store, 1)
    store.attention.stick(held, now=at(1), error="refused")
    assert [one.ticket_id for one in store.tickets.list_tickets(stuck_only=True)] == ["1"]


def test_twins_are_the_other_open_tickets_with_the_same_receipt(store: Store) -> None:
    for number, digest in [("1", "d1"), ("2", "d1"), ("3", "d1"), ("4", "d2"), ("5", None)]:
        attended(store, number, int(number), receipt_digest=digest)
    attended(store, "6", 6, receipt_digest="d1", stage="answered")
    attended(store, "7", 7, receipt_digest="d1", source="clinic")
    assert store.tickets.twins("office", "1", "d1") == [("2", "CASE-2"), ("3", "CASE-3")]
    assert store.tickets.twins("office", "4", "d2") == []
    assert store.tickets.twins("office", "5", None) == []
