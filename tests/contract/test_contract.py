"""What every tracker must do (connector/trackers/port.py): a test for each behaviour, run against each site."""

import itertools
import json
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial

import pytest

from connector.inquiry.markup import find_refs
from connector.trackers.port import (
    AccessRefused,
    CommentWentPublic,
    Edit,
    Misconfigured,
    NotKept,
    NoTransition,
    RateLimited,
    Refused,
    Ticket,
    TicketGone,
    Tracker,
    TrackerError,
    Unavailable,
)
from tests.contract.conftest import Connect
from tests.contract.site import CHOICE, Holds, Site
from tests.contract.wire import Fault, Wire

REF = "5d01b7f4"
AT = datetime(2026, 3, 2, 15, 30, tzinfo=UTC)
LATE = datetime(2026, 3, 3, 3, 30, 5, tzinfo=UTC)  # still March 2 in New York
DAY, OTHER_DAY = date(2026, 5, 1), date(2026, 6, 1)
NOWHERE = "Nowhere at all"  # no tracker has such a status
LOGIN_PAGE = "<!DOCTYPE html><html><head><title>Log in</title></head><body><form></form></body></html>"


def body(tracker: Tracker, ref: str = REF, text: str = "Call the NCSC now") -> str:
    """A comment in the tracker's markup, ending with its ref line."""
    line = f"Inquiry connector, Step 1, ref {ref}"
    return f"<p>{text}</p>\n<p>{line}</p>" if tracker.markup == "html" else f"{text}\n{line}"


def fetched(tracker: Tracker, ticket_id: str, *, with_history: bool = False) -> Ticket:
    ticket = tracker.fetch(ticket_id, with_history=with_history)
    assert ticket is not None
    return ticket


def gone(tracker: Tracker, ticket_id: str) -> bool:
    """Whether the tracker says that there is no such ticket, or none in scope: some cannot tell these apart."""
    try:
        return tracker.fetch(ticket_id, with_history=True) is None
    except TicketGone:
        return True


def refs_said(site: Site, ticket_id: str) -> list[str]:
    """The refs that stand on the ticket, as people see it, each as often as it was said."""
    return list(itertools.chain.from_iterable(sorted(find_refs(said.text)) for said in site.comments(ticket_id)))


# Reading


def test_a_ticket_in_scope_is_fetched(site: Site, tracker: Tracker) -> None:
    ticket_id = site.create(text="WAC2590123456")
    ticket = fetched(tracker, ticket_id)
    assert (ticket.id, ticket.status, ticket.closed, ticket.due_on) == (ticket_id, site.statuses.first, False, None)
    assert ticket.key
    assert ticket.fields[site.fields["text"]] == "WAC2590123456"
    assert (ticket.history, ticket.refs) == ((), frozenset())
    assert ticket.updated_at is not None
    assert ticket.updated_at.tzinfo is UTC


def test_values_of_every_kind_are_plain(site: Site, tracker: Tracker) -> None:
    ticket_id = site.create(text="é <&>", date=date(2025, 6, 2), datetime=AT, number=45, choice=CHOICE, flag=True)
    values = {holds: fetched(tracker, ticket_id).fields[name] for holds, name in site.fields.items()}
    assert values["text"] == "é <&>"
    assert values["date"] == "2025-06-02"
    assert datetime.fromisoformat(str(values["datetime"])) == AT
    assert float(str(values["number"])) == 45
    assert values["choice"] == CHOICE
    assert values["flag"] in (True, "Yes", ["Yes"], "Separate")


def test_empty_fields_are_empty(site: Site, tracker: Tracker) -> None:
    never, emptied = site.create(), site.create(text="x", date=date(2025, 6, 2), datetime=AT, number=45, choice=CHOICE)
    site.edit(emptied, text=None, date=None, datetime=None, number=None, choice=None)
    for ticket_id in (never, emptied):
        ticket = fetched(tracker, ticket_id)
        assert set(ticket.fields) == set(site.fields.values())
        assert {name: value for name, value in ticket.fields.items() if value} == {}


def test_fields_have_names_for_staff(site: Site, tracker: Tracker) -> None:
    labels = fetched(tracker, site.create()).labels
    assert set(labels) == set(site.fields.values())
    assert all(label and label == label.strip() for label in labels.values())


def test_fields_are_named_in_whatever_case(site: Site, connect: Connect) -> None:
    name = site.fields["text"].swapcase()
    ticket = fetched(connect(fields=[name]), site.create(text="WAC2590123456"))
    assert ticket.fields == {name: "WAC2590123456"}


def test_a_ticket_out_of_scope_is_none_and_costs_two_calls(site: Site, tracker: Tracker, wire: Wire) -> None:
    fetched(tracker, site.create())  # what it learns once, it knows now
    foreign = site.foreign()
    wire.calls.clear()
    assert tracker.fetch(foreign, with_history=True) is None
    assert len(wire.calls) <= 2
    assert wire.changes == []


def test_a_ticket_that_left_the_scope_is_none(site: Site, tracker: Tracker) -> None:
    ticket_id = site.create()
    fetched(tracker, ticket_id)
    site.leave_scope(ticket_id)
    assert tracker.fetch(ticket_id, with_history=False) is None
    assert ticket_id not in {sighting.ticket_id for sighting in tracker.changed_since(None)}


def test_a_deleted_ticket_is_gone(site: Site, tracker: Tracker) -> None:
    ticket_id = site.create()
    fetched(tracker, ticket_id)
    site.delete(ticket_id)
    assert gone(tracker, ticket_id)
    assert gone(tracker, "99999999")  # never made


def test_a_ticket_that_is_gone_takes_nothing(site: Site, tracker: Tracker) -> None:
    ticket = fetched(tracker, site.create())
    site.delete(ticket.id)
    with pytest.raises(TicketGone):
        tracker.edit(ticket, Edit(comment=body(tracker)))


def test_what_is_no_id_is_never_asked_for(tracker: Tracker, wire: Wire) -> None:
    for ticket_id in ("", "CASE-1", "1 OR id > 0", "../myself", "١٢", "1" * 20):
        with pytest.raises(TicketGone):
            tracker.fetch(ticket_id, with_history=False)
    assert wire.calls == []


def test_a_closed_ticket_is_closed(site: Site, tracker: Tracker) -> None:
    ticket_id = site.create()
    site.move(ticket_id, site.statuses.closed)
    ticket = fetched(tracker, ticket_id)
    assert (ticket.status, ticket.closed) == (site.statuses.closed, True)


def test_a_due_date_that_a_person_set_is_read(site: Site, tracker: Tracker) -> None:
    ticket_id = site.create()
    site.set_due(ticket_id, DAY)
    assert fetched(tracker, ticket_id).due_on == DAY
    site.set_due(ticket_id, None)
    assert fetched(tracker, ticket_id).due_on is None


def changes(site: Site, tracker: Tracker, ticket_id: str, field: str) -> list[str]:
    """What the field became, oldest first; every entry has its moment."""
    ticket = fetched(tracker, ticket_id, with_history=True)
    assert [change.at for change in ticket.history] == sorted(change.at for change in ticket.history)
    assert all(change.at.tzinfo is UTC for change in ticket.history)
    assert ticket.updated_at is not None
    assert abs(ticket.updated_at - ticket.history[-1].at) < timedelta(seconds=2)
    return [change.to for change in ticket.history if change.field == field]


def test_the_history_of_the_status(site: Site, tracker: Tracker) -> None:
    ticket_id = site.create()
    for status in (site.statuses.second, site.statuses.third, site.statuses.second):
        site.later()
        site.move(ticket_id, status)
    told = [status.casefold() for status in changes(site, tracker, ticket_id, "status")]
    expected = (site.statuses.second, site.statuses.third, site.statuses.second)
    assert told == [status.casefold() for status in expected]


def test_the_history_of_the_due_date(site: Site, tracker: Tracker) -> None:
    ticket_id = site.create()
    for day in (DAY, OTHER_DAY, None):
        site.later()
        site.set_due(ticket_id, day)
    assert changes(site, tracker, ticket_id, "due") == [DAY.isoformat(), OTHER_DAY.isoformat(), ""]


def test_the_history_of_fields(site: Site, tracker: Tracker) -> None:
    ticket_id = site.create()
    for text in ("WAC25", "WAC2590123456", None):
        site.later()
        site.edit(ticket_id, text=text)
    assert changes(site, tracker, ticket_id, site.fields["text"]) == ["WAC25", "WAC2590123456", ""]


def test_refs_are_found_in_all_comments_whoever_wrote_them(site: Site, tracker: Tracker) -> None:
    ticket_id = site.create()
    for number in range(105):  # more than trackers give at once
        site.comment(ticket_id, body(tracker, f"{number:08x}", text=f"Number {number}"))
    tracker.edit(fetched(tracker, ticket_id), Edit(comment=body(tracker, "ffffffff")))
    assert fetched(tracker, ticket_id).refs == {*(f"{number:08x}" for number in range(105)), "ffffffff"}


def test_the_saved_json_of_a_ticket_is_read_as_it_is_fetched(site: Site, tracker: Tracker) -> None:
    ticket_id = site.create(
        text="WAC2590123456", date=date(2025, 6, 2), datetime=AT, number=45, choice=CHOICE, flag=True
    )
    site.set_due(ticket_id, DAY)
    live = fetched(tracker, ticket_id)
    saved = site.kind.read_ticket(site.raw(ticket_id), site.connection.fields, site.connection.time_zone)
    assert {name: _compared(value) for name, value in saved.fields.items()} == {
        name: _compared(value) for name, value in live.fields.items()
    }
    assert (saved.id, saved.key, saved.status, saved.closed, saved.due_on) == (
        (live.id, live.key, live.status, live.closed, live.due_on)
    )


def _compared(value: object) -> object:
    """Moments by what they mean: accounts live in time zones of their own."""
    try:
        return datetime.fromisoformat(str(value)).astimezone(UTC)
    except ValueError:
        return value


def test_what_is_no_ticket_is_said_to_be_none(site: Site) -> None:
    nothing: tuple[object, ...] = (None, [], "text", {}, {"fields": None})
    for raw in nothing:
        with pytest.raises(Misconfigured):
            site.kind.read_ticket(raw, site.connection.fields, site.connection.time_zone)


def test_a_ticket_is_found_by_its_key(site: Site, tracker: Tracker) -> None:
    ticket_id = site.create()
    key = fetched(tracker, ticket_id).key
    assert tracker.find(key) == ticket_id
    for no_key in ("", "nothing of the kind", "../1", f"{key} OR 1=1"):
        assert tracker.find(no_key) is None
    site.delete(ticket_id)
    found = tracker.find(key)
    assert found is None or gone(tracker, found)


# Many at once


def fetched_at_once(tracker: Tracker, ids: Sequence[str], *, with_history: bool = True) -> dict[str, Ticket | None]:
    """What fetch_many gives, in as many rounds as it takes, and what it has left to fetch from alone."""
    if tracker.bulk == 1:
        assert tracker.fetch_many(ids[:1], with_history=with_history) == {}
        pytest.skip("it gives tickets one by one (Tracker.bulk)")
    found: dict[str, Ticket | None] = {}
    for start in range(0, len(ids), tracker.bulk):
        found |= tracker.fetch_many(ids[start : start + tracker.bulk], with_history=with_history)
    assert set(found) <= set(ids)
    return found


@pytest.mark.parametrize("with_history", [True, False])
def test_many_are_fetched_as_each_alone_is(site: Site, tracker: Tracker, with_history: bool) -> None:
    ids = [site.create(text=f"WAC25901{number:05}", datetime=AT, choice=CHOICE) for number in range(site.page + 2)]
    site.set_due(ids[0], DAY)
    site.later()
    site.move(ids[0], site.statuses.second)
    site.comment(ids[1], body(tracker))
    found = fetched_at_once(tracker, ids, with_history=with_history)
    assert set(found) == set(ids)
    alone = {ticket_id: tracker.fetch(ticket_id, with_history=with_history) for ticket_id in ids}
    for ticket_id in ids:
        one, other = found[ticket_id], alone[ticket_id]
        assert one is not None
        assert other is not None
        assert replace(one, raw={}) == replace(other, raw={})


def test_many_cost_fewer_calls_than_half_of_them(site: Site, tracker: Tracker, wire: Wire) -> None:
    ids = [site.create() for _ in range(min(tracker.bulk, 3 * site.page, 30))]
    fetched(tracker, ids[0])  # what it learns once, it knows now
    wire.calls.clear()
    fetched_at_once(tracker, ids)
    assert len(wire.calls) < len(ids) / 2
    assert wire.changes == []


def test_a_ticket_fetched_among_many_can_be_edited(site: Site, tracker: Tracker) -> None:
    ids = [site.create(), site.create()]
    found = fetched_at_once(tracker, ids)
    for ticket_id in ids:
        ticket = found[ticket_id]
        assert ticket is not None
        tracker.edit(ticket, Edit(status=site.statuses.second))
        tracker.edit(ticket, Edit(comment=body(tracker)))
        assert fetched(tracker, ticket_id).status == site.statuses.second
        assert refs_said(site, ticket_id) == [REF]


def test_those_out_of_scope_and_those_gone_are_not_given_among_many(site: Site, tracker: Tracker) -> None:
    stays, left, deleted = site.create(), site.create(), site.create()
    site.leave_scope(left)
    site.delete(deleted)
    odd = [site.foreign(), left, deleted, "99999999"]
    found = fetched_at_once(tracker, [stays, *odd])
    assert found.pop(stays) is not None
    assert [ticket for ticket in found.values() if ticket is not None] == []


def test_refs_of_all_comments_come_among_many_or_the_ticket_does_not(site: Site, tracker: Tracker) -> None:
    long, short = site.create(), site.create()
    for number in range(105):
        site.comment(long, body(tracker, f"{number:08x}", text=f"Number {number}"))
    site.comment(short, body(tracker))
    found = fetched_at_once(tracker, [long, short])
    for ticket_id, number in ((long, 105), (short, 1)):
        ticket = found.get(ticket_id)
        assert ticket is None or len(ticket.refs) == number
        assert ticket_id not in found or ticket is not None, "it is in scope"


@pytest.mark.parametrize("status", [401, 429, 503])
def test_what_concerns_all_is_told_of_many_at_once(site: Site, tracker: Tracker, wire: Wire, status: int) -> None:
    ids = [site.create(), site.create()]
    fetched_at_once(tracker, ids)
    wire.fault = Fault(status=status, headers={"Retry-After": "7"} if status == 429 else {}, body="{}")
    error = {401: AccessRefused, 429: RateLimited, 503: Unavailable}[status]
    with pytest.raises(error):
        tracker.fetch_many(ids, with_history=True)


# Searching


def test_all_open_tickets_are_found_page_by_page(site: Site, tracker: Tracker) -> None:
    wanted = {site.create() for _ in range(site.page + 3)}  # where the clock stands still, all with one stamp
    closed, foreign = site.create(), site.foreign()
    site.move(closed, site.statuses.closed)
    told = [sighting.ticket_id for sighting in tracker.changed_since(None)]
    assert wanted <= set(told)
    assert len(told) == len(set(told))
    assert not {closed, foreign} & set(told)


def test_tickets_changed_since_a_moment(site: Site, tracker: Tracker) -> None:
    before = site.create()
    site.later()
    ids = [site.create() for _ in range(site.page + 3)]
    stamp = fetched(tracker, ids[0]).updated_at
    assert stamp is not None
    site.move(ids[-1], site.statuses.closed)  # closed ones are news, too
    found = {sighting.ticket_id: sighting for sighting in tracker.changed_since(stamp)}
    assert set(ids) <= set(found)
    assert before not in found
    assert found[ids[0]].updated_at == stamp
    assert found[ids[0]].key == fetched(tracker, ids[0]).key
    assert list(tracker.changed_since(stamp + timedelta(days=2))) == []


def test_a_change_while_the_list_is_read_hides_nothing(site: Site, tracker: Tracker) -> None:
    ids = [site.create() for _ in range(site.page + 3)]
    stamp = fetched(tracker, ids[0]).updated_at
    assert stamp is not None
    seen: set[str] = set()
    for number, sighting in enumerate(tracker.changed_since(stamp)):
        seen.add(sighting.ticket_id)
        if number < 3:
            site.edit(ids[number], text=f"WAC25{number}")
            site.move(ids[-1 - number], site.statuses.second)
    assert set(ids) <= seen


# Writing


def test_a_ticket_is_moved_to_a_status_by_its_name(site: Site, tracker: Tracker) -> None:
    ticket_id = site.create()
    tracker.edit(fetched(tracker, ticket_id), Edit(status=site.statuses.second.swapcase()))
    assert fetched(tracker, ticket_id).status == site.statuses.second
    tracker.edit(fetched(tracker, ticket_id), Edit(status=site.statuses.closed))
    assert fetched(tracker, ticket_id).closed


def test_a_status_that_cannot_be_reached_is_told_with_those_that_can(site: Site, tracker: Tracker) -> None:
    ticket_id = site.create()
    with pytest.raises(NoTransition) as refusal:
        tracker.edit(fetched(tracker, ticket_id), Edit(status=NOWHERE))
    assert NOWHERE in refusal.value.message
    assert site.statuses.closed in refusal.value.reachable
    assert NOWHERE not in refusal.value.reachable
    assert fetched(tracker, ticket_id).status == site.statuses.first


def test_the_due_date_is_set_and_changed(site: Site, tracker: Tracker) -> None:
    ticket_id = site.create()
    for day in (DAY, OTHER_DAY):
        tracker.edit(fetched(tracker, ticket_id), Edit(due_on=day))
        assert fetched(tracker, ticket_id).due_on == site.due(ticket_id) == day


def test_a_moment_is_written_as_each_kind_of_field_takes_it(site: Site, tracker: Tracker) -> None:
    ticket_id = site.create()
    kinds: tuple[Holds, ...] = ("datetime", "date", "text")
    for holds in kinds:
        tracker.edit(fetched(tracker, ticket_id), Edit(moments={site.fields[holds]: LATE}))
    fields = fetched(tracker, ticket_id).fields
    assert datetime.fromisoformat(str(fields[site.fields["datetime"]])) == LATE
    assert fields[site.fields["date"]] == "2026-03-02"  # the office's day
    text = datetime.fromisoformat(str(fields[site.fields["text"]]))
    assert text.replace(tzinfo=site.connection.time_zone) == LATE  # the office's wall clock


def test_a_moment_replaces_the_one_that_stands_there(site: Site, tracker: Tracker) -> None:
    ticket_id = site.create(datetime=AT, date=AT.date())
    for holds in ("datetime", "date"):
        tracker.edit(fetched(tracker, ticket_id), Edit(moments={site.fields[holds]: AT + timedelta(days=9)}))
    fields = fetched(tracker, ticket_id).fields
    assert datetime.fromisoformat(str(fields[site.fields["datetime"]])) == AT + timedelta(days=9)
    assert fields[site.fields["date"]] == "2026-03-11"


def test_a_moment_that_a_field_cannot_hold_is_noticed(site: Site, tracker: Tracker) -> None:
    ticket_id = site.create()
    with pytest.raises(Refused) as refusal:
        tracker.edit(fetched(tracker, ticket_id), Edit(moments={site.fields[site.no_moment]: AT}))
    assert site.fields[site.no_moment].split("_")[0].casefold() in refusal.value.message.casefold()
    assert not fetched(tracker, ticket_id).fields[site.fields[site.no_moment]]


def test_a_field_that_is_not_there_is_named(site: Site, tracker: Tracker, connect: Connect) -> None:
    ticket_id = site.create()
    with pytest.raises(Misconfigured, match="no_such_field"):
        connect(fields=["no_such_field"]).fetch(ticket_id, with_history=False)
    with pytest.raises((Misconfigured, Refused), match="no_such_field"):
        tracker.edit(fetched(tracker, ticket_id), Edit(moments={"no_such_field": AT}))


def test_what_is_there_already_is_not_sent(site: Site, tracker: Tracker, wire: Wire) -> None:
    ticket_id = site.create()
    parts = [
        Edit(status=site.statuses.second),
        Edit(due_on=DAY),
        *(Edit(moments={site.fields[holds]: LATE}) for holds in ("datetime", "date", "text")),
    ]
    for part in parts:
        tracker.edit(fetched(tracker, ticket_id), part)
    assert len(wire.changes) == len(parts)
    for part in parts:
        tracker.edit(fetched(tracker, ticket_id), part)
    assert len(wire.changes) == len(parts)


def test_a_comment_is_posted_once_and_its_ref_found_again(site: Site, tracker: Tracker) -> None:
    ticket_id = site.create()
    tracker.edit(fetched(tracker, ticket_id), Edit(comment=body(tracker, f"{REF} 00c0ffee", text="Ready to call é")))
    assert fetched(tracker, ticket_id).refs == {REF, "00c0ffee"}
    (said,) = site.comments(ticket_id)
    assert "Ready to call é" in said.text


def test_a_comment_is_internal(site: Site, tracker: Tracker) -> None:
    ticket_id = site.create()
    ticket = fetched(tracker, ticket_id)
    tracker.edit(ticket, Edit(comment=body(tracker)))
    tracker.recheck(fetched(tracker, ticket_id), [REF])
    assert [said.internal for said in site.comments(ticket_id)] == [True]


def test_a_comment_is_public_where_the_source_says_so(site: Site, connect: Connect) -> None:
    ticket_id, tracker = site.create(), connect(internal_comments=False)
    tracker.edit(fetched(tracker, ticket_id), Edit(comment=body(tracker)))
    tracker.recheck(fetched(tracker, ticket_id), [REF])
    assert [said.internal for said in site.comments(ticket_id)] == [False]


def test_a_comment_that_went_public_is_taken_back_and_told(site: Site, tracker: Tracker) -> None:
    ticket_id = site.create()
    site.publish_comments()
    with pytest.raises(CommentWentPublic) as alarm:
        tracker.edit(fetched(tracker, ticket_id), Edit(comment=body(tracker)))
    assert alarm.value.removed
    assert [said for said in site.comments(ticket_id) if not said.internal] == []


def test_a_comment_that_went_public_unseen_is_found_by_recheck(site: Site, tracker: Tracker, wire: Wire) -> None:
    ticket_id = site.create()
    site.publish_comments()
    ticket = fetched(tracker, ticket_id)
    wire.fault = Fault(of_changes=True)
    with pytest.raises(Unavailable):
        tracker.edit(ticket, Edit(comment=body(tracker)))
    again = fetched(tracker, ticket_id)
    assert again.refs == {REF}
    tracker.recheck(again, ["00c0ffee"])  # of another comment
    with pytest.raises(CommentWentPublic):
        tracker.recheck(again, [REF])
    assert [said for said in site.comments(ticket_id) if not said.internal] == []


def several_parts(site: Site, tracker: Tracker, **more: str) -> Edit:
    moments = {site.fields["datetime"]: LATE, site.fields["date"]: LATE}
    edit = Edit(status=site.statuses.second, due_on=DAY, moments=moments, comment=body(tracker))
    return replace(edit, **more)  # type: ignore[arg-type]  # the parts that are texts


def need_atomic(tracker: Tracker) -> None:
    if not tracker.atomic:
        pytest.skip("it takes the parts of an edit one by one (Tracker.atomic)")


def test_several_parts_are_one_change(site: Site, tracker: Tracker, wire: Wire) -> None:
    need_atomic(tracker)
    ticket_id = site.create()
    tracker.edit(fetched(tracker, ticket_id), several_parts(site, tracker))
    assert len(wire.changes) == 1
    ticket = fetched(tracker, ticket_id)
    assert (ticket.status, ticket.due_on, ticket.refs) == (site.statuses.second, DAY, frozenset({REF}))
    assert datetime.fromisoformat(str(ticket.fields[site.fields["datetime"]])) == LATE


def test_several_parts_refused_together_leave_nothing(site: Site, tracker: Tracker) -> None:
    need_atomic(tracker)
    ticket_id = site.create()
    before = fetched(tracker, ticket_id, with_history=True)
    refused = (
        several_parts(site, tracker, status=NOWHERE),
        several_parts(site, tracker, comment=body(tracker, text="x" * 2_000_000)),
    )
    for edit in refused:
        with pytest.raises(Refused):
            tracker.edit(before, edit)
    after = fetched(tracker, ticket_id, with_history=True)
    assert (after.status, after.due_on, after.refs, after.history) == (before.status, None, frozenset(), ())
    assert site.comments(ticket_id) == []


def test_a_part_that_is_dropped_is_told_and_the_rest_stands(site: Site, tracker: Tracker) -> None:
    need_atomic(tracker)
    ticket_id = site.create()
    edit = Edit(due_on=DAY, moments={site.fields[site.no_moment]: AT}, comment=body(tracker))
    with pytest.raises(NotKept) as failure:
        tracker.edit(fetched(tracker, ticket_id), edit)
    assert failure.value.dropped in ({site.fields[site.no_moment]}, frozenset())  # empty: the tracker cannot tell
    ticket = fetched(tracker, ticket_id)
    assert (ticket.due_on, ticket.refs) == (DAY, frozenset({REF}))
    assert refs_said(site, ticket_id) == [REF]


# What goes wrong on the way


def test_a_lost_answer_is_of_unknown_outcome_and_found_by_its_ref(site: Site, tracker: Tracker, wire: Wire) -> None:
    ticket_id = site.create()
    ticket = fetched(tracker, ticket_id)
    wire.fault = Fault(of_changes=True)
    with pytest.raises(Unavailable) as lost:
        tracker.edit(ticket, Edit(comment=body(tracker)))
    assert lost.value.outcome_unknown
    assert len(wire.changes) == 1  # sent once, whatever became of it
    assert fetched(tracker, ticket_id).refs == {REF}
    assert refs_said(site, ticket_id) == [REF]


def test_an_answer_that_does_not_come_in_time(site: Site, tracker: Tracker, wire: Wire, impatient: None) -> None:
    ticket_id = site.create()
    wire.fault = Fault(silent=True)
    with pytest.raises(Unavailable) as late:
        tracker.fetch(ticket_id, with_history=False)
    assert not late.value.outcome_unknown


def test_a_change_that_is_not_answered_in_time(site: Site, tracker: Tracker, wire: Wire, impatient: None) -> None:
    ticket = fetched(tracker, site.create())
    wire.fault = Fault(of_changes=True, silent=True)
    with pytest.raises(Unavailable) as late:
        tracker.edit(ticket, Edit(comment=body(tracker)))
    assert late.value.outcome_unknown


def test_a_tracker_that_is_not_there_has_changed_nothing(site: Site, tracker: Tracker, connect: Connect) -> None:
    ticket = fetched(tracker, site.create())
    nowhere = connect(url="http://127.0.0.1:9")
    with pytest.raises(Unavailable) as absent:
        nowhere.edit(ticket, Edit(comment=body(tracker)))
    assert not absent.value.outcome_unknown


@pytest.mark.parametrize("status", [401, 403, 302])
def test_no_entry_for_the_account(site: Site, tracker: Tracker, wire: Wire, status: int) -> None:
    ticket = fetched(tracker, site.create())
    wire.fault = Fault(status=status, headers={"Location": f"{wire.url}/login"}, body=LOGIN_PAGE)
    calls: tuple[Callable[[], object], ...] = (
        lambda: tracker.fetch(ticket.id, with_history=False),
        lambda: tracker.edit(ticket, Edit(comment=body(tracker))),
        lambda: list(tracker.changed_since(None)),
    )
    for call in calls:
        with pytest.raises(AccessRefused):
            call()


def test_a_wrong_token_is_refused(site: Site, connect: Connect) -> None:
    ticket_id = site.create()
    with pytest.raises(AccessRefused):
        connect(token=lambda: "1-2-not-the-token").fetch(ticket_id, with_history=False)


def test_a_pause_that_is_asked_for_is_told(site: Site, tracker: Tracker, wire: Wire) -> None:
    ticket = fetched(tracker, site.create())
    wire.fault = Fault(status=429, headers={"Retry-After": "7"}, body="{}")
    calls: tuple[Callable[[], object], ...] = (
        lambda: tracker.fetch(ticket.id, with_history=False),
        lambda: tracker.edit(ticket, Edit(comment=body(tracker))),
    )
    for call in calls:
        with pytest.raises(RateLimited) as pause:
            call()
        assert (pause.value.retry_after, pause.value.whole_source) == (7, True)


def test_a_page_instead_of_an_answer_is_no_ticket(site: Site, tracker: Tracker, wire: Wire) -> None:
    ticket = fetched(tracker, site.create())
    wire.fault = Fault(status=200, body=LOGIN_PAGE)
    with pytest.raises((Unavailable, AccessRefused)):
        tracker.fetch(ticket.id, with_history=True)
    with pytest.raises((Unavailable, AccessRefused)):
        list(tracker.changed_since(None))
    with pytest.raises((Unavailable, AccessRefused)):
        tracker.edit(ticket, Edit(comment=body(tracker)))


def test_a_tracker_that_is_not_well_is_unavailable(site: Site, tracker: Tracker, wire: Wire) -> None:
    ticket = fetched(tracker, site.create())
    for status, page in ((500, "{}"), (502, "<html>502 Bad Gateway</html>"), (503, "")):
        wire.fault = Fault(status=status, body=page)
        with pytest.raises(Unavailable) as reading:
            tracker.fetch(ticket.id, with_history=False)
        assert not reading.value.outcome_unknown
        wire.fault = Fault(of_changes=True, status=status, body=page)  # an adapter may read before it writes
        with pytest.raises(Unavailable) as writing:
            tracker.edit(ticket, Edit(comment=body(tracker)))
        assert writing.value.outcome_unknown


PERSON, NUMBER, MAIL = "Ngozi Quillfeather", "WAC2590777333", "ngozi.quillfeather@example.org"
TOKEN = "4242-a-token-that-nobody-may-see"
# Trackers quote what they refuse; what stands in front of them may show anything.
QUOTING = json.dumps(
    {
        "errorMessages": [f"The value '{PERSON}' is not allowed."],
        "errors": {"summary": f'"{PERSON}" was given'},
        "error": f"Invalid value '{NUMBER}' of {MAIL}",
        "message": f'Cannot take "{PERSON}" from {MAIL}',
    }
)
SAID = (QUOTING, f"<html>{PERSON} {NUMBER} {MAIL} {TOKEN}</html>", f"{PERSON} {TOKEN}")


def test_errors_tell_nothing_personal_and_no_token(site: Site, connect: Connect, wire: Wire) -> None:
    ticket_id = site.create(text=NUMBER)
    ticket = fetched(connect(), ticket_id)
    tracker = connect(token=lambda: TOKEN)
    comment = Edit(comment=body(tracker, text=f"{PERSON} {MAIL}"))
    edits = (comment, Edit(moments={site.fields["datetime"]: AT}), Edit(due_on=DAY))
    calls: list[Callable[[], object]] = [
        lambda: tracker.fetch(ticket_id, with_history=True),
        lambda: list(tracker.changed_since(AT)),
        *(partial(tracker.edit, ticket, edit) for edit in edits),
    ]
    refusals = [(status, text) for status in (302, 400, 401, 403, 404, 409, 413, 422, 429, 500, 503) for text in SAID]
    told = [repr(tracker), repr(ticket.raw) if "raw=" in repr(ticket) else ""]
    for status, text in [*refusals, (200, SAID[1])]:
        wire.fault = Fault(status=status, body=text)
        told += [_told(call) for call in calls]
    for secret in (PERSON, NUMBER, MAIL, TOKEN):
        assert not [text for text in told if secret in text]


def _told(call: Callable[[], object]) -> str:
    """All that a log could hold of the failure."""
    with pytest.raises(TrackerError) as failure:
        call()
    error = failure.value
    return "\n".join([error.message, str(error), repr(error), *traceback.format_exception_only(error), *_behind(error)])


def _behind(error: BaseException) -> list[str]:
    """What a logged traceback tells besides."""
    shown = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return [] if shown is None else [repr(shown), str(shown), *_behind(shown)]


# In service


def test_eight_threads_share_a_tracker(site: Site, tracker: Tracker) -> None:
    ids = [site.create(text=f"WAC{number}") for number in range(8)]

    def work(number: int) -> tuple[object, frozenset[str]]:
        ticket_id, ref = ids[number], f"{number:08x}"
        tracker.edit(fetched(tracker, ticket_id), Edit(status=site.statuses.second))
        tracker.edit(fetched(tracker, ticket_id), Edit(comment=body(tracker, ref)))
        ticket = fetched(tracker, ticket_id, with_history=True)
        return ticket.fields[site.fields["text"]], ticket.refs

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(work, range(8)))
    assert done == [(f"WAC{number}", frozenset({f"{number:08x}"})) for number in range(8)]


def test_the_token_is_read_whenever_it_is_used(site: Site, connect: Connect) -> None:
    ticket_id = site.create()
    right = site.connection.token()
    tokens = [right]

    def current() -> str:
        if not tokens:
            raise AccessRefused("The token's file is not there.")
        return tokens[-1]

    tracker = connect(token=current)
    fetched(tracker, ticket_id)
    tokens.clear()
    with pytest.raises(AccessRefused, match="file is not there"):
        tracker.fetch(ticket_id, with_history=False)
    tokens.append(right)
    fetched(tracker, ticket_id)


def test_connections_are_given_back(site: Site, connect: Connect, wire: Wire) -> None:
    tracker = connect()
    ticket_id = site.create()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: fetched(tracker, ticket_id), range(8)))
    tracker.close()
    tracker.close()  # no harm
    end = time.monotonic() + 2
    while wire.open and time.monotonic() < end:
        time.sleep(0.01)
    assert wire.open == set()


# Webhooks


def test_a_webhook_is_known_by_its_secret(site: Site) -> None:
    hook = site.hook(site.create())

    def known(*secrets: str, raw: bytes = hook.body, headers: Mapping[str, str] = hook.headers) -> bool:
        return site.kind.verify(headers, raw, secrets, path_secret=None)

    assert known(hook.secret)
    assert known("the next one", hook.secret)  # while one replaces the other
    assert known(hook.secret, "the one before")
    assert not known("another secret")
    assert not known()
    assert not known("")
    assert not known("", headers={**hook.headers, "X-Hub-Signature": "", "X-Connector-Secret": ""})
    assert not site.kind.verify({"X-Connector-Secret": ""}, hook.body, [""], path_secret="")
    assert not known(hook.secret, raw=hook.body + b" ")
    assert not known(hook.secret, headers={})


def test_a_webhook_tells_its_ticket(site: Site, tracker: Tracker) -> None:
    ticket_id = site.create()
    news = site.kind.read_news(site.hook(ticket_id).body)
    assert news.ticket_id == ticket_id
    assert news.key in {None, fetched(tracker, ticket_id).key}
    assert news.event not in {"unknown", "unreadable"}


def test_what_is_no_webhook_is_news_of_no_ticket(site: Site) -> None:
    for raw in (b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"issue": 1}', b'{"ticket": {"id": "x"}}', b"[" * 100_000):
        assert site.kind.read_news(raw).ticket_id is None
        assert not site.kind.verify({"X-Hub-Signature": "é=\xff"}, raw, ["a secret"], path_secret=None)
