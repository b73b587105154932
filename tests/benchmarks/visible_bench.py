"""5. From a webhook to the comment on the ticket, while nothing else goes on, at a tracker of 0 and of 20 ms.

The ticket has just become complete: the look moves it and posts the call sheet. The comment is visible once the
tracker has answered the call that posts it. Both ends are read from the clock that all processes share.
"""

import http.client
import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.benchmarks.payloads import jira_payload, signature
from tests.benchmarks.processes import Child, wait_until
from tests.benchmarks.service import SOURCE, Service
from tests.benchmarks.tables import Law, Measures, Table
from tests.benchmarks.tracker import CALLED_AT, FRESH, Control

LATENCIES = (0.0, 0.02)
MOST_TRIPS, MOST_MILLISECONDS = 3, 50.0
_COLUMNS = ("tracker answers", "median ms", "p95 ms", "of that the tracker's, ms", "round trips")


def run(folder: Path, *, quick: bool) -> list[Table]:
    """One table of both trackers."""
    webhooks = 20 if quick else 100
    with Child(["-m", "tests.benchmarks.tracker"], folder) as tracker:
        control = Control(tracker.line())
        url = f"sqlite:///{folder / 'connector.sqlite3'}"
        with Service(folder, control.url, url, now=CALLED_AT) as service:
            wait_until(service.is_ready, "the connector is ready")
            for number in range(12):  # every hand has its connection
                _seen(service, control, FRESH + number)
            found: dict[float, list[Measures]] = {latency: [] for latency in LATENCIES}
            for number in range(100, 100 + webhooks):
                for latency, results in found.items():
                    control.set(latency=latency)
                    results.append(_seen(service, control, FRESH + 2 * number + LATENCIES.index(latency)))
    return [_table(found)]


def _seen(service: Service, control: Control, ticket: int) -> Measures:
    """Send a webhook about the ticket; how long until its comment stands, and after how many calls."""
    control.set(forget_calls=1)
    body = jira_payload(ticket)
    connection = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=10)
    connection.connect()
    sent_at = time.monotonic()
    connection.request("POST", f"/webhooks/{SOURCE}", body, {"X-Hub-Signature": signature(body)})
    status = connection.getresponse().status
    connection.close()
    if status != 204:
        raise RuntimeError(f"the webhook was answered {status}")
    wait_until(lambda: control.counts()["comment"], "the comment stands", pause=0.01)
    calls = [call for call in control.calls() if call.ticket == ticket]
    last = next(number for number, call in enumerate(calls) if call.kind == "comment")
    wait_until(lambda: service.metric("connector_attention_lag_seconds") == 0, "nothing is left to do")
    time.sleep(0.02)
    return {"seconds": calls[last].at - sent_at, "trips": float(last + 1)}


def _table(found: dict[float, list[Measures]]) -> Table:
    table = Table("From webhook to comment, idle", _COLUMNS)
    for latency, results in found.items():
        ordered = sorted(1000 * each["seconds"] for each in results)
        middle, late = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.95)]
        trips = max(each["trips"] for each in results)
        name = f"in {1000 * latency:.0f} ms" if latency else "at once"
        bound = MOST_TRIPS * 1000 * latency + MOST_MILLISECONDS
        table.rows.append([name, f"{middle:.1f}", f"{late:.1f}", f"{trips * latency * 1000:.0f}", f"{trips:.0f}"])
        for what, value in (("median", middle), ("p95", late)):
            table.laws.append(Law(f"{name}: {what} at most {bound:.0f} ms", f"{value:.1f} ms", value <= bound))
        table.laws.append(Law(f"{name}: at most {MOST_TRIPS} round trips", f"{trips:.0f}", trips <= MOST_TRIPS))
    return table
