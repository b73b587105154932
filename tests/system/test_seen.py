"""What is seen of one event from outside: one correlation id from the webhook to the comment, in logs and in spans,
errors at Sentry, and a heartbeat; by real processes that send to real servers on loopback."""

import gzip
import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from connector.application import utc_now
from connector.attention.clock import Metronome
from connector.inquiry.markup import find_refs
from connector.service import Service
from connector.settings import Address, Settings
from connector.store import DatabaseError, Store, open_database
from connector.tracing import trace_id
from connector.web.health import Role
from tests.postgres import emptied, postgresql_url
from tests.serving import serving
from tests.system.office import DETAILS, WEBHOOK_SECRET, Office
from tests.system.process import SOURCE, wait_for
from tests.system.test_ladders import CALL_SHEET

KEY = "5ecret-of-the-dsn"
PING = "5ecret-of-the-heartbeat"
PERSONAL = (DETAILS["Receipt_Number"], "200 555 013", "200555013", "Quillfeather", WEBHOOK_SECRET)


class Outside:
    """Takes whatever is sent: path -> the bodies, unpacked."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes]] = []
        outside = self

        class Handler(BaseHTTPRequestHandler):
            def take(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                outside.taken.append((self.path, body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST = take  # noqa: N815  http.server's names

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port

    def bodies(self, part: str) -> list[bytes]:
        return [body for path, body in self.taken if part in path]

    def spans(self) -> list[Any]:
        found = []
        for body in self.bodies("/v1/traces"):
            request = ExportTraceServiceRequest.FromString(body)
            found += [
                span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans
            ]
        return found

    def errors(self) -> list[Any]:
        """The events in Sentry's envelopes: lines of JSON, each event after its header."""
        lines = [json.loads(line) for body in self.bodies("/envelope/") for line in body.splitlines() if line]
        return [after for line, after in itertools.pairwise(lines) if line.get("type") == "event"]


@pytest.fixture
def outside() -> Iterator[Outside]:
    made = Outside()
    with serving(made.server):
        yield made


def test_one_correlation_id_leads_from_the_webhook_to_the_comment(cloud: Office) -> None:
    cloud.start()
    cloud.settle()
    first = cloud.add("Quillfeather", **DETAILS)
    second = cloud.add("Adams", **DETAILS | {"Receipt_Number": "LIN2590123457"})
    cloud.settle()
    log = cloud.connector.logged
    for issue in (first, second):
        assert cloud.titles(issue) == [CALL_SHEET]
        (comment,) = issue.comments
        (acted,) = [line for line in log("acted") if line["ref"] in find_refs(comment.body)]
        webhooks = [line for line in log("webhook") if line.get("ticket_id") == str(issue.id)]
        assert acted["correlation_id"] in {line["correlation_id"] for line in webhooks}
        (look,) = [line for line in log("attended") if line["correlation_id"] == acted["correlation_id"]]
        assert look["ticket_id"] == str(issue.id)
    ids = [line["correlation_id"] for line in log("webhook")]
    assert len(set(ids)) == len(ids)


def test_a_correlation_id_of_the_senders_is_not_taken(cloud: Office) -> None:
    cloud.start()
    mine = "0123456789ab"
    headers = dict.fromkeys(("X-Correlation-Id", "X-Request-Id", "Correlation-Id"), mine)
    headers["traceparent"] = f"00-{mine:0<32}-{mine:0<16}-01"
    body = json.dumps({"correlation_id": mine, "issue": {"id": "10001", "key": "CASE-1"}}).encode()
    answer = cloud.connector.post(f"/webhooks/{SOURCE}", body, headers | {"X-Connector-Secret": WEBHOOK_SECRET})
    assert answer.status_code == 204
    cloud.settle()
    assert mine not in cloud.connector.outputs[-1].read_text()


def test_what_is_sent_outside_tells_of_the_work_and_nothing_of_the_cases(
    cloud: Office, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = f"127.0.0.1:{outside.port}"
    given = cloud.connector
    settings = given.environment() | {
        "CONNECTOR_SENTRY_DSN": f"http://{KEY}@{at}/42",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{at}",
    }
    monkeypatch.setattr(given, "environment", lambda: settings)
    cloud.write_mapping((given.mappings / f"{SOURCE}.yaml").read_text().replace("per_hour: 100000", "per_hour: 1"))
    cloud.start()
    cloud.settle()
    quoted = f"Quillfeather {DETAILS['Receipt_Number']}"
    cloud.server.faults.add("POST", "/comment$", status=400, body={"errorMessages": [quoted], "errors": {"a": quoted}})
    issue = cloud.add("Quillfeather", **DETAILS)
    cloud.settle()
    assert cloud.titles(issue) == [CALL_SHEET]
    cloud.add("Quillfeather", **DETAILS | {"Receipt_Number": "LIN2590123457"})  # one comment too many in an hour
    wait_for(lambda: given.logged("source stopped"), "the brake is on")
    assert given.stop() == 0

    (acted,) = [line for line in given.logged("acted") if line["kind"] == "comment"]
    trace = trace_id(acted["correlation_id"]).to_bytes(16)
    ours = {span.name: span for span in outside.spans() if span.trace_id == trace}
    assert {"look", "edit"} <= set(ours)
    assert ours["edit"].parent_span_id == ours["look"].span_id
    assert {"webhook", "look", "fetch", "edit", "changed_since"} <= {span.name for span in outside.spans()}
    keys = {attribute.key for span in outside.spans() for attribute in span.attributes}
    assert keys == {"connector.source", "connector.outcome", "connector.correlation_id"}
    assert not any(span.events or span.status.message for span in outside.spans())
    assert [event["logentry"]["formatted"] for event in outside.errors()] == ["source stopped"]
    assert len({span.trace_id for span in outside.spans() if span.name == "webhook"}) > 1
    sent = b"".join(body for _, body in outside.taken) + given.outputs[-1].read_bytes()
    for word in PERSONAL:
        assert word.encode() not in sent
    assert KEY.encode() not in given.outputs[-1].read_bytes()


@contextmanager
def running(
    office: Office, role: Role = "run", *, database_url: str = "", heartbeat_url: str = ""
) -> Iterator[Service]:
    """A service of this process on the office's mapping, started."""
    settings = Settings(
        mappings=office.connector.mappings,
        database_url=database_url or f"sqlite:///{office.connector.database}",
        listen=Address("127.0.0.1", 0),
        log_format="json",
        heartbeat_url=heartbeat_url or None,
    )
    service = Service(settings, role=role)
    try:
        service.start()
        yield service
    finally:
        service.stop()


def test_the_service_beats_while_all_is_well(cloud: Office, outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.heartbeat.EVERY_SECONDS", 0.05)
    with running(cloud, heartbeat_url=f"http://127.0.0.1:{outside.port}/ping/{PING}") as service:
        wait_for(lambda: outside.bodies(f"/ping/{PING}"), "a heartbeat comes")
        service.store.sources.brake(SOURCE, utc_now(), "by hand")
        wait_for(lambda: service.metrics.render().count(b'outcome="held_back"} 0.0') == 0, "none is sent")
        before = len(outside.taken)
        time.sleep(0.2)
        assert len(outside.taken) == before


def readiness(service: Service) -> tuple[int, list[str]]:
    """What /readyz answers: its status, and the codes of the process's own reasons."""
    answer = requests.get(f"{service.web.url}/readyz", timeout=10)
    return answer.status_code, [reason["code"] for reason in answer.json()["reasons"]]


@pytest.mark.postgres
def test_each_node_tells_of_its_own_attention(cloud: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: a node whose attention was dead looked ready as long as another one worked."""
    genuine, healthy, mended = Metronome._hand_out_due, set[Metronome | None](), threading.Event()

    def hand_out_due(metronome: Metronome) -> None:
        if metronome not in healthy and not mended.is_set():
            raise DatabaseError("gone")
        genuine(metronome)

    monkeypatch.setattr(Metronome, "_hand_out_due", hand_out_due)
    with postgresql_url() as server, ExitStack() as nodes:
        url = emptied(server)
        open_database(url, exclusive=False, migrate=True).close()
        well, ill, web = (
            nodes.enter_context(running(cloud, role, database_url=url)) for role in ("work", "work", "web")
        )
        healthy.add(well.metronome)
        wait_for(lambda: readiness(well) == (200, []), "the one that works is ready")
        assert ill.store.sources.get(SOURCE).attended_at is not None
        assert readiness(ill) == (503, ["attention_never"])
        assert readiness(web) == (200, [])
        mended.set()
        wait_for(lambda: readiness(ill) == (200, []), "the other one works again")


def test_a_service_whose_sources_are_all_stopped_goes_on_taking_webhooks_in(cloud: Office) -> None:
    """Regression: it was not ready, and an orchestrator would have kept its webhooks from it."""
    cloud.start()
    cloud.settle()
    store = Store(open_database(f"sqlite:///{cloud.connector.database}", exclusive=False))
    store.sources.brake(SOURCE, cloud.clock.now(), "by hand")
    store.close()
    answer = cloud.connector.get("/readyz")
    assert (answer.status_code, answer.json()["ready"]) == (200, True)
    assert [reason["code"] for reason in answer.json()["sources"][SOURCE]["reasons"]] == ["braked"]
    assert cloud.connector.metric("connector_brake", source=SOURCE) == 1
    issue = cloud.add(**DETAILS)
    wait_for(lambda: cloud.connector.count("select count(*) from tickets") == 1, "its webhook is noted")
    assert cloud.connector.metric("connector_webhooks_total", result="accepted") >= 1
    assert cloud.titles(issue) == []
