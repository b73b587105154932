"""Making what a tracker lacks: first the plan, then one thing after the other, up to the first that fails."""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from connector.trackers.port import TrackerError
from connector.trackers.setup_port import Setup, Task, Wanted

_MARKS = {"there": "is there", "lacking": "to make", "by_hand": "by hand"}
_WIDTH = max(len(mark) for mark in _MARKS.values())
_WIDEST = 100  # columns


@dataclass(frozen=True, slots=True)
class Provisioned:
    """What came of carrying out a plan. `failed` is the task that could not be done, with the reason; then it ended."""

    made: tuple[Task, ...] = ()
    failed: Task | None = None
    reason: str = ""


def carry_out(
    setup: Setup, wanted: Wanted, tasks: Sequence[Task], progress: Callable[[Task], object] = lambda _: None
) -> Provisioned:
    """Do what the plan says is lacking, in its order. `progress` is told of each thing that was made."""
    made: list[Task] = []
    for task in tasks:
        if task.state != "lacking":
            continue
        try:
            setup.carry_out(wanted, task)
        except TrackerError as error:
            return Provisioned(tuple(made), task, error.message)
        made.append(task)
        progress(task)
    return Provisioned(tuple(made))


def lacking(tasks: Sequence[Task]) -> list[Task]:
    """What the command can make."""
    return [task for task in tasks if task.state == "lacking"]


def by_hand(tasks: Sequence[Task]) -> list[Task]:
    """What a person has to do."""
    return [task for task in tasks if task.state == "by_hand"]


def plan_text(tasks: Sequence[Task]) -> str:
    """The plan for a person: a line for each thing; below it what stands in its place, and what to do by hand."""
    lines = []
    for task in tasks:
        lines.append(_wrapped(f"{_MARKS[task.state]:<{_WIDTH}}  ", task.what))
        lines += [_wrapped(" " * (_WIDTH + 4), each) for each in (task.trouble, task.by_hand) if each]
    return "\n".join(lines)


def _wrapped(start: str, text: str) -> str:
    """The text after `start`, its further lines below where it began. An address is never broken."""
    return textwrap.fill(
        text,
        _WIDEST,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )


def task_json(task: Task) -> dict[str, str]:
    """A task as `provision --json` prints it."""
    return {"id": task.id, "what": task.what, "state": task.state, "by_hand": task.by_hand, "trouble": task.trouble}
