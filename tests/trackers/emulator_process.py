"""The process that emulator.py starts: jira820 on a free port of loopback, told on the first line of output."""

import json
import re
import socket
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

import uvicorn
from fastapi import FastAPI, Request
from jira820 import make_app, server_read
from jira820.config import Config
from jira820.serialize import Serializer, iid
from jira820.store import Store


class CaseStore(Store):
    """Keeps custom fields, and the true time of each change."""

    def __init__(self, config: Config, custom_fields: Mapping[str, tuple[str, str]]) -> None:
        self.custom_fields = custom_fields
        self.ahead = timedelta(0)
        super().__init__(config, seed=False)
        self.serializer = CaseSerializer(self)

    def create_issue(self, fields: dict[str, Any]) -> Any:
        made = super().create_issue(fields)
        ticket = self.issues[made["key"]]
        ticket["custom"] = {name: fields.get(name) for name in self.custom_fields}
        self._stamp(ticket, "created")
        return made

    def update_issue(self, key: str, fields: dict[str, Any]) -> None:
        super().update_issue(key, fields)
        ticket = self.issues[key]
        ticket["custom"] |= {name: value for name, value in fields.items() if name in self.custom_fields}
        self._stamp(ticket)

    def transition_issue(self, key: str, *more: Any, **named: Any) -> None:
        super().transition_issue(key, *more, **named)
        ticket = self.issues[key]
        self._stamp(ticket)
        ticket["changelog"][-1] |= {"date": ticket["updated"], "time": ticket["tupdated"]}

    def add_comment(self, key: str, *more: Any, **named: Any) -> Any:
        made = super().add_comment(key, *more, **named)
        self._stamp(self.issues[key])
        return made

    def _stamp(self, ticket: dict[str, Any], *also: str) -> None:
        now = datetime.now(UTC) + self.ahead
        for name in ("updated", *also):
            ticket[name], ticket[f"t{name}"] = now.date(), now.strftime("%H:%M:%S")


class CaseSerializer(Serializer):
    """Shows the custom fields."""

    def issue_fields(self, ticket: dict[str, Any], base_url: str = "") -> Any:
        return super().issue_fields(ticket, base_url) | ticket["custom"]


def make_store(wanted: Mapping[str, Any]) -> CaseStore:
    """A store with the wanted statuses and fields, for the wanted project, and one foreign ticket."""
    first, *between, last = wanted["statuses"]
    kinds = {first: "todo", last: "done"}
    statuses = [
        [name, kinds.get(name, "inprogress"), str(10000 + number)]
        for number, name in enumerate((first, *between, last))
    ]
    config = Config(
        project_key="OTHER",
        issue_types=[[wanted["issue_type"], "1"]],
        statuses=statuses,
        transition_screens={last: []},
    )
    store = CaseStore(config, wanted["fields"])
    store.create_issue({"issuetype": {"name": wanted["issue_type"]}, "summary": "Order toner"})
    config.project_key = wanted["project"]
    return store


def add_to(app: FastAPI, store: CaseStore) -> None:
    """What jira820 does not have: custom fields in the list of fields, and a clock that can be set."""

    def fields(request: Request) -> Any:
        custom = [
            {"id": field_id, "name": name, "custom": True, "clauseNames": [name], "schema": {"type": kind}}
            for field_id, (name, kind) in store.custom_fields.items()
        ]
        return server_read.fields(request) + custom

    async def set_clock(request: Request) -> None:
        store.ahead = timedelta(seconds=(await request.json())["ahead"])

    before = list(app.router.routes)
    app.add_api_route("/rest/api/2/field", fields)
    app.add_api_route("/emulator/clock", set_clock, methods=["PUT"])
    app.router.routes[:] = [*app.router.routes[len(before) :], *before]  # the first that fits is taken


def by_id_too(app: FastAPI, store: CaseStore) -> Any:
    """The app, with ids of tickets in paths and in `id = N` of JQL turned into keys."""

    def key_of(found: re.Match[str]) -> str:
        return next((key for key in store.issues if iid(key) == found[1]), "NONE-0")

    async def front(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            path = re.sub(r"(?<=/issue/)(\d+)", key_of, scope["path"])
            query = [
                (name, re.sub(r"\bid = (\d+)", lambda found: f"key = {key_of(found)}", value))
                for name, value in parse_qsl(scope["query_string"].decode(), keep_blank_values=True)
            ]
            scope = {**scope, "path": path, "raw_path": path.encode(), "query_string": urlencode(query).encode()}
        await app(scope, receive, send)

    return front


def main() -> None:
    store = make_store(json.loads(sys.argv[1]))
    app = make_app(store=store)
    add_to(app, store)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        sys.stdout.write(f"{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        config = uvicorn.Config(by_id_too(app, store), log_level="error", lifespan="off")
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
