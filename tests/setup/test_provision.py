"""Provisioning over real HTTP: a tracker with nothing set up becomes one that works, and twice changes nothing."""

import json
from collections.abc import Callable

import pytest

from connector.practice import shapes
from connector.practice.clock import PracticeClock
from connector.practice.sample import CENTERS, bare_world, blank_world
from connector.practice.world import World
from connector.setup.provision import by_hand, carry_out, lacking
from connector.trackers.port import Refused
from connector.trackers.setup_port import Task
from tests.setup.conftest import FACTS, HOOK, RECORDS, SECRET, STATUSES, Office

OfficeOf = Callable[[World], Office]


def draw_statuses(world: World) -> None:
    """What an administrator does by hand in the workflow."""
    for name in (*STATUSES.values(), *RECORDS):
        world.add_status(name)
    world.open_workflow()


def one_line(text: str) -> str:
    """Without the breaks that fit it to a terminal."""
    return " ".join(text.split())


def states(tasks: list[Task]) -> dict[str, str]:
    return {task.id: task.state for task in tasks}


def test_from_nothing_to_a_working_connection_by_commands_alone(bare: Office) -> None:
    """provision, the steps by hand that it names, discover, check, check --live: all is well in the end."""
    bare.world.add_issue("CASE", summary="First")
    made = bare.run("provision", "cases", "--yes", "--webhook-url", HOOK, *bare.as_admin())
    assert made.exit_code == 0, made.output
    fields = {each.name: each for each in bare.world.fields.values() if each.custom}
    assert set(fields) == set(FACTS.values())
    assert {name: field.type for name, field in fields.items() if field.type != "text"} == {
        "Date Filed": "date",
        "NCSC Called At": "datetime",
        "Promised Days": "number",
        "Service Center": "select",
        "Service Center Emailed At": "datetime",
        "HQ Emailed At": "datetime",
        "Answered At": "datetime",
        "Protected": "checkbox",
    }
    for name in (*STATUSES.values(), *RECORDS):
        assert f'Add status "{name}"' in one_line(made.output)
    draw_statuses(bare.world)
    if not bare.cloud:  # its API cannot add choices
        assert 'Edit options: add "California Service Center"' in one_line(made.output)
        bare.world.add_options(fields["Service Center"], CENTERS)
        bare.world.add_options(fields["Protected"], ["Yes"])
    assert [option.value for option in bare.world.field_named("Service Center").options] == list(CENTERS)

    draft = bare.run("discover", "cases")
    assert draft.exit_code == 0, draft.output
    bare.path.write_text(draft.output, encoding="utf-8")
    checked = bare.run("check", bare.path)
    assert checked.exit_code == 0, checked.output
    assert "14 facts" in checked.output
    live = bare.run("check", "--live", "cases", "--webhook-url", HOOK)
    assert live.exit_code == 0, live.output
    assert live.output.rstrip().endswith("41 of 43 checks are well. Not looked at: 2."), "the webhook, and the service"
    lent = bare.run("check", "--live", "cases", "--webhook-url", HOOK, *bare.as_admin())
    assert lent.exit_code == 0, lent.output
    assert lent.output.rstrip().endswith("45 of 46 checks are well. Not looked at: 1."), (
        "an administrator sees webhooks"
    )


def test_twice_changes_nothing(bare: Office) -> None:
    bare.world.add_issue("CASE", summary="First")
    words = ("provision", "cases", "--yes", "--webhook-url", HOOK, *bare.as_admin())
    bare.run(*words)
    once = bare.state()
    bare.server.requests.clear()
    again = bare.run(*words)
    assert again.exit_code == 0
    assert "Nothing is left that a command could make." in again.output
    assert bare.state() == once
    assert not [each for each in bare.server.requests if each.method != "GET"]


def test_without_a_ticket_the_screens_tell_where_fields_are(bare: Office) -> None:
    words = ("provision", "cases", "--yes", "--webhook-url", HOOK, *bare.as_admin())
    assert bare.run(*words).exit_code == 0
    own = next(each for each in bare.world.screens.values() if each.name.startswith("CASE:"))
    assert {bare.world.fields[each].name for each in own.fields} >= set(FACTS.values())
    default = bare.world.screens[1]
    assert not any(each.startswith("customfield_") for each in default.fields), "another project's screens stay as is"
    once = bare.state()
    bare.run(*words)
    assert bare.state() == once


def test_a_project_without_screens_of_its_own_uses_the_default_one(bare: Office) -> None:
    bare.world.screen_of.clear()
    bare.world.screens = {1: bare.world.screens[1]}
    bare.run("provision", "cases", "--yes", *bare.as_admin())
    assert bare.world.field_named("Receipt Number").id in bare.world.screens[1].fields


def test_dry_run_changes_nothing_and_says_what_it_would_do(bare: Office) -> None:
    before = bare.state()
    said = bare.run("provision", "cases", "--dry-run", "--webhook-url", HOOK, *bare.as_admin())
    assert said.exit_code == 0
    assert bare.state() == before
    assert not [each for each in bare.server.requests if each.method != "GET"]
    assert (
        'to make   A field "Receipt Number" (Short text (Text Field, single line)) holds receipt_number.' in said.output
    )
    assert "to make   A webhook tells the connector at once when a ticket changes." in said.output
    assert said.output.rstrip().endswith("Nothing was changed.")


def test_it_asks_first_and_no_is_no(bare: Office) -> None:
    before = bare.state()
    said = bare.run("provision", "cases", *bare.as_admin(), input="n\n")
    assert said.exit_code == 1
    assert f"in {bare.server.url} now?" in said.output
    assert bare.state() == before


def test_json_cannot_ask(bare: Office) -> None:
    assert bare.run("provision", "cases", "--json").exit_code == 2
    told = json.loads(bare.run("provision", "cases", "--json", "--dry-run", *bare.as_admin()).output)
    assert {"id": "field receipt_number", "state": "lacking"}.items() <= told["tasks"][0].items()
    made = json.loads(bare.run("provision", "cases", "--json", "--yes", *bare.as_admin()).output)
    assert "field receipt_number" in made["made"]
    assert made["failed"] is None


def test_the_connectors_own_account_is_told_what_an_administrator_must_do(bare: Office) -> None:
    before = bare.state()
    said = bare.run("provision", "cases", "--yes", "--webhook-url", HOOK)
    assert said.exit_code == 0
    assert bare.state() == before
    assert "to make" not in said.output
    assert 'Create (Add) custom field > Date Picker, named "Date Filed"' in one_line(said.output)
    assert f"Create a WebHook. URL: {HOOK}," in one_line(said.output)


def test_a_user_needs_a_token(bare: Office) -> None:
    assert bare.run("provision", "cases", "--user", "somebody").exit_code == 2


def test_it_stops_at_the_first_error_and_says_what_was_made(bare: Office) -> None:
    bare.server.faults.add("POST", "/field$", status=201, body={"id": "none"})  # lost: nothing is made of it
    bare.server.faults.add("POST", "/fields$", times=20, status=400, body={"errorMessages": ["No."], "errors": {}})
    bare.map({**FACTS})
    said = bare.run("provision", "cases", "--yes", *bare.as_admin())
    assert said.exit_code == 1
    assert "could not be made:" in said.output
    assert "Mend the cause and run this again." in said.output
    bare.server.faults.clear()
    assert bare.run("provision", "cases", "--yes", *bare.as_admin()).exit_code == 0
    assert sorted(each.name for each in bare.world.fields.values() if each.custom) == sorted(FACTS.values())


def test_what_was_made_before_an_error_stays_and_is_not_made_again(bare: Office) -> None:
    setup, wanted = bare.setup(), bare.wanted()
    tasks = list(setup.plan(wanted))
    fields = [task for task in tasks if task.id.startswith("field")]
    bare.server.faults.add("GET", "/field$", times=1)  # the first look passes
    made: list[str] = []

    def progress(task: Task) -> None:
        made.append(task.id)
        if len(made) == 2:
            bare.server.faults.bad_gateway("POST", "/field$")

    done = carry_out(setup, wanted, fields, progress)
    assert made == ["field receipt_number", "field alien_number"]
    assert done.failed is not None
    assert done.failed.id == "field form_type"
    assert "Jira is not well (status 502)." in done.reason
    again = setup.plan(wanted)
    assert states(list(again))["field alien_number"] == "there"
    assert carry_out(setup, wanted, again).failed is None
    names = [each.name for each in bare.world.fields.values() if each.custom]
    assert len(names) == len(set(names))


def test_a_list_without_choices_is_filled_and_one_with_choices_is_left_alone(
    office_of: OfficeOf, clock: PracticeClock
) -> None:
    world = bare_world(clock)
    world.add_issue("CASE", summary="First")
    world.add_field("Service Center", "select")
    theirs = world.add_field("Protected", "checkbox", options=["Segregated"])
    office = office_of(world)
    office.map()
    assert office.run("provision", "cases", "--yes", *office.as_admin()).exit_code == 0
    assert [each.value for each in world.field_named("Service Center").options] == list(CENTERS)
    assert world.fields[theirs.id] == theirs


def test_an_office_with_words_of_its_own_gets_a_list_of_those(office_of: OfficeOf, clock: PracticeClock) -> None:
    office = office_of(bare_world(clock))
    center = {"field": "Office", "values": {"Laguna  Niguel": "california", "St. Albans": "vermont"}}
    wanted = office.map({**FACTS, "service_center": center})
    planned = {task.id: task.what for task in office.setup().plan(wanted)}
    assert planned["options service_center"] == 'The list "Office" has choices: "Laguna Niguel", "St. Albans".'
    office.run("provision", "cases", "--yes", *office.as_admin())
    made = office.world.field_named("Office")
    assert (made.type, [each.value for each in made.options]) == ("select", ["Laguna Niguel", "St. Albans"])
    assert "options service_center" not in {task.id for task in lacking(office.setup().plan(wanted))}


def test_what_others_made_is_never_touched(bare: Office) -> None:
    """A field of that name but of another kind, and a name that two fields share, are left to people."""
    bare.world.add_issue("CASE", summary="First")
    bare.world.add_field("Date Filed", "number")
    bare.world.add_field("Form Type", "text")
    bare.world.add_field("Form Type", "textarea")
    before = dict(bare.world.fields)
    setup, wanted = bare.setup(), bare.wanted()
    tasks = list(setup.plan(wanted))
    found = {task.id: task for task in by_hand(tasks)}
    assert "of the wrong kind (number): filed_on needs Date Picker." in found["field filed_on"].trouble
    assert "Several fields of this Jira are called" in found["field form_type"].trouble
    said = one_line(bare.run("provision", "cases", "--dry-run", *bare.as_admin()).output)
    assert 'There is a field "Date Filed" (customfield_10050), but of the wrong kind (number)' in said
    carry_out(setup, wanted, tasks)
    assert {name: bare.world.fields[name] for name in before} == before
    assert [each.name for each in bare.world.fields.values()].count("Form Type") == 2


def test_an_id_cannot_be_created(bare: Office) -> None:
    wanted = bare.map({**FACTS, "receipt_number": "customfield_77777"})
    setup = bare.setup()
    task = next(task for task in setup.plan(wanted) if task.id == "field receipt_number")
    assert task.state == "by_hand"
    assert "write a name in the mapping instead" in task.by_hand


def test_a_team_managed_project_has_no_screens_of_that_kind(bare: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = shapes.project
    monkeypatch.setattr(shapes, "project", lambda world, each: plain(world, each) | {"simplified": True})
    bare.world.add_issue("CASE", summary="First")
    setup = bare.setup()
    tasks = {task.id: task for task in setup.plan(bare.wanted())}
    assert 'Project settings > Issue types > your type: drag "Receipt Number"' in tasks["screen receipt_number"].by_hand
    assert "Columns and statuses" in tasks["status Call NCSC"].by_hand


# Webhooks


def test_clouds_webhook_signs_and_is_limited_to_the_project(office_of: OfficeOf, clock: PracticeClock) -> None:
    office = office_of(blank_world(clock))
    office.world.connector.denied.clear()
    office.map()
    office.run("provision", "cases", "--yes", "--webhook-url", "https://connector.example")
    (hook,) = office.server.hooks.webhooks
    assert (hook.url, hook.secret, hook.jql) == (HOOK, SECRET, 'project = "CASE"')
    assert set(hook.events) >= {"jira:issue_created", "jira:issue_updated", "jira:issue_deleted"}
    assert office.server.requests.matching("POST")[0].path == "/rest/webhooks/1.0/webhook"


@pytest.mark.parametrize(
    ("version", "path"), [("9.12.4", "/rest/webhooks/1.0/webhook"), ("10.3.5", "/rest/jira-webhook/1.0/webhooks")]
)
def test_data_centers_webhook_stands_at_its_versions_path(
    office_of: OfficeOf, clock: PracticeClock, version: str, path: str
) -> None:
    office = office_of(blank_world(clock, "data-center"))
    office.world.version = version
    office.world.connector.denied.clear()
    office.map()
    said = office.run("provision", "cases", "--yes", "--webhook-url", HOOK)
    assert said.exit_code == 0, said.output
    (hook,) = office.server.hooks.webhooks
    assert hook.url == f"{HOOK}/a%20secret%2Fwith%3Dsigns", "the sender cannot sign, so it shows the secret"
    assert office.server.requests.matching("POST")[0].path == path
    assert "webhook" not in {task.id for task in lacking(list(office.setup().plan(office.wanted())))}


def test_without_an_address_or_a_secret_there_is_no_webhook(ready: Office) -> None:
    ready.world.connector.denied.clear()
    said = ready.run("provision", "cases", "--yes")
    assert "--webhook-url https://your-address/webhooks/cases" in one_line(said.output)
    (ready.folder / "hook").unlink()
    said = ready.run("provision", "cases", "--yes", "--webhook-url", HOOK)
    assert "Think up a long secret" in one_line(said.output)
    assert not ready.server.hooks.webhooks


@pytest.mark.parametrize(
    "url", ["connector.example", "https://c.example/webhooks/other", "https://u:p@c.example", "https://["]
)
def test_an_address_that_cannot_be_one_is_refused(ready: Office, url: str) -> None:
    said = ready.run("provision", "cases", "--yes", "--webhook-url", url)
    assert said.exit_code == 2
    assert "u:p" not in said.output


def test_only_what_is_asked_for_can_be_made(bare: Office) -> None:
    setup = bare.setup()
    with pytest.raises(Refused):
        setup.carry_out(bare.wanted(), Task("status Call NCSC", "A status.", "lacking"))


def test_mistakes_of_a_mapping_are_told(bare: Office) -> None:
    bare.path.write_text(bare.connection(), encoding="utf-8")
    said = bare.run("provision", "cases")
    assert said.exit_code == 1
    assert "fields: is missing" in said.output
    assert "there is no such file" in bare.run("provision", "others").output


def test_each_thing_made_twice_is_there_once(bare: Office) -> None:
    setup, wanted = bare.setup(), bare.wanted()
    for task in lacking(setup.plan(wanted)):
        setup.carry_out(wanted, task)
        once = bare.state()
        setup.carry_out(wanted, task)
        assert bare.state() == once, task.id


def test_jiras_refusal_never_tells_the_secret(ready: Office) -> None:
    ready.world.connector.denied.clear()
    refusal = {"errorMessages": ["The webhook https://x/a%20secret%2Fwith%3Dsigns is bad"], "errors": {}}
    ready.server.faults.add("POST", "webhooks?$", status=400, body=refusal)
    said = ready.run("provision", "cases", "--yes", "--webhook-url", HOOK)
    assert said.exit_code == 1
    assert "Jira refused the webhook (status 400)." in said.output
    assert "a%20secret" not in said.output


def test_a_jira_that_lists_no_screens_still_has_its_default_one(bare: Office) -> None:
    bare.server.faults.add("GET", "/screens$", times=100, status=404, body={"errorMessages": [], "errors": {}})
    bare.run("provision", "cases", "--yes", *bare.as_admin())
    assert bare.world.field_named("Receipt Number").id in bare.world.screens[1].fields
