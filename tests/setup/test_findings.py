"""Every finding of the live check of Jira, provoked once, and all well where all is set up."""

from collections.abc import Callable
from typing import Any

import pytest

from connector.practice.clock import PracticeClock
from connector.practice.sample import CENTERS, CONNECTOR_TOKEN, SCOPED_TOKEN, blank_world
from connector.practice.world import World
from connector.trackers.setup_port import Finding
from tests.setup.conftest import FACTS, HOOK, RECORDS, SECRET, STATUSES, Office

PERMISSIONS = ("BROWSE_PROJECTS", "EDIT_ISSUES", "TRANSITION_ISSUES", "ADD_COMMENTS", "DELETE_OWN_COMMENTS")


def wrong(found: dict[str, Finding]) -> dict[str, str]:
    return {name: finding.level for name, finding in found.items() if finding.level in {"warning", "error"}}


def not_looked_at(found: dict[str, Finding]) -> set[str]:
    """The checks that could not be made; each says so, and none that is well does but for a part of it."""
    for name, finding in found.items():
        assert finding.level != "unseen" or "not looked at" in finding.what, name
    return {name for name, finding in found.items() if finding.level == "unseen"}


def hook(office: Office, url: str = HOOK, **settings: Any) -> None:
    secret = SECRET if office.cloud else None
    path = "" if office.cloud else "/a%20secret%2Fwith%3Dsigns"
    office.server.hooks.register(url + path, settings.pop("secret", secret), **settings)


def test_all_is_well_and_every_ill_has_a_remedy(ready: Office) -> None:
    hook(ready)
    found = ready.findings()
    assert wrong(found) == {}
    assert {"credentials", "scope", "comments internal", "webhook"} <= set(found)
    assert {f"permission {each}" for each in PERMISSIONS} <= set(found)
    assert {f"field {each}" for each in FACTS} | {f"screen {each}" for each in FACTS} <= set(found)
    assert {f"status {each}" for each in (*STATUSES.values(), *RECORDS)} <= set(found)
    seen_by_admin = as_admin(ready)
    assert wrong(seen_by_admin) == {}
    assert {"webhook", "webhook enabled", "webhook events", "webhook secret"} <= set(seen_by_admin)
    assert not [each for each in ready.server.requests if each.method != "GET"]


def test_nothing_set_up_is_told_with_what_it_breaks_and_how_to_mend_it(bare: Office) -> None:
    found = bare.findings(token="practice-admin-token")
    broken = [each for each in found.values() if each.level == "error"]
    assert {f"field {each}" for each in FACTS} <= {each.id for each in broken}
    assert found["webhook"].level == "error"
    assert all(each.breaks and each.mend for each in found.values() if each.id in wrong(found))


def test_credentials(ready: Office) -> None:
    found = ready.findings(token="expired")
    assert wrong(found) == {"credentials": "error"}
    assert list(found) == ["credentials"]
    assert "token has not expired" in found["credentials"].mend


def test_address(ready: Office) -> None:
    ready.server.faults.bad_gateway("GET", "/myself")
    assert wrong(ready.findings()) == {"address": "error"}


@pytest.mark.parametrize("permission", PERMISSIONS[1:])
def test_permissions_one_by_one(ready: Office, permission: str) -> None:
    hook(ready)
    ready.world.connector.denied.add(permission)
    ills = wrong(ready.findings())
    assert ills.pop(f"permission {permission}") == "error"
    if permission == "TRANSITION_ISSUES":
        assert set(ills) == {f"status {each}" for each in (*STATUSES.values(), *RECORDS)}
    else:
        assert ills == {}


def test_without_browsing_the_permission_is_what_is_wrong(ready: Office) -> None:
    ready.world.connector.denied.add("BROWSE_PROJECTS")
    assert ready.findings()["permission BROWSE_PROJECTS"].level == "error"


def test_a_scope_that_jira_does_not_understand(ready: Office) -> None:
    found = ready.findings(ready.map(scope="projekt = CASE"), scope="projekt = CASE")
    assert found["scope"].level == "error"
    assert "mend `scope` in the mapping" in found["scope"].mend
    assert found["field receipt_number"].level == "ok", "the other checks go on"


def test_a_scope_that_finds_nothing(ready: Office) -> None:
    hook(ready)
    ready.world.issues.clear()
    found = ready.findings()
    assert wrong(found) == {"scope": "warning"}
    assert not_looked_at(found) == {
        "webhook",
        *(f"screen {each}" for each in FACTS),
        *(f"status {each}" for each in (*STATUSES.values(), *RECORDS)),
        "options service_center",
        "options protected",
    }


def test_without_a_ticket_or_a_named_project_little_can_be_looked_at(ready: Office) -> None:
    ready.world.issues.clear()
    scope = "summary ~ nothing"
    unseen = not_looked_at(ready.findings(ready.map(scope=scope), scope=scope))
    assert {"comments internal", *(f"permission {each}" for each in PERMISSIONS)} <= unseen


def test_a_field_that_is_not_there(ready: Office) -> None:
    found = ready.findings(ready.map({**FACTS, "form_type": "Kind of Form"}))
    assert found["field form_type"].level == "error"
    assert '"Kind of Form"' in found["field form_type"].what
    assert "screen form_type" not in found


def test_a_name_that_two_fields_share(ready: Office) -> None:
    ready.world.add_field("Form Type", "text")
    found = ready.findings()["field form_type"]
    assert found.level == "error"
    assert "customfield_10052, customfield_10064" in found.what


def test_a_field_of_a_kind_that_cannot_hold_the_fact(ready: Office) -> None:
    found = ready.findings(ready.map({**FACTS, "called_at": "Promised Days", "promised_days": "NCSC Called At"}))
    assert found["field called_at"].level == found["field promised_days"].level == "error"
    assert "Date Time Picker" in found["field called_at"].what


@pytest.mark.parametrize(("one", "other"), [("called_at", "filed_on"), ("service_center", "form_type")])
def test_kinds_that_will_do(ready: Office, one: str, other: str) -> None:
    """A date for a date and time and the other way round; a list for a text, and a text for a list."""
    found = ready.findings(ready.map({**FACTS, one: FACTS[other], other: FACTS[one]}))
    assert found[f"field {one}"].level == found[f"field {other}"].level == "ok"


def test_a_field_that_is_on_no_screen(ready: Office) -> None:
    hook(ready)
    ready.world.off_edit_screen.add(ready.world.field_named("Answered At").id)
    found = ready.findings()
    assert wrong(found) == {"screen answered_at": "error"}
    assert 'add "Answered At"' in found["screen answered_at"].mend


def test_a_list_without_choices_and_one_with_foreign_ones(ready: Office) -> None:
    ready.world.add_field("Empty List", "select")
    empty = ready.findings(ready.map({**FACTS, "service_center": "Empty List"}))["options service_center"]
    assert empty.level == "error"
    assert all(each in empty.mend for each in CENTERS)
    ready.world.add_field("Foreign List", "select", options=["Laguna Niguel"])
    foreign = ready.findings(ready.map({**FACTS, "service_center": "Foreign List"}))["options service_center"]
    assert foreign.level == "warning"
    assert "`values`" in foreign.mend


def test_a_status_that_is_not_there(ready: Office) -> None:
    hook(ready)
    found = ready.findings(ready.map(statuses={"call_ncsc": "Ring them"}))
    assert wrong(found) == {"status Ring them": "error"}
    assert "There are: New, Collect Details" in found["status Ring them"].mend


def test_a_status_that_no_ticket_can_be_moved_to(ready: Office) -> None:
    hook(ready)
    target = ready.world.status_named("Call NCSC").id
    ready.world.transitions = [each for each in ready.world.transitions if each.to != target]
    assert wrong(ready.findings()) == {"status Call NCSC": "warning"}


def test_where_a_ticket_stands_need_not_be_reached(ready: Office) -> None:
    hook(ready)
    first = ready.world.status_named("New").id
    ready.world.transitions = [each for each in ready.world.transitions if each.to != first]
    assert wrong(ready.findings(ready.map(statuses={"collect_details": "New"}))) == {}


def test_a_status_is_reachable_if_one_of_the_tickets_gets_there(ready: Office) -> None:
    """A workflow that goes step by step is no fault as long as some ticket stands before the step."""
    hook(ready)
    second = ready.world.add_issue("CASE", summary="Second")
    ready.world.move_to(second, "Awaiting NCSC")
    target, source = ready.world.status_named("Call NCSC").id, second.status.id
    from_there = next(each for each in ready.world.transitions if each.to == target)
    others = [each for each in ready.world.transitions if each.to != target]
    ready.world.transitions = [*others, type(from_there)("99", "Call", target, frozenset({source}))]
    assert wrong(ready.findings()) == {}


def test_internal_comments_of_a_service_desk(ready: Office) -> None:
    hook(ready)
    desk = ready.world.projects["CASE"]
    object.__setattr__(desk, "type_key", "service_desk")
    assert ready.findings()["comments internal"].what.startswith("The connector's account is an agent")
    ready.world.connector.denied.add("SERVICEDESK_AGENT")
    assert wrong(ready.findings()) == {"comments internal": "error"}
    assert wrong(ready.findings(internal=False)) == {}


# Webhooks, which administrators alone are shown


def as_admin(office: Office, **settings: Any) -> dict[str, Finding]:
    return office.findings(token="practice-admin-token", **settings)


def test_who_may_not_see_webhooks_is_told_so(ready: Office) -> None:
    found = ready.findings(token=CONNECTOR_TOKEN)
    assert not_looked_at(found) == {"webhook"}
    assert "administrators only" in found["webhook"].what
    assert "--token-env" in found["webhook"].mend, "how an administrator's account can be lent"


def test_no_webhook(ready: Office) -> None:
    found = as_admin(ready)
    assert wrong(found) == {"webhook": "error"}
    assert "connector provision cases --webhook-url https://your-address/webhooks/cases" in found["webhook"].mend


def test_a_webhook_that_points_elsewhere(ready: Office) -> None:
    hook(ready, "https://old.example/webhooks/cases")
    found = as_admin(ready)
    assert wrong(found) == {"webhook": "error"}
    assert "points to https://old.example, not to https://connector.example" in found["webhook"].what
    assert "signs" not in str(found), "the end of the address is a secret"


def test_where_our_address_is_not_known_a_webhook_for_the_source_is_well(ready: Office) -> None:
    hook(ready, "https://old.example/webhooks/cases")
    found = as_admin(ready, wanted=ready.wanted(None))
    assert wrong(found) == {}
    assert not_looked_at(found) == {"webhook address"}
    assert "--webhook-url" in found["webhook address"].mend
    assert "signs" not in str(found)


def test_a_webhook_of_another_source_is_none_of_ours(ready: Office) -> None:
    hook(ready, f"{HOOK}-2")
    assert wrong(as_admin(ready)) == {"webhook": "error"}


def test_a_disabled_webhook(ready: Office) -> None:
    hook(ready, enabled=False)
    assert wrong(as_admin(ready)) == {"webhook enabled": "error"}


def test_a_webhook_that_is_told_too_little(ready: Office) -> None:
    hook(ready, events=("jira:issue_updated",))
    found = as_admin(ready)
    assert wrong(found) == {"webhook events": "warning"}
    assert "comment_created, jira:issue_created, jira:issue_deleted" in found["webhook events"].what


def test_a_webhook_without_the_right_secret(ready: Office) -> None:
    if ready.cloud:
        hook(ready, secret=None)
    else:
        ready.server.hooks.register(f"{HOOK}/another")
    assert wrong(as_admin(ready)) == {"webhook secret": "error"}
    ready.server.hooks.webhooks.clear()
    ready.server.hooks.register(HOOK, secret="other" if ready.cloud else None)
    found = as_admin(ready)["webhook secret"]
    if ready.cloud:
        assert found.level == "ok"
        assert "not looked at" in found.what, "Jira shows that there is one, not which"
    else:
        assert found.level == "unseen", "Jira 10 can sign, and does not tell whether it does"
        ready.world.version = "9.12.4"
        assert "has no secret" in as_admin(ready)["webhook secret"].what, "Jira 9 cannot sign"
        assert as_admin(ready)["webhook secret"].level == "error"
    (ready.folder / "hook").unlink()
    assert "There is no secret" in as_admin(ready)["webhook secret"].what


def test_through_clouds_gateway_everything_is_looked_at_too(
    office_of: Callable[[World], Office], clock: PracticeClock
) -> None:
    """Scoped tokens work there alone; its addresses have a path before /rest, also those of webhooks."""
    office = office_of(blank_world(clock))
    office.world.connector.denied.clear()
    office.world.add_issue("CASE", summary="First")
    office.map()
    hook(office)
    setup = office.setup(token=SCOPED_TOKEN, url=office.server.gateway_url)
    assert {each.id: each.level for each in setup.findings(office.wanted())}["webhook enabled"] == "ok"
    paths = {each.path for each in office.server.requests}
    assert f"/ex/jira/{office.world.cloud_id}/rest/webhooks/1.0/webhook" in paths


def test_a_check_that_fails_does_not_hide_the_others(ready: Office) -> None:
    hook(ready)
    ready.server.faults.bad_gateway("GET", "/mypermissions")
    found = ready.findings()
    assert found["looking permissions"].level == "error"
    assert found["field receipt_number"].level == "ok"
