"""The stand-in itself: that it is as strict as its table says (tests/zammad_standin/README.md)."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from connector.practice.clock import PracticeClock
from connector.trackers.zammad_webhooks import verify
from tests.practice.receiver import Receiver
from tests.trackers.test_zammad_adapter import START
from tests.trackers.zammad_sites import ZammadSite, live_site, standin_site
from tests.zammad_standin import ZammadStandin
from tests.zammad_standin.sanitizer import sanitized
from tests.zammad_standin.world import ADMIN_TOKEN, AGENT_TOKEN


@pytest.fixture
def clock() -> PracticeClock:
    return PracticeClock(START)


@pytest.fixture
def zammad(clock: PracticeClock) -> Iterator[ZammadStandin]:
    with ZammadStandin(clock) as standin:
        standin.world.provide(due_on="date", called_at="datetime")
        yield standin


@pytest.fixture
def site(zammad: ZammadStandin, clock: PracticeClock) -> Iterator[ZammadSite]:
    made = standin_site(zammad, clock)
    yield made
    made.close()


def refusal(site: ZammadSite, method: str, path: str, body: Any = None) -> tuple[int, str]:
    with pytest.raises(requests.HTTPError) as error:
        site.call(method, path, body)
    return error.value.response.status_code, error.value.response.json()["error"]


def triggered(site: ZammadSite, url: str, condition: Any, mode: str = "selective", **webhook: Any) -> None:
    hook = site.call("POST", "webhooks", {"name": "h", "endpoint": url, "signature_token": "key", **webhook})
    perform = {"notification.webhook": {"webhook_id": hook["id"]}}
    trigger = {"name": f"Ü {hook['id']}", "activator": "action", "execution_condition_mode": mode, "active": True}
    site.call("POST", "triggers", trigger | {"condition": condition, "perform": perform})


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("a<!-- c -->b", "ab"),
        ('<p id="x" class="y" data-z="1">t</p>', "<p>t</p>"),
        ('<p class="yahoo_quoted" title="t" lang="en">t</p>', '<p class="yahoo_quoted" title="t" lang="en">t</p>'),
        ('<span style="display:none">t</span>', "<span>t</span>"),
        ('<a name="x">t</a>', "t"),
        ('<time datetime="2026">t</time>', '<time datetime="2026">t</time>'),
        ('<img src="http://a/b.png">t', "t"),
        ("<script>alert(1)</script><style>p{}</style>t", "t"),
        ("<details><summary>a</summary><b>b</b></details>", "<details><summary>a</summary><b>b</b></details>"),
    ],
)
def test_html_is_sanitised(sent: str, stored: str) -> None:
    assert sanitized(sent) == stored


def test_links_are_never_stored_as_sent() -> None:
    assert 'rel="nofollow noreferrer noopener" target="_blank"' in sanitized('<a href="mailto:a@b.c">x</a>')
    assert '<a href="https://a.b/?c&amp;d"' in sanitized("see https://a.b/?c&amp;d now")
    assert sanitized("<table><tr><td>x</td></tr></table>").count("\n") > 3


def test_dates_that_cannot_be_read_become_empty_and_unknown_keys_are_dropped(site: ZammadSite) -> None:
    ticket_id = site.create(due_on="2026-05-01")
    site.edit(ticket_id, due_on="12/31/2026", no_such_attribute="x", id=1)
    ticket = site.ticket(ticket_id)
    assert ticket["due_on"] is None
    assert "no_such_attribute" not in ticket
    assert str(ticket["id"]) == ticket_id


def test_unknown_names_are_refused(site: ZammadSite) -> None:
    ticket_id = site.create()
    answer = refusal(site, "PUT", f"tickets/{ticket_id}", {"state": "nowhere"})
    assert answer == (422, "No lookup value found for 'state': \"nowhere\"")


def test_an_article_that_fails_takes_the_ticket_back_with_it(site: ZammadSite) -> None:
    ticket_id = site.create()
    body = {"state": "open", "article": {"type": "email", "body": "x", "to": "nobody"}}
    assert refusal(site, "PUT", f"tickets/{ticket_id}", body)[0] == 422
    assert site.ticket(ticket_id)["state"] == "new"
    assert refusal(site, "PUT", f"tickets/{ticket_id}", {"article": {"body": "x" * 1_500_001}})[0] == 422


def test_notes_are_public_unless_said(site: ZammadSite) -> None:
    ticket_id = site.create()
    site.edit(ticket_id, article={"body": "<b>x</b>", "preferences": {"any": ["thing", 1]}})
    article = site.articles(ticket_id)[-1]
    assert article["internal"] is False
    assert article["preferences"] == {"any": ["thing", 1]}
    assert (article["content_type"], article["body"]) == ("text/plain", "<b>x</b>")


def test_reasons_are_masked_for_agents_only(site: ZammadSite, zammad: ZammadStandin) -> None:
    ticket_id = site.create()
    body = {"state": "pending reminder"}
    assert "pending_time" in refusal(site, "PUT", f"tickets/{ticket_id}", body)[1]
    headers = {"Authorization": f"Token token={AGENT_TOKEN}"}
    url = f"{zammad.url}/api/v1/tickets/{ticket_id}"
    answer = requests.put(url, json=body, headers=headers, timeout=5)
    assert "Error ID" in answer.json()["error"]
    assert "pending_time" not in answer.text


def test_no_credentials_are_a_403_and_wrong_ones_a_401(zammad: ZammadStandin) -> None:
    url = f"{zammad.url}/api/v1/users/me"
    assert requests.get(url, timeout=5).status_code == 403
    assert requests.get(url, headers={"Authorization": "Token token=x"}, timeout=5).status_code == 401


def test_a_put_of_nothing_new_by_another_user_is_an_event(site: ZammadSite, zammad: ZammadStandin) -> None:
    ticket_id = site.create()
    triggered(site, "http://127.0.0.1:9/", {"ticket.group_id": {"operator": "is", "value": [2]}}, mode="always")
    site.edit(ticket_id, state="new")
    assert zammad.world.jobs == []
    headers = {"Authorization": f"Token token={AGENT_TOKEN}"}
    requests.put(f"{zammad.url}/api/v1/tickets/{ticket_id}", json={"state": "new"}, headers=headers, timeout=5)
    assert len(zammad.world.jobs) == 1


def test_tags_and_drafts_are_no_events(site: ZammadSite, zammad: ZammadStandin, clock: PracticeClock) -> None:
    ticket_id = site.create()
    triggered(site, "http://127.0.0.1:9/", {"ticket.group_id": {"operator": "is", "value": [2]}}, mode="always")
    before = site.ticket(ticket_id)["updated_at"]
    clock.advance(minutes=1)
    site.call("POST", "tags/add", {"item": "x", "object": "Ticket", "o_id": ticket_id})
    site.put_draft(ticket_id, to="a@b.c", subject="s", body="b")
    assert zammad.world.jobs == []
    assert site.ticket(ticket_id)["updated_at"] > before


def test_a_selective_trigger_looks_at_its_own_attributes_and_at_articles(
    site: ZammadSite, zammad: ZammadStandin
) -> None:
    ticket_id = site.create()
    changed = {"name": "ticket.due_on", "operator": "has changed", "value": []}
    created = {"name": "ticket.action", "operator": "is", "value": "create"}
    triggered(site, "http://127.0.0.1:9/", {"operator": "OR", "conditions": [changed, created]})
    site.edit(ticket_id, state="open")
    assert zammad.world.jobs == []
    site.edit(ticket_id, due_on="2026-05-01", article={"body": "x"})
    assert len(zammad.world.jobs) == 1  # one event for both
    group = {"ticket.group_id": {"operator": "is", "value": [2]}}
    triggered(site, "http://127.0.0.1:9/", group)
    zammad.world.jobs.clear()
    site.edit(ticket_id, article={"body": "x"})
    assert len(zammad.world.jobs) == 1


def test_a_trigger_with_an_unknown_attribute_is_refused(site: ZammadSite) -> None:
    body = {"name": "t", "condition": {"ticket.no_such": {"operator": "has changed"}}, "perform": {}}
    assert refusal(site, "POST", "triggers", body) == (422, "Invalid object selector conditions")


def test_payloads_are_made_when_they_are_sent(site: ZammadSite, zammad: ZammadStandin, clock: PracticeClock) -> None:
    with Receiver(500, 302, 404) as receiver:
        triggered(site, receiver.url, {"ticket.action": {"operator": "is", "value": "create"}})
        ticket_id = site.create("Größe <b>")
        zammad.hooks.run()
        site.edit(ticket_id, state="open")
        for wait in (10, 20, 30):
            assert zammad.hooks.run() == 0
            clock.advance(seconds=wait)
            assert zammad.hooks.run() == 1
    assert [each.status for each in zammad.hooks.deliveries] == [500, 302, 404, 204]
    assert len({headers["X-Zammad-Delivery"] for headers, _ in receiver.received}) == 1
    states = [json.loads(body)["ticket"]["state"] for _, body in receiver.received]
    assert states == ["new", "open", "open", "open"]
    headers, body = receiver.received[-1]
    assert verify(headers, body, ["key"], path_secret=None)
    assert "Größe \\u003cb\\u003e".encode() in body


def test_after_five_tries_an_event_is_lost(site: ZammadSite, zammad: ZammadStandin, clock: PracticeClock) -> None:
    with Receiver(*[503] * 9) as receiver:
        triggered(site, receiver.url, {"ticket.action": {"operator": "is", "value": "create"}})
        site.create()
        for _ in range(10):
            zammad.hooks.run()
            clock.advance(seconds=40)
    assert len(receiver.received) == 5
    assert len(zammad.world.failed_jobs) == 1


def test_of_a_deleted_ticket_nothing_is_sent(site: ZammadSite, zammad: ZammadStandin) -> None:
    with Receiver() as receiver:
        triggered(site, receiver.url, {"ticket.action": {"operator": "is", "value": "create"}})
        site.delete(site.create())
        zammad.hooks.run()
    assert receiver.received == []


def test_a_customized_payload(site: ZammadSite, zammad: ZammadStandin) -> None:
    with Receiver() as receiver:
        custom: dict[str, Any] = {"customized_payload": True, "custom_payload": '{"ticket_id": "#{ticket.id}"}'}
        triggered(site, receiver.url, {"ticket.action": {"operator": "is", "value": "create"}}, **custom)
        ticket_id = site.create()
        zammad.hooks.run()
    assert json.loads(receiver.received[0][1]) == {"ticket_id": ticket_id}


@pytest.mark.parametrize(("version", "shown"), [("6.5.2", "key"), ("7.1.1", "**********")])
def test_secrets_are_masked_since_7(clock: PracticeClock, version: str, shown: str) -> None:
    with ZammadStandin(clock, version=version) as standin:
        site = standin_site(standin, clock, group="Users")
        body = {"name": "h", "endpoint": "http://127.0.0.1:9/", "signature_token": "key", "http_method": "put"}
        site.call("POST", "webhooks", body)
        [webhook] = site.call("GET", "webhooks")
        assert webhook["signature_token"] == shown
        assert ("http_method" in webhook) == version.startswith("7")
        site.close()


@pytest.mark.parametrize(
    "body",
    [
        {"name": "due_on", "data_type": "date", "data_option": {}},
        {"name": "case_id", "data_type": "date", "data_option": {}},
        {"name": "Case", "data_type": "date", "data_option": {}},
        {"name": "a", "data_type": "datetime", "data_option": {"diff": None}},
        {"name": "a", "data_type": "input", "data_option": {"type": "text"}},
        {"name": "a", "data_type": "integer", "data_option": {}},
        {"name": "a", "data_option": {}},
    ],
)
def test_attributes_that_are_refused(site: ZammadSite, body: Any) -> None:
    assert refusal(site, "POST", "object_manager_attributes", {"object": "Ticket", **body})[0] == 422


def test_discarded_attributes_are_gone_and_states_have_one_name(site: ZammadSite) -> None:
    body = {"object": "Ticket", "name": "half", "data_type": "date", "data_option": {}}
    site.call("POST", "object_manager_attributes", body)
    site.call("POST", "object_manager_attributes_discard_changes")
    assert "half" not in {each["name"] for each in site.call("GET", "object_manager_attributes")}
    assert refusal(site, "POST", "ticket_states", {"name": "OPEN", "state_type_id": 2})[0] == 422


def test_searches_give_two_hundred_at_most_and_fifty_unless_asked(site: ZammadSite, zammad: ZammadStandin) -> None:
    for number in range(210):
        zammad.world.create(zammad.world.admin, {"title": str(number), "group_id": 2}, set(zammad.world.columns))
    condition = {"ticket.group_id": {"operator": "is", "value": [2]}}
    assert len(site.call("POST", "tickets/search", {"condition": condition})) == 50
    assert len(site.call("POST", "tickets/search", {"condition": condition, "per_page": 500})) == 200
    odd = {"ticket.group_id": {"operator": "equals", "value": [2]}}
    assert site.call("POST", "tickets/search", {"condition": odd}) == []


def test_a_search_for_an_unknown_column_is_an_error_without_tickets_too(site: ZammadSite) -> None:
    def search(name: str) -> Any:
        leaf = {"name": f"ticket.{name}", "operator": "is", "pre_condition": "not_set", "value": []}
        return site.call("POST", "tickets/search", {"condition": {"operator": "AND", "conditions": [leaf]}})

    assert search("due_on") == search("called_at") == []
    with pytest.raises(requests.HTTPError, match="422"):
        search("no_such_column")
    site.create(due_on="2026-05-01")
    assert (len(search("due_on")), len(search("called_at"))) == (0, 1)


def test_a_trigger_may_be_changed_in_part_and_told_of_articles(site: ZammadSite, zammad: ZammadStandin) -> None:
    triggered(site, "http://127.0.0.1:9/", {"ticket.due_on": {"operator": "has changed", "value": []}})
    [trigger] = site.call("GET", "triggers")
    by_article = {"article.action": {"operator": "is", "value": "create"}}
    changed = site.call("PUT", f"triggers/{trigger['id']}", {"condition": by_article, "no_such_key": 1})
    assert changed == trigger | {"condition": by_article}
    ticket_id = site.create()
    zammad.world.jobs.clear()
    site.edit(ticket_id, due_on="2026-05-01")
    assert zammad.world.jobs == []
    site.edit(ticket_id, article={"body": "x", "type": "note"})
    assert len(zammad.world.jobs) == 1
    unknown = {"ticket.no_such_column": {"operator": "is", "value": "x"}}
    assert refusal(site, "PUT", f"triggers/{trigger['id']}", {"condition": unknown})[0] == 422


@pytest.mark.parametrize(
    ("more", "group"),
    [
        ({"ZAMMAD_TOKEN": ADMIN_TOKEN}, "Inquiry connector tests"),
        ({"ZAMMAD_TOKEN": AGENT_TOKEN, "ZAMMAD_ADMIN_TOKEN": ADMIN_TOKEN}, "Inquiry connector tests"),
        ({"ZAMMAD_TOKEN": ADMIN_TOKEN, "ZAMMAD_GROUP": "USCIS inquiries"}, "USCIS inquiries"),
    ],
)
def test_a_live_zammad_takes_an_address_and_a_token(
    zammad: ZammadStandin, monkeypatch: pytest.MonkeyPatch, more: dict[str, str], group: str
) -> None:
    """What the live suite asks of its surroundings: it finds or makes the rest, and a second time no more."""
    for name in ("ZAMMAD_ADMIN_TOKEN", "ZAMMAD_GROUP", "ZAMMAD_OTHER_GROUP", "ZAMMAD_CUSTOMER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"ZAMMAD_URL": f"{zammad.url}/"} | more).items():
        monkeypatch.setenv(name, value)
    made = []
    for _ in range(2):
        live = live_site()
        assert isinstance(live, ZammadSite), live
        found = live.tracker().fetch(live.create(), with_history=False)
        assert (live.group, found is not None) == (group, True)
        assert live.tracker().fetch(live.create(group=live.other_group), with_history=False) is None
        live.close()
        made.append((list(zammad.world.groups), list(zammad.world.attributes)))
    assert made[0] == made[1]
    assert zammad.world.agent.groups.keys() > {2} or "ZAMMAD_ADMIN_TOKEN" not in more
