"""The real `connector`, as a process whose clock the test moves and whose moment of death the test chooses.

    python tests/system/child.py CLOCK_FILE [--beat SECONDS] [--die WHERE]... COMMAND...

CLOCK_FILE   seconds (a number) by which this process's clock is ahead of the machine's; read at each look at the clock
--beat       seconds between two attention rounds, in place of the product's one
--die WHERE  end by SIGKILL, as a power cut would: `Acts.start:after:2` after the second call of Acts.start returned,
             `JiraTracker.move:before:1` before the first call of JiraTracker.move begins

Everything else is the product as it is shipped: it holds no hook for this.
"""

import argparse
import functools
import itertools
import os
import signal
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

from connector import application
from connector.attention import clock as metronome
from connector.cli import main as connector
from connector.store.acts import Acts
from connector.store.attention import Attention
from connector.store.sources import Sources
from connector.trackers.jira import JiraTracker
from connector.trackers.request_tracker import RequestTracker
from connector.trackers.zammad import ZammadTracker

MORTAL = {each.__name__: each for each in (Attention, Acts, Sources, JiraTracker, RequestTracker, ZammadTracker)}


def move_clock(file: Path) -> None:
    """What the product calls the machine's clock (application.utc_now) is from now on that of the file."""

    class Moved:
        @staticmethod
        def now(zone: tzinfo) -> datetime:
            return datetime.now(zone) + timedelta(seconds=float(file.read_text()))

    # Whoever holds the function already, as a default or under another name, gets the moved time as well.
    application.datetime = Moved  # type: ignore[attr-defined,assignment]  # as said


def die_at(where: str) -> None:
    """See the module's text."""
    path, when, number = where.split(":")
    owner, _, name = path.partition(".")
    genuine = getattr(MORTAL[owner], name)
    calls = itertools.count(1)

    @functools.wraps(genuine)
    def mortal(*args: Any, **kwargs: Any) -> Any:
        is_last = next(calls) == int(number)
        if is_last and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = genuine(*args, **kwargs)
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(MORTAL[owner], name, mortal)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("clock_file", type=Path)
    parser.add_argument("--beat", type=float)
    parser.add_argument("--die", action="append", default=[])
    parser.add_argument("command", nargs="+")
    given, options = parser.parse_known_args()  # options of the command are the connector's own

    move_clock(given.clock_file)
    if given.beat:
        metronome.ATTEND_SECONDS = given.beat
    for where in given.die:
        die_at(where)
    connector([*given.command, *options], prog_name="connector")


if __name__ == "__main__":
    main()
