"""The real `connector run` beside a real Request Tracker, killed at every point and started again."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from tests.live.beside import Beside, refs_of
from tests.live.request_tracker import CALL, NAME, Rt, step_1
from tests.system.process import wait_for

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

# Between fetch and done: each step of a look, before and after, at several acts of it.
DEATHS = (
    *(f"RequestTracker.{call}" for call in ("fetch:after:1", "fetch:after:3", "edit:before:1", "edit:before:4")),
    *(f"RequestTracker.edit:after:{number}" for number in (1, 2, 3, 5, 7)),
    *(f"Acts.start:{when}" for when in ("before:1", "after:1", "after:3", "after:5")),
    *(f"Acts.finish:{when}" for when in ("before:1", "before:2", "before:4", "after:1", "after:3")),
    *(f"Attention.settle:{when}" for when in ("before:1", "after:1", "before:3")),
    "Attention.claim:after:1",
)
LETTERS = {
    "email_service_center": "E-mail the California Service Center now: csc-ncsc-followup@dhs.gov",
    "email_headquarters": "E-mail Headquarters now: SCOPSSCATA@dhs.gov",
}


def ago(**span: float) -> datetime:
    return (datetime.now(UTC) - timedelta(**span)).replace(microsecond=0)


def due_cases(rt: Rt) -> dict[str, str]:
    """Ticket -> the first line of the one comment that is due on it."""
    called: dict[str, Any] = {"NCSC_Called_At": ago(days=70), **CALL}
    return {
        rt.create(Receipt_Number="WAC2590999901"): "Before the call, please complete this ticket",
        rt.create(**step_1(902)): "Ready to call the NCSC: 1-800-375-5283",
        rt.create(**step_1(903), **called): LETTERS["email_service_center"],
        rt.create(**step_1(904), **called, Service_Center_Emailed_At=ago(days=30)): LETTERS["email_headquarters"],
    }


def test_killed_at_every_point_nothing_is_lost_and_nothing_said_twice(
    rt: Rt, beside: Beside, capsys: pytest.CaptureFixture[str]
) -> None:
    due = due_cases(rt)
    later = iter(range(905, 905 + len(DEATHS)))
    kills = 0
    for death in DEATHS:
        due[rt.create(**step_1(next(later)))] = "Ready to call the NCSC: 1-800-375-5283"  # told by a hook that is lost
        polls = len(beside.logged("polled"))
        beside.start([death])
        wait_for(partial(_is_over, beside, polls), "it dies or has done all")
        kills += not beside.alive
        beside.kill()
        beside.let_doubts_pass()
    assert beside.start()
    wait_for(lambda: all(refs_of(rt, ticket_id) for ticket_id in due), "every act is done", seconds=120)
    wait_for(lambda: not _is_busy(beside), "the looks come to an end")
    assert beside.stop() == 0

    missed = [ticket_id for ticket_id, line in due.items() if not any(line in text for text in rt.comments(ticket_id))]
    doubled = {ticket_id: refs for ticket_id in due if (refs := refs_of(rt, ticket_id)) and max(refs.values()) > 1}
    with capsys.disabled():
        print(f"\nRequest Tracker: {kills} kills, {len(due)} acts due, missed {len(missed)}, doubled {len(doubled)}")  # noqa: T201  the suite's figures
    assert kills > len(DEATHS) // 2
    assert missed == []
    assert doubled == {}


def test_a_hook_wakes_the_running_connector(rt: Rt, beside: Beside) -> None:
    assert beside.start()
    ticket_id = rt.create(**step_1(801))
    wait_for(lambda: rt.status(ticket_id) == "Call NCSC" and refs_of(rt, ticket_id), "the call sheet arrives")
    rt.fill(ticket_id, NCSC_Called_At=ago(days=70), **CALL)
    wait_for(lambda: rt.status(ticket_id) == "E-mail Service Center", "the letter arrives")
    rt.put(ticket_id, Status="E-mailed Service Center")
    wait_for(lambda: rt.status(ticket_id) == "Awaiting Service Center", "the moment is recorded")
    assert beside.metric("connector_webhooks_total", source=NAME, result="accepted") >= 3
    assert beside.metric("connector_webhooks_total", source=NAME, result="refused_signature") == 0
    assert beside.stop() == 0
    assert max(refs_of(rt, ticket_id).values()) == 1


def _is_over(beside: Beside, polls_before: int) -> bool:
    return not beside.alive or _has_done_all(beside, polls_before)


def _has_done_all(beside: Beside, polls_before: int) -> bool:
    """It has polled, and nothing is left to do now."""
    return len(beside.logged("polled")) > polls_before and (beside.is_held_up(beside.now) or not _is_busy(beside))


def _is_busy(beside: Beside) -> bool:
    return not beside.database.exists() or beside.is_busy(beside.now)
