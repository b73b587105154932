"""The poll finds what no webhook told, and its watermark never passes what it has not seen."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from connector.attention.poll import OVERLAP, poll, poll_quietly
from connector.practice.world import Issue
from connector.trackers.port import TrackerError
from tests.attention.conftest import NAME, Desk


@pytest.fixture
def deaf(either: Desk) -> Desk:
    """A desk that no webhook reaches."""
    either.hears = False
    return either


def watermark(desk: Desk) -> Any:
    return desk.store.sources.get(NAME).watermark


def hide_from_searches(desk: Desk, monkeypatch: pytest.MonkeyPatch, hidden: Issue) -> None:
    """The search index has not caught up with one ticket."""
    world = desk.world
    monkeypatch.setattr(
        world, "indexed", lambda reconcile=(): [issue for issue in world.issues.values() if issue is not hidden]
    )


def test_an_empty_database_takes_in_every_open_ticket(deaf: Desk) -> None:
    issues = [deaf.called(Receipt_Number=f"WAC25901{number:05}") for number in range(3)]
    closed = deaf.called()
    deaf.world.move_to(closed, "Done")
    deaf.world.add_issue("OTHER", summary="Order toner")
    polled = deaf.poll()
    assert (polled.seen, polled.noticed) == (3, 3)
    deaf.attend()
    assert all(deaf.state(issue).stage == "awaiting_ncsc" for issue in issues)
    assert deaf.store.tickets.get(NAME, str(closed.id)) is None


def test_a_lost_webhook_is_made_good_and_what_is_known_costs_nothing(deaf: Desk) -> None:
    issues = [deaf.called(Receipt_Number=f"WAC25901{number:05}") for number in range(3)]
    deaf.poll()
    deaf.attend()
    deaf.poll()
    deaf.attend()  # our own acts have changed the tickets' stamps
    deaf.wait(hours=5)
    deaf.fill(issues[1], Service_Center_Emailed_At=deaf.clock())
    assert deaf.poll().noticed == 1
    deaf.attend()
    assert deaf.state(issues[1]).stage == "awaiting_service_center"
    deaf.poll()
    deaf.attend()
    deaf.calls()
    assert deaf.poll().noticed == 0
    assert deaf.attend() == 0
    assert deaf.calls("*", "/issue/") == 0


def test_a_change_that_the_search_index_shows_late(deaf: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    late, other = deaf.called(), deaf.called(Receipt_Number="LIN2590011223")
    deaf.poll()
    deaf.attend()
    deaf.wait(hours=1)
    deaf.fill(late, Service_Center_Emailed_At=deaf.clock())
    hide_from_searches(deaf, monkeypatch, late)
    deaf.wait(minutes=OVERLAP.total_seconds() / 60 - 1)
    deaf.fill(other, NCSC_Representative="Mr. Boyd")
    deaf.poll()
    assert watermark(deaf) > late.updated
    monkeypatch.undo()
    assert deaf.poll().noticed >= 1
    deaf.attend()
    assert deaf.state(late).stage == "awaiting_service_center"


def test_a_new_ticket_that_seems_out_of_scope_because_the_index_lags(
    either: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its webhook comes first and it is taken for a foreign one; the poll finds it."""
    desk = either
    desk.called()
    desk.attend()
    desk.poll()
    monkeypatch.setattr(desk.source.tracker, "fetch", lambda ticket_id, *, with_history: None)
    new = desk.called(Receipt_Number="LIN2590011223")
    desk.attend()
    assert desk.store.tickets.get(NAME, str(new.id)) is None
    monkeypatch.undo()
    desk.hears = False
    desk.poll()
    desk.attend()
    assert desk.state(new).stage == "awaiting_ncsc"


def test_a_poll_that_breaks_off_is_made_again_from_the_same_place(deaf: Desk) -> None:
    deaf.called()
    deaf.poll()
    deaf.attend()
    before = watermark(deaf)
    deaf.wait(hours=1)
    deaf.world.page_limit = 1
    for number in range(4):
        deaf.called(Receipt_Number=f"LIN25901{number:05}")
        deaf.wait(hours=1)
    faults = deaf.server.faults
    faults.add("*", "/search", callback=lambda: faults.add("*", "/search", status=502) and None)
    with pytest.raises(TrackerError):
        deaf.poll()
    assert watermark(deaf) == before
    deaf.world.page_limit = 100
    deaf.poll()
    deaf.attend()
    assert sum(state.stage == "awaiting_ncsc" for state in deaf.store.tickets.list_tickets(NAME)) == 5


@pytest.mark.parametrize(
    ("fault", "minutes"),
    [({"status": 401, "times": 9}, 5), ({"status": 429, "headers": {"Retry-After": "600"}}, 10), ({"status": 502}, 0)],
    ids=["credentials", "limit", "down"],
)
def test_what_a_failed_poll_means_for_the_source(desk: Desk, fault: dict[str, Any], minutes: int) -> None:
    desk.poll()
    desk.server.faults.add("*", "", **fault)
    assert not poll_quietly(desk.source, desk.store, desk.clock)
    paused_until = desk.store.sources.get(NAME).paused_until
    assert paused_until == (desk.clock() + timedelta(minutes=minutes) if minutes else None)


def test_a_ticket_stamped_in_the_future_hides_no_change(deaf: Desk) -> None:
    """Guards against a watermark that no later change can pass."""
    issue, strange = deaf.called(), deaf.called(Receipt_Number="LIN2590011223")
    strange.updated = deaf.clock() + timedelta(days=365)
    deaf.poll()
    deaf.attend()
    assert watermark(deaf) == deaf.clock()
    deaf.wait(hours=1)
    deaf.fill(issue, Service_Center_Emailed_At=deaf.clock())
    deaf.poll()
    deaf.attend()
    assert deaf.state(issue).stage == "awaiting_service_center"


def test_a_watermark_from_a_clock_that_was_set_back_hides_no_change(deaf: Desk) -> None:
    issue = deaf.called()
    deaf.poll()
    deaf.attend()
    deaf.store.sources.polled(NAME, watermark=deaf.clock() + timedelta(days=365), now=deaf.clock())
    deaf.wait(hours=1)
    deaf.fill(issue, Service_Center_Emailed_At=deaf.clock())
    deaf.poll()
    deaf.attend()
    assert deaf.state(issue).stage == "awaiting_service_center"


def test_a_poll_of_everything_and_its_progress(start: Callable[..., Desk]) -> None:
    desk = start("cloud")
    desk.hears = False
    for number in range(3):
        desk.called(Receipt_Number=f"WAC25901{number:05}")
    desk.poll()
    desk.attend()
    desk.wait(days=2)
    counted: list[int] = []
    polled = poll(desk.source, desk.store, desk.clock, everything=True, progress=counted.append)
    assert counted == [1, 2, 3]
    assert polled.seen == 3
