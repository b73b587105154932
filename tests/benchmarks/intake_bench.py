"""1. Intake: webhooks of 12 KB, signed, from 16 clients, each answered only after a durable commit.

The baseline is the same server and application with a store that keeps nothing. Beside the product's server stand the
others that could have been chosen.
"""

import json
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks.databases import Databases, databases
from tests.benchmarks.processes import ROOT, Child
from tests.benchmarks.tables import Law, Measures, Table, interleaved, median, ratios, with_spread

CLIENTS = 16
LEAST_RATIO, MOST_P99 = 0.65, 50.0
_COLUMNS = ("", "requests a second", "of bare", "p50 ms", "p99 ms", "server's CPU a request, µs")


def run(folder: Path, *, quick: bool) -> list[Table]:
    """The product's server on each database; then the other servers."""
    rounds, seconds = (3, 1.5) if quick else (9, 4.0)
    with databases(folder) as made:
        product = _compared(folder, made, "waitress", rounds, seconds)
        others = [_compared(folder, made, name, max(2, rounds // 3), seconds) for name in ("granian", "gunicorn")]
    return [product, *others]


def _compared(folder: Path, made: Databases, server: str, rounds: int, seconds: float) -> Table:
    with ExitStack() as stack:
        children = {
            store: stack.enter_context(_server(folder, server, "bare" if store == "bare" else made.new(store)))
            for store in ("bare", *made.kinds)
        }
        urls = {store: f"{child.line()}/webhooks/cases" for store, child in children.items()}
        for url in urls.values():
            _load(url, seconds=0.5)  # everything is loaded and warm
        variants = {store: partial(_measured, child, urls[store], seconds) for store, child in children.items()}
        results = interleaved(variants, rounds)
    return _table(server, made, results, is_product=server == "waitress")


def _server(folder: Path, server: str, url: str) -> Child:
    return Child(["-m", "tests.benchmarks.intake_server", server, url], folder)


def _measured(child: Child, url: str, seconds: float) -> Measures:
    before = child.cpu()
    found = _load(url, seconds)
    if set(found["statuses"]) != {"204"}:
        raise RuntimeError(f"webhooks were not accepted: {found['statuses']}")
    sent = found["requests"] * (found["warm"] + seconds) / seconds  # those of the warming-up cost time, too
    return {name: found[name] for name in ("rate", "p50", "p99", "own_cpu")} | {"cpu": (child.cpu() - before) / sent}


def _load(url: str, seconds: float, warm: float = 0.5) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.load", url, f"--clients={CLIENTS}"]
    done = subprocess.run(
        [*command, f"--seconds={seconds}", f"--warm={warm}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"the load generator failed: {done.stderr[-500:]}")
    return dict(json.loads(done.stdout), warm=warm)


def _table(server: str, made: Databases, results: dict[str, list[Measures]], *, is_product: bool) -> Table:
    name = f"{server}, the product's" if is_product else f"{server}, for comparison"
    table = Table(f"Intake, {CLIENTS} clients ({name})", _COLUMNS)
    for store, measured in results.items():
        of_bare = ratios(measured, results["bare"], "rate")
        p99 = median(measured, "p99")
        table.rows.append(
            [
                store,
                f"{median(measured, 'rate'):,.0f}",
                "1" if store == "bare" else with_spread(of_bare),
                f"{median(measured, 'p50'):.1f}",
                with_spread([each["p99"] for each in measured], ".1f"),
                f"{1e6 * median(measured, 'cpu'):.0f}",
            ]
        )
        if is_product and store != "bare":
            share = sorted(of_bare)[len(of_bare) // 2]
            table.laws.append(
                Law(f"{store}, at least {LEAST_RATIO} of bare", with_spread(of_bare), share >= LEAST_RATIO)
            )
            table.laws.append(Law(f"{store}, p99 at most {MOST_P99:.0f} ms", f"{p99:.1f} ms", p99 <= MOST_P99))
    load = max(each["own_cpu"] / each["rate"] for measured in results.values() for each in measured)
    table.notes.append(f"The clients, one process, cost at most {1e6 * load:.0f} µs of CPU a request.")
    if made.missing:
        table.notes.append(made.missing)
    return table
