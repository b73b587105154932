"""What watches the connector, held against what it shows: the metrics' page, the alert rules, the dashboard."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from connector.metrics import (
    ACT_KINDS,
    ACT_OUTCOMES,
    CALL_OUTCOMES,
    LOOK_OUTCOMES,
    WEBHOOK_RESULTS,
    Metrics,
    SourceSnapshot,
)

ROOT = Path(__file__).parents[1]
PROMETHEUS = ROOT / "deploy/prometheus"
DASHBOARD = ROOT / "deploy/grafana/dashboard.json"
RULES = [PROMETHEUS / "alerts.yaml", PROMETHEUS / "recording.yaml"]
RULE_TESTS = PROMETHEUS / "tests/alerts.test.yaml"
NOT_OURS = {"up", "ALERTS"}  # Prometheus' own
MOMENT = datetime(2026, 3, 1, tzinfo=UTC)


def page() -> str:
    """/metrics after traffic of every kind."""
    snapshot = SourceSnapshot(
        source="cases",
        open=3,
        due=2,
        stuck=1,
        lag_seconds=12.5,
        last_round_at=MOMENT,
        last_poll_at=MOMENT,
        is_braked=False,
        is_paused=True,
    )
    metrics = Metrics(["cases"], snapshot=lambda: [snapshot], version="1.2.3")
    for result in WEBHOOK_RESULTS:
        metrics.webhook("cases", result, "jira:issue_updated")
    for kind in ACT_KINDS:
        for outcome in ACT_OUTCOMES:
            metrics.acted("cases", kind, outcome)
    for outcome in LOOK_OUTCOMES:
        metrics.looked("cases", outcome)
    for outcome in CALL_OUTCOMES:
        metrics.called("cases", outcome, 0.2)
    return metrics.render().decode()


def shown() -> dict[str, tuple[str, frozenset[str]]]:
    """Metric -> its type and labels, as /metrics shows them."""
    found = {}
    for family in text_string_to_metric_families(page()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        found[name] = (family.type, frozenset(labels))
    return found


def rules() -> list[dict[str, Any]]:
    return [rule for path in RULES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    """Where it stands, and the PromQL, of all that is asked for."""
    for rule in rules():
        yield str(rule.get("alert") or rule["record"]), rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for annotation in json.loads(DASHBOARD.read_text())["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]


_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"')
_WORDS = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


def metrics_in(query: str) -> set[str]:
    """The metrics that a query asks for: words that are neither functions, operators nor labels."""
    bare = _STRINGS.sub("", query)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(by|on|without|ignoring)\s*\([^)]*\)", " ", bare)
    called = set(re.findall(rf"({_WORDS.pattern})\s*\(", bare))
    operators = {"and", "or", "unless", "by", "on", "bool"}
    return {word for word in _WORDS.findall(bare) if word not in called | operators and not re.fullmatch(r"e\d+", word)}


def labels_in(query: str) -> set[str]:
    grouped = {
        label for group in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", query) for label in re.split(r"[,\s]+", group)
    }
    return (grouped | set(re.findall(r"[{,]\s*(\w+)\s*(?:=~|!~|!=|=)", query))) - {""}


def test_the_queries_are_read_as_they_are_meant() -> None:
    query = 'sum by (source, le) (rate(a_bucket{b="c d", e!="f"}[5m])) > 0.2 * max(g:h[1h]) unless on (i) j == 4e6'
    assert metrics_in(query) == {"a_bucket", "g:h", "j"}
    assert labels_in(query) == {"source", "le", "b", "e", "i"}


@pytest.mark.parametrize(("place", "query"), [pytest.param(*each, id=each[0]) for each in queries()])
def test_what_is_asked_for_is_shown(place: str, query: str) -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    known = shown()
    series = {name: kind for name, (kind, _) in known.items()}
    for name, kind in list(series.items()):
        if kind == "histogram":
            series |= dict.fromkeys((f"{name}_bucket", f"{name}_count", f"{name}_sum"), "histogram")
    asked = metrics_in(query)
    assert asked
    assert asked <= set(series) | recorded | NOT_OURS
    labels = {label for _, found in known.values() for label in found}
    assert labels_in(query) <= labels | {"le", "instance", "job", "alertname", "alertstate"}
    for name in asked & {name for name, kind in series.items() if kind == "counter"}:
        assert re.search(rf"(rate|increase|changes)\({name}\b", query), "a counter says nothing by itself"


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: str(alert["alert"]))
def test_an_alert_says_how_grave_it_is_and_where_to_read_on(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert set(alert["annotations"]) == {"summary", "description", "runbook"}
    path, _, anchor = alert["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(), re.M)
    assert anchor in {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_every_alert_is_tried() -> None:
    tried = set(re.findall(r'alertname="(\w+)"', RULE_TESTS.read_text()))
    assert tried == {alert["alert"] for alert in alerts()}


def test_values_that_rules_and_dashboard_name_are_foreseen() -> None:
    values = {
        (label, value) for _, query in queries() for label, _, given in _matchers(query) for value in given.split("|")
    }
    text = page()
    for label, value in values - {("source", "$source")}:
        if label in {"result", "kind", "outcome", "state"}:
            assert f'{label}="{value}"' in text


def _matchers(query: str) -> list[tuple[str, str, str]]:
    return re.findall(r'(\w+)(=~|!=|=)"([^"]*)"', query)


def test_every_metric_is_described_and_no_other() -> None:
    row = re.compile(r"^\| `(\w+)` \| (\w+) \|([^|]*)\| (.+) \|$", re.M)
    described = {
        name: (kind, frozenset(re.findall(r"\w+", labels)))
        for name, kind, labels, _ in row.findall((PROMETHEUS / "README.md").read_text())
    }
    assert described == shown()


def test_every_value_of_a_label_is_described() -> None:
    text = (PROMETHEUS / "README.md").read_text()
    for family in text_string_to_metric_families(page()):
        for sample in family.samples:
            for label, value in sample.labels.items():
                if label in {"state", "result", "outcome", "kind", "by"}:
                    assert f"`{value}`" in text, f"{label} {value} of {family.name}"


def test_the_dashboard_can_be_imported() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    assert "id" not in dashboard  # else it would take the place of another
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert variables == {"datasource", "source"}
    everything = [panel["id"] for panel in dashboard["panels"]]
    assert len(everything) == len(set(everything))
    titles = [panel["title"] for panel in panels()]
    assert len(titles) == len(set(titles)) > 20
    for panel in panels():
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["fieldConfig"]["defaults"]["unit"]
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"]
            unknown = set(re.findall(r"\$(\w+)", target["expr"])) - {"source", "__rate_interval"}
            assert not unknown
    rows = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]
    assert rows == ["Is all well?", "Waits and lag", "Acts", "Tracker calls and limits", "Intake", "Processes"]


def test_no_panel_lies_on_another() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


# ---- By Prometheus' own tool


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian: apt install prometheus)")
    return found


def accepted(*command: str, given: str | None = None) -> None:
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.deploy
def test_promtool_accepts_rules_and_configuration(promtool: str) -> None:
    accepted(promtool, "check", "rules", *map(str, RULES))
    accepted(promtool, "check", "config", str(PROMETHEUS / "prometheus.example.yml"))


@pytest.mark.deploy
def test_each_alert_fires_when_it_should_and_not_before(promtool: str) -> None:
    accepted(promtool, "test", "rules", str(RULE_TESTS))


@pytest.mark.deploy
def test_promtool_finds_nothing_to_say_about_the_metrics(promtool: str) -> None:
    accepted(promtool, "check", "metrics", given=page())


@pytest.mark.deploy
def test_the_queries_of_the_dashboard_are_promql(promtool: str, tmp_path: Path) -> None:
    asked = [query.replace("$__rate_interval", "1m").replace("$source", ".*") for _, query in queries()]
    group = {"name": "dashboard", "rules": [{"record": f"r:{n}", "expr": query} for n, query in enumerate(asked)]}
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [group]}))
    accepted(promtool, "check", "rules", "--lint=none", str(path))
