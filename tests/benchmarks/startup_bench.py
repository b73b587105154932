"""4. From the start of the process to ready, and the memory it takes, with 10 thousand and with 1 million open tickets.

Ready: it listens, the database is open, the first round of attention and the first poll are done (/readyz says 200).
Then it works: webhooks come from two clients without a pause, each leads to a look.
"""

import subprocess
import sys
import time
from datetime import timedelta
from functools import partial
from pathlib import Path

from connector.application import load_sources
from connector.store import open_database
from tests.benchmarks.filling import fill
from tests.benchmarks.processes import ROOT, Child, wait_until
from tests.benchmarks.service import SOURCE, Service
from tests.benchmarks.tables import Law, Measures, Table, interleaved, median, with_spread
from tests.benchmarks.tracker import CALLED_AT, Control

MOST_SECONDS, MOST_MEMORY, MOST_GROWTH = 2.0, 150.0, 1.1
_COLUMNS = ("open tickets", "listens after s", "ready after s", "MB when ready", "MB after work", "looks meanwhile")


def run(folder: Path, *, quick: bool) -> list[Table]:
    """One table of both sizes."""
    sizes = (10_000, 300_000) if quick else (10_000, 1_000_000)
    rounds, work = (2, 5.0) if quick else (5, 60.0)
    with Child(["-m", "tests.benchmarks.tracker"], folder) as tracker:
        url = tracker.line()
        services = {f"{size:,}": _filled(folder / str(size), url, size) for size in sizes}
        starts = interleaved({name: partial(_started, service) for name, service in services.items()}, rounds)
        worked = {name: _worked(service, work, Control(url)) for name, service in services.items()}
    return [_table(starts, worked, work)]


def _filled(folder: Path, tracker: str, size: int) -> Service:
    folder.mkdir()
    url = f"sqlite:///{folder / 'connector.sqlite3'}"
    service = Service(folder, tracker, url, now=CALLED_AT + timedelta(days=1))
    config_hash = load_sources(service.mappings)[SOURCE].config_hash()
    database = open_database(url, exclusive=True)
    fill(database, size, config_hash=config_hash)
    database.close()
    return service


def _started(service: Service) -> Measures:
    with service:
        wait_until(service.is_ready, "the connector is ready", pause=0.01)
        ready = time.monotonic() - service.started
        return {"listens": service.listening_after, "ready": ready, "memory": service.process.memory()}


def _worked(service: Service, seconds: float, control: Control) -> Measures:
    control.set(forget=1, forget_calls=1, latency=0.005)
    with service:
        wait_until(service.is_ready, "the connector is ready")
        command = [sys.executable, "-m", "tests.benchmarks.load", f"{service.url}/webhooks/{SOURCE}", "--clients=2"]
        subprocess.run([*command, f"--seconds={seconds}"], cwd=ROOT, check=True, capture_output=True)
        return {"memory": service.process.memory(), "looks": float(service.metric("connector_looks_total"))}


def _table(starts: dict[str, list[Measures]], worked: dict[str, Measures], work: float) -> Table:
    table = Table(f"Start and memory; the work: {work:.0f} s of webhooks", _COLUMNS)
    for name, results in starts.items():
        table.rows.append(
            [
                name,
                with_spread([each["listens"] for each in results]),
                with_spread([each["ready"] for each in results]),
                f"{median(results, 'memory'):.0f}",
                f"{worked[name]['memory']:.0f}",
                f"{worked[name]['looks']:,.0f}",
            ]
        )
    few, many = list(starts)
    ready = median(starts[many], "ready")
    table.laws.append(
        Law(f"{many} open: ready after at most {MOST_SECONDS:.0f} s", f"{ready:.2f} s", ready <= MOST_SECONDS)
    )
    most = max(each["memory"] for each in worked.values())
    table.laws.append(Law(f"at most {MOST_MEMORY:.0f} MB", f"{most:.0f} MB", most <= MOST_MEMORY))
    growth = worked[many]["memory"] / worked[few]["memory"]
    table.laws.append(
        Law(f"memory flat (at most {MOST_GROWTH} x) from {few} to {many}", f"{growth:.2f}", growth <= MOST_GROWTH)
    )
    return table
