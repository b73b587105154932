"""The real `connector` as the version after this one might be: with one more step of migration, which only adds.

    python -m tests.faults.next_version CLOCK_FILE STEP_FILE [--beat SECONDS] COMMAND...

CLOCK_FILE   as for tests/system/child.py
STEP_FILE    the step, after all of our own
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from connector.attention import clock as metronome
from connector.cli import main as connector
from connector.store import migrations
from tests.system.child import move_clock


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("clock_file", type=Path)
    parser.add_argument("step_file", type=Path)
    parser.add_argument("--beat", type=float, default=metronome.ATTEND_SECONDS)
    parser.add_argument("command", nargs="+")
    given = parser.parse_args()

    move_clock(given.clock_file)
    metronome.ATTEND_SECONDS = given.beat
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(migrations._FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        shutil.copy(given.step_file, Path(folder) / "versions")
        migrations._FOLDER = Path(folder)
        connector(given.command, prog_name="connector")


if __name__ == "__main__":
    main()
