"""The real `connector`, as a process that stops itself (SIGSTOP) where the test says, over and over.

    python -m tests.faults.stopping CLOCK_FILE PLACE_FILE [--beat SECONDS] COMMAND...

CLOCK_FILE   as for tests/system/child.py
PLACE_FILE   where to stop next, if there is that file: `Acts.start after 2`, after the second call of Acts.start
             returned, counted since the file is there. It is removed before the process stops.
"""

import functools
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from connector.attention.attend import Attendant
from connector.trackers.jira_api import JiraApi
from connector.trackers.late import Timely
from connector.trackers.pace import Pace
from tests.faults.spawned import be_a_node
from tests.system.child import MORTAL

POINTS = {each.__name__: each for each in (Attendant, JiraApi, Pace, Timely)} | MORTAL


class Place:
    """Where to stop next. Thread safe."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._calls = 0

    def pass_by(self, point: str, when: str) -> None:
        """Stop, if it is here."""
        with self._lock:
            try:
                where, at, number = self._file.read_text().split()
            except FileNotFoundError:
                return
            if (where, at) != (point, when):
                return
            self._calls += 1
            if self._calls < int(number):
                return
            self._calls = 0
            self._file.unlink()
            # To this thread, which then takes no step more; sent to the process, another may be told first.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


def watch(point: str, place: Place) -> None:
    """Let calls of `Owner.method` pass by the place."""
    owner, _, name = point.partition(".")
    genuine = getattr(POINTS[owner], name)

    @functools.wraps(genuine)
    def watched(*args: Any, **kwargs: Any) -> Any:
        place.pass_by(point, "before")
        result = genuine(*args, **kwargs)
        place.pass_by(point, "after")
        return result

    setattr(POINTS[owner], name, watched)


WATCHED = (
    "Attendant.attend",
    "Attention.settle",
    "Acts.adopt",
    "Acts.start",
    "Acts.finish",
    "JiraTracker.fetch",
    "JiraTracker.move",
    "JiraTracker.post_comment",
    "JiraApi.post",
    "Pace.wait",
    "Timely.send",
)


@contextmanager
def stopping_at(file: Path) -> Iterator[None]:
    """It stops at the place of the file."""
    place = Place(file)
    for point in WATCHED:
        watch(point, place)
    yield


if __name__ == "__main__":
    be_a_node(stopping_at)
