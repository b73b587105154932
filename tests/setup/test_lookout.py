"""The service's own look at the set-up of its sources: logged once, told by /readyz, and in nobody's way."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import pytest
from structlog.testing import capture_logs

from connector.mapping.loading import load_mapping
from connector.service import Service
from connector.settings import Settings
from connector.setup.live_check import look_over
from connector.setup.lookout import Lookout, stops_the_source
from connector.trackers.port import Misconfigured
from connector.trackers.setup_port import Finding
from tests.setup.conftest import HOOK, Office

NO_FIELD = Finding("field called_at", "error", 'There is no field "Called".', "Nothing works.", "Create it.")
NO_RIGHT = Finding("permission ADD_COMMENTS", "error", "The account may not comment.", "No letters.", "Let it.")
FINE = Finding("credentials", "ok", "Fine.")


def until(what: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "not so in time"
        time.sleep(0.01)


@pytest.fixture
def logs() -> Iterator[list[dict[str, object]]]:
    with capture_logs() as captured:
        yield captured  # type: ignore[misc]  # structlog's own events are mutable mappings of the same


class Looks:
    """A look whose findings are changed by the test; counts how often it was taken."""

    def __init__(self, *found: Finding) -> None:
        self.found: Sequence[Finding] | Exception = found
        self.taken = 0

    def __call__(self) -> Sequence[Finding]:
        self.taken += 1
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def again(self) -> None:
        """Until two more looks have ended."""
        before = self.taken
        until(lambda: self.taken >= before + 3)


@pytest.fixture
def started() -> Iterator[Callable[..., Lookout]]:
    running: list[Lookout] = []

    def start(**looks: Callable[[], Sequence[Finding]]) -> Lookout:
        running.append(Lookout(looks, every=0.01, again=0.01))
        running[-1].start()
        return running[-1]

    yield start
    for each in running:
        each.stop()


@pytest.mark.parametrize(
    ("finding", "stops"),
    [
        (NO_FIELD, True),
        (NO_RIGHT, False),
        (FINE, False),
        (Finding("credentials", "error", "No."), True),
        (Finding("scope", "error", "No."), True),
        (Finding("scope", "warning", "No ticket."), False),
        (Finding("field due_on", "warning", "No."), False),
        (Finding("webhook", "error", "None."), False),
    ],
)
def test_which_findings_stop_a_source(finding: Finding, stops: bool) -> None:
    assert stops_the_source(finding) is stops


def test_an_error_is_logged_once_and_again_when_it_changes(
    started: Callable[..., Lookout], logs: list[dict[str, object]]
) -> None:
    look = Looks(FINE, NO_RIGHT)
    started(cases=look)
    look.again()
    look.found = (NO_RIGHT, NO_FIELD)
    look.again()
    look.found = (FINE,)
    look.again()
    look.found = (NO_RIGHT,)
    look.again()
    told = [(each["event"], each["source"], each.get("finding")) for each in logs]
    assert told == [
        ("set-up is broken", "cases", NO_RIGHT.id),
        ("set-up is broken", "cases", NO_FIELD.id),
        *[("set-up was mended", "cases", each) for each in told_of_mended(logs)],
        ("set-up is broken", "cases", NO_RIGHT.id),
    ]
    assert set(told_of_mended(logs)) == {NO_RIGHT.id, NO_FIELD.id}
    assert {each["log_level"] for each in logs if each["event"] == "set-up is broken"} == {"error"}
    assert logs[0]["mend"] == "Let it."


def told_of_mended(logs: list[dict[str, object]]) -> list[object]:
    return [each["finding"] for each in logs if each["event"] == "set-up was mended"]


def test_a_source_that_cannot_work_is_told_until_it_is_mended(started: Callable[..., Lookout]) -> None:
    look, other = Looks(NO_RIGHT, NO_FIELD), Looks(NO_RIGHT)
    lookout = started(cases=look, others=other)
    until(lambda: lookout.misconfigured() and other.taken)
    assert lookout.misconfigured() == {
        "cases": 'There is no field "Called". `connector check --live cases` says how to mend it.'
    }
    look.found = ()
    until(lambda: not lookout.misconfigured())


def test_a_broken_source_is_looked_at_sooner() -> None:
    broken, well = Looks(NO_FIELD), Looks(FINE)
    lookout = Lookout({"broken": broken, "well": well}, every=60, again=0.01)
    lookout.start()
    broken.again()
    lookout.stop()
    assert well.taken == 1


@pytest.mark.parametrize("error", [Misconfigured("There is no way to look."), KeyError("LIN2590011223")])
def test_a_look_that_fails_changes_nothing_and_is_taken_again(
    started: Callable[..., Lookout], logs: list[dict[str, object]], error: Exception
) -> None:
    look = Looks(NO_FIELD)
    lookout = started(cases=look)
    look.again()
    look.found = error
    look.again()
    assert list(lookout.misconfigured()) == ["cases"]
    failed = [each for each in logs if each["event"] == "set-up not looked over"]
    assert failed
    assert "LIN2590011223" not in {str(each["reason"]) for each in failed}


def test_a_tracker_that_does_not_answer_delays_neither_start_nor_stop(logs: list[dict[str, object]]) -> None:
    asked, answer = threading.Event(), threading.Event()

    def silent() -> list[Finding]:
        asked.set()
        answer.wait(20)
        return [NO_FIELD]

    lookout = Lookout({"cases": silent})
    began = time.monotonic()
    lookout.start()
    assert asked.wait(5)
    lookout.stop()
    assert time.monotonic() - began < 5
    answer.set()
    lookout.stop()  # waits for the thread, which has nothing more to tell
    assert lookout.misconfigured() == {}
    assert logs == []


def test_one_that_was_never_started_can_be_stopped() -> None:
    Lookout({"cases": list}).stop()


# With a tracker


def service(**environment: str) -> Service:
    settings = Settings.from_environment({"CONNECTOR_LISTEN": "127.0.0.1:0"} | environment)
    return Service(settings, look_over_setup=True)


def test_readyz_tells_of_a_source_that_cannot_work_and_the_others_do(ready: Office) -> None:
    text = ready.path.read_text(encoding="utf-8")
    (ready.mappings / "wrong.yaml").write_text(text.replace("HQ Emailed At", "HQ Mailed"), encoding="utf-8")
    running = service()
    try:
        running.start()
        until(lambda: running.health().is_ready and "misconfigured" in codes(running, "wrong"))
        reason = next(each for each in running.health().sources["wrong"] if each.code == "misconfigured")
        assert 'There is no field "HQ Mailed"' in reason.message
        assert "`connector check --live wrong`" in reason.message
        assert codes(running, "cases") == []
    finally:
        running.stop()


def codes(running: Service, source: str) -> list[str]:
    return [each.code for each in running.health().sources[source]]


def test_without_being_asked_to_a_service_looks_over_nothing(ready: Office) -> None:
    (ready.folder / "token").unlink()
    running = Service(Settings.from_environment({"CONNECTOR_LISTEN": "127.0.0.1:0"}))
    with closing(running.store):
        assert running._lookout._threads == []


def test_the_look_changes_nothing(ready: Office) -> None:
    ready.world.connector.denied.clear()  # an administrator is told of webhooks
    before = ready.state()
    mapping = load_mapping(ready.path)
    found = {each.id: each for each in look_over(mapping, HOOK)}
    assert found["webhook"].level == "error"
    assert found["credentials"].level == "ok"
    assert ready.state() == before
    assert {each.method for each in ready.server.requests} == {"GET"}
