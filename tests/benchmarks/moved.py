"""The real `connector` with a clock that the benchmark moves, as tests/system/child.py has it, but seldom looked up.

    python -m tests.benchmarks.moved CLOCK_FILE COMMAND...

The file's seconds are read ten times a second at most: read at each look at the clock they would cost a tenth of what
is measured.
"""

import sys
import time
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

from connector import application
from connector.cli import main as connector

_STALE = 0.1  # seconds


def move_clock(file: Path) -> None:
    """What the product calls the machine's clock (application.utc_now) is from now on that of the file."""

    class Moved:
        ahead, read_at = timedelta(), -1.0

        @classmethod
        def now(cls, zone: tzinfo) -> datetime:
            if time.monotonic() - cls.read_at > _STALE:
                cls.ahead, cls.read_at = timedelta(seconds=float(file.read_text())), time.monotonic()
            return datetime.now(zone) + cls.ahead

    application.datetime = Moved  # type: ignore[attr-defined,assignment]  # whoever holds utc_now gets the moved time


if __name__ == "__main__":
    move_clock(Path(sys.argv[1]))
    connector(sys.argv[2:], prog_name="connector")
