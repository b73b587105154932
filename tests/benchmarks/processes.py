"""Processes that a benchmark starts: waited for, weighed by what the kernel says of them, and ended."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0  # seconds until a benchmark gives up waiting
_TICKS = os.sysconf("SC_CLK_TCK")


class Child:
    """`python ARGUMENTS` in `folder`, its errors in a file there. Use as a context: it ends with the block."""

    def __init__(self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CONNECTOR_")}
        self.log = folder / f"errors-{time.monotonic_ns()}.log"
        with self.log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=folder,
                env=kept | {"PYTHONPATH": str(ROOT)} | dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            )

    def __enter__(self) -> "Child":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def line(self) -> str:
        """The next line that it prints."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode().strip()
        if not line:
            raise RuntimeError(f"a process of the benchmark ended early:\n{self.log.read_text()[-2000:]}")
        return line

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if that does not help."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def cpu(self) -> float:
        """Seconds of processor time so far, its children's included."""
        return sum(_cpu_of(pid) for pid in _family(self.pid))

    def memory(self) -> float:
        """Resident set in MB (10^6 bytes), its children's included."""
        return sum(_memory_of(pid) for pid in _family(self.pid))


def wait_until(condition: Callable[[], object], what: str, seconds: float = PATIENCE, pause: float = 0.01) -> None:
    """Return as soon as the condition holds; RuntimeError if it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {seconds:g} s in vain until {what}")
        time.sleep(pause)


def _family(pid: int) -> list[int]:
    family = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread that has just ended
            for child in (task / "children").read_text().split():
                family += _family(int(child))
    return family


def _cpu_of(pid: int) -> float:
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / _TICKS


def _memory_of(pid: int) -> float:
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return resident * os.sysconf("SC_PAGE_SIZE") / 1e6
