"""A node that is not forked from the zygote, as it is another program: one that stops itself, or the next version."""

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from connector.attention import clock as metronome
from connector.cli import main as connector
from tests.faults.nodes import Node
from tests.system.child import move_clock


class Spawned(Node):
    """`python -m MODULE CLOCK_FILE FILE COMMAND...`, as tests/faults/stopping.py and next_version.py have it."""

    def __init__(self, folder: Path, clock_file: Path, *args: Any, module: str, file: Path, **settings: Any) -> None:
        super().__init__(folder, clock_file, *args, **settings)
        self.module, self.file = module, file

    def _fork(self, words: Sequence[str], deaths: Sequence[str] = ()) -> None:
        assert not self.alive
        assert not deaths
        output = self.folder / f"output-{len(self.outputs) + 1}.log"
        self.outputs.append(output)
        command = [sys.executable, "-m", self.module, str(self.clock_file), str(self.file), f"--beat={self.beat}"]
        with output.open("wb") as stream:
            self._process = subprocess.Popen(
                [*command, *words],
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )

    def environment(self) -> dict[str, str]:
        return super().environment() | {"CONNECTOR_POLL_SECONDS": str(int(self.poll_seconds))}


def be_a_node(changed: Callable[[Path], AbstractContextManager[object]]) -> None:
    """What such a program does: run the connector, on a clock that is moved, within what `changed` makes of FILE."""
    parser = argparse.ArgumentParser()
    parser.add_argument("clock_file", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--beat", type=float, default=metronome.ATTEND_SECONDS)
    parser.add_argument("command", nargs="+")
    given = parser.parse_args()

    move_clock(given.clock_file)
    metronome.ATTEND_SECONDS = given.beat
    with changed(given.file):
        connector(given.command, prog_name="connector")
