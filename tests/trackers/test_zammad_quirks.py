"""What Zammad does in silence, and what becomes of it: one test for each behaviour of the stand-in's table."""

import html
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from connector.inquiry.markup import block, find_refs, mailto, ref_line, render
from connector.inquiry.wording import Letter
from connector.practice.clock import PracticeClock
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
    Unavailable,
)
from tests.trackers.test_zammad_adapter import COMMENT, LETTER, START
from tests.trackers.zammad_sites import ZammadSite, standin_site
from tests.zammad_standin import ZammadStandin
from tests.zammad_standin.server import Fault
from tests.zammad_standin.world import AGENT_TOKEN


class Desk:
    """The stand-in with the adapter's view of it and a person's."""

    def __init__(self, zammad: ZammadStandin, site: ZammadSite, clock: PracticeClock) -> None:
        self.zammad, self.world, self.site, self.clock = zammad, zammad.world, site, clock

    def fetch(self, ticket_id: str, **more: Any) -> Ticket:
        ticket = self.site.tracker(**more).fetch(ticket_id, with_history=False)
        assert ticket is not None
        return ticket

    def edit(self, ticket_id: str, edit: Edit) -> None:
        self.site.tracker().edit(self.fetch(ticket_id), edit)

    def fault(self, method: str, path: str, **what: Any) -> None:
        self.zammad.faults.append(Fault(method, path, **what))


@pytest.fixture
def desk() -> Iterator[Desk]:
    clock = PracticeClock(START)
    with ZammadStandin(clock) as zammad:
        zammad.world.provide(receipt_number="input", filed_on="date", called_at="datetime", protected_case="boolean")
        zammad.world.provide(due_on="date")
        site = standin_site(zammad, clock, other="Donations")
        yield Desk(zammad, site, clock)
        site.close()


# Reading


def test_an_attribute_that_is_not_there_is_told_before_anything_is_written(desk: Desk) -> None:
    ticket_id = desk.site.create()
    with pytest.raises(Misconfigured, match=r'no ticket attribute "reciept_number".*restart'):
        desk.fetch(ticket_id, fields=["reciept_number"])


def test_a_worker_that_was_not_restarted_is_noticed(desk: Desk) -> None:
    desk.world.workers = [set(desk.world.columns) for _ in range(3)]
    desk.world.auto_restart = False
    desk.site.call("POST", "object_manager_attributes", _date_attribute("answered_on"))
    desk.world.migrate()
    desk.world.workers[0] = set(desk.world.columns)
    ticket_id = desk.site.create()
    tracker = desk.site.tracker(fields=["answered_on"])
    with pytest.raises(Misconfigured, match="restarted"):
        [tracker.fetch(ticket_id, with_history=False) for _ in range(6)]
    desk.world.restart()
    for _ in range(6):
        assert tracker.fetch(ticket_id, with_history=False) is not None


def test_a_ticket_of_another_group_is_out_of_scope_whether_it_may_be_seen_or_not(desk: Desk) -> None:
    ticket_id = desk.site.create(group="Donations")
    assert desk.site.tracker().fetch(ticket_id, with_history=False) is None
    desk.world.agent.groups[3] = ["read"]
    assert desk.site.tracker().fetch(ticket_id, with_history=False) is None


def test_a_merged_ticket_is_closed_and_its_refs_are_with_the_other(desk: Desk) -> None:
    one, other = desk.site.create(), desk.site.create()
    desk.edit(one, Edit(comment=COMMENT))
    rows = desk.world.tickets
    desk.world.merge(desk.world.admin, rows[int(one)], rows[int(other)])
    merged = desk.fetch(one)
    assert (merged.status, merged.closed, merged.refs) == ("merged", True, frozenset())
    assert desk.fetch(other).refs == {"5d01b7f4"}
    assert {sighting.ticket_id for sighting in desk.site.tracker().changed_since(None)} == {other}


def test_a_renamed_state_is_read_again(desk: Desk) -> None:
    ticket_id, tracker = desk.site.create(), desk.site.tracker()
    tracker.fetch(ticket_id, with_history=False)
    desk.world.states.append({**desk.world.states[1], "id": 9, "name": "E-mail the centre"})
    ticket = tracker.fetch(ticket_id, with_history=False)
    assert ticket is not None
    tracker.edit(ticket, Edit(status="e-mail  the centre"))
    assert desk.fetch(ticket_id).status == "E-mail the centre"


def test_agents_who_may_not_list_groups_go_by_their_own(desk: Desk) -> None:
    desk.world.allow_group_list = False
    assert desk.fetch(desk.site.create()).status == "new"


def test_a_group_that_does_not_exist_is_told_with_one_that_does(desk: Desk) -> None:
    with pytest.raises(Misconfigured, match=r'"USCIS Inquiry".*Did you mean "USCIS inquiries"'):
        desk.fetch(desk.site.create(), scope='group = "USCIS Inquiry"')


def test_a_scope_by_number_and_by_tag(desk: Desk) -> None:
    ticket_id = desk.site.create()
    scope = "group_id = 2 AND tag in (uscis, urgent)"
    assert desk.site.tracker(scope=scope).fetch(ticket_id, with_history=False) is None
    desk.site.call("POST", "tags/add", {"item": "uscis", "object": "Ticket", "o_id": int(ticket_id)})
    assert desk.fetch(ticket_id, scope=scope).id == ticket_id


def test_a_scope_that_names_an_unknown_attribute_stops_the_source(desk: Desk) -> None:
    with pytest.raises(Misconfigured, match="question about the source"):
        desk.fetch(desk.site.create(), scope='group = "USCIS inquiries" AND no_such_thing = 1')


def test_a_search_that_forgets_the_scope_is_noticed(desk: Desk) -> None:
    body = '[{"id": 1, "number": "10001", "group_id": 3}]'
    desk.fault("POST", "tickets/search", status=200, body=body)
    with pytest.raises(Misconfigured, match="did not keep to the scope"):
        list(desk.site.tracker().changed_since(START))


# The poll


def test_more_tickets_of_one_millisecond_than_a_page_holds(desk: Desk) -> None:
    ids = _many(desk, 250)
    found = [sighting.ticket_id for sighting in desk.site.tracker().changed_since(START - timedelta(days=1))]
    assert sorted(found) == sorted(ids)


def test_a_ticket_that_changes_during_the_poll_moves_none_out_of_sight(desk: Desk) -> None:
    ids = _many(desk, 250, apart=timedelta(milliseconds=1))
    found = []
    for sighting in desk.site.tracker().changed_since(START - timedelta(days=1)):
        found.append(sighting.ticket_id)
        if len(found) % 90 == 0:  # tickets that were seen go to the end of the list, and pages shift
            desk.clock.advance(minutes=1)
            for ticket_id in found[-50:]:
                desk.world.touch(desk.world.tickets[int(ticket_id)])
    assert set(found) == set(ids)
    assert len(found) == len(ids)


def test_a_moment_is_asked_for_to_the_millisecond(desk: Desk) -> None:
    desk.clock.set(START + timedelta(milliseconds=333))
    ticket_id = desk.site.create()
    at = START + timedelta(milliseconds=333)
    assert [each.ticket_id for each in desk.site.tracker().changed_since(at)] == [ticket_id]
    assert list(desk.site.tracker().changed_since(at + timedelta(milliseconds=1))) == []


# Writing


def test_an_edit_is_one_put(desk: Desk) -> None:
    ticket_id = desk.site.create()
    edit = Edit(status="open", due_on=date(2026, 5, 1), moments={"called_at": START}, comment=COMMENT)
    desk.edit(ticket_id, edit)
    assert desk.zammad.count("PUT") == 1
    desk.edit(ticket_id, Edit(status="Open", due_on=date(2026, 5, 1), moments={"called_at": START}))
    desk.edit(ticket_id, Edit())
    assert desk.zammad.count("PUT") == 1


def test_a_comment_of_the_procedure_comes_through_the_sanitiser(desk: Desk) -> None:
    letter = "Receipt number: WAC2590123456\n\nThe inquiry <has> not been & resolved."
    link = mailto("csc-ncsc-followup@dhs.gov", "WAC2590123456: follow-up", letter)
    refs = ("5d01b7f4", "7c3e19a2")
    markdown = f"**E-mail the centre now**\n\n[Open the letter]({link})\n{block(letter)}\n\n{ref_line(2, refs)}"
    ticket_id = desk.site.create()
    desk.edit(ticket_id, Edit(comment=render(markdown, "html")))
    note = desk.site.articles(ticket_id)[-1]
    assert note["body"] != render(markdown, "html")
    assert find_refs(note["body"]) == set(refs)
    assert f'<a href="{html.escape(link)}"' in note["body"]
    assert f"<pre>{html.escape(letter)}" in note["body"]


def test_a_refused_value_leaves_no_comment(desk: Desk) -> None:
    ticket_id = desk.site.create()
    desk.world.attributes[-3]["data_option"]["past"] = False
    assert desk.world.attributes[-3]["name"] == "called_at"
    with pytest.raises(Refused, match='the change of "Called at" and the comment: called_at does not allow past dates'):
        desk.edit(ticket_id, Edit(moments={"called_at": START - timedelta(days=1)}, comment=COMMENT))
    assert len(desk.site.articles(ticket_id)) == 1


def test_an_attribute_dropped_in_silence_is_noticed(desk: Desk) -> None:
    ticket_id = desk.site.create()
    ticket = desk.fetch(ticket_id)
    desk.world.workers[0] -= {"due_on"}
    edit = Edit(status="open", due_on=date(2026, 5, 1), moments={" Called_At": START}, comment=COMMENT)
    with pytest.raises(NotKept, match=r'"due_on".*restart') as failure:
        desk.site.tracker().edit(ticket, edit)
    assert failure.value.dropped == {"due_on"}
    kept = desk.fetch(ticket_id)
    assert (kept.status, kept.due_on, len(kept.refs)) == ("open", None, 1)
    assert kept.fields["called_at"] is not None


def test_an_attribute_of_another_kind_is_noticed(desk: Desk) -> None:
    ticket_id = desk.site.create()
    ticket = desk.fetch(ticket_id)
    desk.world.workers[0] -= {"due_on"}
    edit = Edit(status="open", due_on=date(2026, 5, 1), moments={"protected_case": START, "Called_At": START})
    with pytest.raises(NotKept, match=r'"due_on".*did not keep "Protected case"') as failure:
        desk.site.tracker().edit(ticket, edit)
    assert failure.value.dropped == {"due_on", "protected_case"}


def test_a_moment_in_a_text_can_be_read(desk: Desk) -> None:
    ticket_id = desk.site.create()
    desk.edit(ticket_id, Edit(moments={"receipt_number": datetime(2026, 1, 5, 3, 0, 7, 12, tzinfo=UTC)}))
    assert desk.fetch(ticket_id).fields["receipt_number"] == "2026-01-04T22:00:07-05:00"


def test_without_an_attribute_for_it_no_due_date_is_kept(desk: Desk) -> None:
    desk.world.columns.pop("due_on")
    desk.world.restart()
    ticket_id = desk.site.create()
    desk.edit(ticket_id, Edit(due_on=date(2026, 5, 1)))
    assert desk.fetch(ticket_id).due_on is None
    assert desk.zammad.count("PUT") == 0


ALL_PARTS = Edit(status="open", due_on=date(2026, 5, 1), moments={"called_at": START}, comment=COMMENT, letter=LETTER)


@pytest.mark.parametrize("moved_to", ["Call NCSC", "closed"])
@pytest.mark.parametrize("edit", [ALL_PARTS, Edit(status="open"), Edit(comment=COMMENT)], ids=["all", "state", "note"])
def test_who_moves_the_ticket_at_the_same_time_wins(desk: Desk, moved_to: str, edit: Edit) -> None:
    """Zammad itself takes whatever comes last. "open" can be reached from each of these states."""
    desk.site.call("POST", "ticket_states", {"name": "Call NCSC", "state_type_id": 2})
    ticket_id = desk.site.create()
    ticket = desk.fetch(ticket_id)
    desk.clock.advance(seconds=2)
    desk.site.edit(ticket_id, state=moved_to)
    before = desk.site.ticket(ticket_id)
    with pytest.raises(Refused, match=f'somebody has moved the ticket to "{moved_to}"') as refusal:
        desk.site.tracker().edit(ticket, edit)
    assert not isinstance(refusal.value, NoTransition)  # of which a comment on the ticket would tell
    assert desk.site.ticket(ticket_id) | {"updated_at": ""} == before | {"updated_at": ""}
    assert (len(desk.site.articles(ticket_id)), desk.site.draft(ticket_id)) == (1, None)


def test_a_ticket_closed_while_its_letter_is_left_keeps_neither_letter_nor_comment(desk: Desk) -> None:
    ticket_id = desk.site.create()
    ticket = desk.fetch(ticket_id)
    desk.site.edit(ticket_id, state="closed")
    for edit in (ALL_PARTS, Edit(comment=COMMENT, letter=LETTER)):  # the whole, then its parts
        with pytest.raises(Refused, match="somebody has moved"):
            desk.site.tracker().edit(ticket, edit)
    assert desk.zammad.count("PUT", "shared_draft") == 2
    assert desk.site.draft(ticket_id) is None
    assert len(desk.site.articles(ticket_id)) == 1
    assert desk.site.ticket(ticket_id)["state"] == "closed"


@pytest.mark.parametrize("theirs", ["saved", "found"])
def test_of_a_ticket_closed_meanwhile_a_persons_draft_is_left(desk: Desk, theirs: str) -> None:
    ticket_id = desk.site.create()
    ticket = desk.fetch(ticket_id)
    desk.site.edit(ticket_id, state="closed")
    saved = {"to": LETTER.to, "subject": LETTER.subject, "body": "A better wording", "type": "email"}
    if theirs == "found":
        desk.site.put_draft(ticket_id, **saved)
    else:
        desk.zammad.before.append(("GET", f"tickets/{ticket_id}$", lambda: desk.site.put_draft(ticket_id, **saved)))
    with pytest.raises(Refused, match="somebody has moved"):
        desk.site.tracker().edit(ticket, ALL_PARTS)
    assert desk.site.draft(ticket_id)["body"] == "A better wording"


def test_a_draft_that_cannot_be_taken_back_is_told(desk: Desk) -> None:
    ticket_id = desk.site.create()
    ticket = desk.fetch(ticket_id)
    desk.site.edit(ticket_id, state="closed")
    desk.fault("DELETE", "shared_draft", status=502, body="<html>")
    with capture_logs() as logs, pytest.raises(Refused, match="somebody has moved"):
        desk.site.tracker().edit(ticket, ALL_PARTS)
    assert [line["event"] for line in logs] == ["draft not taken back"]


def test_a_ticket_put_into_another_group_meanwhile_is_left_alone(desk: Desk) -> None:
    ticket_id = desk.site.create()
    ticket = desk.fetch(ticket_id)
    desk.clock.advance(seconds=2)
    desk.world.agent.groups[3] = ["full"]
    desk.site.edit(ticket_id, group="Donations")
    with pytest.raises(Refused, match="another group"):
        desk.site.tracker().edit(ticket, ALL_PARTS)
    assert len(desk.site.articles(ticket_id)) == 1


def test_a_ticket_that_somebody_moved_where_it_goes_gets_the_rest(desk: Desk) -> None:
    ticket_id = desk.site.create()
    ticket = desk.fetch(ticket_id)
    desk.clock.advance(seconds=2)
    desk.site.edit(ticket_id, state="open")
    desk.site.tracker().edit(ticket, Edit(status="Open", comment=COMMENT))
    assert desk.fetch(ticket_id).refs == {"5d01b7f4"}
    desk.site.tracker().edit(desk.fetch(ticket_id), Edit(status="open"))
    assert desk.zammad.count("PUT") == 2  # the person's and ours


def test_our_own_move_is_nobody_elses(desk: Desk) -> None:
    """The parts of an edit that was refused as a whole come one by one, with the ticket as it was looked at."""
    ticket_id = desk.site.create()
    ticket = desk.fetch(ticket_id)
    for edit in (Edit(status="open"), Edit(due_on=date(2026, 5, 1)), Edit(comment=COMMENT, letter=LETTER)):
        desk.clock.advance(seconds=2)
        desk.site.tracker().edit(ticket, edit)
    after = desk.fetch(ticket_id)
    assert (after.status, after.due_on, after.refs) == ("open", date(2026, 5, 1), frozenset({"5d01b7f4"}))


def test_a_ticket_closed_between_two_edits_of_one_look_is_left_alone(desk: Desk) -> None:
    ticket_id = desk.site.create()
    ticket = desk.fetch(ticket_id)
    desk.site.tracker().edit(ticket, Edit(comment=COMMENT))
    desk.site.edit(ticket_id, state="closed")
    with pytest.raises(Refused, match="somebody has moved"):
        desk.site.tracker().edit(ticket, Edit(comment=COMMENT.replace("5d01b7f4", "00c0ffee")))
    assert desk.fetch(ticket_id).refs == {"5d01b7f4"}


def test_a_look_of_just_now_is_not_repeated(desk: Desk) -> None:
    """Two calls for an act, one of which looks at the note: a third only after a letter, or for a look gone stale."""
    ticket_id, tracker = desk.site.create(), desk.site.tracker()
    ticket = tracker.fetch(ticket_id, with_history=False)
    assert ticket is not None
    before = len(desk.zammad.calls)
    tracker.edit(ticket, Edit(status="open", due_on=date(2026, 5, 1), comment=COMMENT))
    assert [(how, path.split("/")[0]) for how, path in desk.zammad.calls[before:]] == [
        ("PUT", "tickets"),
        ("GET", "ticket_articles"),
    ]


def test_a_masked_refusal_is_explained(desk: Desk) -> None:
    """A required attribute that is empty stops every PUT, and an agent is not told why (zammad#4417)."""
    ticket_id = desk.site.create()
    desk.world.attributes[-4]["screens"] = {"edit": {"ticket.agent": {"shown": True, "required": True}}}
    with pytest.raises(
        Refused, match=r"administrator finds it in Zammad's log under Error ID [0-9a-f]{8}\b.*filled in"
    ):
        desk.edit(ticket_id, Edit(status="open", comment=COMMENT))


def test_a_comment_alone_that_a_put_refuses_is_posted_by_itself(desk: Desk) -> None:
    ticket_id = desk.site.create()
    desk.world.attributes[-4]["screens"] = {"edit": {"ticket.agent": {"shown": True, "required": True}}}
    desk.edit(ticket_id, Edit(comment=COMMENT))
    assert desk.fetch(ticket_id).refs == {"5d01b7f4"}
    assert desk.site.articles(ticket_id)[-1]["internal"] is True
    desk.fault("POST", "ticket_articles$", status=422, body='{"error": "no"}')
    with pytest.raises(Refused, match="Error ID"):
        desk.edit(ticket_id, Edit(comment=COMMENT))
    assert len(desk.site.articles(ticket_id)) == 2


def test_a_state_that_the_workflow_does_not_allow_is_refused(desk: Desk) -> None:
    ticket_id = desk.site.create()
    desk.world.restrict["state_id"] = {1, 4}
    with pytest.raises(Refused, match="core workflow"):
        desk.edit(ticket_id, Edit(status="open"))


def test_a_state_deleted_in_the_meantime_is_no_transition(desk: Desk) -> None:
    ticket_id, tracker = desk.site.create(), desk.site.tracker()
    ticket = tracker.fetch(ticket_id, with_history=False)
    assert ticket is not None
    desk.world.states[1]["name"] = "in work"
    with pytest.raises(NoTransition, match="No lookup value found"):
        tracker.edit(ticket, Edit(status="open"))


def test_a_note_made_public_is_made_internal_and_told(desk: Desk) -> None:
    ticket_id = desk.site.create()
    desk.world.publish_notes = True
    with pytest.raises(CommentWentPublic, match="made internal") as alarm:
        desk.edit(ticket_id, Edit(comment=COMMENT))
    assert alarm.value.removed
    assert desk.site.articles(ticket_id)[-1]["internal"] is True
    assert desk.fetch(ticket_id).refs == {"5d01b7f4"}


def test_a_source_with_public_comments_makes_them_public(desk: Desk) -> None:
    ticket_id = desk.site.create()
    desk.site.tracker(internal_comments=False).edit(desk.fetch(ticket_id), Edit(comment=COMMENT))
    assert desk.site.articles(ticket_id)[-1]["internal"] is False


def test_a_lost_answer_leaves_the_outcome_unknown_and_the_ref_to_be_found(desk: Desk) -> None:
    ticket_id = desk.site.create()
    ticket = desk.fetch(ticket_id)
    desk.fault("PUT", f"tickets/{ticket_id}$", drop_after=True)
    with pytest.raises(Unavailable) as failure:
        desk.site.tracker().edit(ticket, Edit(comment=COMMENT, letter=LETTER))
    assert failure.value.outcome_unknown
    assert desk.fetch(ticket_id).refs == {"5d01b7f4"}
    assert desk.site.draft(ticket_id)["to"] == LETTER.to  # where the comment is found, nothing is done again


def test_a_comment_that_cannot_be_looked_at_is_in_doubt(desk: Desk) -> None:
    ticket_id = desk.site.create()
    desk.fault("GET", r"ticket_articles/\d+$", status=502, body="<html>")
    with pytest.raises(Unavailable) as failure:
        desk.edit(ticket_id, Edit(comment=COMMENT))
    assert failure.value.outcome_unknown


@pytest.mark.parametrize("fault", [{"status": 502, "body": "<html>"}, {"status": 422, "body": '{"error": "no"}'}])
def test_without_a_draft_the_edit_stands(desk: Desk, fault: dict[str, Any]) -> None:
    ticket_id = desk.site.create()
    desk.fault("PUT", "shared_draft", **fault)
    with capture_logs() as logs:
        desk.edit(ticket_id, Edit(comment=COMMENT, letter=LETTER))
    assert desk.fetch(ticket_id).refs == {"5d01b7f4"}
    [line] = logs
    assert (line["event"], line["log_level"]) == ("no draft left", "warning")
    assert "WAC2590123456" not in str(line)
    assert desk.site.draft(ticket_id) is None


def test_a_letter_that_is_there_is_not_left_again(desk: Desk) -> None:
    ticket_id = desk.site.create()
    for _ in range(2):
        desk.edit(ticket_id, Edit(letter=LETTER))
    assert desk.zammad.count("PUT", "shared_draft") == 1


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ('{"error": "No route matches [PUT] /api/v1/tickets/81"}', Misconfigured),
        ("<html>404", Misconfigured),
        ('{"error": "Couldn\'t find Ticket with \'id\'=81"}', TicketGone),
    ],
)
def test_only_zammad_itself_says_that_a_ticket_is_gone(desk: Desk, body: str, kind: type[Exception]) -> None:
    ticket = desk.fetch(desk.site.create())
    desk.fault("PUT", "tickets/", status=404, body=body)
    with pytest.raises(kind):
        desk.site.tracker().edit(ticket, Edit(status="open"))


def test_our_own_writes_come_to_rest(desk: Desk) -> None:
    """Guards against the loop webhook -> edit -> webhook: the second look sends nothing."""
    _trigger(desk)
    ticket_id = desk.site.create()
    assert len(desk.world.jobs) == 1
    wanted = Edit(status="open", due_on=date(2026, 5, 1))
    looks = 0
    while desk.world.jobs:
        desk.world.jobs.clear()
        ticket = desk.fetch(ticket_id)
        comment = None if "5d01b7f4" in ticket.refs else COMMENT
        desk.site.tracker().edit(ticket, Edit(status=wanted.status, due_on=wanted.due_on, comment=comment))
        looks += 1
        assert looks < 5
    assert looks == 2
    assert desk.zammad.count("PUT") == 1


# Refusals


@pytest.mark.parametrize(
    ("fault", "kind", "match"),
    [
        ({"status": 401, "body": '{"error": "Not authorized (token expired)!"}'}, AccessRefused, "expired"),
        ({"status": 401, "body": ""}, AccessRefused, "refused the connector's token"),
        ({"status": 403, "body": '{"error": "Authentication required"}'}, AccessRefused, "did not see any token"),
        ({"status": 403, "body": "<html>blocked"}, AccessRefused, "in front of Zammad"),
        ({"status": 403, "body": '{"error": "Not authorized"}'}, AccessRefused, "permissions of its role"),
        ({"status": 403, "body": '{"error": "Maintenance mode enabled!"}'}, Unavailable, "maintenance"),
        ({"status": 302, "body": ""}, AccessRefused, "redirect"),
        ({"status": 404, "body": "<html>"}, Misconfigured, "no Zammad REST API"),
        ({"status": 404, "body": '{"error": "No route matches"}'}, Misconfigured, "no Zammad REST API"),
        ({"status": 429, "body": "", "headers": (("Retry-After", "7"),)}, RateLimited, "7 seconds"),
        ({"status": 503, "body": "<html>", "headers": (("Retry-After", "9"),)}, RateLimited, "9 seconds"),
        ({"status": 409, "body": ""}, Unavailable, "409"),
        ({"status": 502, "body": "<html>"}, Unavailable, "not well"),
        ({"status": 200, "body": "<html>hello"}, Unavailable, "web page"),
        ({"status": 200, "body": '{"error": "odd"}'}, Unavailable, "no list"),
        ({"status": 422, "body": '{"error": "PG::UndefinedColumn"}'}, Misconfigured, "question about the source"),
    ],
)
def test_what_an_answer_means(desk: Desk, fault: dict[str, Any], kind: type[Exception], match: str) -> None:
    desk.fault("POST", "tickets/search", **fault)
    with pytest.raises(kind, match=match) as failure:
        desk.fetch(desk.site.create())
    assert getattr(failure.value, "outcome_unknown", False) is False


def test_maintenance_while_writing_has_had_no_effect(desk: Desk) -> None:
    ticket = desk.fetch(desk.site.create())
    desk.world.maintenance = True
    with pytest.raises(Unavailable, match="maintenance") as failure:
        desk.site.tracker().edit(ticket, Edit(status="open"))
    assert not failure.value.outcome_unknown


def test_a_wrong_and_an_expired_token(desk: Desk) -> None:
    ticket_id = desk.site.create()
    with pytest.raises(AccessRefused, match="refused the connector's token"):
        desk.fetch(ticket_id, token=lambda: "wrong")
    desk.world.agent.expired = True
    with pytest.raises(AccessRefused, match="has expired"):
        desk.fetch(ticket_id)


@pytest.mark.parametrize("token", ["", " \n", "tok\nen", "t\u043eken"])
def test_a_token_that_cannot_be_sent(desk: Desk, token: str) -> None:
    ticket_id = desk.site.create()
    with pytest.raises(AccessRefused, match=r"empty|Copy the token again") as refusal:
        desk.fetch(ticket_id, token=lambda: token)
    assert token.strip() == "" or token not in refusal.value.message


def test_a_token_replaced_during_the_call_is_tried_once(desk: Desk) -> None:
    ticket_id = desk.site.create()
    tokens = iter(["old"])
    assert desk.fetch(ticket_id, token=lambda: next(tokens, AGENT_TOKEN)).id == ticket_id


def test_a_ticket_that_may_not_be_changed_is_told_with_what_to_do(desk: Desk) -> None:
    ticket_id = desk.site.create()
    desk.world.agent.groups[2] = ["read"]
    with pytest.raises(Refused, match=r"ticket\.agent.*full access to the group"):
        desk.edit(ticket_id, Edit(comment=COMMENT))


def test_no_message_repeats_what_a_ticket_holds(desk: Desk) -> None:
    ticket_id = desk.site.create()
    error = '{"error": "Invalid value \\"A200555013\\" for jane@office.example, receipt 2590123456"}'
    desk.fault("PUT", "tickets/", status=422, body=error)
    with pytest.raises(Refused) as refusal:
        desk.edit(ticket_id, Edit(status="open"))
    assert not re.search(r"A200|jane|2590", refusal.value.message)


def test_a_letter_never_lands_in_a_draft_of_unknown_content(desk: Desk) -> None:
    ticket_id = desk.site.create()
    desk.fault("GET", "shared_draft", status=200, body='{"shared_draft_id": 5, "assets": null}')
    desk.edit(ticket_id, Edit(letter=Letter("a@dhs.gov", "s", "b")))
    assert desk.zammad.count("PUT") == 0


def _date_attribute(name: str) -> dict[str, Any]:
    return {"object": "Ticket", "name": name, "display": name, "data_type": "date", "data_option": {"diff": None}} | {
        "active": True
    }


def _many(desk: Desk, number: int, apart: timedelta = timedelta(0)) -> list[str]:
    """Tickets made behind the API's back, which would take long."""
    ids = []
    for count in range(number):
        body = {"title": f"Number {count}", "group_id": 2}
        ids.append(str(desk.world.create(desk.world.admin, body, desk.world.workers[0])["id"]))
        desk.clock.set(desk.clock.now() + apart)
    return ids


def _trigger(desk: Desk) -> None:
    conditions = [
        {"name": "ticket.action", "operator": "is", "value": "create"},
        {"name": "ticket.state_id", "operator": "has changed", "value": []},
        {"name": "ticket.due_on", "operator": "has changed", "value": []},
    ]
    webhook = {"name": "hook", "endpoint": "http://127.0.0.1:9/webhooks/zammad"}
    hook = desk.site.call("POST", "webhooks", webhook)
    body = {
        "name": "zz",
        "activator": "action",
        "execution_condition_mode": "selective",
        "active": True,
        "condition": {"operator": "OR", "conditions": conditions},
        "perform": {"notification.webhook": {"webhook_id": str(hook["id"])}},
    }
    desk.site.call("POST", "triggers", body)
