"""A real Request Tracker, its staff, and the connector at work beside it."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import requests

from connector.application import utc_now
from connector.attention.attend import Attendant
from connector.attention.clock import LEASE
from connector.attention.poll import Polled, poll
from connector.attention.source import Source
from connector.inquiry.markup import find_refs
from connector.mapping.loading import load_mapping
from connector.mapping.reading import wanted_fields
from connector.metrics import Metrics
from connector.store import Store, TicketState, open_database
from connector.store.attention import Claim
from connector.trackers.request_tracker import RequestTracker
from connector.trackers.request_tracker_webhooks import read_news, verify
from connector.web.app import create_app
from connector.web.health import Health
from connector.web.server import WebServer
from connector.web.webhooks import WebSource

EXAMPLE = Path(__file__).parents[2] / "field_mappings" / "request-tracker.example.yaml"
QUEUE = "USCIS inquiries"
NAME = "request-tracker"
MARIAS_TIME = ZoneInfo("America/New_York")
CALL = {"NCSC Representative": "Ms. Rivera, ID 4471", "Service Request Number": "SR1220326001"}


def step_1(number: int = 1) -> dict[str, str]:
    """What is needed before the call; another number, another case."""
    receipt = f"WAC2590{number:06}"
    return {"Receipt Number": receipt, "A-Number": "A200555013", "Form Type": "I-130", "Date Filed": "2025-06-02"}


@dataclass
class Rt:
    """The running RT, as its staff (Maria) and its administrator use it."""

    url: str
    tokens: Mapping[str, str]  # connector, staff, blind (cannot see comments), root
    hook_port: int
    hook_secret: str
    folder: Path
    session: requests.Session = field(default_factory=requests.Session)

    def call(self, method: str, path: str, *, who: str = "staff", **more: Any) -> requests.Response:
        """One call to the REST API. The session keeps no cookies: RT would rather believe them than the token."""
        self.session.cookies.clear()
        headers = {"Authorization": f"token {self.tokens[who]}"}
        url = f"{self.url}/REST/2.0/{path}"
        return self.session.request(method, url, headers=headers, timeout=60, allow_redirects=False, **more)

    def create(self, queue: str = QUEUE, **fields: Any) -> str:
        sent = {"Queue": queue, "Subject": "A case", "CustomFields": _named(fields)}
        answer = self.call("POST", "ticket", json=sent)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def latest(self) -> int:
        """The id of the newest ticket, or 0."""
        params: dict[str, str | int] = {"query": "id > 0", "orderby": "id", "order": "DESC", "per_page": 1}
        return max((int(each["id"]) for each in self.call("GET", "tickets", params=params).json()["items"]), default=0)

    def put(self, ticket_id: str, who: str = "staff", **values: Any) -> list[Any]:
        answer = self.call("PUT", f"ticket/{ticket_id}", who=who, json=values)
        assert answer.status_code == 200, answer.text
        said: list[Any] = answer.json()
        return said

    def fill(self, ticket_id: str, who: str = "staff", **fields: Any) -> list[Any]:
        """Fill custom fields in, named with _ for spaces."""
        return self.put(ticket_id, who, CustomFields=_named(fields))

    def comment(self, ticket_id: str, text: str, kind: str = "text/plain", who: str = "staff", **more: Any) -> None:
        sent = {"Content": text, "ContentType": kind, **more}
        answer = self.call("POST", f"ticket/{ticket_id}/comment", who=who, json=sent)
        assert answer.status_code == 201, answer.text

    def ticket(self, ticket_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"ticket/{ticket_id}", who="root").json()
        return found

    def latest_change(self, ticket_id: str) -> str:
        """The id of the newest transaction of the ticket."""
        return self.call("GET", f"ticket/{ticket_id}", who="root").headers["ETag"]

    def status(self, ticket_id: str) -> str:
        return str(self.ticket(ticket_id)["Status"])

    def values(self, ticket_id: str, name: str) -> list[Any]:
        [found] = [each["values"] for each in self.ticket(ticket_id)["CustomFields"] if each["name"] == name]
        values: list[Any] = found
        return values

    def rows(self, ticket_id: str, kind: str) -> list[dict[str, Any]]:
        """The ticket's transactions of that type, oldest first."""
        fields = "Type,Field,OldValue,NewValue,Creator,CustomFields"
        params = {
            "query": f"TicketId = {ticket_id} AND Type = '{kind}'",
            "fields": fields,
            "per_page": 100,
            "orderby": "id",
        }
        rows: list[dict[str, Any]] = self.call("GET", "transactions", who="root", params=params).json()["items"]
        return rows

    def comments(self, ticket_id: str) -> list[str]:
        """The comments' texts, oldest first."""
        return [self._text(row["id"]) for row in self.rows(ticket_id, "Comment")]

    def _text(self, transaction_id: str) -> str:
        params = {"fields": "Content,ContentType"}
        items = self.call("GET", f"transaction/{transaction_id}/attachments", who="root", params=params).json()["items"]
        return "".join(item["Content"] for item in items if item["ContentType"].startswith("text/"))


def _named(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace("_", " "): _value(value) for name, value in fields.items()}


def _value(value: Any) -> Any:
    """As Maria types it, in her own time."""
    if isinstance(value, datetime):
        return f"{value.astimezone(MARIAS_TIME):%Y-%m-%d %H:%M:%S}"
    return value.isoformat() if isinstance(value, date) else value


class Office:
    """The connector with the example mapping, a database, and its web server where RT's webhook looks for it.

    Looks are made by `attend()`, in this thread. RT sends its webhook before it answers, so a change is due at once.
    """

    def __init__(self, rt: Rt, folder: Path) -> None:
        self.rt, self.folder = rt, folder
        (folder / "token").write_text(rt.tokens["connector"], encoding="utf-8")
        (folder / "secret").write_text(rt.hook_secret, encoding="utf-8")
        text = EXAMPLE.read_text(encoding="utf-8").replace("https://rt.example.org", rt.url)
        # Other tests' tickets are none of this office's.
        text = text.replace(f"Queue = '{QUEUE}'", f"Queue = '{QUEUE}' AND id > {rt.latest()}")
        text = text.replace("/run/secrets/request-tracker-token", "token")
        text = text.replace("/run/secrets/request-tracker-webhook-secret", "secret")
        (folder / f"{NAME}.yaml").write_text(text, encoding="utf-8")
        mapping = load_mapping(folder / f"{NAME}.yaml")
        self.tracker = RequestTracker(
            url=mapping.tracker.url,
            token=mapping.tracker.token.read,
            scope=mapping.scope,
            fields=wanted_fields(mapping),
            time_zone=mapping.procedure.office.time_zone,
            clock=utc_now,
        )
        self.source = Source(mapping, self.tracker, lambda: b"a key")
        self.metrics = Metrics([NAME])
        self._databases = 0
        self.store = self._empty_store()
        self.web: WebServer | None = None

    def _empty_store(self) -> Store:
        self._databases += 1
        return Store(open_database(f"sqlite:///{self.folder}/{self._databases}.sqlite3", exclusive=True))

    def lose_database(self) -> None:
        """An empty one is in its place."""
        self.store.close()
        self.store = self._empty_store()

    def attendant(self) -> Attendant:
        return Attendant(self.store, self.metrics, utc_now, lease=LEASE, in_doubt=timedelta(0))

    def listen(self, on_notice: Callable[[str], None] = lambda _: None) -> None:
        """Take webhooks."""
        secrets = [secret.read() for secret in self.source.mapping.tracker.webhook_secrets]
        source = WebSource(NAME, lambda: secrets, verify, read_news)
        app = create_app({NAME: source}, self.store, self.metrics, utc_now, _no_health, on_notice=on_notice)
        self.web = WebServer(app, "127.0.0.1", self.rt.hook_port)
        self.web.start()

    def deafen(self) -> None:
        """Take none."""
        if self.web is not None:
            self.web.stop()
            self.web = None

    def close(self) -> None:
        self.deafen()
        self.store.close()
        self.tracker.close()

    def claims(self) -> list[Claim]:
        """What is due now, leased."""
        return self.store.attention.claim(utc_now(), {NAME: 10}, LEASE)

    def attend(self) -> int:
        """Attend until nothing is due. Returns the number of looks."""
        looks, attendant = 0, self.attendant()
        while claims := self.claims():
            for claim in claims:
                attendant.attend(self.source, claim)
                looks += 1
            assert looks < 50, "the looks do not come to an end"
        return looks

    def poll(self) -> Polled:
        return poll(self.source, self.store, utc_now)

    def state(self, ticket_id: str) -> TicketState:
        found = self.store.tickets.get(NAME, ticket_id)
        assert found is not None
        assert found.error is None, found.error
        return found

    def said(self, ticket_id: str) -> list[str]:
        """The first line of each comment of ours, without its markup."""
        ours = [text for text in self.rt.comments(ticket_id) if find_refs(text)]
        return [text.removeprefix("<p><strong>").split("</strong>")[0] for text in ours]

    def own_moves(self, ticket_id: str) -> list[str]:
        rows = self.rt.rows(ticket_id, "Status")
        return [row["NewValue"] for row in rows if row["Creator"]["id"] == "inquiry-connector"]

    def assert_nothing_doubled(self, *ticket_ids: str) -> None:
        refs = Counter(ref for each in ticket_ids for text in self.rt.comments(each) for ref in find_refs(text))
        assert {ref: times for ref, times in refs.items() if times > 1} == {}


def _no_health() -> Health:
    raise AssertionError("nobody asks")


@dataclass(frozen=True)
class Hook:
    """One request of the webhook as it came."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def ticket_id(self) -> int:
        number: int = json.loads(self.body)["ticket"]["id"]
        return number


class Receiver:
    """Stands where RT's webhook looks for the connector, writes down what comes and answers as it is told."""

    def __init__(self, port: int) -> None:
        self.hooks: list[Hook] = []
        self.answers: list[int] = []  # taken from the front; 204 when there is none
        self.on_hook: Callable[[Hook], object] = lambda _: None  # called before the answer
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook = Hook(dict(self.headers.items()), body)
                receiver.hooks.append(hook)
                receiver.on_hook(hook)
                self.send_response(receiver.answers.pop(0) if receiver.answers else 204)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing is printed."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
