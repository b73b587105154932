"""The live check as a whole: the tracker's findings with those of the database; levels, table, JSON, status."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from connector.mapping.loading import load_mapping
from connector.setup.live_check import (
    finding_json,
    findings_text,
    is_usable,
    look_over,
    store_findings,
    tracker_findings,
)
from connector.store import SourceState, Store, open_database
from connector.trackers.port import RateLimited
from connector.trackers.setup_port import Finding, Inventory, Setup, Task, Wanted
from tests.setup.conftest import HOOK, START, Office
from tests.setup.test_findings import hook


def found(state: SourceState | None) -> dict[str, str]:
    return {each.id: each.level for each in store_findings(state, START, poll_seconds=300)}


def state(**known: object) -> SourceState:
    usual = {"heard_at": START - timedelta(minutes=5), "polled_at": START - timedelta(minutes=2)}
    return SourceState("cases", **(usual | known))  # type: ignore[arg-type]  # as each test says


def test_a_source_that_works() -> None:
    assert found(state(watermark=START)) == {"webhook heard": "ok", "poll": "ok"}


@pytest.mark.parametrize("nothing", [None, SourceState("cases")])
def test_before_the_first_run_nothing_is_wrong(nothing: SourceState | None) -> None:
    assert found(nothing) == {"service": "unseen"}


@pytest.mark.parametrize(
    ("known", "finding", "level"),
    [
        ({"heard_at": None}, "webhook heard", "warning"),
        ({"heard_at": START - timedelta(hours=1), "watermark": START}, "webhook heard", "warning"),
        ({"heard_at": START - timedelta(days=8)}, "webhook heard", "warning"),
        ({"polled_at": None}, "poll", "warning"),
        ({"polled_at": START - timedelta(minutes=17)}, "poll", "warning"),
        ({"braked_at": START, "brake_reason": "Too many comments"}, "brake", "error"),
        ({"paused_until": START + timedelta(minutes=1)}, "pause", "warning"),
    ],
)
def test_each_finding_of_the_database(known: dict[str, object], finding: str, level: str) -> None:
    others = {name: each for name, each in found(state(**known)).items() if name != finding}
    assert found(state(**known))[finding] == level
    assert set(others.values()) <= {"ok"}


class Broken(Setup):
    """A tracker that cannot even be asked."""

    def inventory(self) -> Inventory:
        raise AssertionError

    def plan(self, wanted: Wanted) -> list[Task]:
        raise AssertionError

    def carry_out(self, wanted: Wanted, task: Task) -> None:
        raise AssertionError

    def findings(self, wanted: Wanted) -> list[Finding]:
        raise RateLimited("Jira asks for a pause.", retry_after=5, whole_source=True)


def test_a_tracker_that_cannot_be_asked_is_a_finding() -> None:
    wanted = Wanted((), (), None, lambda: None)
    findings = tracker_findings(Broken(), wanted)
    assert [(each.id, each.level) for each in findings] == [("tracker", "error")]
    assert not is_usable(findings)


def test_a_kind_of_tracker_without_a_set_up_side_is_a_finding(ready: Office) -> None:
    mapping = load_mapping(ready.path)
    foreign = replace(mapping, tracker=replace(mapping.tracker, kind="foreign"))
    [finding] = look_over(foreign, None)
    assert finding.level == "warning"
    assert "foreign" in finding.mend


def test_the_table_shows_the_worst_first_and_counts_what_is_well() -> None:
    findings = [
        Finding("scope", "ok", "Fine."),
        Finding("poll", "warning", "Old.", "Late.", "Look."),
        Finding("webhook", "error", "None.", "Late.", "Make one."),
    ]
    text = findings_text(findings)
    assert text.index("webhook") < text.index("poll")
    assert "To mend it: Make one." in text
    assert "scope" not in text
    assert text.endswith("1 of 3 checks are well.")
    assert "scope" in findings_text(findings, everything=True)
    assert findings_text(findings[:1]) == "1 of 1 checks are well."
    assert finding_json(findings[1]) == {
        "id": "poll",
        "level": "warning",
        "what": "Old.",
        "breaks": "Late.",
        "mend": "Look.",
    }


# The command


def test_the_command_tells_of_each_source_and_of_what_the_database_knows(ready: Office) -> None:
    hook(ready)
    store = Store(open_database("sqlite:///connector.sqlite3", exclusive=True))
    store.sources.polled("cases", watermark=None, now=START)
    store.close()
    said = ready.run("check", "--live", "--webhook-url", HOOK, "--json")
    findings = {each["id"]: each["level"] for each in json.loads(said.output)["cases"]}
    assert findings["credentials"] == "ok"
    assert findings["webhook heard"] == findings["poll"] == "warning"
    assert said.exit_code == 0, "warnings do not end it with 1"


def test_an_error_ends_it_with_1(ready: Office) -> None:
    ready.world.connector.denied.add("EDIT_ISSUES")
    said = ready.run("check", "--live", "cases")
    assert said.exit_code == 1
    assert "WRONG" in said.output
    assert "permission EDIT_ISSUES" in said.output
    assert "Project settings > Permissions" in said.output


def test_a_secret_that_is_not_there_is_told_as_a_finding(ready: Office) -> None:
    (ready.folder / "token").unlink()
    said = ready.run("check", "--live", "cases")
    assert said.exit_code == 1
    assert "credentials" in said.output
    assert "cannot be read" in said.output


def test_a_database_that_cannot_be_used_is_told(ready: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    (ready.folder / "other.sqlite3").write_text("not a database at all, but long enough to be looked at\n" * 50)
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", "sqlite:///other.sqlite3")
    said = ready.run("check", "--live", "cases")
    assert said.exit_code == 1
    assert "WRONG   database" in said.output
    assert said.output.count("WRONG") == 1, "the tracker was looked at all the same"
    assert "unseen  webhook" in said.output


def test_mistakes_and_unknown_sources_are_told(ready: Office) -> None:
    assert "there is no such file" in ready.run("check", "--live", "others").output
    ready.path.write_text("tracker: 1\n", encoding="utf-8")
    said = ready.run("check", "--live")
    assert said.exit_code == 1
    assert "cases.yaml:1: tracker: must be a group" in said.output


def test_the_public_url_of_the_settings_spares_the_option(ready: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECTOR_PUBLIC_URL", "https://connector.example/")
    ready.world.connector.denied.clear()  # an administrator is told of webhooks
    assert ready.run("provision", "cases", "--yes").exit_code == 0
    [made] = ready.server.hooks.webhooks
    assert made.url.startswith(HOOK)
    assert ready.run("check", "--live").exit_code == 0
    monkeypatch.setenv("CONNECTOR_PUBLIC_URL", "https://elsewhere.example")
    assert "not to https://elsewhere.example" in " ".join(ready.run("check", "--live").output.split())
    assert ready.run("check", "--live", "--webhook-url", HOOK).exit_code == 0, "the option wins"


def test_a_source_a_file_and_a_folder_can_be_named(ready: Office) -> None:
    for words in (["check"], ["check", "--live"]):
        for target in ("cases", ready.path, ready.mappings):
            said = ready.run(*words, target)
            assert said.exit_code == 0, said.output
            assert "cases" in said.output
        assert ready.run(*words, "others").exit_code == 1


def test_one_mapping_with_mistakes_does_not_hide_the_others(ready: Office) -> None:
    (ready.mappings / "broken.yaml").write_text("tracker: 1\n", encoding="utf-8")
    said = ready.run("check", "--live", "--json")
    assert said.exit_code == 1
    assert "broken.yaml:1: tracker: must be a group" in said.stderr
    assert list(json.loads(said.stdout)) == ["cases"]


def test_an_administrators_account_can_be_lent_for_one_look(ready: Office) -> None:
    hook(ready)
    alone = ready.run("check", "--live", "cases", "--webhook-url", HOOK)
    assert "administrators only" in " ".join(alone.output.split())
    lent = ready.run("check", "--live", "cases", "--webhook-url", HOOK, *ready.as_admin())
    assert lent.exit_code == 0, lent.output
    assert "administrators only" not in " ".join(lent.output.split())
    assert "Looked at with the account that is lent" in lent.output
    told = json.loads(ready.run("check", "--live", "cases", "--webhook-url", HOOK, "--json", *ready.as_admin()).stdout)
    assert {each["id"]: each["level"] for each in told["cases"]}["webhook enabled"] == "ok"


def test_an_account_is_lent_to_one_tracker_alone(ready: Office) -> None:
    (ready.mappings / "others.yaml").write_text(ready.path.read_text(encoding="utf-8"), encoding="utf-8")
    before = len(ready.server.requests)
    said = ready.run("check", "--live", *ready.as_admin())
    assert said.exit_code == 2
    assert "name its SOURCE" in said.output
    assert len(ready.server.requests) == before, "the token was shown to nobody"


@pytest.mark.parametrize(
    "words", [["--token-env", "ADMIN_TOKEN"], ["--user", "me"], ["--live", "cases", "--user", "me"]]
)
def test_options_that_go_together(ready: Office, words: list[str]) -> None:
    assert ready.run("check", *words).exit_code == 2


def test_a_lent_token_that_is_not_there_is_told(ready: Office) -> None:
    said = ready.run("check", "--live", "cases", "--token-env", "NO_SUCH_TOKEN")
    assert said.exit_code == 1
    assert "NO_SUCH_TOKEN is not set" in " ".join(said.output.split())
