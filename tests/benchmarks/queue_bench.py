"""2. The queue: claiming when nothing is due, and claiming 100 due, with few and with millions of open tickets.

Baseline: one table `(id, attend_at, lease_until, lease_token)` with an index on attend_at, as large, claimed by
hand-written SQL through the bare driver, just as durably. For the record: a job per wait in APScheduler's own store,
and procrastinate.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import text

from connector.store import Store, open_database
from connector.store.database import Database
from tests.benchmarks import bare_queues, record
from tests.benchmarks.databases import Databases, databases
from tests.benchmarks.filling import BASE, STEP, fill
from tests.benchmarks.tables import Law, Measures, Table, interleaved, median, ratios, with_spread

DUE = 100
MOST_GROWTH, MOST_OF_BARE = 1.2, 2.0
LEASE = timedelta(minutes=5)
IDLE_LOOKS = 100  # in one measure
_COLUMNS = ("open tickets", "idle look ms", "of bare", f"claim {DUE} due ms", "of bare")


def run(folder: Path, *, quick: bool) -> list[Table]:
    """A table for each database, and one of the others."""
    sizes = (10_000, 300_000) if quick else (10_000, 1_000_000, 10_000_000)
    rounds = 9 if quick else 25
    with databases(folder) as made:
        tables = [_measured(made, kind, sizes, rounds) for kind in made.kinds]
        tables.append(record.table(folder, made, 20_000 if quick else 100_000))
    if made.missing:
        tables[0].notes.append(made.missing)
    return tables


def _measured(made: Databases, kind: str, sizes: tuple[int, ...], rounds: int) -> Table:
    with ExitStack() as stack:
        variants: dict[str, Callable[[], Measures]] = {}
        for size in sizes:
            variants[f"{size}"] = stack.enter_context(_product(made.new(kind), size))
            variants[f"{size} bare"] = stack.enter_context(bare_queues.opened(made.new(kind), size))
        made.rest()
        interleaved(variants, 2)  # statements are compiled, pages are read
        results = interleaved(variants, rounds)
    return _table(kind, sizes, results)


@contextmanager
def _product(url: str, size: int) -> Iterator[Callable[[], Measures]]:
    """measure() of the product's queue with so many open tickets."""
    database = open_database(url, exclusive=True)
    try:
        fill(database, size)
        yield partial(_look, database, Store(database), _Hand())
    finally:
        database.close()


class _Hand:
    """How many of the tickets, in the order in which they get due, were claimed already."""

    claimed = 0


def _look(database: Database, store: Store, hand: _Hand) -> Measures:
    limits = {"cases": DUE}
    nothing_due = BASE + STEP * hand.claimed - STEP
    begun = time.perf_counter()
    for _ in range(IDLE_LOOKS):
        if store.attention.claim(nothing_due, limits, LEASE):
            raise RuntimeError("something was due that should not be")
    idle = (time.perf_counter() - begun) / IDLE_LOOKS

    hand.claimed += DUE
    begun = time.perf_counter()
    claims = store.attention.claim(BASE + STEP * hand.claimed - STEP, limits, LEASE)
    busy = time.perf_counter() - begun
    if len(claims) != DUE:
        raise RuntimeError(f"{len(claims)} claimed instead of {DUE}")
    _settle_all(database)
    return {"idle": 1000 * idle, "busy": 1000 * busy}


def _settle_all(database: Database) -> None:
    """What the looks would do, in one statement, as it is not measured: the next wait is a year away."""
    statement = text(
        "update tickets set attend_at = attend_at + 31536000000000, lease_until = null, lease_token = null,"
        " attempts = 0 where source = 'cases' and lease_until is not null"
    )
    database.write(lambda connection: connection.execute(statement))


def _table(kind: str, sizes: tuple[int, ...], results: dict[str, list[Measures]]) -> Table:
    table = Table(f"The queue, {kind}", _COLUMNS)
    for size in sizes:
        ours, bare = results[f"{size}"], results[f"{size} bare"]
        row = [f"{size:,}"]
        for measure in ("idle", "busy"):
            row += [f"{median(ours, measure):.3f}", with_spread(ratios(ours, bare, measure))]
        table.rows.append(row)
    for measure, what in (("idle", "idle look"), ("busy", f"claim of {DUE}")):
        medians = [median(results[f"{size}"], measure) for size in sizes]
        growth = medians[-1] / medians[0]
        table.laws.append(
            Law(f"{what}: the largest at most {MOST_GROWTH} x the smallest", f"{growth:.2f}", growth <= MOST_GROWTH)
        )
        shares = [statistics.median(ratios(results[f"{size}"], results[f"{size} bare"], measure)) for size in sizes]
        worst = max(shares)
        table.laws.append(
            Law(f"{what}: at most {MOST_OF_BARE:.0f} x bare, at any size", f"{worst:.2f}", worst <= MOST_OF_BARE)
        )
    return table
