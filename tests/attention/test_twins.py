"""Two open tickets with one receipt number are told of each other, once each."""

import threading
from datetime import timedelta
from typing import Any

import pytest

from connector.practice.world import Issue
from tests.attention.conftest import NAME, Desk


def told_of(desk: Desk, issue: Issue, twin: Issue) -> int:
    return sum(twin.key in line for line in desk.said(issue))


def notice(desk: Desk, *issues: Issue) -> None:
    for issue in issues:
        desk.store.attention.notice(NAME, str(issue.id), issue.key, desk.clock())


@pytest.mark.parametrize("hears", [True, False], ids=["webhooks", "no webhooks"])
def test_both_are_told_once(either: Desk, hears: bool) -> None:
    desk = either
    first = desk.called()
    desk.attend()
    desk.hears = hears
    second = desk.called()
    if not hears:
        notice(desk, second)
    desk.attend()
    notice(desk, first, second)
    desk.attend()
    assert (told_of(desk, first, second), told_of(desk, second, first)) == (1, 1)
    desk.lose_database()
    desk.poll()
    desk.attend()
    assert (told_of(desk, first, second), told_of(desk, second, first)) == (1, 1)


def test_both_are_told_when_two_threads_look_in_the_same_moment(either: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither has noted its digest when the other looks for twins."""
    desk = either
    desk.hears = False
    first, second = desk.called(), desk.called()
    notice(desk, first, second)
    settle, both_have_decided = desk.store.attention.settle, threading.Barrier(2, timeout=10)

    def settle_together(*args: Any, **more: Any) -> bool:
        both_have_decided.wait()
        return settle(*args, **more)

    monkeypatch.setattr(desk.store.attention, "settle", settle_together)
    workers = [
        threading.Thread(target=desk.attendant.attend, args=(desk.source, claim), name=claim.ticket_id)
        for claim in desk.claims()
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    monkeypatch.undo()
    assert desk.said(first) == desk.said(second) == []
    desk.attend()
    assert (told_of(desk, first, second), told_of(desk, second, first)) == (1, 1)


def test_three_of_them(desk: Desk) -> None:
    issues = [desk.called() for _ in range(3)]
    desk.attend()
    assert [[told_of(desk, one, other) for other in issues] for one in issues] == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    desk.assert_nothing_doubled()


def test_a_receipt_number_corrected_later_makes_a_twin(desk: Desk) -> None:
    first, second = desk.called(), desk.called(Receipt_Number="LIN2590011223")
    desk.attend()
    desk.hears = False
    desk.fill(second, Receipt_Number="wac-25-901-23456")
    notice(desk, second)
    desk.attend()
    assert (told_of(desk, first, second), told_of(desk, second, first)) == (1, 1)


def test_an_answered_ticket_is_no_twin_until_it_is_open_again(desk: Desk) -> None:
    first = desk.called(Answered_At=desk.clock() - timedelta(days=1))
    second = desk.called()
    desk.attend()
    assert desk.said(first) == desk.said(second) == []
    desk.fill(first, Answered_At=None)
    desk.attend()
    assert (told_of(desk, first, second), told_of(desk, second, first)) == (1, 1)


def test_protected_twins_come_to_rest(desk: Desk) -> None:
    """They are told nothing of each other, and must not wake each other for ever: attend() would not come to an end."""
    issues = [desk.called(Form_Type="I-918") for _ in range(2)]
    desk.attend()
    notice(desk, *issues)
    desk.attend()
    assert all(len(desk.said(issue)) == 1 for issue in issues)


def test_the_database_does_not_hold_the_receipt_number(desk: Desk, logs: list[Any]) -> None:
    desk.called()
    desk.called()
    desk.attend()
    desk.store.close()
    held = b"".join(file.read_bytes() for file in desk.folder.glob("connector.sqlite3*"))
    for personal in ("WAC2590123456", "A200555013", "Rivera", "SR1220326001"):
        assert personal.encode() not in held
        assert personal not in repr(logs)
    desk.kill()
