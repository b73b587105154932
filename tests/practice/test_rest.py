"""The REST API: what it takes, refuses and silently drops, on both deployments."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import requests

from connector.practice.clock import PracticeClock
from connector.practice.sample import SCOPED_TOKEN, blank_world, sample_world
from connector.practice.world import Transition
from tests.practice.conftest import START, Client

Start = Callable[..., Client]
ALIEN, FILED, CALLED = "customfield_10051", "customfield_10053", "customfield_10055"
PROMISED, CENTER, PROTECTED = "customfield_10058", "customfield_10059", "customfield_10063"


# -- the site ----------------------------------------------------------------------------------------------------


def test_server_info_tells_the_deployment_even_to_strangers(cloud: Client, data_center: Client) -> None:
    for client, kind in ((cloud, "Cloud"), (data_center, "Server")):
        answer = requests.get(f"{client.server.url}/rest/api/2/serverInfo", timeout=5).json()
        assert answer["deploymentType"] == kind
        assert isinstance(answer["versionNumbers"], list)
        assert answer["baseUrl"] == client.server.url
        assert client.get("serverInfo").status_code == 200


def test_people_are_named_as_the_deployment_names_them(cloud: Client, data_center: Client) -> None:
    me = cloud.get("myself").json()
    assert me["accountId"]
    assert "name" not in me
    me = data_center.get("myself").json()
    assert (me["name"], me["emailAddress"]) == ("inquiry-connector", "connector@office.example")
    assert "accountId" not in me


def test_fields_have_ids_types_and_names_that_may_be_ambiguous(either: Client) -> None:
    either.world.add_field("A-Number", "text")
    fields = {each["id"]: each for each in either.get("field").json()}
    assert [each["id"] for each in fields.values() if each["name"] == "A-Number"] == [ALIEN, "customfield_10064"]
    assert fields[ALIEN]["schema"] == {
        "type": "string",
        "custom": "com.atlassian.jira.plugin.system.customfieldtypes:textfield",
        "customId": 10051,
    }
    assert fields[PROTECTED]["schema"]["items"] == "option"
    assert fields["status"]["schema"] == {"type": "status", "system": "status"}


def test_projects_and_statuses(either: Client) -> None:
    project = either.get("project/CASE").json()
    assert (project["key"], project["projectTypeKey"]) == ("CASE", "business")
    assert either.get(f"project/{project['id']}").json() == project
    assert either.get("project/NONE").status_code == 404
    names = [each["name"] for each in either.get("status").json()]
    assert "Awaiting NCSC" in names
    for kind in either.get("project/CASE/statuses").json():
        assert [each["name"] for each in kind["statuses"]] == names


def test_permissions_are_asked_by_name_on_cloud(cloud: Client, data_center: Client) -> None:
    cloud.world.connector.denied.add("ADD_COMMENTS")
    assert cloud.get("mypermissions").status_code == 400
    assert cloud.get("mypermissions", permissions="MAKE_COFFEE").status_code == 400
    asked = cloud.get("mypermissions", permissions="ADD_COMMENTS,EDIT_ISSUES", projectKey="CASE").json()
    assert {k: v["havePermission"] for k, v in asked["permissions"].items()} == {
        "ADD_COMMENTS": False,
        "EDIT_ISSUES": True,
    }
    assert len(data_center.get("mypermissions").json()["permissions"]) > 5


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "dashboard"),
        ("PATCH", "issue/CASE-1"),
        ("GET", "/rest/servicedeskapi/info"),
        ("GET", "/rest/api/9/field"),
    ],
)
def test_what_is_not_there_is_refused_by_name_and_can_be_seen(either: Client, method: str, path: str) -> None:
    answer = either.call(method, path)
    assert answer.status_code == 404
    assert path.strip("/") in answer.json()["errorMessages"][0]
    assert [each.method for each in either.server.requests.unimplemented] == [method]


def test_cloud_and_data_center_lack_each_others_calls(cloud: Client, data_center: Client) -> None:
    gone = cloud.get("search", jql="project = CASE")
    assert gone.status_code == 410
    assert "/rest/api/3/search/jql" in gone.json()["errorMessages"][0]
    assert cloud.post("search", {"jql": "project = CASE"}).status_code == 410
    for call in (
        data_center.get("search/jql", jql="project = CASE"),
        data_center.post("jql/match", {"issueIds": [], "jqls": []}),
        data_center.get("issue/CASE-1/changelog"),
        data_center.get("/rest/api/3/field"),
    ):
        assert call.status_code == 404
    assert len(data_center.server.requests.unimplemented) == 4


def test_version_3_serves_only_what_carries_no_rich_text(cloud: Client) -> None:
    assert cloud.get("/rest/api/3/field").json() == cloud.get("field").json()
    assert cloud.post("/rest/api/3/issue/CASE-1/comment", {"body": "plain"}).status_code == 404
    assert cloud.world.issue("CASE-1").comments == []


# -- who calls ---------------------------------------------------------------------------------------------------


def ask(url: str, **more: Any) -> requests.Response:
    return requests.get(f"{url}/rest/api/2/myself", timeout=5, **more)


def test_cloud_takes_basic_tokens_and_no_bearer_on_the_site(cloud: Client) -> None:
    name, secret = cloud.world.connector_auth
    url = cloud.server.url
    assert ask(url, auth=(name, secret)).status_code == 200
    for refused in (
        {},
        {"auth": (name, "wrong")},
        {"auth": ("inquiry-connector", secret)},
        {"headers": {"Authorization": f"Bearer {secret}"}},
        {"headers": {"Authorization": "Basic !!"}},
    ):
        answer = ask(url, **refused)
        assert answer.status_code == 401
        assert "errorMessages" in answer.json()
    cloud.world.empty_401 = True
    assert ask(url).content == b""


def test_scoped_tokens_work_through_the_gateway_only(cloud: Client) -> None:
    name, secret = cloud.world.connector_auth
    site, gateway = cloud.server.url, cloud.server.gateway_url
    assert ask(site, auth=(name, SCOPED_TOKEN)).status_code == 401
    assert ask(gateway, auth=(name, SCOPED_TOKEN)).status_code == 200
    assert ask(gateway, headers={"Authorization": f"Bearer {SCOPED_TOKEN}"}).status_code == 200
    assert ask(gateway, auth=(name, secret)).status_code == 401
    assert ask(f"{site}/ex/jira/another-cloud", auth=(name, SCOPED_TOKEN)).status_code == 404
    found = requests.get(f"{site}/_edge/tenant_info", timeout=5).json()
    assert gateway.endswith(found["cloudId"])
    # Links in answers name the site, not the gateway.
    assert ask(gateway, auth=(name, SCOPED_TOKEN)).json()["self"].startswith(f"{site}/rest/")


def test_data_center_takes_tokens_and_says_why_it_refuses(data_center: Client) -> None:
    name, secret = data_center.world.connector_auth
    url = data_center.server.url
    assert ask(url, auth=(name, secret)).status_code == 200
    assert ask(url, headers={"Authorization": f"Bearer {secret}"}).status_code == 200
    refused = ask(url, headers={"Authorization": "Bearer wrong"})
    assert refused.status_code == 401
    assert refused.headers["X-Seraph-LoginReason"] == "AUTHENTICATED_FAILED"
    assert requests.get(f"{url}/_edge/tenant_info", timeout=5).status_code == 404


def test_rate_limit_headers_of_data_center_on_demand(data_center: Client) -> None:
    assert "Retry-After" not in data_center.get("myself").headers
    data_center.world.rate_limit_headers = True
    assert data_center.get("myself").headers["Retry-After"] == "0"


# -- issues ------------------------------------------------------------------------------------------------------


def test_an_issue_shows_its_fields_as_jira_does(either: Client) -> None:
    issue = either.world.add_issue(
        "CASE",
        summary="Shown",
        duedate=date(2026, 4, 2),
        NCSC_Called_At=datetime(2026, 3, 1, 15, 15, tzinfo=UTC),
        Date_Filed=date(2025, 6, 2),
        Promised_Days=30,
        Service_Center="Texas Service Center",
        Protected=["Yes"],
        customfield_10051="A012345678",
    )
    answer = either.get(f"issue/{issue.id}", expand="names").json()
    fields = answer["fields"]
    assert (answer["id"], answer["key"]) == (str(issue.id), issue.key)
    assert fields[CALLED] == "2026-03-01T10:15:00.000-0500"
    assert fields["created"] == "2026-04-01T10:00:00.000-0400"
    assert (fields[FILED], fields["duedate"]) == ("2025-06-02", "2026-04-02")
    assert fields[PROMISED] == 30.0
    assert fields[CENTER].keys() == {"self", "value", "id"}
    assert fields[PROTECTED][0]["value"] == "Yes"
    assert fields["customfield_10050"] is None
    assert fields["status"]["statusCategory"]["key"] == "new"
    assert fields["project"]["projectTypeKey"] == "business"
    assert fields["issuetype"]["name"] == "USCIS inquiry"
    assert fields["comment"]["comments"] == []
    assert answer["names"][ALIEN] == "A-Number"


def test_fields_can_be_chosen(either: Client) -> None:
    def chosen(fields: str) -> set[str]:
        return set(either.get("issue/CASE-1", fields=fields).json()["fields"])

    every = set(either.get("issue/CASE-1").json()["fields"])
    assert chosen("summary, duedate,Summary") == {"summary", "duedate"}
    assert chosen("*navigable") == every - {"comment"}
    assert chosen("*all,-status") == every - {"status"}
    assert chosen("-status") == every - {"status"}


def test_an_edit_writes_every_type(either: Client) -> None:
    fields = {
        "summary": "Changed",
        "duedate": "2026-05-04",
        ALIEN: "A012345678",
        FILED: "2025-06-02",
        CALLED: "2026-03-01T10:15:00.000-0500",
        PROMISED: 30,
        CENTER: {"value": "Texas Service Center"},
        PROTECTED: [{"value": "Yes"}],
    }
    answer = either.edit("CASE-1", **fields)
    assert (answer.status_code, answer.content) == (204, b"")
    shown = either.get("issue/CASE-1").json()["fields"]
    assert {name: shown[name] for name in ("summary", "duedate", ALIEN, FILED, CALLED, PROMISED)} == {
        name: fields[name] for name in ("summary", "duedate", ALIEN, FILED, CALLED, PROMISED)
    }
    option = shown[CENTER]["id"]
    assert either.edit("CASE-1", **{CENTER: {"id": option}, ALIEN: "", PROTECTED: []}).status_code == 204
    shown = either.get("issue/CASE-1").json()["fields"]
    assert (shown[CENTER]["value"], shown[ALIEN], shown[PROTECTED]) == ("Texas Service Center", None, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (FILED, "06/02/2025"),
        (FILED, "2025-02-30"),
        (FILED, 20250602),
        (CALLED, "2026-03-01T10:15:00-05:00"),
        (CALLED, "2026-03-01T10:15:00.000-05:00"),
        (CALLED, "2026-03-01T10:15:00.000Z"),
        (CALLED, "2026-03-01"),
        (PROMISED, "30"),
        (PROMISED, True),
        (CENTER, "Texas Service Center"),
        (CENTER, {"value": "Potomac Service Center"}),
        (CENTER, {"id": "1"}),
        (PROTECTED, {"value": "Yes"}),
        (ALIEN, 12345678),
        (ALIEN, "two\nlines"),
        (ALIEN, "x" * 256),
        ("summary", None),
        ("status", {"name": "Done"}),
        ("customfield_99999", "x"),
    ],
)
def test_one_bad_field_refuses_the_whole_edit(either: Client, field: str, value: object) -> None:
    answer = either.edit("CASE-1", **{field: value, "duedate": "2026-05-04"})
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [field]
    assert either.get("issue/CASE-1").json()["fields"]["duedate"] is None


def test_fields_off_the_screen_cannot_be_set(either: Client) -> None:
    either.world.off_edit_screen.add("duedate")
    answer = either.edit("CASE-1", duedate="2026-05-04")
    message = "Field 'duedate' cannot be set. It is not on the appropriate screen, or unknown."
    assert (answer.status_code, answer.json()["errors"]) == (400, {"duedate": message})
    either.world.add_issue("OTHER", summary="Toner")
    assert either.edit("OTHER-1", **{ALIEN: "A012345678"}).status_code == 400


def test_edits_by_operations(either: Client) -> None:
    update = {"duedate": [{"set": "2026-05-04"}], "comment": [{"add": {"body": "Set"}}]}
    assert either.put("issue/CASE-1", {"update": update}).status_code == 204
    issue = either.world.issue("CASE-1")
    assert (issue.values["duedate"], issue.comments[0].body) == (date(2026, 5, 4), "Set")
    both = {"fields": {"duedate": None}, "update": {"duedate": [{"set": None}]}}
    assert either.put("issue/CASE-1", both).status_code == 400
    assert either.put("issue/CASE-1", {"update": {"labels": [{"add": "x"}]}}).status_code == 400
    assert either.put("issue/CASE-1", {"field": {}}).status_code == 400
    assert either.call("PUT", "issue/CASE-1", data="{", headers={"Content-Type": "application/json"}).status_code == 400
    assert either.call("PUT", "issue/CASE-1", data="duedate=1").status_code == 415


def test_silent_edits_need_an_administrator(either: Client) -> None:
    path = "issue/CASE-1?notifyUsers=false"
    assert either.put(path, {"fields": {"duedate": "2026-05-04"}}).status_code == 403
    either.world.connector.denied.clear()
    assert either.put(path, {"fields": {"duedate": "2026-05-04"}}).status_code == 204


def test_cloud_returns_the_issue_of_an_edit_on_request(cloud: Client) -> None:
    answer = cloud.put("issue/CASE-1?returnIssue=true", {"fields": {"duedate": "2026-05-04"}})
    assert (answer.status_code, answer.json()["fields"]["duedate"]) == (200, "2026-05-04")


def test_issues_are_created_and_deleted(either: Client) -> None:
    fields = {"project": {"key": "CASE"}, "issuetype": {"name": "USCIS inquiry"}, "summary": "Second"}
    answer = either.post("issue", {"fields": fields})
    assert (answer.status_code, answer.json()["key"]) == (201, "CASE-2")
    assert either.get("issue/case-2").json()["fields"]["summary"] == "Second"
    for wrong in ({"summary": None}, {"project": {"key": "NO"}}, {"issuetype": {"name": "Bug"}}, {"epic": 1}):
        refused = either.post("issue", {"fields": fields | wrong})
        assert (refused.status_code, list(refused.json()["errors"])) == (400, list(wrong))
    assert either.call("DELETE", "issue/CASE-2").status_code == 204
    assert either.get("issue/CASE-2").status_code == 404
    again = either.post("issue", {"fields": fields})
    assert again.json()["key"] == "CASE-3"


def test_missing_permissions_are_felt(either: Client) -> None:
    denied = either.world.connector.denied
    denied |= {"EDIT_ISSUES", "TRANSITION_ISSUES", "ADD_COMMENTS", "DELETE_ISSUES", "CREATE_ISSUES"}
    assert either.edit("CASE-1", duedate=None).status_code == 403
    assert either.get("issue/CASE-1/transitions").json()["transitions"] == []
    assert either.post("issue/CASE-1/transitions", {"transition": {"id": "12"}}).status_code == 400
    assert either.post("issue/CASE-1/comment", {"body": "x"}).status_code == 400
    assert either.call("DELETE", "issue/CASE-1").status_code == 403
    assert either.post("issue", {"fields": {}}).status_code == 400
    denied.add("BROWSE_PROJECTS")
    assert either.get("issue/CASE-1").status_code == 404


# -- comments ----------------------------------------------------------------------------------------------------


def test_comments_are_written_read_paged_and_deleted(either: Client, clock: PracticeClock) -> None:
    ids = []
    for number in range(3):
        clock.advance(minutes=1)
        answer = either.post("issue/CASE-1/comment", {"body": f"Number *{number}*"})
        assert answer.status_code == 201
        ids.append(answer.json()["id"])
    page = either.get("issue/CASE-1/comment", orderBy="-created", maxResults=2).json()
    assert [each["id"] for each in page["comments"]] == [ids[2], ids[1]]
    assert (page["startAt"], page["maxResults"], page["total"]) == (0, 2, 3)
    rest = either.get("issue/CASE-1/comment", startAt=1).json()
    assert [each["id"] for each in rest["comments"]] == ids[1:]
    assert either.get(f"issue/CASE-1/comment/{ids[0]}").json()["body"] == "Number *0*"
    assert either.call("DELETE", f"issue/CASE-1/comment/{ids[0]}").status_code == 204
    assert either.get(f"issue/CASE-1/comment/{ids[0]}").status_code == 404
    assert either.get("issue/CASE-1/comment", orderBy="author").status_code == 400
    assert either.get("issue/CASE-1/comment", startAt="-1").status_code == 400


@pytest.mark.parametrize("body", ["", "  ", None, {"type": "doc", "version": 1, "content": []}, "x" * 32768])
def test_comments_jira_would_refuse(either: Client, body: object) -> None:
    answer = either.post("issue/CASE-1/comment", {"body": body})
    assert answer.status_code == 400
    assert either.world.issue("CASE-1").comments == []


def test_comment_properties(either: Client) -> None:
    properties = [{"key": "ref", "value": {"is": "7c3e19a2"}}]
    number = either.post("issue/CASE-1/comment", {"body": "x", "properties": properties}).json()["id"]
    keys = either.get(f"comment/{number}/properties").json()["keys"]
    assert [each["key"] for each in keys] == ["ref"]
    assert either.get(f"comment/{number}/properties/ref").json() == {"key": "ref", "value": {"is": "7c3e19a2"}}
    assert either.get(f"comment/{number}/properties/other").status_code == 404
    assert either.get("comment/1/properties").status_code == 404
    for bad in ([{"key": "k", "value": "x" * 32768}], [{"key": "k" * 256, "value": 1}], [{"key": "k"}], {"k": 1}):
        assert either.post("issue/CASE-1/comment", {"body": "x", "properties": bad}).status_code == 400


INTERNAL = [{"key": "sd.public.comment", "value": {"internal": True}}]


def test_internal_comments_of_a_service_desk(start: Start) -> None:
    desk = start("cloud", project_type="service_desk")
    desk.world.add_issue("CASE", summary="First")
    internal = desk.post("issue/CASE-1/comment", {"body": "x", "properties": INTERNAL}).json()
    assert internal["jsdPublic"] is False
    assert desk.get(f"issue/CASE-1/comment/{internal['id']}").json()["jsdPublic"] is False
    assert desk.post("issue/CASE-1/comment", {"body": "x"}).json()["jsdPublic"] is True


@pytest.mark.parametrize("deployment", ["cloud", "data-center"])
def test_whoever_is_no_agent_writes_publicly_and_is_not_told(start: Start, deployment: str) -> None:
    desk = start(deployment, project_type="service_desk")
    issue = desk.world.add_issue("CASE", summary="First")
    desk.world.connector.denied.add("SERVICEDESK_AGENT")
    answer = desk.post("issue/CASE-1/comment", {"body": "x", "properties": INTERNAL})
    assert answer.status_code == 201
    assert issue.comments[0].public
    assert answer.json().get("jsdPublic") is (True if deployment == "cloud" else None)
    number = answer.json()["id"]
    assert desk.get(f"comment/{number}/properties/sd.public.comment").status_code == 404


def test_other_projects_know_no_internal_comments(either: Client) -> None:
    answer = either.post("issue/CASE-1/comment", {"body": "x", "properties": INTERNAL})
    assert "jsdPublic" not in answer.json()


def test_comments_for_a_role_and_the_limit_per_issue(either: Client) -> None:
    for visibility, status in (
        ({"type": "role", "value": "Administrators"}, 201),
        ({"type": "role", "value": "Nobody"}, 400),
        ({"type": "user", "value": "Administrators"}, 400),
    ):
        sent = {"body": "x", "visibility": visibility}
        assert either.post("issue/CASE-1/comment", sent).status_code == status
    either.world.comment_limit = 1
    assert either.post("issue/CASE-1/comment", {"body": "x"}).status_code == 413


# -- transitions -------------------------------------------------------------------------------------------------


def open_names(client: Client) -> list[str]:
    return [each["name"] for each in client.get("issue/CASE-1/transitions").json()["transitions"]]


def id_to(client: Client, status: str) -> str:
    listed = client.get("issue/CASE-1/transitions").json()["transitions"]
    return next(str(each["id"]) for each in listed if each["to"]["name"] == status)


def test_only_open_transitions_are_listed_and_taken(either: Client) -> None:
    assert "Move to New" not in open_names(either)
    done = id_to(either, "Done")
    answer = either.post("issue/CASE-1/transitions", {"transition": {"id": done}})
    assert (answer.status_code, answer.content) == (204, b"")
    fields = either.get("issue/CASE-1").json()["fields"]
    assert (fields["status"]["name"], fields["resolution"]["name"]) == ("Done", "Done")
    assert "Move to Done" not in open_names(either)
    assert either.post("issue/CASE-1/transitions", {"transition": {"id": done}}).status_code == 400
    one = either.get("issue/CASE-1/transitions", transitionId=id_to(either, "New")).json()["transitions"]
    assert [each["to"]["name"] for each in one] == ["New"]


def test_an_unknown_transition_is_400_on_cloud_and_500_on_data_center(cloud: Client, data_center: Client) -> None:
    for client, status in ((cloud, 400), (data_center, 500)):
        assert client.post("issue/CASE-1/transitions", {"transition": {"id": "999"}}).status_code == status


@pytest.mark.parametrize("sent", [{"transition": {"id": 12}}, {"transition": {}}, {}, {"transition": "12"}])
def test_a_transition_is_named_by_a_string(either: Client, sent: object) -> None:
    assert either.post("issue/CASE-1/transitions", sent).status_code == 400
    assert either.world.issue("CASE-1").status.name == "New"


def screen(client: Client, *fields: str, required: tuple[str, ...] = ()) -> None:
    """Give every transition a screen."""
    client.world.transitions = [
        Transition(t.id, t.name, t.to, t.sources, fields, frozenset(required)) for t in client.world.transitions
    ]


def test_a_comment_without_a_screen_for_it_is_silently_dropped(either: Client) -> None:
    said = {"update": {"comment": [{"add": {"body": "Moved"}}]}}
    for fields in (None, ("duedate",), ("comment",)):
        if fields:
            screen(either, *fields)
        status = "Call NCSC" if either.world.issue("CASE-1").status.name == "New" else "New"
        sent = {"transition": {"id": id_to(either, status)}} | said
        assert either.post("issue/CASE-1/transitions", sent).status_code == 204
    assert [each.body for each in either.world.issue("CASE-1").comments] == ["Moved"]


def test_screens_take_their_fields_only_and_demand_the_required(either: Client) -> None:
    go = {"transition": {"id": id_to(either, "Done")}}
    assert either.post("issue/CASE-1/transitions", go | {"fields": {"duedate": "2026-05-04"}}).status_code == 400
    screen(either, "duedate", "comment", required=("duedate", "comment"))
    refused = either.post("issue/CASE-1/transitions", go)
    assert refused.json()["errors"] == {"comment": "Comment is required", "duedate": "Due date is required."}
    assert either.world.issue("CASE-1").status.name == "New"
    listed = either.get("issue/CASE-1/transitions", expand="transitions.fields").json()["transitions"]
    assert {name: each["required"] for name, each in listed[0]["fields"].items()} == {"duedate": True}
    full = go | {"fields": {"duedate": "2026-05-04"}, "update": {"comment": [{"add": {"body": "Sent"}}]}}
    assert either.post("issue/CASE-1/transitions", full).status_code == 204
    issue = either.world.issue("CASE-1")
    assert (issue.values["duedate"], len(issue.comments)) == (date(2026, 5, 4), 1)


def test_a_transition_may_carry_properties_and_metadata(either: Client) -> None:
    sent = {
        "transition": {"id": id_to(either, "Done")},
        "properties": [{"key": "ref", "value": "7c3e19a2"}],
        "historyMetadata": {"type": "connector", "extraData": {"ref": "7c3e19a2"}},
    }
    assert either.post("issue/CASE-1/transitions", sent).status_code == 204
    assert either.get("issue/CASE-1", properties="ref").json()["properties"] == {"ref": "7c3e19a2"}
    entry = either.get("issue/CASE-1", expand="changelog").json()["changelog"]["histories"][0]
    assert entry["historyMetadata"]["type"] == "connector"


# -- properties and history --------------------------------------------------------------------------------------


def test_issue_properties_are_no_update(either: Client, clock: PracticeClock) -> None:
    clock.advance(minutes=5)
    assert either.put("issue/CASE-1/properties/ref", {"a": 1}).status_code == 201
    assert either.put("issue/CASE-1/properties/ref", {"a": 2}).status_code == 200
    assert either.get("issue/CASE-1/properties/ref").json() == {"key": "ref", "value": {"a": 2}}
    assert [each["key"] for each in either.get("issue/CASE-1/properties").json()["keys"]] == ["ref"]
    assert either.get("issue/CASE-1/properties/other").status_code == 404
    assert either.world.issue("CASE-1").updated == START


def test_history_is_newest_first_on_cloud_and_oldest_first_on_data_center(
    cloud: Client, data_center: Client, clock: PracticeClock
) -> None:
    for client in (cloud, data_center):
        for day in ("2026-04-02", "2026-04-03", None):
            clock.advance(minutes=1)
            client.edit("CASE-1", duedate=day)
    newest_first = cloud.get("issue/CASE-1", expand="changelog").json()["changelog"]["histories"]
    assert [each["items"][0]["to"] for each in newest_first] == [None, "2026-04-03", "2026-04-02"]
    assert newest_first[0]["items"][0]["fieldId"] == "duedate"
    oldest_first = data_center.get("issue/CASE-1", expand="changelog").json()["changelog"]["histories"]
    assert [each["items"][0]["to"] for each in oldest_first] == ["2026-04-02", "2026-04-03", None]
    assert "fieldId" not in oldest_first[0]["items"][0]
    first = cloud.get("issue/CASE-1/changelog", maxResults=2).json()
    assert [each["items"][0]["to"] for each in first["values"]] == ["2026-04-02", "2026-04-03"]
    assert not first["isLast"]
    last = cloud.call("GET", first["nextPage"].removeprefix(cloud.server.url)).json()
    assert (last["startAt"], len(last["values"]), last["isLast"]) == (2, 1, True)
    assert "nextPage" not in last


def test_the_history_tells_when_a_status_was_entered(either: Client, clock: PracticeClock) -> None:
    clock.advance(days=1)
    either.world.move_to(either.world.issue("CASE-1"), "E-mailed Service Center")
    entry = either.get("issue/CASE-1", expand="changelog").json()["changelog"]["histories"][0]
    assert entry["created"] == "2026-04-02T10:00:00.000-0400"
    item = entry["items"][-1]
    assert (item["field"], item["fromString"], item["toString"]) == ("status", "New", "E-mailed Service Center")


# -- searches ----------------------------------------------------------------------------------------------------


def test_cloud_search_gives_ids_only_and_pages_by_token(cloud: Client) -> None:
    for number in range(4):
        cloud.world.add_issue("CASE", summary=f"More {number}")
    cloud.world.page_limit = 2
    query = "project = CASE ORDER BY key ASC"
    found, token, pages = [], None, 0
    while pages == 0 or token:
        extra: dict[str, object] = {"nextPageToken": token} if token else {}
        page = cloud.get("search/jql", jql=query, maxResults=100, **extra).json()
        assert all(each.keys() == {"id"} for each in page["issues"])
        assert "total" not in page
        found += [each["id"] for each in page["issues"]]
        token = page.get("nextPageToken")
        assert page["isLast"] is (token is None)
        pages += 1
    assert (len(found), pages) == (5, 3)
    one = cloud.get("search/jql", jql=query, fields="summary").json()["issues"][0]
    assert (one["key"], one["fields"]) == ("CASE-1", {"summary": "First"})
    stolen = cloud.get("search/jql", jql=query, maxResults=1).json()["nextPageToken"]
    assert cloud.get("search/jql", jql="project = OTHER", nextPageToken=stolen).status_code == 400
    assert cloud.get("search/jql", jql=query, nextPageToken="????").status_code == 400


def test_cloud_refuses_unbounded_searches(cloud: Client, data_center: Client) -> None:
    for query in ("", "ORDER BY updated"):
        answer = cloud.get("search/jql", jql=query)
        assert answer.status_code == 400
        assert "Unbounded" in answer.json()["errorMessages"][0]
        assert data_center.get("search", jql=query).json()["total"] == 1


def test_data_center_search_counts_and_pages_by_offset(data_center: Client) -> None:
    for number in range(4):
        data_center.world.add_issue("CASE", summary=f"More {number}")
    page = data_center.get("search", jql="project = CASE", startAt=3, maxResults=10).json()
    assert (page["startAt"], page["total"], len(page["issues"])) == (3, 5, 2)
    assert "comment" not in page["issues"][0]["fields"]
    assert data_center.get("search", jql="nonsense").status_code == 400


def test_many_issues_at_once_by_id_or_key(cloud: Client, data_center: Client) -> None:
    more = [cloud.world.add_issue("CASE", summary=f"More {number}") for number in range(3)]
    asked = [more[2].key, str(more[0].id), more[0].key, "CASE-999"]
    answer = cloud.post("issue/bulkfetch", {"issueIdsOrKeys": asked, "fields": ["summary"]}).json()
    assert [(each["id"], list(each["fields"])) for each in answer["issues"]] == [
        (str(more[0].id), ["summary"]),
        (str(more[2].id), ["summary"]),
    ]
    assert [each["id"] for each in answer["issueErrors"]] == ["CASE-999"]
    for wrong in ([], ["CASE-1"] * 101, "CASE-1", [1]):
        assert cloud.post("issue/bulkfetch", {"issueIdsOrKeys": wrong}).status_code == 400
    assert cloud.post("issue/bulkfetch", {"issueIdsOrKeys": ["CASE-1"], "jql": "x"}).status_code == 400
    assert data_center.post("issue/bulkfetch", {"issueIdsOrKeys": ["CASE-1"]}).status_code == 404


def test_history_and_moves_come_with_issues_that_are_asked_for_so(either: Client) -> None:
    either.world.move_to(either.world.issue("CASE-1"), "Call NCSC")
    offered = either.get("issue/CASE-1/transitions").json()["transitions"]
    expand = "changelog,transitions"
    found = [either.get("issue/CASE-1", expand=expand).json()]
    if either.world.deployment == "cloud":
        found += either.get("search/jql", jql="project = CASE", fields="status", expand=expand).json()["issues"]
        body = {"issueIdsOrKeys": ["CASE-1"], "expand": expand.split(",")}
        found += either.post("issue/bulkfetch", body).json()["issues"]
    else:
        found += either.get("search", jql="project = CASE", expand=expand).json()["issues"]
    for issue in found:
        assert issue["transitions"] == offered
        assert len(issue["changelog"]["histories"]) == 1
    assert not {"changelog", "transitions"} & set(either.get("issue/CASE-1").json())


def test_among_many_an_issue_may_come_with_its_latest_comments_only(either: Client) -> None:
    either.world.comments_shown = 2
    for number in range(3):
        either.post("issue/CASE-1/comment", {"body": f"Number {number}"})
    path = "search/jql" if either.world.deployment == "cloud" else "search"
    [issue] = either.get(path, jql="project = CASE", fields="comment").json()["issues"]
    comments = issue["fields"]["comment"]
    assert [each["body"] for each in comments["comments"]] == ["Number 1", "Number 2"]
    assert comments["total"] == 3
    assert len(either.get("issue/CASE-1").json()["fields"]["comment"]["comments"]) == 3


def test_a_frozen_index_lags_except_for_reconciled_issues(cloud: Client) -> None:
    cloud.world.freeze_index()
    late = cloud.world.add_issue("CASE", summary="Late")
    cloud.world.move_to(cloud.world.issue("CASE-1"), "Done")

    def found(query: str, **more: object) -> list[str]:
        issues = cloud.get("search/jql", jql=query, **more).json()["issues"]
        return [each["id"] for each in issues]

    first = str(cloud.world.issue("CASE-1").id)
    assert found("project = CASE") == [first]
    assert found("status = New") == [first]
    assert found("project = CASE", reconcileIssues=late.id) == [first, str(late.id)]
    cloud.world.thaw_index()
    assert found("status = New") == [str(late.id)]


def test_jql_match_judges_each_query_on_its_own(cloud: Client) -> None:
    other = cloud.world.add_issue("OTHER", summary="Toner")
    first = cloud.world.issue("CASE-1")
    sent = {
        "issueIds": [first.id, other.id, 999999],
        "jqls": ["project = CASE", "nonsense = 1", 'issuetype = "USCIS inquiry" AND statusCategory != Done'],
    }
    one, two, three = cloud.post("jql/match", sent).json()["matches"]
    assert (one["matchedIssues"], one["errors"]) == ([first.id], [])
    assert two["matchedIssues"] == []
    assert two["errors"]
    assert three["matchedIssues"] == [first.id]
    assert cloud.post("jql/match", {"issueIds": ["1"], "jqls": []}).status_code == 400


# -- samples -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deployment", ["cloud", "data-center"])
def test_the_sample_cases_stand_where_the_demo_wants_them(clock: PracticeClock, deployment: str) -> None:
    world = sample_world(clock, deployment)  # type: ignore[arg-type]  # parametrised
    office_today = date(2026, 4, 1)

    def days_since(key: str, name: str) -> int:
        value = world.issue(key).values[world.field_named(name).id]
        assert isinstance(value, datetime)
        return (office_today - value.astimezone(world.zone).date()) // timedelta(days=1)

    assert days_since("CASE-3", "NCSC Called At") == 30
    assert days_since("CASE-4", "NCSC Called At") == 29
    assert days_since("CASE-5", "Service Center Emailed At") == 21
    assert days_since("CASE-6", "HQ Emailed At") == 10
    assert world.issue("CASE-8").status.name == "Done"
    assert world.issue("OTHER-1").project.key == "OTHER"


def test_a_blank_world_has_no_tickets(clock: PracticeClock) -> None:
    assert blank_world(clock).issues == {}
