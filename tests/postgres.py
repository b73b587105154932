"""A PostgreSQL server of the tests' own, thrown away afterwards; or the one that CONNECTOR_TEST_POSTGRESQL names.

It is a real one, found where Debian and most others put it, run by a user who is not root, on a free port of loopback,
with fsync on.
"""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

GIVEN = os.environ.get("CONNECTOR_TEST_POSTGRESQL", "")  # the URL of a database that may be emptied
_USER = "connector"


class Server:
    """A cluster that can be stopped and started. `url` is that of its one database, empty at first."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder = programs, folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"postgresql://{_USER}@127.0.0.1:{self.port}/{_USER}"
        self._first_url = self.url.removesuffix(_USER) + "postgres"  # the database that is there from the start
        self._process: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        """Make the cluster, with one user and one database."""
        self._run(
            "initdb", "--pgdata", "data", "--auth", "trust", "--username", _USER, "--encoding", "UTF8", "--no-sync"
        )
        self.start()
        with psycopg.connect(self._first_url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {_USER}")

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 200,
        }
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*as_ordinary_user(), self._programs / "postgres", "-D", "data", *words],
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + 20
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < until, "PostgreSQL does not start"
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: by SIGINT, cutting every connection; by SIGQUIT, like a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(20)
            self._process = None

    def send(self, what: signal.Signals) -> None:
        """Send a signal to the server and all its sessions (SIGSTOP: it hangs, SIGCONT: it goes on)."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text(encoding="ascii")
        for process in (self._process.pid, *map(int, children.split())):
            os.kill(process, what)

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(self._first_url, connect_timeout=2).close()
            return True
        return False

    def _run(self, program: str, *words: str) -> None:
        subprocess.run(
            [*as_ordinary_user(), self._programs / program, *words],
            cwd=self._folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )


@contextlib.contextmanager
def postgresql_server() -> Iterator[Server]:
    """A server of one's own, running. Skips the test where PostgreSQL is not installed."""
    folder = Path(
        tempfile.mkdtemp(prefix="connector-postgresql-")
    )  # not below pytest's, which only its owner may enter
    server = Server(server_programs(), folder)
    try:
        if os.geteuid() == 0:
            owner = ordinary_user()
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        server.make()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@contextlib.contextmanager
def postgresql_url() -> Iterator[str]:
    """The URL of a database that may be emptied: the one given, or that of a server of one's own."""
    if GIVEN:
        yield GIVEN
    else:
        with postgresql_server() as server:
            yield server.url


def emptied(url: str) -> str:
    """The same URL, after everything in its database was removed."""
    libpq = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(libpq, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return url


def server_programs() -> Path:
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    pytest.skip("no PostgreSQL server is installed here (Debian: apt install postgresql), and none is given by URL")


def ordinary_user() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    pytest.skip("PostgreSQL does not run as root, and there is no other user here")


def as_ordinary_user() -> Sequence[str]:
    """The words before a command with which root runs it as somebody else."""
    if os.geteuid() != 0:
        return ()
    user = ordinary_user()
    return ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--")
