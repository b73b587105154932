"""The tracker is the record: a lost or old database, what people did on the ticket, moments taken from its history."""

from datetime import timedelta

import pytest

from connector.practice.world import Issue
from tests.attention.conftest import NAME, Desk


def tickets_in_every_stage(desk: Desk) -> list[Issue]:
    """Handled already, each as far as it goes."""
    far = "EAC2490087654"
    emailed = desk.clock() - timedelta(days=50)
    issues = [
        desk.create(Receipt_Number="WAC26901"),
        desk.create(**{"A-Number": "A200555013"}),
        desk.called(Receipt_Number="WAC2590000001"),
        desk.overdue_call(Receipt_Number="IOE0900123457"),
        desk.overdue_call(Receipt_Number="LIN2590011223"),
        desk.called(Receipt_Number="SRC2590011223", Service_Center_Emailed_At=desk.clock() - timedelta(days=1)),
        desk.called(90, Receipt_Number=far, Service_Center_Emailed_At=emailed),
        desk.called(  # a twin of the last one
            90,
            Receipt_Number=far,
            Service_Center_Emailed_At=emailed,
            HQ_Emailed_At=desk.clock() - timedelta(days=20),
        ),
        desk.called(Receipt_Number="EAC2590076543", Form_Type="I-918"),
        desk.called(Receipt_Number="EAC2590076544", Answered_At=desk.clock() - timedelta(days=1)),
    ]
    desk.attend()
    assert len({desk.state(issue).stage for issue in issues}) == 8
    return issues


def all_due(desk: Desk) -> None:
    for issue in desk.world.issues.values():
        desk.store.attention.notice(NAME, str(issue.id), issue.key, desk.clock())


def written(desk: Desk) -> int:
    """Calls that changed a ticket since the last asking."""
    log = desk.server.requests
    count = log.count("PUT") + log.count("DELETE") + log.count("POST", r"/(comment|transitions)$")
    log.clear()
    return count


def test_an_empty_database_posts_and_moves_nothing_again(either: Desk) -> None:
    desk = either
    issues = tickets_in_every_stage(desk)
    before = [(desk.state(issue).stage, desk.state(issue).attend_at) for issue in issues]
    desk.world.move_to(issues[2], "New")  # a person had other plans
    desk.wait(minutes=1)
    desk.lose_database()
    written(desk)
    assert desk.poll().noticed == len(issues)
    assert desk.attend() >= len(issues)
    assert written(desk) == 0
    assert [(desk.state(issue).stage, desk.state(issue).attend_at) for issue in issues] == before
    all_due(desk)
    desk.attend()
    assert written(desk) == 0


def test_an_old_copy_of_the_database_posts_and_moves_nothing_again(either: Desk) -> None:
    """Guards against asking for the history only on tickets that the database has never seen."""
    desk = either
    desk.map((desk.mapping_text[desk.mapping_text.index("records:") :], ""))
    issue = desk.create(Receipt_Number="WAC2590123456")
    desk.attend()
    copy = desk.keep_copy()
    desk.wait(hours=1)
    for other in (desk.called(Receipt_Number="LIN2590011223"), issue):
        desk.fill(other, NCSC_Called_At=desk.clock())
    desk.attend()
    assert desk.own_moves(issue) == ["Collect Details", "Awaiting NCSC"]
    desk.wait(hours=1)
    desk.world.move_to(issue, "Call NCSC")  # a person moves it elsewhere
    desk.attend()
    written(desk)
    desk.restore(copy)
    desk.poll()
    desk.attend()
    all_due(desk)
    desk.attend()
    assert written(desk) == 0
    assert issue.status.name == "Call NCSC"


def test_a_person_who_moves_the_ticket_elsewhere_wins(either: Desk) -> None:
    desk = either
    issue = desk.overdue_call()
    desk.attend()
    desk.world.move_to(issue, "Collect Details")
    desk.attend()
    desk.wait(days=1)
    all_due(desk)
    desk.attend()
    assert issue.status.name == "Collect Details"
    assert desk.own_moves(issue) == ["E-mail Service Center"]


def test_a_status_records_the_moment_of_the_move(either: Desk) -> None:
    """Also when the ticket has been moved on before anybody looked."""
    desk = either
    issue = desk.overdue_call()
    desk.attend()
    desk.hears = False
    moved = desk.clock()
    desk.world.move_to(issue, "E-mailed Service Center")
    desk.wait(hours=3)
    desk.world.move_to(issue, "Awaiting Service Center")
    desk.wait(hours=3)
    desk.hears = True
    all_due(desk)
    desk.attend()
    assert desk.value(issue, "Service Center Emailed At") == moved
    assert desk.state(issue).stage == "awaiting_service_center"


def test_a_record_that_a_person_takes_back_stays_empty(either: Desk) -> None:
    desk = either
    issue = desk.overdue_call()
    desk.attend()
    desk.world.move_to(issue, "E-mailed Service Center")
    desk.attend()
    assert desk.value(issue, "Service Center Emailed At")
    desk.wait(hours=1)
    desk.fill(issue, Service_Center_Emailed_At=None)
    desk.attend()
    all_due(desk)
    desk.attend()
    assert desk.value(issue, "Service Center Emailed At") is None
    assert desk.state(issue).stage == "email_service_center"


def test_a_ticket_out_of_scope_costs_one_call_and_leaves_nothing(either: Desk) -> None:
    desk = either
    desk.called()
    desk.attend()
    toner = desk.world.add_issue("OTHER", summary="Order toner")
    desk.calls()
    assert desk.attend() == 1
    assert desk.calls() == 1
    assert desk.store.tickets.get(NAME, str(toner.id)) is None
    assert toner.comments == []


def test_a_deleted_ticket_is_forgotten(either: Desk) -> None:
    desk = either
    issue = desk.called()
    desk.attend()
    desk.world.delete(issue, desk.world.human)
    desk.attend()
    assert desk.store.tickets.get(NAME, str(issue.id)) is None
    assert desk.store.acts.done_refs(NAME, str(issue.id)) == frozenset()


def test_a_ticket_that_leaves_the_scope_and_comes_back(either: Desk) -> None:
    desk = either
    issue = desk.overdue_call()
    desk.attend()
    inquiry, task = issue.project.issue_types
    issue.issue_type = task
    all_due(desk)
    desk.attend()
    assert desk.store.tickets.get(NAME, str(issue.id)) is None
    issue.issue_type = inquiry
    written(desk)
    all_due(desk)
    desk.attend()
    assert desk.state(issue).stage == "email_service_center"
    assert written(desk) == 0


@pytest.mark.parametrize("lost", [False, True], ids=["database kept", "database lost"])
def test_a_ticket_created_by_a_person_who_quotes_a_comment(desk: Desk, lost: bool) -> None:
    """A ref in the description, or in another ticket's comment, is not this ticket's."""
    first = desk.overdue_call()
    desk.attend()
    second = desk.overdue_call(Receipt_Number="LIN2590011223", description=first.comments[0].body)
    desk.world.add_comment(second, desk.world.new_comment(second, first.comments[0].body, desk.world.human))
    if lost:
        desk.lose_database()
        desk.poll()
    desk.attend()
    assert "E-mail the Nebraska Service Center now: ncscfollowup.nsc@dhs.gov" in desk.said(second)
