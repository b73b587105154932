"""3. Ten thousand waits that pass at the same minute, at a tracker that answers at once and at one that takes 100 ms.

What the tracker and our hands allow: at 100 ms, every hand in a call all the time (calls x latency / hands); at once,
the same calls made by a bare loop in as many threads with the same HTTP library (bare_loop.py), in the same run.
"""

import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

from connector.application import load_sources
from connector.attention.source import Source
from connector.store import open_database
from connector.store.tables import tickets
from tests.benchmarks.processes import Child, wait_until
from tests.benchmarks.service import SOURCE, Service
from tests.benchmarks.tables import Law, Measures, Table, median, ratios, with_spread
from tests.benchmarks.tracker import ACTS, CALLED_AT, WAIT_PASSED_AT, WAITING, Control

HANDS = 16
LEAST_OF_POSSIBLE, MOST_CALLS = 0.9, 2.1
SLOW = 0.1  # seconds
_COLUMNS = ("tracker answers", "acts a second (by tenths)", "possible", "of that", "calls an act", "CPU an act, ms")


def run(folder: Path, *, quick: bool) -> list[Table]:
    """One table of both trackers."""
    waits, rounds = (600, 2) if quick else (10_000, 2)
    with Child(["-m", "tests.benchmarks.tracker"], folder) as tracker:
        control = Control(tracker.line())
        at_once, bare = [], []
        for number in range(rounds):
            at_once.append(_measured(folder / f"at-once-{number}", control, waits, 0.0))
            bare.append(_bare(folder, control, waits))
        slow = [_measured(folder / "slow", control, waits, SLOW)]
    return [_table(waits, at_once, bare, slow)]


def _measured(folder: Path, control: Control, waits: int, latency: float) -> Measures:
    folder.mkdir()
    control.set(forget=1, forget_calls=1, latency=0, waiting=0)
    url = f"sqlite:///{folder / 'connector.sqlite3'}"
    service = Service(folder, control.url, url, hands=HANDS, now=WAIT_PASSED_AT - timedelta(minutes=5))
    _fill(url, load_sources(service.mappings)[SOURCE], waits)
    with service:
        wait_until(service.is_ready, "the connector is ready", pause=0.1)
        control.set(forget_calls=1, latency=latency)
        cpu = service.process.cpu()
        service.set_clock(WAIT_PASSED_AT + timedelta(seconds=1))
        wait_until(lambda: control.counts()["comment"] >= waits, "every comment is posted", 900, pause=0.2)
        wait_until(lambda: _settled(folder) >= waits, "every look is noted", pause=0.05)
        cpu = service.process.cpu() - cpu
    calls = control.calls()
    doubled = control.counts()["comment"] - waits
    if doubled:
        raise RuntimeError(f"{doubled} comments too many")
    done = [call.at for call in calls if call.kind in ACTS]
    acts, begun = len(done), calls[0].at - latency  # the first call had begun one latency before it was answered
    tenths = [begun, *(done[acts * tenth // 10 - 1] for tenth in range(1, 11))]
    speeds = [acts / 10 / (end - start) for start, end in pairwise(tenths)]
    return {
        "rate": acts / (done[-1] - begun),
        "slowest": min(speeds),
        "fastest": max(speeds),
        "possible": acts / (len(calls) * latency / HANDS) if latency else 0.0,
        "calls": len(calls) / acts,
        "acts": acts,
        "cpu": cpu / acts,
    }


def _bare(folder: Path, control: Control, waits: int) -> Measures:
    """The calls of the run before, made by a bare loop."""
    counts = control.counts()
    acts = sum(counts[kind] for kind in ACTS)
    control.set(forget=1, forget_calls=1, latency=0)
    with Child(
        ["-m", "tests.benchmarks.bare_loop", control.url, str(HANDS), str(waits), json.dumps(counts)], folder
    ) as loop:
        found = json.loads(loop.line())
    return {"rate": acts / found["seconds"], "cpu": found["cpu"] / acts}


def _fill(url: str, source: Source, waits: int) -> None:
    """Tickets as a look a month before left them."""
    looked_at = CALLED_AT + timedelta(minutes=1)
    database = open_database(url, exclusive=True)
    rows = [
        {
            "source": SOURCE,
            "ticket_id": str(number),
            "key": f"CASE-{number}",
            "stage": "awaiting_ncsc",
            "attend_at": WAIT_PASSED_AT,
            "attempts": 0,
            "failures": 0,
            "news": 1,
            "claimed_news": 1,
            "config_hash": source.config_hash(),
            "receipt_digest": source.receipt_digest(f"WAC25{number:08}"),
            "attended_at": looked_at,
            "first_seen_at": looked_at,
        }
        for number in range(WAITING, WAITING + waits)
    ]
    database.write(lambda connection: connection.execute(tickets.insert(), rows))
    database.close()


def _settled(folder: Path) -> int:
    with closing(sqlite3.connect(f"file:{folder / 'connector.sqlite3'}?mode=ro", uri=True)) as connection:
        query = "select count(*) from tickets where stage = 'email_service_center' and lease_until is null"
        return int(connection.execute(query).fetchone()[0])


def _tenths(results: list[Measures]) -> str:
    """The slowest and the fastest tenth of all runs: whether it keeps its speed."""
    return f"{min(each['slowest'] for each in results):,.0f}-{max(each['fastest'] for each in results):,.0f}"


def _table(waits: int, at_once: list[Measures], bare: list[Measures], slow: list[Measures]) -> Table:
    table = Table(f"{waits:,} waits passing at the same minute, {HANDS} hands", _COLUMNS)
    of_bare = ratios(at_once, bare, "rate")
    of_possible = [each["rate"] / each["possible"] for each in slow]
    for name, results, possible, shares in (
        ("at once", at_once, median(bare, "rate"), of_bare),
        (f"in {1000 * SLOW:.0f} ms", slow, median(slow, "possible"), of_possible),
    ):
        table.rows.append(
            [
                name,
                f"{median(results, 'rate'):,.0f} ({_tenths(results)})",
                f"{possible:,.0f}",
                with_spread(shares),
                f"{median(results, 'calls'):.2f}",
                f"{1000 * median(results, 'cpu'):.2f}",
            ]
        )
        share = sorted(shares)[len(shares) // 2]
        table.laws.append(
            Law(
                f"{name}: at least {LEAST_OF_POSSIBLE} of what is possible",
                with_spread(shares),
                share >= LEAST_OF_POSSIBLE,
            )
        )
        calls = median(results, "calls")
        table.laws.append(Law(f"{name}: at most {MOST_CALLS} calls an act", f"{calls:.2f}", calls <= MOST_CALLS))
    table.notes.append(
        f"The bare loop costs {1000 * median(bare, 'cpu'):.2f} ms of CPU for the calls of an act. "
        f"An act is a comment, a move or a due date: {median(at_once, 'acts') / waits:.1f} for each wait."
    )
    return table
