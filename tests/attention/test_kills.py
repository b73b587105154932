"""A kill after every single step of a look. After the restart each act is done, and done once."""

from collections.abc import Callable
from typing import Any

from connector.practice.world import Issue
from tests.attention.conftest import IN_DOUBT, Desk

# claim, renew and postpone change nothing that a kill after the step before would not leave as well.
WRITES = {
    "attention": ("settle", "stick", "forget", "wake"),
    "acts": ("start", "finish", "adopt", "drop_started"),
}
CALLS = ("fetch", "post_comment", "move", "set_moment", "set_due")


class Killed(BaseException):
    """Nothing catches it and nothing runs after it, as after kill -9."""


class Steps:
    """Counts the steps of the looks, and kills after the one of that number; None: after none."""

    def __init__(self, desk: Desk, kill_after: int | None) -> None:
        self.done = 0
        self._kill_after = kill_after
        for part, names in WRITES.items():
            self._watch(getattr(desk.store, part), names)
        self._watch(desk.source.tracker, CALLS)

    def _watch(self, thing: Any, names: tuple[str, ...]) -> None:
        for name in names:
            setattr(thing, name, self._counted(getattr(thing, name)))

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **more: Any) -> Any:
            if self.done == self._kill_after:
                raise Killed
            answer = call(*args, **more)
            self.done += 1
            return answer

        return counted


def looks_with_a_kill(desk: Desk, kill_after: int | None) -> int:
    """Attend, being killed once, and again after the restart until nothing is left. Returns the steps to the kill."""
    steps = Steps(desk, kill_after)
    try:
        desk.attend()
    except Killed:
        desk.use_tracker()
        desk.kill()
        desk.attend()
        desk.wait(seconds=IN_DOUBT.total_seconds())
        desk.attend()
        desk.wait(minutes=5)  # whatever was postponed
        desk.attend()
    else:
        desk.use_tracker()
        desk.kill()
    return steps.done


def every_kill(desk: Desk, arrange: Callable[[int], list[Issue]], expected: Callable[[list[Issue]], object]) -> None:
    undisturbed = arrange(0)
    count = looks_with_a_kill(desk, None)
    hoped_for = expected(undisturbed)
    assert count > 8
    for kill_after in range(count):
        issues = arrange(kill_after + 1)
        assert looks_with_a_kill(desk, kill_after) == kill_after
        assert expected(issues) == hoped_for, f"killed after step {kill_after}"
        desk.assert_nothing_doubled()
        assert all(desk.store.acts.started("cases", str(issue.id)) == {} for issue in issues)


def test_killed_at_a_letter_and_at_twins(desk: Desk) -> None:
    desk.hears = False  # so that nothing but the twin itself wakes the other one

    def arrange(number: int) -> list[Issue]:
        receipt = f"WAC25901{number:05}"
        older = desk.called(Receipt_Number=receipt)
        desk.poll()
        desk.attend()
        newer = desk.overdue_call(Receipt_Number=receipt)
        desk.store.attention.notice("cases", str(newer.id), newer.key, desk.clock())
        return [older, newer]

    def expected(issues: list[Issue]) -> object:
        older, newer = issues
        told = [
            [line.replace(older.key, "older").replace(newer.key, "newer") for line in desk.said(issue)]
            for issue in issues
        ]
        assert len(told[0]) == 1
        assert len(told[1]) == 2
        return told, [desk.own_moves(issue) for issue in issues], [desk.state(issue).stage for issue in issues]

    every_kill(desk, arrange, expected)


def test_killed_at_a_record_a_move_and_a_due_date(start: Callable[..., Desk]) -> None:
    desk = start("data-center")

    def arrange(number: int) -> list[Issue]:
        desk.hears = False
        issue = desk.called(35, Receipt_Number=f"SRC25901{number:05}")
        desk.world.move_to(issue, "E-mailed Service Center")
        desk.hears = True
        desk.store.attention.notice("cases", str(issue.id), issue.key, desk.clock())
        return [issue]

    def expected(issues: list[Issue]) -> object:
        [issue] = issues
        assert desk.value(issue, "Service Center Emailed At") is not None
        assert issue.values["duedate"] is not None
        return desk.own_moves(issue), desk.said(issue), desk.state(issue).stage, len(issue.history)

    every_kill(desk, arrange, expected)


def test_killed_when_it_could_only_say_that_it_cannot_move(desk: Desk) -> None:
    workflow = desk.world.transitions
    desk.world.transitions = [each for each in workflow if each.name != "Move to Awaiting NCSC"]

    def arrange(number: int) -> list[Issue]:
        return [desk.called(Receipt_Number=f"LIN25901{number:05}")]

    def expected(issues: list[Issue]) -> object:
        [issue] = issues
        assert len(desk.said(issue)) == 1
        return desk.said(issue), desk.own_moves(issue), desk.state(issue).error

    every_kill(desk, arrange, expected)
