"""For the record: what a wait costs where each is a job of a scheduler or of a task queue."""

import asyncio
import pickle
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler

from tests.benchmarks.databases import POSTGRESQL, Databases
from tests.benchmarks.tables import Table

DUE, ROUNDS = 100, 5
_BASE = datetime(2027, 1, 4, 14, 0, tzinfo=UTC)
_COLUMNS = ("", "waits", "add one ms", "idle look ms", f"{DUE} due ms")


def table(folder: Path, made: Databases, size: int) -> Table:
    """One row for each of them and each database that can be had."""
    found = Table("For the record, a job for each wait", _COLUMNS)
    for kind in made.kinds:
        found.rows.append(_row(f"APScheduler, {kind}", size, _apscheduler(made.new(kind), size)))
    if POSTGRESQL in made.kinds:
        found.rows.append(
            _row("procrastinate, PostgreSQL", size, asyncio.run(_procrastinate(made.new(POSTGRESQL), size)))
        )
    found.notes.append(
        "APScheduler: its due jobs are read and moved to their next time. procrastinate: each is fetched."
    )
    return found


def _row(name: str, size: int, milliseconds: tuple[float, float, float]) -> list[str]:
    return [name, f"{size:,}", *(f"{each:.2f}" for each in milliseconds)]


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - begun)


def nothing() -> None:
    """What every job does."""


def _apscheduler(url: str, size: int) -> tuple[float, float, float]:
    """Jobs are put into its table directly: by its own add_job a hundred thousand would take minutes."""
    scheduler = BackgroundScheduler(timezone=UTC, jobstores={"default": SQLAlchemyJobStore(url=url)})
    scheduler.start(paused=True)
    store: Any = scheduler._jobstores["default"]
    far = _BASE + timedelta(days=1)
    adding = [
        _timed(partial(scheduler.add_job, nothing, "date", run_date=far, id=f"added-{number}")) for number in range(50)
    ]
    pattern = store.lookup_job("added-0").__getstate__()
    rows = []
    for number in range(size):
        due = _BASE + timedelta(milliseconds=number)
        state = {**pattern, "id": f"wait-{number}", "next_run_time": due}
        rows.append({"id": state["id"], "next_run_time": due.timestamp(), "job_state": pickle.dumps(state, -1)})
    with store.engine.begin() as connection:
        connection.execute(store.jobs_t.insert(), rows)

    def handle(now: datetime) -> None:
        for job in store.get_due_jobs(now):
            job._modify(next_run_time=far)
            store.update_job(job)

    idle, busy = [], []
    for number in range(ROUNDS):
        nothing_due = _BASE + timedelta(milliseconds=DUE * number - 1)
        idle.append(_timed(partial(handle, nothing_due)))
        busy.append(_timed(partial(handle, nothing_due + timedelta(milliseconds=DUE))))
    scheduler.shutdown()
    return median(adding), median(idle), median(busy)


async def _procrastinate(url: str, size: int) -> tuple[float, float, float]:
    from procrastinate import App, PsycopgConnector  # noqa: PLC0415  only where PostgreSQL is measured

    plain = url.replace("postgresql+psycopg", "postgresql")
    app = App(connector=PsycopgConnector(conninfo=plain, min_size=1, max_size=1))
    wait = app.task(name="wait")(nothing)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        far = datetime.now(UTC) + timedelta(days=30)
        adding = []
        for _ in range(50):
            begun = time.perf_counter()
            await wait.configure(schedule_at=far).defer_async()
            adding.append(1000 * (time.perf_counter() - begun))
        await app.connector.execute_query_async(
            "insert into procrastinate_jobs (queue_name, task_name, status, scheduled_at)"
            f" select 'default', 'wait', 'todo', %(far)s from generate_series(1, {size})",
            far=far,
        )
        await app.connector.execute_query_async("analyze procrastinate_jobs")
        worker = await app.job_manager.register_worker()
        idle, busy = [], []
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            await app.job_manager.fetch_job(queues=None, worker_id=worker)
            idle.append(1000 * (time.perf_counter() - begun))
            await app.connector.execute_query_async(
                "update procrastinate_jobs set scheduled_at = now() - interval '1 minute' where id in"
                f" (select id from procrastinate_jobs where status = 'todo' limit {DUE})"
            )
            begun = time.perf_counter()
            for _ in range(DUE):
                await app.job_manager.fetch_job(queues=None, worker_id=worker)
            busy.append(1000 * (time.perf_counter() - begun))
    return median(adding), median(idle), median(busy)
