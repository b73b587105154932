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
from tests.trackers.zammad_sites import ZammadSite
from tests.zammad_standin import ZammadStandin
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
        self.site = ZammadSite(
            zammad.url,
            admin_token=ADMIN_TOKEN,
            token=AGENT_TOKEN,
            group="USCIS inquiries",
            other_group=None,
            clock=clock,
        )
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
    assert admin.task("field filed_on").state == state
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
    assert {finding.level for finding in findings.values()} == {"ok"}
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


def test_with_an_agents_token_all_but_the_webhook_is_looked_at(admin: Admin) -> None:
    admin.provision()
    admin.site.create()
    findings = admin.findings(token=AGENT_TOKEN)
    assert findings["webhook"].level == "warning"
    assert "cannot be looked at with this token" in findings["webhook"].what
    assert {each.level for each in findings.values() if each.id != "webhook"} == {"ok"}
    other = replace(WANTED, fields=(WantedField("answered_at", "answered_at", "date", "?"),), statuses=("Nowhere",))
    findings = admin.findings(other, token=AGENT_TOKEN)
    assert (findings["field answered_at"].level, findings["state Nowhere"].level) == ("error", "warning")
    with pytest.raises(AccessRefused, match=r"admin\.object"):
        admin.setup(AGENT_TOKEN).plan(WANTED)
