"""Setting Zammad up over its REST API: nothing there, all there, twice, half done by others; and each finding once."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from connector.practice.clock import PracticeClock
from connector.trackers.port import AccessRefused, Misconfigured, Refused
from connector.trackers.setup_port import Finding, Task, Wanted, WantedField
from connector.trackers.zammad_setup import ZammadSetup
from connector.trackers.zammad_webhooks import read_news, verify
from tests.practice.receiver import Receiver
from tests.trackers.test_zammad_adapter import START
from tests.trackers.zammad_sites import standin_site
from tests.zammad_standin import ZammadStandin
from tests.zammad_standin.server import Fault
from tests.zammad_standin.world import ADMIN_TOKEN, AGENT_TOKEN

SECRET = "a secret of the office"
WANTED = Wanted(
    fields=(
        WantedField("receipt_number", "receipt_number", "text", "The number on the receipt notice."),
        WantedField("filed_on", "filed_on", "date", "The date filed."),
        WantedField("called_at", "called_at", "datetime", "When the NCSC was called."),
        WantedField("promised_days", "promised_days", "number", "The days that the NCSC promised."),
        WantedField("service_center", "service_center", "select", "Where the case is.", ("California", "Vermont")),
        WantedField("protected", "protected_case", "boolean", "Tick it if the separate route applies."),
    ),
    statuses=("Ready to Call", "E-mail Service Center"),
    webhook_url="http://127.0.0.1:9/webhooks/zammad",
    webhook_secret=lambda: SECRET,
)
ORDER = [
    *(f"field {field.fact}" for field in WANTED.fields),
    "field due_on",
    "migration",
    "state Ready to Call",
    "state E-mail Service Center",
    "webhook",
    "trigger",
]


class Admin:
    """The stand-in, and set-up at work on it."""

    def __init__(self, zammad: ZammadStandin, clock: PracticeClock) -> None:
        self.zammad, self.world, self.waited = zammad, zammad.world, 0
        self.site = standin_site(zammad, clock)
        self.on_wait: Callable[[], object] = lambda: None
        self._made: list[ZammadSetup] = []
        self._clock = clock

    def setup(self, token: str = ADMIN_TOKEN, scope: str = 'group = "USCIS inquiries"') -> ZammadSetup:
        made = ZammadSetup(url=self.zammad.url, token=lambda: token, scope=scope, clock=self._clock, wait=self._wait)
        self._made.append(made)
        return made

    def _wait(self, _seconds: float) -> None:
        self.waited += 1
        self.on_wait()

    def close(self) -> None:
        for each in self._made:
            each.close()
        self.site.close()

    def provision(self, wanted: Wanted = WANTED) -> list[str]:
        """All that is lacking, in the order of the plan."""
        setup = self.setup()
        lacking = [task for task in setup.plan(wanted) if task.state == "lacking"]
        for task in lacking:
            setup.carry_out(wanted, task)
        return [task.id for task in lacking]

    def task(self, task_id: str, wanted: Wanted = WANTED) -> Task:
        return next(task for task in self.setup().plan(wanted) if task.id == task_id)

    def findings(self, wanted: Wanted = WANTED, **more: str) -> dict[str, Finding]:
        return {finding.id: finding for finding in self.setup(**more).findings(wanted)}

    def changes(self) -> int:
        return sum(self.zammad.count(method) for method in ("PUT", "DELETE", "PATCH")) + self.zammad.count(
            "POST", r"^(?!tickets/search)"
        )

    def attribute(self, name: str) -> Any:
        return next(each for each in self.world.attributes if each["name"] == name)


@pytest.fixture(params=["6.5.2", "7.1.1"])
def admin(request: pytest.FixtureRequest) -> Iterator[Admin]:
    clock = PracticeClock(START)
    with ZammadStandin(clock, version=request.param, workers=2) as zammad:
        made = Admin(zammad, clock)
        yield made
        made.close()


# Where versions make no difference.
ONE = pytest.mark.parametrize("admin", ["6.5.2"], indirect=True)


def test_nothing_is_there_then_all_is_and_twice_changes_nothing(admin: Admin) -> None:
    assert admin.provision() == ORDER
    plan = admin.setup().plan(WANTED)
    assert [task.id for task in plan] == [*ORDER[:8], "restart", *ORDER[8:]]
    assert {task.state for task in plan} == {"there"}
    before, kept = admin.changes(), deepcopy((admin.world.attributes, admin.world.webhooks, admin.world.triggers))
    assert admin.provision() == []
    for task in plan:
        admin.setup().carry_out(WANTED, replace(task, state="lacking"))
    assert admin.changes() == before
    assert (admin.world.attributes, admin.world.webhooks, admin.world.triggers) == kept


def test_a_plan_changes_nothing(admin: Admin) -> None:
    assert [task.state for task in admin.setup().plan(WANTED)] == ["lacking"] * len(ORDER)
    assert admin.changes() == 0


def test_what_it_makes_is_of_use(admin: Admin) -> None:
    """A ticket with every fact can be read, changed and heard of."""
    with Receiver() as receiver:
        wanted = replace(WANTED, webhook_url=receiver.url)
        admin.provision(wanted)
        ticket_id = admin.site.create(receipt_number="WAC2590123456", service_center="Vermont", promised_days=30)
        other = admin.site.create(group="Donations")
        admin.site.edit(ticket_id, filed_on="2025-06-02")
        admin.site.edit(ticket_id, title="Nothing that concerns the procedure")
        admin.site.edit(ticket_id, state="Ready to Call")
        admin.site.edit(other, state="open")
        assert admin.zammad.hooks.run() == 3
        news = {read_news(body).ticket_id for _, body in receiver.received}
        assert news == {ticket_id}
        assert all(verify(headers, body, [SECRET], path_secret=None) for headers, body in receiver.received)
    ticket = admin.site.tracker(fields=[field.name for field in WANTED.fields]).fetch(ticket_id, with_history=False)
    assert ticket is not None
    assert ticket.fields["service_center"] == "Vermont"
    assert ticket.fields["promised_days"] == 30
    assert ticket.status == "Ready to Call"


def test_attributes_are_never_required_and_hidden_from_customers(admin: Admin) -> None:
    admin.provision()
    for field in WANTED.fields:
        screens = admin.attribute(field.name)["screens"]
        assert screens["edit"]["ticket.agent"] == {"shown": True, "required": False, "item_class": "column"}
        assert screens["edit"]["ticket.customer"]["shown"] is False
    assert admin.attribute("service_center")["data_option"]["options"] == {
        "California": "California",
        "Vermont": "Vermont",
    }


def test_a_list_without_choices_becomes_a_text(admin: Admin) -> None:
    wanted = replace(WANTED, fields=(WantedField("service_center", "service_center", "select", "Where."),))
    admin.provision(wanted)
    assert admin.attribute("service_center")["data_type"] == "input"


def test_another_due_date_serves_as_well(admin: Admin) -> None:
    admin.world.provide(due_date="date")
    assert "field due_on" not in admin.provision()


def test_the_unfinished_changes_of_others_are_not_carried_out(admin: Admin) -> None:
    body = {"object": "Ticket", "name": "half_done", "display": "?", "data_type": "date", "data_option": {}}
    admin.site.call("POST", "object_manager_attributes", body)
    task = admin.task("migration")
    assert task.state == "by_hand"
    assert '"half_done"' in task.by_hand
    with pytest.raises(Refused, match="half_done"):
        admin.setup().carry_out(WANTED, replace(task, state="lacking"))
    assert admin.attribute("half_done")["to_create"]


def test_a_change_of_others_to_our_own_attribute_is_theirs(admin: Admin) -> None:
    admin.provision()
    admin.attribute("filed_on")["to_config"] = True
    assert admin.task("migration").state == "by_hand"


def test_a_restart_that_must_be_made_by_hand_is_asked_for(admin: Admin) -> None:
    admin.site.create()
    admin.world.auto_restart = False
    with pytest.raises(Misconfigured, match="Restart Zammad"):
        admin.provision()
    assert admin.waited == 10
    assert admin.task("restart").state == "by_hand"
    assert admin.findings()["restart"].level == "error"
    admin.world.restart()
    assert admin.provision() == ORDER[8:]
    assert admin.task("restart").state == "there"


def test_a_restart_that_zammad_makes_itself_is_waited_for(admin: Admin) -> None:
    admin.site.create()
    admin.world.auto_restart = False
    admin.on_wait = admin.world.restart
    assert admin.provision() == ORDER
    assert admin.waited == 1


@pytest.mark.parametrize(
    ("name", "kind", "state"),
    [("filed_on", "date", "there"), ("filed_on", "input", "there"), ("filed_on", "boolean", "by_hand")],
)
def test_an_attribute_that_is_there_must_be_of_a_kind_that_serves(
    admin: Admin, name: str, kind: str, state: str
) -> None:
    admin.world.provide(**{name: kind})
    before = deepcopy(admin.attribute(name))
    task = admin.task("field filed_on")
    trouble = 'There is an attribute "filed_on" of another kind (boolean).' if state == "by_hand" else ""
    assert (task.state, task.trouble) == (state, trouble)
    admin.provision()
    assert admin.attribute(name) == before


@pytest.mark.parametrize("name", ["Receipt Number", "receipt_id", "123"])
def test_names_that_zammad_does_not_take(admin: Admin, name: str) -> None:
    wanted = replace(WANTED, fields=(WantedField("receipt_number", name, "text", "The number."),))
    task = admin.task("field receipt_number", wanted)
    assert task.state == "by_hand"
    assert "small letters" in task.by_hand


def test_without_an_address_or_a_secret_there_is_no_webhook(admin: Admin) -> None:
    nowhere = replace(WANTED, webhook_url=None)
    assert admin.task("webhook", nowhere).state == admin.task("trigger", nowhere).state == "by_hand"
    assert admin.task("webhook", replace(WANTED, webhook_secret=lambda: None)).state == "by_hand"


def test_a_webhook_made_by_others_is_left_as_it_is(admin: Admin) -> None:
    theirs = {"name": "Ours", "endpoint": "http://127.0.0.1:9/webhooks/zammad/", "signature_token": "theirs"}
    admin.site.call("POST", "webhooks", theirs)
    assert "webhook" not in admin.provision()
    [webhook] = admin.world.webhooks
    assert webhook["signature_token"] == "theirs"


def test_what_was_switched_off_is_not_switched_on(admin: Admin) -> None:
    admin.provision()
    admin.world.webhooks[0]["active"] = admin.world.triggers[0]["active"] = False
    admin.world.states[-1]["active"] = False
    admin.attribute("filed_on")["active"] = False
    ids = ["webhook", "trigger", "state E-mail Service Center", "field filed_on"]
    tasks = [admin.task(task_id) for task_id in ids]
    assert {task.state for task in tasks} == {"by_hand"}
    assert all("switch it on" in task.by_hand for task in tasks)


def test_a_trigger_of_our_name_that_does_something_else(admin: Admin) -> None:
    admin.provision()
    admin.world.triggers[0]["perform"] = {"ticket.tags": {"operator": "add", "value": "x"}}
    task = admin.task("trigger")
    assert task.state == "by_hand"
    assert "rename or delete it" in task.by_hand


def test_the_inventory_tells_what_a_mapping_can_name(admin: Admin) -> None:
    admin.provision()
    inventory = admin.setup().inventory()
    found = {field.id: field for field in inventory.fields}
    assert "title" not in found
    assert (found["called_at"].name, found["called_at"].type) == ("Called at", "datetime")
    assert found["service_center"].options == ("California", "Vermont")
    assert {"open", "Ready to Call"} <= set(inventory.statuses)


# Findings


def test_all_is_well(admin: Admin) -> None:
    admin.provision()
    admin.site.create()
    findings = admin.findings()
    assert [finding.id for finding in findings.values() if finding.level != "ok"] == (
        ["webhook secret"] if admin.world.version.startswith("7") else []
    )
    assert {"credentials", "scope", "access 2", "field called_at", "webhook", "trigger"} <= set(findings)


def test_nothing_is_there_is_told_item_by_item_and_how_to_mend_it(admin: Admin) -> None:
    findings = admin.findings()
    levels = {task_id: findings[task_id].level for task_id in ORDER}
    minor = {"field due_on", "state Ready to Call", "state E-mail Service Center", "webhook", "trigger"}
    assert levels == {task_id: "warning" if task_id in minor else "error" for task_id in ORDER}
    assert all(finding.breaks and finding.mend for finding in findings.values() if finding.level != "ok")


def test_a_wrong_token(admin: Admin) -> None:
    assert [(each.id, each.level) for each in admin.findings(token="wrong").values()] == [("credentials", "error")]


def test_a_scope_that_cannot_be_read_or_names_no_group(admin: Admin) -> None:
    assert "AND only" in admin.findings(scope="group = A OR group = B")["scope"].what
    assert "does not have" in admin.findings(scope="group = Nobody")["scope"].what


def test_an_empty_group_is_a_warning(admin: Admin) -> None:
    assert admin.findings()["scope"].level == "warning"


def test_a_group_that_may_not_be_changed(admin: Admin) -> None:
    admin.world.admin.groups[2] = ["read", "create"]
    assert admin.findings()["access 2"].level == "error"
    admin.world.admin.groups[2] = ["read", "change"]
    assert admin.findings()["access 2"].level == "ok"


def test_a_group_without_shared_drafts(admin: Admin) -> None:
    admin.world.groups[1]["shared_drafts"] = False
    assert admin.findings()["drafts 2"].level == "warning"


def test_an_attribute_that_must_be_filled_in(admin: Admin) -> None:
    admin.world.provide(case_type="input")
    admin.attribute("case_type")["screens"] = {"edit": {"ticket.agent": {"shown": True, "required": True}}}
    assert '"case_type"' in admin.findings()["required case_type"].what


def test_with_an_agents_token_what_cannot_be_looked_at_is_told(admin: Admin) -> None:
    admin.provision()
    admin.site.create(promised_days=30)
    findings = admin.findings(token=AGENT_TOKEN)
    unseen = [finding for finding in findings.values() if finding.level != "ok"]
    assert [finding.id for finding in unseen] == ["kinds", "required", "migration", "webhook", "trigger"]
    assert all(finding.level == "unseen" and "--token-env" in finding.mend for finding in unseen)
    assert all("could not be looked at with this token" in finding.what for finding in unseen)
    assert "receipt_number" in findings["kinds"].what
    assert "promised_days" not in findings["kinds"].what
    with pytest.raises(AccessRefused, match=r"admin\.object"):
        admin.setup(AGENT_TOKEN).plan(WANTED)


@pytest.mark.parametrize("filled", [True, False], ids=["a ticket", "an empty group"])
@ONE
def test_with_an_agents_token_fields_and_states_are_looked_for(admin: Admin, filled: bool) -> None:
    """In an empty group by a search, to which Zammad says 422 if there is no such column."""
    admin.provision()
    if filled:
        admin.site.create()
    other = WantedField("answered_at", "answered_at", "date", "?")
    wanted = replace(WANTED, fields=(*WANTED.fields, other), statuses=("Ready to Call", "Nowhere"))
    findings = admin.findings(wanted, token=AGENT_TOKEN)
    levels = {each.id: each.level for each in findings.values() if each.id.startswith(("field", "state"))}
    expected = dict.fromkeys((f"field {field.fact}" for field in WANTED.fields), "ok")
    expected |= {"field answered_at": "error", "state Ready to Call": "ok", "state Nowhere": "warning"}
    assert levels == expected
    admin.world.columns.pop("due_on")
    admin.world.restart()
    assert admin.findings(token=AGENT_TOKEN)["field due_on"].level == "warning"


@pytest.mark.parametrize(
    ("kind", "value", "level"),
    [
        ("boolean", False, "error"),
        ("integer", 5, "error"),
        ("date", "2026-01-01", "ok"),
        ("datetime", "2026-01-01T00:00:00Z", "ok"),
        ("input", "June 2", "ok"),
    ],
)
@ONE
def test_with_an_agents_token_kinds_are_judged_by_a_ticket(admin: Admin, kind: str, value: Any, level: str) -> None:
    admin.world.provide(filed_on=kind)
    admin.site.create(filed_on=value)
    finding = admin.findings(token=AGENT_TOKEN)["field filed_on"]
    assert finding.level == level
    assert "June" not in finding.what


@pytest.mark.parametrize("path", ["tickets/search", "ticket_states"])
@ONE
def test_what_cannot_be_asked_is_told_as_not_looked_at(admin: Admin, path: str) -> None:
    admin.provision()
    method = "GET" if path == "ticket_states" else "POST"
    admin.zammad.faults += [Fault(method, path, status=403, body='{"error": "Not authorized"}')] * 40
    findings = admin.findings(token=AGENT_TOKEN)
    told = {each.id for each in findings.values() if each.level == "unseen"}
    states = {f"state {name}" for name in WANTED.statuses}
    fields = {f"field {field.fact}" for field in WANTED.fields} | {"field due_on"}
    assert told >= (states if method == "GET" else fields)


# Webhooks and triggers that are there already


def hook_of(admin: Admin, **more: Any) -> None:
    body = {"name": "By hand", "endpoint": WANTED.webhook_url, "signature_token": SECRET, "ssl_verify": True}
    admin.site.call("POST", "webhooks", body | more)


@pytest.mark.parametrize(
    ("part", "more"),
    [
        ("secret", {"signature_token": ""}),
        ("secret", {"signature_token": None}),
        ("payload", {"customized_payload": True, "custom_payload": "{}"}),
        ("payload", {"customized_payload": True, "custom_payload": '{"title": "#{ticket.title}"}'}),
        ("payload", {"customized_payload": True, "custom_payload": None}),
        ("certificate", {"ssl_verify": False}),
    ],
)
@ONE
def test_a_webhook_that_cannot_do_its_work_is_told(admin: Admin, part: str, more: dict[str, Any]) -> None:
    hook_of(admin, **more)
    task = admin.task(f"webhook {part}")
    assert (task.state, task.trouble != "", "In Zammad, under Webhook" in task.by_hand) == ("by_hand", True, True)
    finding = admin.findings()[f"webhook {part}"]
    assert (finding.level, finding.what) == ("warning", task.trouble)
    assert finding.breaks
    before = deepcopy(admin.world.webhooks)
    admin.provision()
    with pytest.raises(Refused):
        admin.setup().carry_out(WANTED, task)
    assert admin.world.webhooks == before


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"customized_payload": True, "custom_payload": '{"ticket_id": "#{ticket.id}"}'},
        {"customized_payload": True, "custom_payload": '{"ticket": {"id": "#{ticket.id}", "x": "#{ticket.title}"}}'},
        {"customized_payload": False, "custom_payload": "{}"},
    ],
)
@ONE
def test_a_webhook_made_by_hand_that_works(admin: Admin, more: dict[str, Any]) -> None:
    hook_of(admin, **more)
    assert not [task.id for task in admin.setup().plan(WANTED) if task.id.startswith("webhook ")]
    assert admin.task("webhook").state == "there"


def test_a_webhook_that_does_not_send_by_post(admin: Admin) -> None:
    hook_of(admin)
    admin.world.webhooks[0]["http_method"] = "put"
    assert "POST" in admin.task("webhook method").by_hand


def test_signed_with_the_secret_is_only_said_of_a_secret_that_is_shown(admin: Admin) -> None:
    """6.x shows it, 7.x masks it."""
    admin.provision()
    what, findings = admin.task("webhook").what, admin.findings()
    if admin.world.version.startswith("6"):
        assert "signed with the secret" in what
        assert "webhook secret" not in findings
        admin.world.webhooks[0]["signature_token"] = "another"
        assert "another secret than the first one" in admin.findings()["webhook secret"].what
        unreadable = replace(WANTED, webhook_secret=lambda: None)
        assert admin.findings(unreadable)["webhook secret"].level == "unseen"
    else:
        assert "not looked at" in what
        assert findings["webhook secret"].level == "unseen"
        assert "not looked at" in findings["webhook secret"].what


@ONE
def test_a_webhook_of_a_former_address_is_told(admin: Admin) -> None:
    admin.provision(replace(WANTED, webhook_url="https://old.office.example/webhooks/zammad/a-path-secret"))
    admin.provision()
    task = admin.task("webhook former")
    assert (task.state, "old.office.example" in task.trouble) == ("by_hand", True)
    assert "a-path-secret" not in str(task)
    assert admin.findings()["webhook former"].level == "warning"
    assert len(admin.world.webhooks) == 2
    admin.world.webhooks[0]["active"] = False
    assert "webhook former" not in admin.findings()


@ONE
def test_webhooks_of_other_sources_and_names_are_no_former_ones(admin: Admin) -> None:
    admin.provision(replace(WANTED, webhook_url="http://127.0.0.1:9/webhooks/another"))
    hook_of(admin, endpoint="https://chat.office.example/hook")
    admin.provision()
    assert "webhook former" not in admin.findings()


ALL_OF_IT = {"ticket.group_id": {"operator": "is", "value": ["2"]}}
NEW = {"name": "ticket.action", "operator": "is", "value": "create"}
IN_GROUP = {"name": "ticket.group_id", "operator": "is", "value": ["2"]}


def changed(*names: str) -> list[dict[str, Any]]:
    return [{"name": f"ticket.{name}", "operator": "has changed", "value": []} for name in names]


def tree(*told: dict[str, Any]) -> dict[str, Any]:
    return {"operator": "AND", "conditions": [IN_GROUP, {"operator": "OR", "conditions": list(told)}]}


COLUMNS = ["state_id", "group_id", *(field.name for field in WANTED.fields)]


def trigger_by_hand(admin: Admin, condition: Any, mode: str = "selective", **more: Any) -> None:
    if not admin.world.webhooks:
        hook_of(admin)
        admin.world.provide(**dict.fromkeys(COLUMNS[2:], "input"), due_on="date")
    perform = {"notification.webhook": {"webhook_id": admin.world.webhooks[0]["id"]}}
    body = {"name": f"By hand {len(admin.world.triggers)}", "activator": "action", "active": True}
    body |= {"execution_condition_mode": mode, "condition": condition, "perform": perform}
    admin.site.call("POST", "triggers", body | more)


@pytest.mark.parametrize(
    ("condition", "mode"),
    [
        (ALL_OF_IT, "always"),
        (tree(NEW, *changed(*COLUMNS)), "selective"),
        ({"operator": "OR", "conditions": [NEW, *changed(*COLUMNS)]}, "selective"),
        ({"operator": "NOT", "conditions": [{"name": "ticket.group_id", "operator": "is", "value": [3]}]}, "always"),
        # of what cannot be known beforehand the better is assumed
        (ALL_OF_IT | {"ticket.priority_id": {"operator": "is", "value": ["2"]}}, "always"),
    ],
)
@ONE
def test_a_trigger_made_by_hand_that_tells_of_everything(admin: Admin, condition: Any, mode: str) -> None:
    trigger_by_hand(admin, condition, mode)
    assert admin.task("trigger").state == "there"


@pytest.mark.parametrize(
    ("condition", "mode", "told", "not_told"),
    [
        (tree(NEW, *changed(*COLUMNS[:-1])), "selective", ["protected_case"], ["filed_on", "new cases", "group"]),
        (tree(*changed(*COLUMNS)), "selective", ["new cases"], ["protected_case", "changes of"]),
        (ALL_OF_IT, "selective", ["state", "receipt_number", "protected_case"], ["new cases"]),
        ({"ticket.action": {"operator": "is", "value": "create"}}, "always", ["state", "filed_on"], ["new cases"]),
        ({"ticket.action": {"operator": "is not", "value": "create"}}, "always", ["new cases"], ["changes of"]),
        ({"ticket.group_id": {"operator": "is", "value": [3]}}, "always", ['the group "USCIS inquiries"'], ["changes"]),
        ({"article.action": {"operator": "is", "value": "create"}}, "always", ["state", "filed_on"], ["new cases"]),
    ],
)
@ONE
def test_a_trigger_that_leaves_something_untold_is_told_and_left(
    admin: Admin, condition: Any, mode: str, told: list[str], not_told: list[str]
) -> None:
    trigger_by_hand(admin, condition, mode)
    task, finding = admin.task("trigger"), admin.findings()["trigger"]
    assert task.state == "by_hand"
    assert "left as it is" in task.by_hand
    assert (finding.level, finding.what) == ("warning", task.trouble)
    assert all(each in task.trouble for each in told), task.trouble
    assert not any(each in task.trouble for each in not_told), task.trouble
    before = deepcopy(admin.world.triggers)
    admin.provision()
    assert admin.world.triggers == before


@ONE
def test_what_one_trigger_leaves_another_may_tell(admin: Admin) -> None:
    trigger_by_hand(admin, tree(NEW, *changed(*COLUMNS[:4])))
    trigger_by_hand(admin, tree(*changed(*COLUMNS[4:])), active=False)
    trigger_by_hand(admin, tree(*changed(*COLUMNS[4:])), activator="time")
    assert admin.task("trigger").state == "by_hand"
    trigger_by_hand(admin, tree(*changed(*COLUMNS[4:])))
    assert admin.task("trigger").state == "there"


def test_our_own_trigger_learns_of_new_attributes_and_groups(admin: Admin) -> None:
    admin.provision()
    before = deepcopy(admin.world.triggers[0])
    more = replace(WANTED, fields=(*WANTED.fields, WantedField("answered_at", "answered_at", "datetime", "When.")))
    setup = admin.setup(scope='group in ("USCIS inquiries", "Donations")')
    plan = {task.id: task for task in setup.plan(more)}
    assert plan["trigger"].state == "lacking"
    assert "answered_at" in plan["trigger"].what
    assert '"Donations"' in plan["trigger"].what
    for task in plan.values():
        if task.state == "lacking":
            setup.carry_out(more, task)
    assert {task.state for task in setup.plan(more)} == {"there"}
    [trigger] = admin.world.triggers
    assert trigger | {"condition": 0} == before | {"condition": 0}
    admin.world.jobs.clear()
    elsewhere = admin.site.create(group="Donations")
    admin.site.edit(elsewhere, answered_at="2026-04-02T15:00:00Z")
    assert len(admin.world.jobs) == 2
    # fewer are wanted again: what is there tells of all of it, and is left
    assert admin.task("trigger").state == "there"


def _a_condition_of_theirs(trigger: Any) -> None:
    trigger["condition"]["conditions"].insert(0, {"name": "ticket.priority_id", "operator": "is", "value": ["3"]})


def _another_group(trigger: Any) -> None:
    trigger["condition"]["conditions"][0]["value"] = ["2", "3"]


def _something_else_besides(trigger: Any) -> None:
    trigger["perform"]["ticket.tags"] = {"operator": "add", "value": "seen"}


def _something_else_told(trigger: Any) -> None:
    trigger["condition"]["conditions"][-1]["conditions"].append(
        {"name": "ticket.title", "operator": "is", "value": "x"}
    )


@pytest.mark.parametrize(
    "change", [_a_condition_of_theirs, _another_group, _something_else_besides, _something_else_told]
)
@ONE
def test_our_trigger_that_somebody_has_changed_is_left(admin: Admin, change: Callable[[Any], None]) -> None:
    admin.provision()
    change(admin.world.triggers[0])
    before = deepcopy(admin.world.triggers)
    more = replace(WANTED, fields=(*WANTED.fields, WantedField("answered_at", "answered_at", "datetime", "When.")))
    assert admin.task("trigger", more).state == "by_hand"
    assert admin.provision(more) == ["field answered_at", "migration"]
    assert admin.world.triggers == before


@ONE
def test_a_trigger_is_not_judged_by_a_scope_that_cannot_be_read(admin: Admin) -> None:
    admin.provision()
    findings = admin.findings(scope="group = Nobody")
    assert (findings["trigger"].level, "not looked at" in findings["trigger"].mend) == ("warning", True)
