"""One commit for all who wait: SQLite has one writer at a time, and a small transaction mostly waits for the disk.

Whoever wants to write puts the work down and then takes the writer's lock. Who gets it does everything that lies there
in one transaction, and commits; the others find theirs done. No thread of its own, and nobody waits longer than for the
commit under way and the next one. (docs/decisions/0014-group-commit.md)
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Engine

from connector.store.compiled import driver_of

_T = TypeVar("_T")
_MOST = 64  # works in one transaction


class _Job(Generic[_T]):
    """A piece of work, and what became of it."""

    __slots__ = ("done", "error", "result", "work")

    def __init__(self, work: Callable[[Connection], _T]) -> None:
        self.work = work
        self.result: _T | None = None
        self.error: BaseException | None = None
        self.done = False


class GroupCommit:
    """The writers of one SQLite file. Thread safe."""

    def __init__(self, engine: Engine, check: Callable[[], None]) -> None:
        """`check` raises what is in the way of a commit: asked before the work, and just before the commit."""
        self._engine = engine  # its transactions are for writing
        self._check = check
        self.lock = threading.Lock()  # held by whoever writes
        self._connection: Connection | None = None  # kept: the way through the pool costs more than a small write
        self._waiting: deque[_Job[Any]] = deque()

    def run(self, work: Callable[[Connection], _T]) -> _T:
        """What `work` returned, once it is committed durably. Raises what it raised, and then nothing of it is kept.

        It is run by any of the waiting threads, so it takes nothing from its own, and never writes by another way.
        """
        job = _Job(work)
        self._waiting.append(job)
        with self.lock:
            while not job.done:
                self._commit_waiting()
        if job.error is not None:
            raise job.error
        return job.result  # type: ignore[return-value]  # a job without an error has its result

    def close(self) -> None:
        """Close the connection. May be called twice."""
        with self.lock:
            self._drop()

    def _commit_waiting(self) -> None:
        jobs = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST))]
        try:
            self._check()  # a new connection would make a file in the place of one that was removed
            if self._connection is None:
                self._connection = self._engine.connect()
            connection = self._connection
            driver = driver_of(connection)
            driver.execute("BEGIN IMMEDIATE")
            for job in jobs:
                self._do(job, connection, alone=len(jobs) == 1)
            self._check()
            driver.execute("COMMIT")
            if connection.in_transaction():  # as far as SQLAlchemy knows, if a job went through it
                connection.commit()
        except BaseException as error:  # noqa: BLE001  # raised again by each of those whose work is lost with it
            for job in jobs:
                job.error = job.error or error
            self._drop()
        finally:
            for job in jobs:
                job.done = True

    def _drop(self) -> None:
        """Take back what was not committed; the next to write gets a new connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _do(self, job: _Job[Any], connection: Connection, *, alone: bool) -> None:
        """Do one job of the transaction. If it fails it is taken back, and its neighbours are none the worse."""
        if alone:
            job.result = job.work(connection)
            return
        driver = driver_of(connection)
        driver.execute("SAVEPOINT job")
        try:
            job.result = job.work(connection)
        except Exception as error:  # raised again in the thread whose job it is
            job.error = error
            if not driver.in_transaction:
                raise  # a full disk, or the like: SQLite has taken back all
            driver.execute("ROLLBACK TO job")
        driver.execute("RELEASE job")
