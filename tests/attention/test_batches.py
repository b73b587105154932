"""Trackers that take the acts of a look as one edit: what is refused, dropped, lost or in doubt of it."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from connector.attention.attend import TRY_REFUSED_AGAIN
from connector.attention.clock import LEASE
from connector.inquiry.markup import Markup
from connector.practice.world import Issue
from connector.store import Claim, DatabaseError
from connector.trackers.port import (
    CommentWentPublic,
    Edit,
    NotKept,
    Refused,
    Sighting,
    Ticket,
    Tracker,
    Unavailable,
)
from tests.attention.conftest import IN_DOUBT, NAME, Desk

LETTER = "E-mail the California Service Center now: csc-ncsc-followup@dhs.gov"
MOVE, DUE = "Awaiting NCSC", "due_on"


class Atomic:
    """The desk's tracker, taking edits whole. `meets` sees each before it is done, and may raise, or say what is left
    of it, to be followed by an error."""

    markup: Markup = "wiki"
    atomic = True
    bulk = 1

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self.edits: list[Edit] = []
        self.meets: Callable[[Edit], tuple[Edit, Exception | None]] = lambda edit: (edit, None)

    def edit(self, ticket: Ticket, edit: Edit) -> None:
        self.edits.append(edit)
        done, error = self.meets(edit)
        self._tracker.edit(ticket, done)
        if error:
            raise error

    def fetch(self, ticket_id: str, *, with_history: bool) -> Ticket | None:
        return self._tracker.fetch(ticket_id, with_history=with_history)

    def fetch_many(self, ticket_ids: Collection[str], *, with_history: bool) -> Mapping[str, Ticket | None]:
        return self._tracker.fetch_many(ticket_ids, with_history=with_history)

    def recheck(self, ticket: Ticket, refs: Collection[str]) -> None:
        self._tracker.recheck(ticket, refs)

    def find(self, key: str) -> str | None:
        return self._tracker.find(key)

    def changed_since(self, moment: datetime | None) -> Iterator[Sighting]:
        return self._tracker.changed_since(moment)

    def close(self) -> None:
        self._tracker.close()


@pytest.fixture
def atomic(desk: Desk) -> Atomic:
    """The desk has an atomic tracker from now on."""
    tracker = Atomic(desk.source.tracker)
    desk.source = replace(desk.source, tracker=tracker)
    return tracker


def parts(edit: Edit) -> set[str]:
    return {
        name
        for name, value in (("status", edit.status), ("due_on", edit.due_on), ("comment", edit.comment))
        if value is not None
    } | set(edit.moments)


def notice(desk: Desk, issue: Issue) -> None:
    desk.store.attention.notice(NAME, str(issue.id), issue.key, desk.clock())


def counted(desk: Desk, kind: str, outcome: str) -> int:
    """Acts of that kind and outcome, as the metrics tell."""
    line = f'connector_acts_total{{kind="{kind}",outcome="{outcome}",source="{NAME}"}} '
    text = desk.metrics.render().decode()
    return sum(int(float(each.removeprefix(line))) for each in text.splitlines() if each.startswith(line))


def started(desk: Desk, issue: Issue) -> int:
    return len(desk.store.acts.started(NAME, str(issue.id)))


def done(desk: Desk, issue: Issue) -> int:
    return len(desk.store.acts.done_refs(NAME, str(issue.id)))


# Several comments in a look


def with_two_comments(desk: Desk) -> Issue:
    """A ticket whose look says two things: that another has its receipt number, and the letter."""
    desk.called()
    desk.attend()
    return desk.overdue_call()


def test_other_comments_go_first_and_the_rest_with_the_last(desk: Desk, atomic: Atomic) -> None:
    issue = with_two_comments(desk)
    atomic.edits.clear()
    desk.hears = False
    desk.attend()
    assert [parts(edit) for edit in atomic.edits[:2]] == [{"comment"}, {"comment", "status"}]
    assert desk.said(issue) == ["CASE-1 has the same receipt number", LETTER]
    assert desk.own_moves(issue) == ["E-mail Service Center"]
    assert started(desk, issue) == 0


def test_a_brake_between_two_comments(desk: Desk, atomic: Atomic) -> None:
    """The first stands and is done; of the second nothing is noted, and after the release only that is said."""
    desk.map(("comments: internal", "comments: internal\nmax_comments_per_hour: 1"))
    desk.source = replace(desk.source, tracker=atomic)
    issue = with_two_comments(desk)
    desk.hears = False
    desk.attend()
    assert desk.said(issue) == ["CASE-1 has the same receipt number"]
    assert desk.own_moves(issue) == []
    assert started(desk, issue) == 0
    assert desk.store.sources.get(NAME).braked_at
    desk.wait(seconds=1)
    assert desk.store.sources.release(NAME, desk.clock())
    desk.attend()
    assert desk.said(issue) == ["CASE-1 has the same receipt number", LETTER]
    desk.assert_nothing_doubled()


def test_a_lease_lost_between_two_comments(desk: Desk, atomic: Atomic, monkeypatch: pytest.MonkeyPatch) -> None:
    issue = with_two_comments(desk)
    desk.hears = False
    others: list[Claim] = []

    finish = desk.store.acts.finish

    def outlived(*args: Any) -> None:
        finish(*args)
        if not others:
            desk.wait(seconds=LEASE.total_seconds() + 1)
            others.extend(desk.claims())

    monkeypatch.setattr(desk.store.acts, "finish", outlived)
    [claim] = desk.claims()
    desk.attendant.attend(desk.source, claim)
    assert desk.said(issue) == ["CASE-1 has the same receipt number"], "no more was done without a lease"
    assert desk.own_moves(issue) == []
    for other in others:
        desk.attendant.attend(desk.source, other)
    desk.attend()
    assert desk.said(issue) == ["CASE-1 has the same receipt number", LETTER]
    desk.assert_nothing_doubled()


# Refused as a whole


def refusing(
    *, several: Exception | None = None, part: str = "", alone: Exception | None = None
) -> Callable[..., object]:
    """Edits of several parts meet one error, those of that part alone another."""

    def meets(edit: Edit) -> tuple[Edit, None]:
        if len(parts(edit)) > 1 and several:
            raise several
        if parts(edit) == {part} and alone:
            raise alone
        return edit, None

    return meets


def test_what_is_refused_as_a_whole_is_done_part_by_part_and_counted_once(desk: Desk, atomic: Atomic) -> None:
    issue = desk.called()
    atomic.meets = refusing(several=Refused("No."))  # type: ignore[assignment]  # it never returns an error
    desk.hears = False
    desk.attend()
    assert [parts(edit) for edit in atomic.edits] == [{"status", "due_on"}, {"status"}, {"due_on"}]
    assert desk.own_moves(issue) == [MOVE]
    assert (counted(desk, "transition", "done"), counted(desk, "due_date", "done")) == (1, 1)
    assert (counted(desk, "transition", "refused"), counted(desk, "due_date", "refused")) == (0, 0)
    assert (started(desk, issue), desk.state(issue).error) == (0, None)


def test_a_part_of_unknown_outcome_after_the_whole_was_refused(desk: Desk, atomic: Atomic) -> None:
    """Only that part stays in doubt, and is looked for before anything else is done."""
    issue = desk.overdue_call()
    lost = Unavailable("It broke off.", outcome_unknown=True)
    atomic.meets = refusing(several=Refused("No."), part="comment", alone=lost)  # type: ignore[assignment]  # as above
    desk.hears = False
    desk.attend()
    assert desk.own_moves(issue) == ["E-mail Service Center"]
    assert (started(desk, issue), done(desk, issue)) == (1, 1)
    atomic.meets = lambda edit: (edit, None)
    desk.wait(seconds=IN_DOUBT.total_seconds() - 1)
    assert desk.attend() == 0
    desk.wait(seconds=1)
    desk.attend()
    assert desk.said(issue) == [LETTER]
    assert desk.own_moves(issue) == ["E-mail Service Center"]
    assert started(desk, issue) == 0


def test_an_edit_of_unknown_outcome_is_in_doubt_as_a_whole(desk: Desk, atomic: Atomic) -> None:
    issue = desk.overdue_call()
    desk.hears = False
    atomic.meets = lambda edit: (edit, Unavailable("It broke off.", outcome_unknown=True))
    desk.attend()
    assert (started(desk, issue), done(desk, issue)) == (2, 0)
    atomic.meets = lambda edit: (edit, None)
    atomic.edits.clear()
    desk.wait(seconds=IN_DOUBT.total_seconds())
    desk.attend()
    assert atomic.edits == [], "all of it was found on the ticket"
    assert desk.said(issue) == [LETTER]
    assert started(desk, issue) == 0


# Kept in part


def test_a_part_that_was_dropped_is_named_and_the_others_count_as_done(desk: Desk, atomic: Atomic) -> None:
    """Guards against a move that was made and counted as refused."""
    issue = desk.called()
    desk.hears = False
    dropped = NotKept("The due date was not kept.", dropped=[DUE])
    atomic.meets = lambda edit: (replace(edit, due_on=None), dropped if edit.due_on else None)
    desk.attend()
    assert desk.own_moves(issue) == [MOVE]
    assert (counted(desk, "transition", "done"), counted(desk, "due_date", "refused")) == (1, 1)
    assert counted(desk, "transition", "refused") == 0
    assert (started(desk, issue), done(desk, issue)) == (0, 1)
    state = desk.state(issue)
    assert (state.error, state.stuck_since) == ("The due date was not kept.", None)
    assert state.attend_at == desk.clock() + TRY_REFUSED_AGAIN
    # A person moves it on meanwhile: what was done is not done again, and the mended rest is.
    desk.world.move_to(issue, "New")
    atomic.meets = lambda edit: (edit, None)
    desk.wait(seconds=TRY_REFUSED_AGAIN.total_seconds())
    desk.attend()
    assert parts(atomic.edits[-1]) == {DUE}
    assert issue.values["duedate"]
    assert desk.own_moves(issue) == [MOVE]
    assert desk.state(issue).error is None


def test_where_the_tracker_does_not_say_what_it_dropped_all_but_the_comment_is_tried_again(
    desk: Desk, atomic: Atomic
) -> None:
    issue = desk.overdue_call()
    desk.hears = False
    atomic.meets = lambda edit: (replace(edit, status=None), NotKept("Something was not kept."))
    desk.attend()
    assert desk.said(issue) == [LETTER]
    assert (counted(desk, "comment", "done"), counted(desk, "transition", "refused")) == (1, 1)
    assert desk.state(issue).error == "Something was not kept."


def test_a_part_sent_alone_that_is_dropped_stops_nothing(desk: Desk, atomic: Atomic) -> None:
    """Guards against a comment that says so, or a look that fails, at every look for what an admin has to mend."""
    issue = desk.called()
    desk.hears = False

    def meets(edit: Edit) -> tuple[Edit, Exception | None]:
        if len(parts(edit)) > 1:
            raise Refused("No.")
        if edit.due_on:
            return replace(edit, due_on=None), NotKept("The due date was not kept.", dropped=[DUE])
        return edit, None

    atomic.meets = meets
    for _ in range(3):
        desk.attend()
        desk.wait(seconds=TRY_REFUSED_AGAIN.total_seconds())
    assert desk.own_moves(issue) == [MOVE]
    assert issue.comments == []
    assert (desk.state(issue).stuck_since, desk.state(issue).attempts) == (None, 0)
    assert desk.state(issue).error == "The due date was not kept."


# Gone public


def public(removed: bool) -> Callable[[Edit], tuple[Edit, Exception | None]]:
    def meets(edit: Edit) -> tuple[Edit, Exception | None]:
        if edit.comment is None:
            return edit, None
        return replace(edit, comment=None), CommentWentPublic("It could be seen.", removed=removed)

    return meets


def test_what_came_with_a_comment_that_went_public_was_done(desk: Desk, atomic: Atomic) -> None:
    """Guards against acts forgotten that were done: a person who moved the ticket on would be overruled."""
    issue = desk.overdue_call()
    desk.hears = False
    atomic.meets = public(removed=True)
    desk.attend()
    assert desk.own_moves(issue) == ["E-mail Service Center"]
    assert (started(desk, issue), done(desk, issue)) == (0, 1)
    assert (counted(desk, "transition", "done"), counted(desk, "comment", "failed")) == (1, 1)
    assert desk.store.sources.get(NAME).brake_reason == "It could be seen."
    desk.world.move_to(issue, "New")
    atomic.meets = lambda edit: (edit, None)
    desk.wait(seconds=1)
    assert desk.store.sources.release(NAME, desk.clock())
    notice(desk, issue)
    desk.attend()
    assert desk.said(issue) == [LETTER]
    assert desk.own_moves(issue) == ["E-mail Service Center"]


def test_the_source_stops_even_if_the_database_takes_no_note(
    desk: Desk, atomic: Atomic, monkeypatch: pytest.MonkeyPatch
) -> None:
    issue = desk.overdue_call()
    atomic.meets = public(removed=False)

    def no_database(*_: object) -> None:
        raise DatabaseError("the disk is full")

    monkeypatch.setattr(desk.store.acts, "finish", no_database)
    [claim] = desk.claims()
    with suppress(DatabaseError):
        desk.attendant.attend(desk.source, claim)
    assert desk.store.sources.get(NAME).brake_reason == "It could be seen."
    assert started(desk, issue) == 2, "its end was not noted, so it is looked for"
