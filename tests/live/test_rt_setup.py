"""What the set-up side tells of a Request Tracker that was set up from deploy/request-tracker."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from connector.application import utc_now
from connector.trackers.port import Misconfigured
from connector.trackers.request_tracker_setup import STATUSES, RequestTrackerSetup
from connector.trackers.setup_port import Wanted, WantedField
from tests.live.request_tracker import QUEUE, Rt

pytestmark = [pytest.mark.live, pytest.mark.timeout(600), pytest.mark.usefixtures("receiver")]
Make = Callable[..., RequestTrackerSetup]

WANTED = Wanted(
    fields=(
        WantedField("receipt_number", "Receipt Number", "text", "Three letters and ten digits."),
        WantedField("called_at", "ncsc called at", "datetime", "When the NCSC was called."),
        WantedField("service_center", "Service Center", "select", "Which one.", ("California", "Texas")),
        WantedField("protected", "Route", "boolean", "The separate route."),
    ),
    statuses=("Call NCSC", "E-mail Service Center"),
    webhook_url="https://connector.example.org/webhooks/rt",
    webhook_secret=lambda: "a secret",
)
LACKING = Wanted(
    fields=(
        WantedField("answered_at", "Reply Date", "datetime", "When a real answer came."),
        WantedField("filed_on", "Service Center", "date", "The date filed."),
        WantedField("called_at", "Several Dates", "datetime", "When the NCSC was called."),
    ),
    statuses=("Nowhere",),
    webhook_url=None,
    webhook_secret=lambda: None,
)


@pytest.fixture
def make_setup(rt: Rt) -> Iterator[Make]:
    with ExitStack() as stack:

        def make(who: str = "connector", **more: Any) -> RequestTrackerSetup:
            settings: dict[str, Any] = {
                "url": rt.url,
                "token": lambda: rt.tokens[who],
                "scope": f"Queue = '{QUEUE}'",
                "clock": utc_now,
            }
            made = RequestTrackerSetup(**(settings | more))
            stack.callback(made.close)
            return made

        yield make


def test_the_inventory_tells_fields_with_their_kinds_and_all_statuses(make_setup: Make) -> None:
    inventory = make_setup().inventory()
    kinds = {field.name: (field.type, field.options) for field in inventory.fields}
    assert kinds["Receipt Number"] == ("text", ())
    assert kinds["Date Filed"] == ("date", ())
    assert kinds["NCSC Called At"] == ("datetime", ())
    assert kinds["Service Center"] == ("select", ("California", "Vermont", "Nebraska", "Texas"))
    assert all(field.id.startswith("customfield_") for field in inventory.fields)
    assert inventory.statuses[: len(STATUSES)] == STATUSES
    assert len(set(inventory.statuses)) == len(inventory.statuses)


def test_after_the_initialdata_nothing_is_lacking_but_what_rt_does_not_show(make_setup: Make) -> None:
    tasks = make_setup().plan(WANTED)
    assert {task.id: task.state for task in tasks} == {
        "queue": "there",
        "field receipt_number": "there",
        "field called_at": "there",
        "field service_center": "there",
        "field protected": "there",
        "refs field": "there",
        "status Call NCSC": "there",
        "status E-mail Service Center": "there",
        "webhook": "by_hand",
    }
    assert "https://connector.example.org/webhooks/rt" in tasks[-1].by_hand


def test_what_is_lacking_is_told_with_how_to_make_it(make_setup: Make) -> None:
    setup = make_setup()
    tasks = {task.id: task for task in setup.plan(LACKING)}
    assert tasks["field answered_at"].state == "by_hand"
    assert 'Name "Reply Date", Type "Select datetime"' in tasks["field answered_at"].by_hand
    assert tasks["status Nowhere"].state == "by_hand"
    with pytest.raises(Misconfigured, match="Reply Date"):
        setup.carry_out(LACKING, tasks["field answered_at"])
    assert {task.id: task.state for task in make_setup(scope="Queue = 'Nowhere'").plan(WANTED)}["queue"] == "by_hand"


def test_a_good_set_up_has_no_errors(rt: Rt, make_setup: Make) -> None:
    rt.create()
    findings = {finding.id: finding for finding in make_setup().findings(WANTED)}
    assert {finding.id for finding in findings.values() if finding.level != "ok"} == {"webhook"}
    assert set(findings) == {
        "credentials",
        "time zone",
        "scope",
        "permission comment",
        "permission modify",
        "field receipt_number",
        "field called_at",
        "field service_center",
        "field protected",
        "refs field",
        "status Call NCSC",
        "status E-mail Service Center",
        "webhook",
    }


def test_each_fault_is_found_with_what_it_breaks_and_how_to_mend_it(rt: Rt, make_setup: Make) -> None:
    rt.create()
    findings = {finding.id: finding for finding in make_setup().findings(LACKING)}
    levels = {key: finding.level for key, finding in findings.items() if finding.level != "ok"}
    assert levels == {
        "field answered_at": "error",
        "field filed_on": "error",
        "field called_at": "warning",
        "status Nowhere": "warning",
        "webhook": "warning",
    }
    for key in levels:
        assert findings[key].breaks
        assert findings[key].mend


def test_a_field_that_one_queue_lacks_stops_that_queue(make_setup: Make) -> None:
    scope = f"Queue = '{QUEUE}' OR Queue = 'Housekeeping'"
    lacking = [each for each in make_setup(scope=scope).findings(WANTED) if each.id == "field receipt_number"]
    breaks = {finding.level: finding.breaks for finding in lacking}
    assert breaks == {"ok": "", "error": "Tickets of this queue are not attended to."}
    [nowhere] = [each for each in make_setup().findings(LACKING) if each.id == "field answered_at"]
    assert nowhere.breaks.startswith("The source stops")


def test_an_rt_that_does_not_count_hidden_tickets_is_told(rt: Rt, uncounted: str, make_setup: Make) -> None:
    rt.create()
    findings = {finding.id: finding for finding in make_setup(url=uncounted).findings(WANTED)}
    assert {finding.id for finding in findings.values() if finding.level != "ok"} == {"webhook", "hidden tickets"}
    assert "1000 tickets" in findings["hidden tickets"].breaks


def test_other_accounts_are_told_what_they_lack(make_setup: Make) -> None:
    of_staff = {finding.id: finding.level for finding in make_setup("staff").findings(WANTED)}
    assert of_staff["refs field"] == "warning"
    assert of_staff["time zone"] in {"error", "warning"}
    blind = {finding.id: finding for finding in make_setup("blind").findings(WANTED)}
    assert blind["field called_at"].level == "warning"
    assert "on the field itself" in blind["field called_at"].mend
    root_elsewhere = make_setup("connector", scope="Queue = 'Housekeeping' AND Subject = 'no such'").findings(WANTED)
    assert {finding.id: finding.level for finding in root_elsewhere}["scope"] == "warning"
    outsider = make_setup(token=lambda: "1-2-3").findings(WANTED)
    assert [(finding.id, finding.level) for finding in outsider] == [("credentials", "error")]
    confused = {finding.id: finding for finding in make_setup(scope="Nothing = 'x'").findings(WANTED)}
    assert "Unknown field" in confused["tracker"].mend
