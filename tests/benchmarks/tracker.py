"""A Jira Cloud that answers fast and always the same: one process, one thread, latency by timers.

    python -m tests.benchmarks.tracker

Prints its address. It knows as much of Jira as the connector's looks ask for (shapes: the practice tracker's), and any
number of tickets, which are made when they are asked for:

    10,000 and above       called on CALLED_AT, waiting: in the status "Awaiting NCSC", with its due date
    5,000,000 and above    ready for the call: in the status "Collect Details"

A search for open tickets finds the first `waiting` of the former; one for changed tickets finds nothing, as nobody
works here. `/_control` is for the benchmark: see Control.
"""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import requests

from connector.practice import shapes
from connector.practice.sample import STATUSES, blank_world
from connector.practice.world import World

WAITING, FRESH = 10_000, 5_000_000  # the first id of each kind
CALLED_AT = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
DUE_ON = date(2026, 4, 2)
WAIT_PASSED_AT = datetime(2026, 4, 2, 13, 0, tzinfo=UTC)  # 09:00 in New York
USER, TOKEN = "connector@office.example", "a-token-for-benchmarks"

_JSON = {"id": "777777001", "key": "CASE-777777001", "receipt": "WAC7777770010"}  # what a template holds of a ticket
_Answer = tuple[int, bytes]


@dataclass
class Ticket:
    """What changes in a ticket."""

    status: str
    due_on: str | None
    comments: list[str] = field(default_factory=list)


@dataclass
class Call:
    """One call of the connector: `kind` as in `_ROUTES`, `at` by the clock that all processes share."""

    at: float
    kind: str
    ticket: int


class Jira:
    """The answers."""

    def __init__(self) -> None:
        world = blank_world(lambda: CALLED_AT, "cloud", project_type="service_desk")
        details: dict[str, Any] = {
            "Receipt_Number": _JSON["receipt"],
            "A-Number": "A200 555 013",
            "Form_Type": "I-130",
            "Date_Filed": date(2025, 1, 15),
        }
        call: dict[str, Any] = {"NCSC_Representative": "Ms. Rivera, ID 4471", "Service_Request_Number": "SR1220326001"}
        self._fresh = _Template(world, details)
        self._waiting = _Template(world, details | call | {"NCSC_Called_At": CALLED_AT})
        self._statuses = {each.name: _dumped(shapes.status(world, each)) for each in world.statuses.values()}
        self._fields = _dumped(shapes.field_details(world))
        self._transitions = _dumped(
            [
                {"id": str(11 + 10 * number), "name": f"To {name}", "to": json.loads(self._statuses[name])}
                | {"hasScreen": False, "isGlobal": True, "isInitial": False, "isAvailable": True, "looped": False}
                for number, (name, _) in enumerate(STATUSES)
            ]
        )
        self._targets = {str(11 + 10 * number): name for number, (name, _) in enumerate(STATUSES)}
        self.tickets: dict[int, Ticket] = {}
        self.waiting = 0
        self.latency = 0.0
        self.calls: list[Call] = []

    def answer(self, method: str, target: str, body: bytes) -> _Answer:
        """Answer a request and note it."""
        parts = urlsplit(target)
        path = re.sub(r"^/rest/api/[23]/", "", parts.path)
        for pattern, kind in _ROUTES:
            found = re.fullmatch(pattern, f"{method} {path}")
            if found:
                ticket = int(found[1]) if found.groups() else 0
                self.calls.append(Call(time.monotonic(), kind, ticket))
                reply: Callable[[int, Mapping[str, list[str]], Any], _Answer] = getattr(self, f"_{kind}")
                return reply(ticket, parse_qs(parts.query), json.loads(body) if body else None)
        self.calls.append(Call(time.monotonic(), "other", 0))
        return 404, b'{"errorMessages":["There is nothing here."],"errors":{}}'

    def ticket(self, number: int) -> Ticket:
        if number not in self.tickets:
            new = number >= FRESH
            self.tickets[number] = Ticket(
                "Collect Details" if new else "Awaiting NCSC", None if new else DUE_ON.isoformat()
            )
        return self.tickets[number]

    def _issue(self, number: int) -> bytes:
        ticket = self.ticket(number)
        template = self._fresh if number >= FRESH else self._waiting
        issue = template.filled(number, ticket, self._statuses[ticket.status])
        return issue[:-1] + b',"transitions":' + self._transitions + b"}"  # as the connector asks by `expand`

    # One method for each kind of call

    def _info(self, *_: object) -> _Answer:
        return 200, b'{"deploymentType":"Cloud","version":"1001.0.0","baseUrl":"http://127.0.0.1"}'

    def _myself(self, *_: object) -> _Answer:
        return 200, b'{"accountId":"1","active":true,"timeZone":"America/New_York","displayName":"Connector"}'

    def _field(self, *_: object) -> _Answer:
        return 200, self._fields

    def _search(self, _number: int, query: Mapping[str, list[str]], _body: Any) -> _Answer:
        jql = query["jql"][0]
        one = re.search(r" AND id = (\d+)$", jql)
        if one:  # how a look asks for one ticket, if it is in scope
            self.calls[-1].kind, self.calls[-1].ticket = "fetch", int(one[1])
            return 200, b'{"issues":[' + self._issue(int(one[1])) + b'],"isLast":true}'
        start = int(query.get("nextPageToken", ["0"])[0])
        known = self.waiting if "statusCategory" in jql else 0
        page = range(start, min(start + 100, known))
        issues = [{"id": str(WAITING + n), "key": f"CASE-{WAITING + n}", "fields": {"updated": None}} for n in page]
        more = {"nextPageToken": str(page.stop)} if page.stop < known and page else {}
        return 200, _dumped({"issues": issues, "isLast": not more} | more)

    def _match(self, _number: int, _query: object, body: Any) -> _Answer:
        return 200, _dumped({"matches": [{"matchedIssues": body["issueIds"], "errors": []} for _ in body["jqls"]]})

    def _fetch(self, number: int, *_: object) -> _Answer:
        return 200, self._issue(number)

    def _bulk(self, _number: int, _query: object, body: Any) -> _Answer:
        issues = b",".join(self._issue(int(number)) for number in body["issueIdsOrKeys"])
        return 200, b'{"issues":[' + issues + b'],"issueErrors":[]}'

    def _transitions_of(self, *_: object) -> _Answer:
        return 200, b'{"transitions":' + self._transitions + b"}"

    def _move(self, number: int, _query: object, body: Any) -> _Answer:
        self.ticket(number).status = self._targets[str(body["transition"]["id"])]
        return 204, b""

    def _edit(self, number: int, _query: object, body: Any) -> _Answer:
        self.ticket(number).due_on = body["fields"].get("duedate", self.ticket(number).due_on)
        return 204, b""

    def _comment(self, number: int, _query: object, body: Any) -> _Answer:
        comments = self.ticket(number).comments
        comments.append(body["body"])
        public = not body.get("properties")
        return 201, _dumped({"id": str(len(comments)), "body": body["body"], "jsdPublic": public})

    def _comments(self, number: int, *_: object) -> _Answer:
        return 200, _dumped(_comment_page(self.ticket(number).comments))


_ROUTES = (
    (r"GET serverInfo", "info"),
    (r"GET myself", "myself"),
    (r"GET field", "field"),
    (r"GET search/jql", "search"),
    (r"POST jql/match", "match"),
    (r"POST issue/bulkfetch", "bulk"),
    (r"GET issue/(\d+)", "fetch"),
    (r"PUT issue/(\d+)", "edit"),
    (r"GET issue/(\d+)/transitions", "transitions_of"),
    (r"POST issue/(\d+)/transitions", "move"),
    (r"GET issue/(\d+)/comment", "comments"),
    (r"POST issue/(\d+)/comment", "comment"),
)
ACTS = ("comment", "move", "edit")  # the kinds of calls that are acts


class _Template:
    """The JSON of an issue, cut at what differs between tickets."""

    def __init__(self, world: World, values: Mapping[str, Any]) -> None:
        issue = world.add_issue("CASE", summary="A case", **values)
        fields = shapes.issue_fields(world, issue) | {"status": "@status", "duedate": "@due", "comment": "@comment"}
        whole = shapes.issue(world, issue, fields) | {"id": _JSON["id"], "key": _JSON["key"]}
        whole["changelog"] = {"startAt": 0, "maxResults": 0, "total": 0, "histories": []}
        text = _dumped(whole).decode()
        parts = (re.escape(each) for each in (_JSON["id"], _JSON["receipt"], '"@status"', '"@due"', '"@comment"'))
        self._pieces = re.split(f"({'|'.join(parts)})", text)

    def filled(self, number: int, ticket: Ticket, status: bytes) -> bytes:
        values = {
            _JSON["id"]: str(number),
            _JSON["receipt"]: f"WAC25{number:08}",
            '"@status"': status.decode(),
            '"@due"': json.dumps(ticket.due_on),
            '"@comment"': json.dumps(_comment_page(ticket.comments)),
        }
        return "".join(values.get(piece, piece) for piece in self._pieces).encode()


def _comment_page(bodies: list[str]) -> Mapping[str, Any]:
    comments = [{"id": str(number), "body": body, "jsdPublic": False} for number, body in enumerate(bodies, 1)]
    return {"startAt": 0, "maxResults": 100, "total": len(comments), "comments": comments}


def _dumped(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


# Serving


class _Connection(asyncio.Protocol):
    """HTTP/1.1 as far as clients of a tracker speak it: kept alive, bodies of a known length, one at a time."""

    def __init__(self, jira: Jira) -> None:
        self._jira, self._received = jira, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        size = int(length[1]) if length else 0
        if not end or len(rest) < size:
            return
        self._received = rest[size:]
        method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        body = rest[:size]
        if target.startswith("/_control"):
            self._write(self._control(target))
        elif self._jira.latency:
            loop = asyncio.get_running_loop()
            loop.call_later(self._jira.latency, lambda: self._write(self._jira.answer(method, target, body)))
        else:
            self._write(self._jira.answer(method, target, body))

    def _write(self, answer: _Answer) -> None:
        status, body = answer
        length = "" if status == 204 else f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        head = f"HTTP/1.1 {status} X\r\n{length}\r\n"
        if isinstance(self._transport, asyncio.WriteTransport) and not self._transport.is_closing():
            self._transport.write(head.encode() + body)

    def _control(self, target: str) -> _Answer:
        order = {name: unquote(values[0]) for name, values in parse_qs(urlsplit(target).query).items()}
        jira = self._jira
        if "latency" in order:
            jira.latency = float(order["latency"])
        if "waiting" in order:
            jira.waiting = int(order["waiting"])
        if "forget" in order:
            jira.tickets.clear()
        if "forget_calls" in order:
            jira.calls.clear()
        if "calls" in order:
            return 200, _dumped([(call.at, call.kind, call.ticket) for call in jira.calls])
        return 200, _dumped(Counter(call.kind for call in jira.calls))


class Control:
    """The benchmark's hand on a tracker at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False

    def set(self, **order: object) -> None:
        """latency (seconds), waiting (how many tickets a search finds), forget (what changed), forget_calls."""
        self._ask(order)

    def counts(self) -> Counter[str]:
        """How many calls of each kind there were."""
        return Counter(self._ask({}))

    def calls(self) -> list[Call]:
        """Every call in order."""
        return [Call(*each) for each in self._ask({"calls": "1"})]

    def _ask(self, order: Mapping[str, object]) -> Any:
        response = self._session.get(f"{self.url}/_control", params={k: str(v) for k, v in order.items()}, timeout=30)
        response.raise_for_status()
        return response.json()


async def serve() -> None:
    jira = Jira()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(jira), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201  whoever waits for it
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
