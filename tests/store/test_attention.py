import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from connector.store import Claim, Database, Store, lanes
from connector.store.errors import DatabaseError
from tests.store.helpers import LEASE, START, Sighting, at, attended, claim, claim_one, settle, start, state


class TestNotice:
    def test_makes_an_unknown_ticket_due_at_once(self, store: Store) -> None:
        store.attention.notice("office", "1", "CASE-1", at(0))
        claimed = claim_one(store, 0)
        assert (claimed.ticket_id, claimed.key, claimed.stage, claimed.attempts) == ("1", "CASE-1", None, 0)
        assert claimed.first_look
        assert state(store).first_seen_at == START  # to the microsecond

    def test_makes_a_waiting_ticket_due_at_once(self, store: Store) -> None:
        attended(store, "1", 0, attend_at=at(1000))
        assert claim(store, 5) == []
        store.attention.notice("office", "1", "CASE-1", at(6))
        assert not claim_one(store, 6).first_look

    def test_keeps_the_key_where_the_webhook_has_none_and_takes_a_new_one(self, store: Store) -> None:
        store.attention.notice("office", "1", "CASE-1", at(0))
        store.attention.notice("office", "1", None, at(1))
        assert state(store).key == "CASE-1"
        store.attention.notice("office", "1", "MOVED-7", at(2))
        assert state(store).key == "MOVED-7"
        assert state(store).first_seen_at == START

    def test_while_leased_does_not_lend_it_twice_but_makes_it_due_after(self, store: Store) -> None:
        store.attention.notice("office", "1", "CASE-1", at(0))
        first = claim_one(store, 0)
        store.attention.notice("office", "1", "CASE-1", at(1))
        assert claim(store, 1) == []
        assert state(store).attend_at == at(0)
        assert settle(store, first, 2, attend_at=at(1000))
        assert state(store).attend_at == at(2)
        assert settle(store, claim_one(store, 2), 3, attend_at=at(1000))
        assert state(store).attend_at == at(1000)  # the news was seen: it does not count twice

    def test_revives_a_stuck_ticket_with_all_its_tries(self, store: Store) -> None:
        store.attention.notice("office", "1", "CASE-1", at(0))
        store.attention.postpone(claim_one(store, 0), now=at(0), attend_at=at(1), error="no answer")
        store.attention.stick(claim_one(store, 1), now=at(1), error="no answer")
        store.attention.notice("office", "1", "CASE-1", at(2))
        assert claim_one(store, 2).attempts == 0
        assert (state(store).stuck_since, state(store).error) == (None, None)

    def test_keeps_sources_apart(self, store: Store) -> None:
        store.attention.notice("office", "1", "CASE-1", at(0))
        store.attention.notice("clinic", "1", "HELP-1", at(0))
        assert [one.key for one in claim(store, 0, sources=["clinic"])] == ["HELP-1"]
        assert state(store, source="office").lease_until is None

    @pytest.mark.parametrize("identifier", ["", "x" * 256, "1\x00", "\ud800", "1\n"])
    def test_refuses_what_no_tracker_calls_a_ticket(self, store: Store, identifier: str) -> None:
        with pytest.raises(ValueError, match="no tracker gives"):
            store.attention.notice("office", identifier, "CASE-1", at(0))
        with pytest.raises(ValueError, match="no tracker gives"):
            store.attention.notice("office", "1", identifier, at(0))
        assert store.tickets.list_tickets() == []

    def test_tells_that_the_source_was_heard_to_within_ten_seconds(self, store: Store) -> None:
        for minutes, noted in [(0, 0), (0.1, 0), (0.2, 0.2), (0.3, 0.2), (9, 9), (5, 9)]:
            store.attention.notice("office", "1", "CASE-1", at(minutes))
            assert store.sources.get("office").heard_at == at(noted)
        assert store.sources.get("clinic").heard_at is None

    def test_its_correlation_id_comes_with_the_look_it_causes_and_no_other(self, store: Store) -> None:
        store.attention.notice("office", "1", None, at(0), correlation_id="first")
        store.attention.notice("office", "1", None, at(0))  # one without takes nothing away
        held = claim_one(store, 0)
        assert held.correlation_id == "first"
        store.attention.postpone(held, now=at(0), attend_at=at(1), error="no answer")
        held = claim_one(store, 1)
        assert held.correlation_id == "first"
        store.attention.notice("office", "1", None, at(1), correlation_id="second" * 100)
        settle(store, held, 2, attend_at=at(50))
        held = claim_one(store, 2)
        assert held.correlation_id == ("second" * 100)[:64]
        settle(store, held, 3, attend_at=at(50))
        assert claim_one(store, 50).correlation_id is None


class TestNoticeMany:
    def test_raises_new_changed_and_unattended_tickets_only(self, store: Store) -> None:
        """A stuck ticket that nobody has touched since stays stuck, however often a poll sees it."""
        attended(store, "same", 0, tracker_updated_at=at(-1))
        attended(store, "changed", 0, tracker_updated_at=at(-1))
        attended(store, "no-stamp", 0, tracker_updated_at=None)
        attended(store, "stuck", 0, tracker_updated_at=at(-1))
        for name in ("stuck", "mended"):
            store.attention.notice("office", name, None, at(1))
            store.attention.stick(claim_one(store, 1), now=at(1), error="refused")
        store.attention.notice("office", "unattended", None, at(1))
        sightings = [
            Sighting("mended", "CASE-mended", at(2)),
            Sighting("same", "CASE-same", at(-1)),
            Sighting("changed", "CASE-changed", at(1)),
            Sighting("no-stamp", "CASE-no-stamp", None),
            Sighting("stuck", "CASE-stuck", at(-1)),
            Sighting("unattended", "CASE-unattended", at(-1)),
            Sighting("new", "CASE-new", at(-1)),
        ]
        assert store.attention.notice_many("office", sightings, at(2)) == 5
        due = {one.ticket_id for one in claim(store, 2)}
        assert due == {"changed", "no-stamp", "mended", "unattended", "new"}

    def test_is_not_a_webhook(self, store: Store) -> None:
        store.attention.notice_many("office", [Sighting("1", "CASE-1", at(0))], at(0))
        assert store.sources.get("office").heard_at is None

    def test_takes_a_ticket_seen_on_two_pages_once_and_as_last_seen(self, store: Store) -> None:
        twice = [Sighting("1", "CASE-1", at(0)), Sighting("1", "CASE-2", at(1))]
        assert store.attention.notice_many("office", twice, at(2)) == 1
        assert state(store).key == "CASE-2"

    def test_lets_others_write_while_it_waits_for_the_next_page(self, store: Store) -> None:
        def pages() -> Iterator[Sighting]:
            for number in range(1200):
                if number % 400 == 0:  # a page is fetched: a call to the tracker, with the webhooks coming in
                    store.attention.notice("office", f"hook-{number}", None, at(0))
                yield Sighting(str(number), f"CASE-{number}", at(0))

        assert store.attention.notice_many("office", pages(), at(0)) == 1200
        assert len(store.tickets.list_tickets("office")) == 1203

    def test_leaves_a_ticket_in_hand_to_its_worker_and_makes_it_due_after(self, store: Store) -> None:
        attended(store, "1", 0, tracker_updated_at=at(-1))
        store.attention.notice("office", "1", None, at(1))
        held = claim_one(store, 1)
        assert store.attention.notice_many("office", [Sighting("1", "CASE-1", at(2))], at(2)) == 1
        assert claim(store, 2) == []
        settle(store, held, 3, attend_at=at(1000))
        assert state(store).attend_at == at(3)


class TestClaim:
    def test_takes_the_longest_due_first_and_no_more_than_asked(self, store: Store) -> None:
        for number in (3, 1, 2):
            store.attention.notice("office", str(number), None, at(number))
        assert [one.ticket_id for one in claim(store, 5, limit=2)] == ["1", "2"]
        assert [one.ticket_id for one in claim(store, 5, limit=2)] == ["3"]

    def test_leaves_what_is_not_due_yet(self, store: Store) -> None:
        attended(store, "1", 0, attend_at=at(10))
        assert claim(store, 9.999) == []
        assert len(claim(store, 10)) == 1

    def test_leaves_tickets_in_hand_and_of_other_sources(self, store: Store) -> None:
        store.attention.notice("office", "1", None, at(0))
        store.attention.notice("clinic", "2", None, at(0))
        assert [one.ticket_id for one in claim(store, 0)] == ["1"]
        assert claim(store, 1) == []
        assert store.attention.claim(at(1), {}, LEASE) == []

    def test_carries_what_the_worker_needs(self, store: Store) -> None:
        attended(store, "1", 0, stage="awaiting_ncsc", attend_at=at(9), config_hash="c7", receipt_digest="d1")
        claimed = claim_one(store, 9)
        assert (claimed.source, claimed.stage, claimed.config_hash) == ("office", "awaiting_ncsc", "c7")
        assert claimed.receipt_digest == "d1"

    def test_gives_each_source_what_it_may_have_in_hand(self, store: Store) -> None:
        for number in range(20):
            store.attention.notice("flood", str(number), None, at(0))
        for number in range(2):
            store.attention.notice("trickle", str(number), None, at(5))
        claims = store.attention.claim(at(6), {"flood": 4, "trickle": 3, "paused": 0, "unknown": 2}, LEASE)
        assert Counter(one.source for one in claims) == {"flood": 4, "trickle": 2}
        assert store.attention.claim(at(6), {"flood": 0, "trickle": -1}, LEASE) == []

    def test_a_burst_of_webhooks_does_not_starve_waits_that_have_passed(self, store: Store) -> None:
        for number in range(3):
            attended(store, f"wait-{number}", 0, attend_at=at(10 + number))
        for number in range(20):
            store.attention.notice("office", f"news-{number}", None, at(1))
        assert [one.ticket_id for one in claim(store, 20, limit=1)] == ["wait-0"]
        got = [one.ticket_id for one in claim(store, 20, limit=3)]
        assert (got[-2:], len(got)) == (["wait-1", "wait-2"], 3)
        assert all(one.ticket_id.startswith("news") for one in claim(store, 20, limit=3))

    def test_passed_waits_do_not_starve_webhooks(self, store: Store) -> None:
        for number in range(10):
            attended(store, f"wait-{number}", 0, attend_at=at(10))
        store.attention.notice("office", "news", None, at(9))
        got = {one.ticket_id for one in claim(store, 20, limit=4)}
        assert "news" in got
        assert len(got) == 4

    def test_a_wait_that_has_passed_and_is_noticed_keeps_its_place(self, store: Store) -> None:
        attended(store, "1", 0, attend_at=at(10))
        store.attention.notice("office", "2", None, at(15))
        for minute in range(11, 30):
            store.attention.notice("office", "1", None, at(minute))
        assert state(store).attend_at == at(10)
        assert [one.ticket_id for one in claim(store, 30, limit=1)] == ["1"]

    def test_takes_no_ticket_twice_even_if_the_lease_has_no_length(self, store: Store) -> None:
        attended(store, "1", 0, attend_at=at(10))
        for _ in range(2):
            assert len(store.attention.claim(at(10), {"office": 10}, LEASE * 0)) == 1

    def test_two_threads_at_once_never_get_the_same_ticket(self, store: Store) -> None:
        store.attention.notice_many("office", [Sighting(str(n), f"C-{n}", None) for n in range(200)], at(0))
        taken: list[list[Claim]] = [[], []]
        start = threading.Barrier(2)

        def work(mine: list[Claim]) -> None:
            start.wait()
            while len(mine) < 100:
                mine.extend(claim(store, 1, limit=5))

        threads = [threading.Thread(target=work, args=(mine,)) for mine in taken]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        everyone = [one.ticket_id for mine in taken for one in mine]
        assert len(everyone) == len(set(everyone)) == 200


class TestLease:
    def test_outlived_by_its_worker_goes_to_another_and_the_late_one_writes_nothing(self, store: Store) -> None:
        store.attention.notice("office", "1", "CASE-1", at(0))
        late = claim_one(store, 0)
        assert claim(store, 4.9) == []
        second = claim_one(store, 5)
        assert second.token != late.token
        before = state(store)
        assert not settle(store, late, 6, stage="email_service_center")
        assert not store.attention.postpone(late, now=at(6), attend_at=at(7), error="late")
        assert not store.attention.stick(late, now=at(6), error="late")
        assert not store.attention.forget(late, now=at(6))
        assert not store.attention.renew(late, at(6), LEASE)
        assert state(store) == before
        assert settle(store, second, 7)

    def test_outlived_counts_as_a_failed_look(self, store: Store) -> None:
        store.attention.notice("office", "1", None, at(0))
        assert claim_one(store, 0).attempts == 0
        assert claim_one(store, 5).attempts == 1
        assert claim_one(store, 10).attempts == 2

    def test_lapsed_but_not_taken_over_still_settles(self, store: Store) -> None:
        store.attention.notice("office", "1", None, at(0))
        held = claim_one(store, 0)
        assert settle(store, held, 60, attend_at=at(100))
        assert state(store).attend_at == at(100)

    def test_lapsed_and_noticed_is_due_even_after_the_late_worker_settles(self, store: Store) -> None:
        store.attention.notice("office", "1", None, at(0))
        held = claim_one(store, 0)
        store.attention.notice("office", "1", None, at(59))
        assert settle(store, held, 60, attend_at=at(100))
        assert state(store).attend_at == at(60)

    def test_renewed_is_kept(self, store: Store) -> None:
        store.attention.notice("office", "1", None, at(0))
        held = claim_one(store, 0)
        assert store.attention.renew(held, at(4), LEASE)
        assert claim(store, 8.9) == []
        assert len(claim(store, 9)) == 1


class TestSettle:
    def test_writes_the_result_and_frees_the_ticket(self, store: Store) -> None:
        store.attention.notice("office", "1", "CASE-1", at(0))
        store.attention.postpone(claim_one(store, 0), now=at(0), attend_at=at(1), error="no answer")
        assert settle(
            store,
            claim_one(store, 1),
            2,
            stage="awaiting_ncsc",
            attend_at=at(50),
            key="MOVED-1",
            receipt_digest="d1",
            tracker_updated_at=at(-3),
            config_hash="c2",
        )
        row = state(store)
        assert (row.stage, row.attend_at, row.key, row.config_hash) == ("awaiting_ncsc", at(50), "MOVED-1", "c2")
        assert (row.tracker_updated_at, row.attended_at) == (at(-3), at(2))
        assert (row.attempts, row.error, row.lease_until, row.stuck_since) == (0, None, None, None)

    def test_can_leave_a_ticket_to_news_alone(self, store: Store) -> None:
        attended(store, "1", 0, attend_at=None)
        assert state(store).attend_at is None
        assert claim(store, 10**6) == []

    def test_twice_with_one_claim_is_refused(self, store: Store) -> None:
        store.attention.notice("office", "1", None, at(0))
        held = claim_one(store, 0)
        assert settle(store, held, 1)
        assert not settle(store, held, 2, stage="answered")
        assert state(store).stage == "call_ncsc"


class TestPostpone:
    def test_counts_the_try_and_waits(self, store: Store) -> None:
        store.attention.notice("office", "1", None, at(0))
        assert store.attention.postpone(claim_one(store, 0), now=at(1), attend_at=at(3), error="no answer")
        assert (state(store).attempts, state(store).error, state(store).attend_at) == (1, "no answer", at(3))
        assert claim(store, 2.9) == []
        again = claim_one(store, 3)
        assert again.attempts == 1
        assert again.first_look  # it has not succeeded yet

    def test_with_news_looks_again_at_once_but_never_before_a_rate_limit(self, store: Store) -> None:
        for number, not_before, expected in [("1", None, at(2)), ("2", at(30), at(30)), ("3", at(-9), at(2))]:
            store.attention.notice("office", number, None, at(0))
            [held] = claim(store, 0)
            store.attention.notice("office", number, None, at(1))
            assert store.attention.postpone(held, now=at(2), attend_at=at(60), error="limited", not_before=not_before)
            assert state(store, number).attend_at == expected

    def test_rate_limit_also_holds_for_news_that_comes_later_until_it_has_passed(self, store: Store) -> None:
        store.attention.notice("office", "1", None, at(0))
        held = claim_one(store, 0)
        store.attention.postpone(held, now=at(0), attend_at=at(60), error="limited", not_before=at(30))
        store.attention.notice("office", "1", None, at(1))
        assert state(store).attend_at == at(30)
        store.attention.notice("office", "1", None, at(31))
        assert state(store).attend_at == at(30)  # it has been due since then
        settle(store, claim_one(store, 31), 31)
        store.attention.notice("office", "1", None, at(2))  # a clock that jumped back meets no old limit
        assert state(store).attend_at == at(2)

    def test_cuts_a_long_error_short(self, store: Store) -> None:
        store.attention.notice("office", "1", None, at(0))
        store.attention.postpone(claim_one(store, 0), now=at(0), attend_at=at(1), error="e" * 1000)
        assert state(store).error == "e" * 300


class TestStick:
    def test_leaves_the_ticket_alone_and_does_not_block_others(self, store: Store) -> None:
        store.attention.notice("office", "1", None, at(0))
        store.attention.notice("office", "2", None, at(1))
        [held] = claim(store, 1, limit=1)
        assert store.attention.stick(held, now=at(1), error="no permission")
        assert (state(store).stuck_since, state(store).error) == (at(1), "no permission")
        assert [one.ticket_id for one in claim(store, 10**6)] == ["2"]

    def test_with_news_since_the_claim_is_revived(self, store: Store) -> None:
        store.attention.notice("office", "1", None, at(0))
        held = claim_one(store, 0)
        store.attention.notice("office", "1", None, at(1))
        assert store.attention.stick(held, now=at(2), error="no permission")
        row = state(store)
        assert (row.stuck_since, row.error, row.attempts, row.attend_at) == (None, None, 0, at(2))

    def test_one_is_revived_by_name_or_all_at_once(self, store: Store) -> None:
        for source, number in [("office", "1"), ("office", "2"), ("clinic", "3")]:
            store.attention.notice(source, number, f"CASE-{number}", at(0))
        for held in claim(store, 0, sources=["office", "clinic"]):
            store.attention.stick(held, now=at(0), error="refused")
        assert store.attention.retry("office", "CASE-1", at(1))
        assert store.attention.retry("office", "1", at(1))
        assert not store.attention.retry("office", "CASE-3", at(1))
        assert state(store).stuck_since is None
        assert [one.ticket_id for one in claim(store, 1)] == ["1"]
        assert store.attention.retry_all_stuck("office", at(1)) == 1
        assert store.attention.retry_all_stuck(None, at(1)) == 1
        assert store.attention.retry_all_stuck(None, at(1)) == 0


class TestForget:
    def test_leaves_nothing_behind(self, store: Store) -> None:
        attended(store, "1", 0)
        store.attention.notice("office", "1", None, at(1))
        held = claim_one(store, 1)
        assert start(store, held, "r1", 1)
        store.acts.finish("office", "1", ["r1"], at(1))
        assert store.attention.forget(held, now=at(2))
        assert store.tickets.get("office", "1") is None
        assert store.acts.done_refs("office", "1") == frozenset()
        assert store.acts.comments_since("office", at(0)) == 0

    def test_with_news_since_the_claim_looks_again(self, store: Store) -> None:
        store.attention.notice("office", "1", None, at(0))
        held = claim_one(store, 0)
        store.attention.notice("office", "1", None, at(1))
        assert store.attention.forget(held, now=at(2))
        assert claim_one(store, 2).ticket_id == "1"

    def test_a_ticket_that_comes_back_is_new(self, store: Store) -> None:
        attended(store, "1", 0)
        store.attention.notice("office", "1", None, at(1))
        store.attention.forget(claim_one(store, 1), now=at(1))
        store.attention.notice("office", "1", "CASE-1", at(2))
        assert claim_one(store, 2).first_look


class TestWake:
    def test_makes_known_tickets_due_and_no_others(self, store: Store) -> None:
        for number in ("1", "2", "3"):
            attended(store, number, 0, attend_at=at(1000))
        store.attention.notice("office", "3", None, at(1))
        store.attention.stick(claim_one(store, 1), now=at(1), error="refused")
        store.attention.wake("office", ["1", "3", "unknown"], at(2))
        assert [one.ticket_id for one in claim(store, 2)] == ["1"]
        assert store.tickets.get("office", "unknown") is None
        assert state(store, "3").stuck_since == at(1)

    def test_of_a_ticket_in_hand_is_not_lost(self, store: Store) -> None:
        store.attention.notice("office", "1", None, at(0))
        held = claim_one(store, 0)
        store.attention.wake("office", ["1"], at(1))
        settle(store, held, 2, attend_at=at(1000))
        assert state(store).attend_at == at(2)


class TestMarkStale:
    def test_takes_waiting_tickets_of_another_configuration_a_few_at_a_time(self, store: Store) -> None:
        for number in range(5):
            attended(store, f"old-{number}", 0, attend_at=at(1000), config_hash="c1")
        attended(store, "current", 0, attend_at=at(1000), config_hash="c2")
        attended(store, "done", 0, stage="answered", config_hash="c1")
        attended(store, "other", 0, source="clinic", config_hash="c1")
        marked = [store.attention.mark_stale("office", "c2", at(1), 2) for _ in range(4)]
        assert marked == [2, 2, 1, 0]
        assert {one.ticket_id for one in claim(store, 1)} == {f"old-{number}" for number in range(5)}

    def test_takes_those_that_only_news_would_wake(self, store: Store) -> None:
        attended(store, "1", 0, attend_at=None, config_hash="c1")
        assert store.attention.mark_stale("office", "c2", at(1), 10) == 1

    def test_leaves_tickets_in_hand_and_does_not_shorten_a_backoff(self, store: Store) -> None:
        attended(store, "1", 0, attend_at=None)
        attended(store, "2", 0, attend_at=None)
        store.attention.notice("office", "1", None, at(1))
        store.attention.postpone(claim_one(store, 1), now=at(1), attend_at=at(60), error="no answer")
        store.attention.notice("office", "2", None, at(1))
        claim_one(store, 1)
        assert store.attention.mark_stale("office", "c2", at(2), 10) == 0
        assert state(store, "1").attend_at == at(60)

    def test_revives_a_ticket_that_got_stuck_with_an_older_configuration_once(self, store: Store) -> None:
        store.attention.notice("office", "1", None, at(0))
        store.attention.stick(claim_one(store, 0), now=at(0), error="no such field", config_hash="c1")
        assert store.attention.mark_stale("office", "c1", at(1), 10) == 0
        assert store.attention.mark_stale("office", "c2", at(1), 10) == 1
        store.attention.stick(claim_one(store, 1), now=at(1), error="no such field", config_hash="c2")
        assert store.attention.mark_stale("office", "c2", at(2), 10) == 0

    def test_leaves_a_ticket_stuck_with_an_unknown_configuration(self, store: Store) -> None:
        attended(store, "1", 0, config_hash="c1")
        store.attention.notice("office", "1", None, at(1))
        store.attention.stick(claim_one(store, 1), now=at(1), error="refused")
        assert store.attention.mark_stale("office", "c2", at(2), 10) == 0


def test_what_was_claimed_is_told_though_the_next_source_cannot_be_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = lanes.take

    def only_the_office(database: Database, source: str, *rest: Any) -> Any:
        if source != "office":
            raise DatabaseError("gone")
        return take(database, source, *rest)

    monkeypatch.setattr(lanes, "take", only_the_office)
    for source in ("office", "clinic"):
        store.attention.notice(source, "1", "CASE-1", at(0))
    assert [held.source for held in claim(store, 0, 10, ["office", "clinic"])] == ["office"]
    with pytest.raises(DatabaseError):
        claim(store, 0, 10, ["clinic"])
