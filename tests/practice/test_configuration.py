"""What administrators configure in the practice tracker through the API, and what it refuses."""

from collections.abc import Callable

import pytest

from connector.practice.clock import PracticeClock
from connector.practice.sample import blank_world
from tests.practice.conftest import Client
from tests.practice.receiver import Receiver

TYPE = "com.atlassian.jira.plugin.system.customfieldtypes:"
OLD, NEW = "/rest/webhooks/1.0/webhook", "/rest/jira-webhook/1.0/webhooks"
HOOK = {"name": "Ours", "url": "https://connector.example/webhooks/cases", "events": ["jira:issue_updated"]}


@pytest.fixture
def admin(cloud: Client) -> Client:
    cloud.world.connector.denied.clear()
    return cloud


@pytest.fixture
def either_admin(either: Client) -> Client:
    either.world.connector.denied.clear()
    return either


def new_field(client: Client, name: str = "Judge", kind: str = "select") -> str:
    answer = client.post("field", {"name": name, "type": TYPE + kind})
    assert answer.status_code == 201, answer.text
    made: str = answer.json()["id"]
    return made


def test_a_new_field_is_on_no_screen_and_has_no_choices(either_admin: Client) -> None:
    made = new_field(either_admin)
    listed = {each["id"]: each for each in either_admin.get("field").json()}
    assert listed[made]["schema"]["custom"] == f"{TYPE}select"
    assert made not in either_admin.get("issue/CASE-1/editmeta").json()["fields"]
    refused = either_admin.edit("CASE-1", **{made: None})
    assert "cannot be set" in refused.json()["errors"][made]
    assert either_admin.post(f"screens/addToDefault/{made}", {}).status_code == 200
    shown = either_admin.get("issue/CASE-1/editmeta").json()["fields"][made]
    assert shown["allowedValues"] == []
    assert either_admin.edit("CASE-1", **{made: None}).status_code == 204


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": " "}, "name"),
        ({"type": "select"}, "fieldType"),
        ({"searcherKey": f"{TYPE}daterange"}, "searcherKey"),
    ],
)
def test_fields_that_cannot_be_made(data_center: Client, change: dict[str, str], message: str) -> None:
    data_center.world.connector.denied.clear()
    refused = data_center.post("field", {"name": "Judge", "type": f"{TYPE}select"} | change)
    assert refused.status_code == 400
    assert message in refused.json()["errors"]


def test_only_administrators_configure(data_center: Client) -> None:
    made = {"name": "Judge", "type": f"{TYPE}select"}
    assert data_center.post("field", made).status_code == 403
    assert data_center.get("screens").status_code == 403
    assert data_center.post("screens/addToDefault/customfield_10050", {}).status_code == 403
    assert data_center.call("GET", NEW).status_code == 403
    assert data_center.call("POST", NEW, json=HOOK).status_code == 403


def test_choices_stand_in_a_context(admin: Client) -> None:
    made = new_field(admin)
    (context,) = admin.get(f"field/{made}/context").json()["values"]
    path = f"field/{made}/context/{context['id']}/option"
    assert context["isGlobalContext"]
    added = admin.post(path, {"options": [{"value": "Ito"}, {"value": "Sand"}]})
    assert [each["value"] for each in added.json()["options"]] == ["Ito", "Sand"]
    assert [each["value"] for each in admin.get(path).json()["values"]] == ["Ito", "Sand"]
    assert admin.post(path, {"options": [{"value": "Ito"}]}).status_code == 400, "there already"
    assert admin.post(path, {"options": ["Ito"]}).status_code == 400
    assert admin.get(f"field/{made}/context/1/option").status_code == 404
    assert admin.get("field/summary/context").status_code == 404


def test_a_text_has_no_choices(admin: Client) -> None:
    made = new_field(admin, kind="textfield")
    (context,) = admin.get(f"field/{made}/context").json()["values"]
    assert admin.get(f"field/{made}/context/{context['id']}/option").status_code == 400


def test_data_center_knows_no_contexts(data_center: Client) -> None:
    data_center.world.connector.denied.clear()
    data_center.get("field/customfield_10050/context")
    assert len(data_center.server.requests.unimplemented) == 1


def test_a_project_may_have_a_screen_of_its_own(either_admin: Client) -> None:
    own = either_admin.world.add_screen("CASE: Screen", "CASE")
    field = either_admin.world.field_named("Form Type").id
    assert field not in either_admin.get("issue/CASE-1/editmeta").json()["fields"]
    listed = either_admin.get("screens", maxResults=1, startAt=1).json()
    assert (listed["values"][0]["id"], listed["isLast"]) == (own.id, True)
    (tab,) = either_admin.get(f"screens/{own.id}/tabs").json()
    path = f"screens/{own.id}/tabs/{tab['id']}/fields"
    assert either_admin.post(path, {"fieldId": field}).status_code == 200
    assert field in {each["id"] for each in either_admin.get(path).json()}
    assert either_admin.edit("CASE-1", **{field: "I-130"}).status_code == 204
    assert either_admin.post(path, {"fieldId": field}).status_code == 400, "there already"
    assert either_admin.post(path, {"fieldId": "nonsense"}).status_code == 404
    assert either_admin.get("screens/99/tabs").status_code == 404
    assert either_admin.get(f"screens/{own.id}/tabs/99/fields").status_code == 404


def test_who_may_not_edit_is_shown_no_fields(either: Client) -> None:
    either.world.connector.denied.add("EDIT_ISSUES")
    assert either.get("issue/CASE-1/editmeta").json() == {"fields": {}}


def test_ones_own_comments_take_a_permission_too(either: Client) -> None:
    comment = either.post("issue/CASE-1/comment", {"body": "Hello"}).json()["id"]
    either.world.connector.denied.add("DELETE_OWN_COMMENTS")
    assert either.call("DELETE", f"issue/CASE-1/comment/{comment}").status_code == 400


# Webhooks


@pytest.mark.parametrize(
    ("deployment", "version", "here", "elsewhere"),
    [
        ("cloud", "1001.0.0-SNAPSHOT", OLD, NEW),
        ("data-center", "9.12.4", OLD, NEW),
        ("data-center", "10.3.5", NEW, OLD),
    ],
)
def test_webhooks_stand_at_the_versions_own_path(
    start: Callable[..., Client], deployment: str, version: str, here: str, elsewhere: str
) -> None:
    client = start(deployment)
    client.world.version = version
    client.world.connector.denied.clear()
    assert client.call("GET", elsewhere).status_code == 404
    made = client.call("POST", here, json=HOOK | {"secret": "shh"})
    assert made.status_code == 201
    (listed,) = client.call("GET", here).json()
    assert listed == made.json()
    assert listed["url"] == HOOK["url"]
    assert "shh" not in str(listed)
    assert listed.get("isSigned") is (True if deployment == "cloud" else None)
    assert listed.get("active") is (True if here == NEW else None)
    number = listed["id"] if here == NEW else int(listed["self"].rpartition("/")[2])
    assert client.call("DELETE", f"{here}/{number}").status_code == 204
    assert client.call("DELETE", f"{here}/{number}").status_code == 404
    assert client.call("GET", here).json() == []


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"url": "connector.example"},
        {"events": []},
        {"events": ["issue_changed"]},
        {"filters": {"issue-related-events-section": "projekt = CASE"}},
        {"colour": "red"},
    ],
)
def test_webhooks_that_cannot_be_made(admin: Client, change: dict[str, object]) -> None:
    assert admin.call("POST", OLD, json=HOOK | change).status_code == 400


def test_a_webhook_made_through_the_api_is_sent_signed_and_only_for_its_issues(
    start: Callable[..., Client], clock: PracticeClock
) -> None:
    client = start("cloud", blank_world(clock))
    client.world.connector.denied.clear()
    with Receiver() as receiver:
        filters = {"issue-related-events-section": "project = CASE"}
        events = ["jira:issue_created"]
        made = HOOK | {"url": receiver.url, "events": events, "secret": "shh", "filters": filters}
        assert client.call("POST", OLD, json=made).status_code == 201
        assert client.call("POST", OLD, json=made | {"enabled": False}).status_code == 201
        client.world.add_issue("OTHER", summary="Toner")
        client.world.add_issue("CASE", summary="First")
        client.server.hooks.drain()
    (sent,) = client.server.hooks.deliveries
    assert sent.json["issue"]["key"] == "CASE-1"
    assert sent.headers["X-Hub-Signature"].startswith("sha256=")
