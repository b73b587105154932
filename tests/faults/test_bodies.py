"""Hostile webhook bodies against a running connector: it answers each, lives, tells nothing of them, and does nothing
about tickets that do not exist; what is due besides is done once."""

import hashlib
import hmac
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.trackers import jira_webhooks, request_tracker_webhooks, zammad_webhooks
from tests.faults.badtracker import JSON, BadTracker, Request
from tests.faults.bodies import MARK, NO_TICKET, bodies
from tests.faults.figures import Figures
from tests.faults.neighbours import BAD, Scene, scene_at
from tests.faults.zygote import Zygote
from tests.system.office import MAPPING, WEBHOOK_SECRET
from tests.system.process import SOURCE, wait_for

# Bodies for each kind of tracker.
MANY = {
    name: settings(max_examples=number, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    for name, number in (("short", 250), ("full", 20_000))
}
MOST_MORE_MEGABYTES = 200.0
EVENTS = jira_webhooks.EVENTS | zammad_webhooks.EVENTS | request_tracker_webhooks.EVENTS
EVENTS |= {jira_webhooks.AUTOMATION, "unknown", "unreadable", ""}
RT = "rt"
SOURCES = {"jira": SOURCE, "zammad": BAD, "request_tracker": RT}

Headers = dict[str, str]


def _sha256(body: bytes) -> Headers:
    return {"X-Hub-Signature": "sha256=" + hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()}


def _sha1(body: bytes) -> Headers:
    return {"X-Hub-Signature": "sha1=" + hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha1).hexdigest()}


def _stamped(body: bytes) -> Headers:
    digest = hmac.new(WEBHOOK_SECRET.encode(), b"1771000000." + body, hashlib.sha256).hexdigest()
    return {"X-RT-Signature": f"sha256={digest}", "X-RT-Timestamp": "1771000000"}


SIGN: dict[str, Callable[[bytes], Headers]] = {"jira": _sha256, "zammad": _sha1, "request_tracker": _stamped}
# Who does not know the secret sends one of these.
FORGED = st.sampled_from(
    [
        {},
        {"X-Hub-Signature": "sha256=" + "0" * 64},
        {"X-Hub-Signature": "sha1=" + "0" * 40},
        {"X-Hub-Signature": "none=" + MARK},
        {"X-Hub-Signature": "="},
        {"X-RT-Signature": "sha256=" + "0" * 64, "X-RT-Timestamp": "9" * 400},
        {"X-Connector-Secret": MARK},
    ]
)


def an_rt_without_tickets(request: Request) -> None:
    """What Request Tracker 5 answers to a search that finds nothing, and to a ticket that is not there."""
    if request.path.startswith("/REST/2.0/tickets"):
        found = b'{"count": 0, "items": [], "page": 1, "pages": 0, "per_page": 100, "total": 0}'
        request.answer(200, [("Content-Type", JSON)], found)
    else:
        request.answer(404, [("Content-Type", JSON)], b'{"message": "Not Found"}')


@pytest.fixture
def rt(tmp_path: Path) -> Iterator[BadTracker]:
    """A third tracker; its mapping lies beside those of the scene."""
    with BadTracker() as tracker:
        tracker.misbehave(an_rt_without_tickets)
        yield tracker


@pytest.fixture
def scene(tmp_path: Path, zygote: Zygote, rt: BadTracker) -> Iterator[Scene]:
    """Jira, Zammad and a Request Tracker at one connector."""
    text = MAPPING.format(url=rt.url, user="").replace("kind: jira", "kind: request_tracker")
    lines = [line for line in text.splitlines() if not line.startswith("scope: ")]
    mapping = "\n".join([*lines, "scope: Queue = 'USCIS inquiries'", ""])
    with scene_at(tmp_path, zygote, kind="zammad", more_mappings={RT: mapping}) as made:
        yield made


def test_hostile_bodies(scene: Scene, rt: BadTracker, seed: int, size: str, figures: Figures) -> None:
    row = figures("hostile bodies, signed and not")
    node = scene.pair.node
    before = node.most_megabytes
    scene.let_the_day_come()
    numbers = itertools.count(1)

    def send(kind: str, body: bytes, forged: Headers | None) -> None:
        headers = SIGN[kind](body) if forged is None else forged
        answer = node.post(f"/webhooks/{SOURCES[kind]}", body, headers)
        assert answer.status_code in ({200, 204} if forged is None else {401}), body[:200]
        assert MARK not in answer.text + str(answer.headers)
        row.injected += 1
        if next(numbers) % 100 == 0:  # people work meanwhile
            scene.good.add_ready()
            scene.bad.add_ready()

    for kind in SOURCES:
        campaign = given(st.just(kind), bodies(kind), st.none() | st.none() | FORGED)(send)
        hypothesis.seed(seed)(MANY[size](campaign))()
        assert node.alive, node.last_words()

    assert node.get("/livez").status_code == 200
    scene.settle()
    assert node.most_megabytes - before < MOST_MORE_MEGABYTES
    assert node.metric("connector_webhooks_total", result="unavailable") == 0
    scene.count(row)  # so nothing else was done on any ticket that exists
    assert {seen.method for seen in rt.seen} <= {"GET"}
    assert rt.met > 0
    wait_for(lambda: node.count("select count(*) from tickets where source = ?", RT) == 0, "all are forgotten")
    existing = {str(getattr(each, "id", each)) for cases in (scene.good, scene.bad) for each in cases.all}
    assert {ticket for (ticket,) in node.rows("select ticket_id from tickets")} <= existing

    told = "".join(output.read_text() for output in node.outputs)
    assert str(NO_TICKET)[:3] in told  # it was attended to, and the log says so
    for spelling in (MARK, MARK.encode().hex(), MARK.encode("utf-16-le").decode("latin-1"), MARK.replace(" ", "%20")):
        assert spelling.lower() not in told.lower()
    assert {line["about"] for line in node.logged("webhook")} <= EVENTS
    assert "Traceback" not in told
    assert '"raised"' not in told  # as the log tells of what nobody has thought of
