"""A process that has the connector imported and forks a node in some 10 ms, where it takes Python 600 or more.

    python -m tests.faults.zygote

Takes orders on its standard input and answers each on its standard output, as lines of JSON. Ends with its input, and
its children with it. The nodes are those of tests/system/child.py: a clock that the test moves, a moment of death that
it chooses. What a node claims bears its process id, so that a test knows whose lease it is (see leaseholder()).
"""

import contextlib
import gc
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any, Self

# Whatever a node imports: it finds it here.
from connector import kinds
from connector.attention import clock as metronome
from connector.attention.hands import Hands
from connector.cli import main as connector
from connector.practice import sample  # noqa: F401  as said
from connector.store import attention, postgresql  # noqa: F401  as said
from connector.store.bell import Bell
from connector.store.compiled import Compiled
from connector.store.database import Database
from tests.system import child

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Order:
    """A child to be forked. `deaths`: see tests/system/child.py; here also of Compiled, Database, Bell and Hands."""

    words: Sequence[str]  # the command line of the connector
    folder: str  # it works there
    output: str  # the file of its standard output and error
    clock_file: str
    environment: Mapping[str, str]
    deaths: Sequence[str] = ()
    beat: float | None = None  # seconds between two attention rounds, in place of the product's
    poll: float | None = None  # seconds between two polls, in place of what the settings say


class Forked:
    """A child of the zygote, as subprocess.Popen would show it."""

    def __init__(self, zygote: "Zygote", pid: int) -> None:
        self._zygote, self.pid = zygote, pid
        self._end = os.pidfd_open(pid)  # can be read once it has ended
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit status, negative after a signal; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended. Raises subprocess.TimeoutExpired after so many seconds."""
        if self.returncode is None:
            if not select.select([self._end], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(["connector"], timeout or 0)
            self.returncode = self._zygote.ask({"ended": self.pid})["status"]
            os.close(self._end)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


class Zygote:
    """Use as a context: it ends with the block. Thread safe."""

    module = "tests.faults.zygote"

    def __enter__(self) -> Self:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CONNECTOR_")}
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", self.module],
            cwd=ROOT,
            env=kept | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def fork(self, order: Order) -> Forked:
        """Start a node, and do not wait for it."""
        return Forked(self, self.ask({"fork": asdict(order)})["pid"])

    def ask(self, order: Mapping[str, Any]) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        with self._lock:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())


def leaseholder(token: str) -> int:
    """The process id of the node that made the claim with this token."""
    return int(token.partition("-")[0])


# Within the zygote


def serve() -> None:
    _load_trackers()
    gc.collect()
    gc.freeze()  # so that no child's collector writes to, and so copies, what all of them share
    children: set[int] = set()
    for line in sys.stdin:
        order = json.loads(line)
        if "fork" in order:
            pid = os.fork()
            if pid == 0:
                _be_a_node(Order(**order["fork"]))
            children.add(pid)
            answer = {"pid": pid}
        else:
            answer = {"status": _status(order["ended"], children)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _load_trackers() -> None:
    """What the children would import one by one."""
    for kind in kinds.names():
        kinds.load(kind)
        kinds.load_setup(kind)


def _status(pid: int, children: set[int]) -> int:
    _, status = os.waitpid(pid, 0)
    children.remove(pid)
    return os.waitstatus_to_exitcode(status)


def _be_a_node(order: Order) -> None:
    """Never returns."""
    status = 1
    try:
        _settle_in(order)
        connector([*order.words], prog_name="connector")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(status)


def _settle_in(order: Order) -> None:
    with Path(os.devnull).open("rb") as nothing, Path(order.output).open("ab") as output:
        for ours, stream in ((0, nothing), (1, output), (2, output)):
            os.dup2(stream.fileno(), ours)
    os.chdir(order.folder)
    os.environ.clear()
    os.environ.update(order.environment)
    child.move_clock(Path(order.clock_file))
    if order.beat:
        metronome.ATTEND_SECONDS = order.beat
    attention.secrets = SimpleNamespace(  # type: ignore[assignment]  # all that is used of it
        token_hex=lambda number: f"{os.getpid()}-{secrets.token_hex(number)}"
    )
    child.MORTAL.update({each.__name__: each for each in (Bell, Compiled, Database, Hands)})
    for where in order.deaths:
        child.die_at(where)
    if order.poll:
        _poll_every(order.poll)


def _poll_every(seconds: float) -> None:
    """More often than the settings allow."""
    genuine = metronome.Metronome.__init__

    def made(self: metronome.Metronome, *args: Any, **settings: Any) -> None:
        genuine(self, *args, **settings | {"poll_seconds": seconds})

    metronome.Metronome.__init__ = made  # type: ignore[method-assign]  # as said


if __name__ == "__main__":
    serve()
