"""Webhooks as Jira sends them: payloads, headers, retries, and the disorder real deliveries show.

Shapes from captured payloads of Cloud and Server; delivery rules from Atlassian's webhook documentation: a delivery
answered 408, 409, 425, 429 or 5xx, or not at all, is tried again up to five times on Cloud; no retry is documented for
Data Center. The identifier stays the same over the retries of one delivery.
"""

import hashlib
import heapq
import hmac
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Any, Literal

import requests

from connector.practice import jql, shapes
from connector.practice.shapes import Json
from connector.practice.world import Event, World

EVENTS = ("jira:issue_created", "jira:issue_updated", "jira:issue_deleted", "comment_created", "comment_deleted")
RETRIED = {408, 409, 425, 429}
CLOUD_RETRY_DELAYS = (0.05, 0.1, 0.2, 0.4, 0.8)  # seconds; Jira itself takes minutes


@dataclass(frozen=True)
class Webhook:
    """Where to send which events. `secret` signs the body. `headers` are sent along as they are.

    `shape` "automation" sends what an automation rule's "Send web request" does: the issue itself at the top level,
    unsigned, without Jira's own headers; its secret is one of `headers`.
    """

    url: str
    secret: str | None = None
    events: tuple[str, ...] = EVENTS
    shape: Literal["jira", "automation"] = "jira"
    headers: tuple[tuple[str, str], ...] = ()
    id: int = 0  # of one registered through the API
    name: str = ""
    enabled: bool = True
    jql: str = ""  # only issues that it finds; empty: all


@dataclass(frozen=True)
class Attempt:
    """One try to deliver. `status` is None where no answer came."""

    identifier: str
    event: str
    url: str
    attempt: int
    status: int | None
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class _Delivery:
    hook: Webhook
    event: str
    flow: str
    identifier: str
    body: bytes
    attempt: int = 0


@dataclass(order=True)
class _Due:
    at: float  # on the monotonic clock, seconds
    order: int
    delivery: _Delivery = field(compare=False)


class WebhookSender:
    """Sends the world's events from a thread of its own.

    Disorder on demand: `duplicate(n)` sends each of the next n deliveries twice, `drop(n)` loses them, `hold()` keeps
    everything back until `release(reverse=...)`, `delay` (seconds) holds up every delivery. `deliveries` is the log
    of all attempts; `drain()` waits until nothing is left to send.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.webhooks: list[Webhook] = []
        self.deliveries: list[Attempt] = []
        self.retry_delays: Sequence[float] = CLOUD_RETRY_DELAYS if world.deployment == "cloud" else ()
        self.timeout: tuple[float, float] = (5.0, 20.0)
        self.delay = 0.0
        self._duplicates = 0
        self._drops = 0
        self._held: list[_Delivery] | None = None
        self._queue: list[_Due] = []
        self._order = 0
        self._in_flight = 0
        self._last_identifier = 69312270414585000
        self._changed = threading.Condition()
        self._running = False
        self._thread: threading.Thread | None = None

    def register(self, url: str, secret: str | None = None, **settings: Any) -> Webhook:
        """See Webhook for the settings."""
        hook = Webhook(url, secret, **settings)
        unknown = set(hook.events) - set(EVENTS)
        if unknown:
            raise ValueError(f"unknown events: {sorted(unknown)}")
        self.webhooks.append(hook)
        return hook

    # -- disorder ----------------------------------------------------------------------------------------------

    def duplicate(self, times: int = 1) -> None:
        with self._changed:
            self._duplicates += times

    def drop(self, times: int = 1) -> None:
        with self._changed:
            self._drops += times

    def hold(self) -> None:
        with self._changed:
            self._held = self._held or []

    def release(self, *, reverse: bool = False) -> None:
        with self._changed:
            held, self._held = self._held or [], None
            for delivery in reversed(held) if reverse else held:
                self._enqueue(delivery, self.delay)

    # -- life --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._running = True
        self.world.listeners.append(self._heard)
        self._thread = threading.Thread(target=self._run, name="practice-webhooks", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop sending; what is not sent yet stays in the queue."""
        if not self._running:
            return
        self.world.listeners.remove(self._heard)
        with self._changed:
            self._running = False
            self._changed.notify_all()
        if self._thread:
            self._thread.join(timeout=sum(self.timeout))

    def drain(self, timeout: float = 10.0) -> None:
        """Wait until every delivery is done or given up; TimeoutError after `timeout` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._queue and not self._in_flight, timeout):
                raise TimeoutError("webhooks are still being delivered")

    # -- sending -----------------------------------------------------------------------------------------------

    def _heard(self, event: Event) -> None:
        for name, flow, payload in _payloads(self.world, event):
            for hook in self.webhooks:
                if name not in hook.events or not hook.enabled or not self._finds(hook, event):
                    continue
                sent = _automation(self.world, event) if hook.shape == "automation" else payload
                body = json.dumps(sent, ensure_ascii=False, separators=(",", ":")).encode()
                self._submit(hook, name, flow, body)

    def _finds(self, hook: Webhook, event: Event) -> bool:
        if not hook.jql:
            return True
        return bool(jql.parse(self.world, hook.jql, self.world.connector).matching([event.issue]))

    def _submit(self, hook: Webhook, event: str, flow: str, body: bytes) -> None:
        with self._changed:
            self._last_identifier += 1
            delivery = _Delivery(hook, event, flow, str(self._last_identifier), body)
            if self._drops:
                self._drops -= 1
                return
            copies = 1
            if self._duplicates:
                self._duplicates -= 1
                copies = 2
            for _ in range(copies):
                twin = _Delivery(hook, event, flow, delivery.identifier, body)
                if self._held is not None:
                    self._held.append(twin)
                else:
                    self._enqueue(twin, self.delay)

    def _enqueue(self, delivery: _Delivery, delay: float) -> None:
        with self._changed:
            self._order += 1
            heapq.heappush(self._queue, _Due(monotonic() + delay, self._order, delivery))
            self._changed.notify_all()

    def _run(self) -> None:
        with requests.Session() as session:
            session.trust_env = False
            while (delivery := self._next()) is not None:
                try:
                    self._send(session, delivery)
                finally:
                    with self._changed:
                        self._in_flight -= 1
                        self._changed.notify_all()

    def _next(self) -> _Delivery | None:
        with self._changed:
            while self._running:
                wait = self._queue[0].at - monotonic() if self._queue else None
                if wait is not None and wait <= 0:
                    self._in_flight += 1
                    return heapq.heappop(self._queue).delivery
                self._changed.wait(wait)
            return None

    def _send(self, session: requests.Session, delivery: _Delivery) -> None:
        headers = self._headers(delivery)
        hook = delivery.hook
        try:
            answer = session.post(
                hook.url, data=delivery.body, headers=headers, timeout=self.timeout, allow_redirects=False
            )
            status: int | None = answer.status_code
        except requests.RequestException:
            status = None
        self.deliveries.append(
            Attempt(delivery.identifier, delivery.event, hook.url, delivery.attempt, status, headers, delivery.body)
        )
        failed = status is None or status in RETRIED or status >= 500
        if failed and hook.shape == "jira" and delivery.attempt < len(self.retry_delays):
            delay = self.retry_delays[delivery.attempt]
            delivery.attempt += 1
            self._enqueue(delivery, delay)

    def _headers(self, delivery: _Delivery) -> dict[str, str]:
        headers = {"Content-Type": "application/json; charset=UTF-8"}
        if delivery.hook.shape == "automation":
            return headers | {"User-Agent": "Automation for Jira App/JIRA"} | dict(delivery.hook.headers)
        headers["User-Agent"] = "Atlassian Webhook HTTP Client"
        if self.world.deployment == "cloud":
            headers["X-Atlassian-Webhook-Identifier"] = delivery.identifier
            headers["X-Atlassian-Webhook-Flow"] = delivery.flow
            if delivery.attempt:
                headers["X-Atlassian-Webhook-Retry"] = str(delivery.attempt)
        if delivery.hook.secret is not None:
            digest = hmac.new(delivery.hook.secret.encode(), delivery.body, hashlib.sha256).hexdigest()
            headers["X-Hub-Signature"] = f"sha256={digest}"
        return headers | dict(delivery.hook.headers)


# -- payloads ----------------------------------------------------------------------------------------------------


def _payloads(world: World, event: Event) -> list[tuple[str, str, Json]]:
    """(event name, flow, payload) of each webhook event Jira makes of this."""
    flow = "Secondary" if event.cascade else "Primary"
    if event.kind in {"comment_created", "comment_deleted"}:
        made = [(event.kind, flow, _comment_payload(world, event))]
        if world.deployment == "data-center" and event.kind == "comment_created" and not event.cascade:
            twin = _issue_payload(world, event, "jira:issue_updated", "issue_commented")
            made.append(("jira:issue_updated", flow, twin))
        return made
    name = f"jira:{event.kind}"
    kind = "issue_generic" if event.by_transition else event.kind
    return [(name, flow, _issue_payload(world, event, name, kind))]


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _issue_payload(world: World, event: Event, name: str, kind: str) -> Json:
    """The issue in full; only Data Center puts its comments in."""
    payload: Json = {"timestamp": _milliseconds(event.at), "webhookEvent": name}
    if name != "jira:issue_deleted":
        payload["issue_event_type_name"] = kind
    fields = shapes.issue_fields(world, event.issue, whole_numbers=True)
    if world.deployment == "cloud":
        del fields["comment"]
    payload["user"] = shapes.user(world, event.actor)
    payload["issue"] = shapes.issue(world, event.issue, fields)
    del payload["issue"]["expand"]
    if event.change:
        items = [shapes.change_item(world, item) for item in event.change.items]
        payload["changelog"] = {"id": str(event.change.id), "items": items}
    if event.comment:
        payload["comment"] = shapes.comment(world, event.issue, event.comment)
    return payload


def _comment_payload(world: World, event: Event) -> Json:
    """Cloud names the issue with a few of its fields; Data Center does not name it at all."""
    payload: Json = {"timestamp": _milliseconds(event.at), "webhookEvent": event.kind}
    if event.comment:
        payload["comment"] = shapes.comment(world, event.issue, event.comment)
    if world.deployment == "cloud":
        fields = shapes.issue_fields(world, event.issue)
        few = ("summary", "issuetype", "project", "assignee", "priority", "status")
        payload["issue"] = shapes.issue(world, event.issue, {name: fields[name] for name in few})
        del payload["issue"]["expand"]
    return payload


def _automation(world: World, event: Event) -> Json:
    """ "Issue data (Automation format)": the issue at the top level, its id a number."""
    fields = shapes.issue_fields(world, event.issue)
    payload = shapes.issue(world, event.issue, fields)
    del payload["expand"]
    changelog = {"startAt": 0, "maxResults": 0, "total": 0, "histories": None}
    return payload | {"id": event.issue.id, "changelog": changelog, "renderedFields": None, "properties": {}}
