"""Webhooks: shapes, headers, signatures, retries and disorder."""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.practice.conftest import Client
from tests.practice.receiver import Receiver

SECRET = "It's a Secret to Everybody"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def listen(client: Client, receiver: Receiver, **settings: Any) -> None:
    client.server.hooks.retry_delays = tuple(0.01 for _ in client.server.hooks.retry_delays)
    client.server.hooks.register(receiver.url, **settings)


def bodies(client: Client, receiver: Receiver) -> list[dict[str, Any]]:
    client.server.hooks.drain()
    return [json.loads(body) for _, body in receiver.received]


def names(client: Client, receiver: Receiver) -> list[str]:
    return [each["webhookEvent"] for each in bodies(client, receiver)]


def test_an_edit_is_told_with_its_changelog(either: Client, receiver: Receiver) -> None:
    listen(either, receiver)
    either.edit("CASE-1", duedate="2026-05-04", customfield_10058=30)
    (body,) = bodies(either, receiver)
    assert (body["webhookEvent"], body["issue_event_type_name"]) == ("jira:issue_updated", "issue_updated")
    assert body["timestamp"] == 1775052000000
    assert body["issue"]["fields"]["customfield_10058"] == 30
    items = {each["field"]: each for each in body["changelog"]["items"]}
    assert items["duedate"]["to"] == "2026-05-04"
    cloud = either.world.deployment == "cloud"
    assert ("fieldId" in items["Promised Days"]) is cloud
    assert ("accountId" if cloud else "key") in body["user"]
    assert ("comment" in body["issue"]["fields"]) is not cloud
    assert isinstance(body["issue"]["id"], str)


def test_an_edit_that_changes_nothing_is_not_told(either: Client, receiver: Receiver) -> None:
    listen(either, receiver)
    either.edit("CASE-1", summary="First")
    assert bodies(either, receiver) == []


def test_creation_transition_and_deletion(cloud: Client, receiver: Receiver) -> None:
    listen(cloud, receiver)
    issue = cloud.world.add_issue("CASE", summary="Second", Promised_Days=7)
    cloud.world.move_to(issue, "Done")
    cloud.world.add_comment(issue, cloud.world.new_comment(issue, "x", cloud.world.human))
    cloud.world.delete(issue, cloud.world.human)
    told = bodies(cloud, receiver)
    created, moved, _, deleted, cascade = told
    assert created["webhookEvent"] == "jira:issue_created"
    assert created["changelog"]["items"]
    assert moved["issue_event_type_name"] == "issue_generic"
    assert [each["field"] for each in moved["changelog"]["items"]] == ["resolution", "status"]
    assert deleted.keys() == {"timestamp", "webhookEvent", "user", "issue"}
    assert cascade["webhookEvent"] == "comment_deleted"
    flows = [headers["X-Atlassian-Webhook-Flow"] for headers, _ in receiver.received]
    assert flows == ["Primary"] * 4 + ["Secondary"]


def test_a_comment_on_cloud_comes_with_a_few_fields_of_its_issue(cloud: Client, receiver: Receiver) -> None:
    listen(cloud, receiver)
    cloud.post("issue/CASE-1/comment", {"body": "Hello"})
    (body,) = bodies(cloud, receiver)
    assert body.keys() == {"timestamp", "webhookEvent", "comment", "issue"}
    assert body["issue"]["fields"].keys() == {"summary", "issuetype", "project", "assignee", "priority", "status"}
    assert body["comment"]["body"] == "Hello"


def test_a_comment_on_data_center_comes_twice_once_without_its_issue(data_center: Client, receiver: Receiver) -> None:
    listen(data_center, receiver)
    number = data_center.post("issue/CASE-1/comment", {"body": "Hello"}).json()["id"]
    alone, twin = bodies(data_center, receiver)
    assert alone.keys() == {"timestamp", "webhookEvent", "comment"}
    issue_id = data_center.world.issue("CASE-1").id
    assert alone["comment"]["self"].endswith(f"/issue/{issue_id}/comment/{number}")
    assert (twin["webhookEvent"], twin["issue_event_type_name"]) == ("jira:issue_updated", "issue_commented")
    assert (twin["comment"]["id"], "changelog" in twin) == (number, False)


def test_cloud_signs_and_numbers_its_deliveries(cloud: Client, receiver: Receiver) -> None:
    listen(cloud, receiver, secret=SECRET)
    cloud.edit("CASE-1", summary="Zuñiga, José")
    cloud.server.hooks.drain()
    headers, body = receiver.received[0]
    expected = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert headers["X-Hub-Signature"] == f"sha256={expected}"
    assert headers["X-Atlassian-Webhook-Identifier"].isdecimal()
    assert headers["User-Agent"] == "Atlassian Webhook HTTP Client"
    assert "X-Atlassian-Webhook-Retry" not in headers
    assert "Zuñiga".encode() in body


def test_data_center_signs_but_does_not_number(data_center: Client, receiver: Receiver) -> None:
    listen(data_center, receiver, secret=SECRET)
    data_center.edit("CASE-1", summary="Changed")
    data_center.server.hooks.drain()
    headers, _ = receiver.received[0]
    assert "X-Hub-Signature" in headers
    assert not any(name.startswith("X-Atlassian") for name in headers)


def test_only_the_events_asked_for_are_sent(cloud: Client, receiver: Receiver) -> None:
    listen(cloud, receiver, events=("comment_created",))
    cloud.edit("CASE-1", summary="Changed")
    cloud.post("issue/CASE-1/comment", {"body": "Hello"})
    assert names(cloud, receiver) == ["comment_created"]
    with pytest.raises(ValueError, match="unknown events"):
        cloud.server.hooks.register(receiver.url, events=("issue_touched",))


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 503])
def test_cloud_tries_again_under_the_same_identifier(cloud: Client, receiver: Receiver, status: int) -> None:
    listen(cloud, receiver)
    receiver.statuses = [status, status]
    cloud.edit("CASE-1", summary="Changed")
    cloud.server.hooks.drain()
    assert [headers.get("X-Atlassian-Webhook-Retry") for headers, _ in receiver.received] == [None, "1", "2"]
    assert len({headers["X-Atlassian-Webhook-Identifier"] for headers, _ in receiver.received}) == 1
    assert [each.status for each in cloud.server.hooks.deliveries] == [status, status, 204]


@pytest.mark.parametrize("status", [400, 401, 404, 302])
def test_other_answers_are_final(cloud: Client, receiver: Receiver, status: int) -> None:
    listen(cloud, receiver)
    receiver.statuses = [status]
    cloud.edit("CASE-1", summary="Changed")
    cloud.server.hooks.drain()
    assert len(receiver.received) == 1


def test_cloud_gives_up_after_five_retries_and_data_center_at_once(
    cloud: Client, data_center: Client, receiver: Receiver
) -> None:
    for client, tries in ((cloud, 6), (data_center, 1)):
        listen(client, receiver)
        receiver.statuses = [503] * 10
        client.edit("CASE-1", summary="Changed")
        client.server.hooks.drain()
        assert len(client.server.hooks.deliveries) == tries


def test_nobody_listening_is_a_failure_too(cloud: Client) -> None:
    with Receiver() as gone:
        url = gone.url
    cloud.server.hooks.retry_delays = (0.01,)
    cloud.server.hooks.register(url)
    cloud.edit("CASE-1", summary="Changed")
    cloud.server.hooks.drain()
    assert [each.status for each in cloud.server.hooks.deliveries] == [None, None]


def test_disorder_on_demand(cloud: Client, receiver: Receiver) -> None:
    listen(cloud, receiver)
    hooks = cloud.server.hooks

    def told() -> list[str]:
        found = [each["issue"]["fields"]["summary"] for each in bodies(cloud, receiver)]
        receiver.received.clear()
        return found

    hooks.duplicate()
    cloud.edit("CASE-1", summary="a")
    cloud.edit("CASE-1", summary="b")
    assert told() == ["a", "a", "b"]
    hooks.drop()
    cloud.edit("CASE-1", summary="c")
    cloud.edit("CASE-1", summary="d")
    assert told() == ["d"]
    hooks.hold()
    cloud.edit("CASE-1", summary="e")
    cloud.edit("CASE-1", summary="f")
    assert told() == []
    hooks.release(reverse=True)
    assert told() == ["f", "e"]
    hooks.delay = 0.05
    cloud.edit("CASE-1", summary="g")
    assert told() == ["g"]


def test_drain_does_not_wait_for_ever(cloud: Client, receiver: Receiver) -> None:
    listen(cloud, receiver)
    cloud.server.hooks.delay = 60
    cloud.edit("CASE-1", summary="Changed")
    with pytest.raises(TimeoutError):
        cloud.server.hooks.drain(timeout=0.05)


def test_an_automation_rule_sends_the_issue_itself(start: Callable[..., Client], receiver: Receiver) -> None:
    client = start("cloud")
    listen(client, receiver, shape="automation", headers=(("X-Shared-Secret", "s3cret"),))
    issue = client.world.add_issue("CASE", summary="First")
    (body,) = bodies(client, receiver)
    headers, _ = receiver.received[0]
    assert body["id"] == issue.id
    assert (body["key"], body["changelog"]["histories"]) == ("CASE-1", None)
    assert "webhookEvent" not in body
    assert headers["X-Shared-Secret"] == "s3cret"
    assert not any(name.startswith(("X-Atlassian", "X-Hub")) for name in headers)


def test_a_comment_on_a_transition_screen_is_told_with_the_transition(cloud: Client, receiver: Receiver) -> None:
    listen(cloud, receiver)
    world = cloud.world
    issue, move = world.issue("CASE-1"), world.transitions[1]
    world.move(issue, move, world.human, comment=world.new_comment(issue, "Called", world.human))
    moved, twin = bodies(cloud, receiver)
    assert (moved["webhookEvent"], moved["comment"]["body"]) == ("jira:issue_updated", "Called")
    assert twin["webhookEvent"] == "comment_created"
