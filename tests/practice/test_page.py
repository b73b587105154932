"""The page: what people see and do, and what it refuses."""

import re
from datetime import UTC, date, datetime
from html import unescape

import pytest
import requests

from connector.practice.clock import PracticeClock
from connector.practice.sample import blank_world, sample_world
from connector.practice.server import PracticeServer
from connector.practice.world import Transition
from tests.practice.conftest import START, Client
from tests.practice.receiver import Receiver

CALLED, PROMISED, CENTER, PROTECTED = "customfield_10055", "customfield_10058", "customfield_10059", "customfield_10063"


def form_of(html: str) -> dict[str, str]:
    """The hidden `was:` values of the form of fields, and the visible ones like them."""
    was = {name: unescape(value) for name, value in re.findall(r'name="was:([^"]+)" value="([^"]*)"', html)}
    return {f"was:{name}": value for name, value in was.items()} | {name: value for name, value in was.items() if value}


def save(client: Client, key: str, **changed: str) -> requests.Response:
    sent = form_of(client.get(f"/browse/{key}").text) | changed
    return client.call("POST", f"/practice/tickets/{key}/fields", data=sent, allow_redirects=False)


def test_the_list_shows_every_ticket(clock: PracticeClock) -> None:
    world = sample_world(clock)
    world.edit(world.issue("CASE-3"), {"duedate": date(2026, 4, 2)}, world.connector)
    with PracticeServer(world) as server:
        html = requests.get(server.url, timeout=5).text
    for issue in world.issues.values():
        assert f'href="/browse/{issue.key}"' in html
    assert "Awaiting Headquarters" in html
    assert "Apr 2, 2026" in html
    assert "tomorrow" in html
    assert "Wednesday,</span> <strong>Apr 1, 2026, 10:00 a.m.</strong>" in html


def test_saving_writes_what_was_changed_as_a_person_and_tells_the_webhooks(cloud: Client) -> None:
    with Receiver() as receiver:
        cloud.server.hooks.register(receiver.url)
        option = cloud.world.fields[CENTER].options[3].id
        changed = {
            CALLED: "2026-03-01T10:15",
            PROMISED: "30",
            CENTER: option,
            PROTECTED: cloud.world.fields[PROTECTED].options[0].id,
            "duedate": "2026-05-04",
        }
        assert save(cloud, "CASE-1", **changed).status_code == 303
        cloud.server.hooks.drain()
        assert len(receiver.received) == 1
    issue = cloud.world.issue("CASE-1")
    assert issue.values[CALLED] == datetime(2026, 3, 1, 15, 15, tzinfo=UTC)
    assert issue.values[PROMISED] == 30.0
    assert issue.history[0].author is cloud.world.human
    assert {item.field_id for item in issue.history[0].items} == set(changed)
    assert save(cloud, "CASE-1", **{CALLED: "", PROTECTED: ""}).status_code == 303
    assert (issue.values[CALLED], issue.values[PROTECTED]) == (None, None)


def test_a_page_loaded_earlier_does_not_undo_what_changed_since(cloud: Client) -> None:
    sent = form_of(cloud.get("/browse/CASE-1").text) | {"summary": "By hand"}
    cloud.edit("CASE-1", duedate="2026-05-04")
    cloud.call("POST", "/practice/tickets/CASE-1/fields", data=sent)
    issue = cloud.world.issue("CASE-1")
    assert (issue.summary, issue.values["duedate"]) == ("By hand", date(2026, 5, 4))


def test_seconds_survive_a_save_of_other_fields(cloud: Client) -> None:
    moment = datetime(2026, 3, 1, 15, 15, 42, tzinfo=UTC)
    issue = cloud.world.issue("CASE-1")
    cloud.world.edit(issue, {CALLED: moment}, cloud.world.human)
    save(cloud, "CASE-1", summary="Changed")
    assert issue.values[CALLED] == moment


def test_what_cannot_be_saved_is_said_beside_its_field_and_kept(cloud: Client) -> None:
    answer = save(cloud, "CASE-1", **{PROMISED: "many", "summary": "Changed"})
    assert answer.status_code == 400
    assert "Operation value must be a number" in answer.text
    assert 'value="many"' in answer.text
    assert cloud.world.issue("CASE-1").summary == "First"
    assert save(cloud, "CASE-1", duedate="04.05.2026").status_code == 400


def test_statuses_and_comments(cloud: Client) -> None:
    html = cloud.get("/browse/CASE-1").text
    move = re.search(r'name="transition" value="(\d+)"><span[^>]*></span>Move to Call NCSC', html)
    assert move
    path = "/practice/tickets/CASE-1/status"
    assert "Call NCSC" in cloud.call("POST", path, data={"transition": move[1]}).text
    assert cloud.call("POST", path, data={"transition": move[1]}).status_code == 400
    said = cloud.call("POST", "/practice/tickets/CASE-1/comment", data={"body": "Called *now*"})
    assert "Called <strong>now</strong>" in said.text
    assert cloud.call("POST", "/practice/tickets/CASE-1/comment", data={"body": " "}).status_code == 400
    cloud.world.comment_limit = 1
    assert cloud.call("POST", "/practice/tickets/CASE-1/comment", data={"body": "x"}).status_code == 400


def test_a_required_field_is_asked_for(cloud: Client) -> None:
    done = cloud.world.status_named("Done")
    cloud.world.transitions = [Transition("99", "Close", done.id, None, ("duedate",), frozenset({"duedate"}))]
    path = "/practice/tickets/CASE-1/status"
    answer = cloud.call("POST", path, data={"transition": "99"})
    assert (answer.status_code, "First fill in: Due date." in answer.text) == (400, True)
    cloud.edit("CASE-1", duedate="2026-05-04")
    assert cloud.call("POST", path, data={"transition": "99"}).status_code == 200


def test_internal_notes_wear_a_badge_on_a_service_desk_only(clock: PracticeClock) -> None:
    for kind, badges in (("service_desk", 1), ("business", 0)):
        world = blank_world(clock, project_type=kind)
        issue = world.add_issue("CASE", summary="First")
        with PracticeServer(world) as server:
            for data in ({"body": "inside"}, {"body": "outside", "public": "1"}):
                requests.post(f"{server.url}/practice/tickets/{issue.key}/comment", data=data, timeout=5)
            html = requests.get(f"{server.url}/browse/CASE-1", timeout=5).text
        assert html.count("Internal note") == badges
        assert [each.public for each in issue.comments] == [False, True]


def test_new_tickets(cloud: Client) -> None:
    made = cloud.call("POST", "/practice/tickets", data={"project": "CASE", "summary": "Doe, Jo: card"})
    assert made.url.endswith("/browse/CASE-2")
    for wrong in (
        {"project": "CASE", "summary": " "},
        {"project": "X", "summary": "y"},
        {"project": "CASE", "summary": "x" * 300},
    ):
        assert cloud.call("POST", "/practice/tickets", data=wrong).status_code == 400
    assert cloud.get("/browse/CASE-99").status_code == 404


def test_the_clock_moves_by_days_at_the_same_hour_of_the_office(cloud: Client, clock: PracticeClock) -> None:
    clock.set(datetime(2026, 3, 7, 15, 0, tzinfo=UTC))  # 10 a.m. the day before summer time begins
    before = cloud.get("/practice/state").json()
    shown = cloud.call("POST", "/practice/clock", data={"days": "1", "back": "/browse/CASE-1"})
    assert shown.url.endswith("/browse/CASE-1")
    assert "Mar 8, 2026, 10:00 a.m." in shown.text
    assert clock.now() == datetime(2026, 3, 8, 14, 0, tzinfo=UTC)
    assert cloud.get("/practice/state").json() != before
    cloud.post("/practice/clock", {"minutes": 90})
    assert clock.now() == datetime(2026, 3, 8, 15, 30, tzinfo=UTC)
    assert (
        cloud.post("/practice/clock", {"to": "2026-04-01T09:00:00-04:00"}).json()["now"].startswith("2026-04-01T13:00")
    )
    for wrong in ({"to": "2026-04-01T09:00:00"}, {"days": "soon"}, {"days": 10**9}):
        assert cloud.post("/practice/clock", wrong).status_code == 400
    away = cloud.call("POST", "/practice/clock", data={"days": "1", "back": "//evil.example"}, allow_redirects=False)
    assert away.headers["Location"] == "/"


def test_a_clock_that_cannot_move_has_no_buttons() -> None:
    with PracticeServer(blank_world(lambda: START)) as server:
        assert "/practice/clock" not in requests.get(server.url, timeout=5).text
        assert requests.post(f"{server.url}/practice/clock", json={"days": 1}, timeout=5).status_code == 409


EVIL = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


def test_what_people_write_stays_text(cloud: Client) -> None:
    issue = cloud.world.issue("CASE-1")
    cloud.edit("CASE-1", summary=EVIL, customfield_10051=EVIL, description=EVIL)
    cloud.world.add_comment(issue, cloud.world.new_comment(issue, EVIL + "[x|javascript:alert(1)]", cloud.world.human))
    for path in ("/", "/browse/CASE-1"):
        answer = cloud.get(path)
        assert "<script>alert" not in answer.text
        assert "<img" not in answer.text
        assert 'href="javascript' not in answer.text
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "<script>alert" not in save(cloud, "CASE-1", **{PROMISED: EVIL}).text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 403),
    ],
)
def test_other_sites_cannot_post_here(cloud: Client, headers: dict[str, str], status: int) -> None:
    answer = cloud.call("POST", "/practice/clock", data={"days": "1"}, headers=headers)
    assert answer.status_code == status
    ours = cloud.call("POST", "/practice/clock", data={"days": "1"}, headers={"Origin": cloud.server.url})
    assert ours.status_code == 200


def test_a_foreign_name_for_this_machine_is_shown_nothing(cloud: Client) -> None:
    assert cloud.call("GET", "/", headers={"Host": "evil.example"}).status_code == 403
    assert cloud.call("GET", "/", headers={"Host": f"localhost:{cloud.server.port}"}).status_code == 200


def test_the_pages_own_files_are_served(cloud: Client) -> None:
    for name in ("style.css", "live.js"):
        assert cloud.get(f"/practice/static/{name}").status_code == 200
    assert cloud.get("/favicon.ico").status_code == 204
    assert len(cloud.server.requests) == 0
