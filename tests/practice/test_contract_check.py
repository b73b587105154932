"""The contract check finds what it is for."""

import json
from pathlib import Path

import pytest

from tests.contract_check import CONTRACT, PATCHES, ContractCheck
from tests.practice.conftest import Client

needs_contract = pytest.mark.skipif(not CONTRACT.is_file(), reason=f"{CONTRACT.name} is not beside this checkout")
SITE = "http://127.0.0.1:1/rest/api/2"
JSON = {"Content-Type": "application/json"}


def check(method: str, path: str, sent: object, status: int, answered: object) -> list[str]:
    body = b"" if sent is None else json.dumps(sent).encode()
    return ContractCheck().check(method, SITE + path, JSON, body, status, JSON, json.dumps(answered).encode())


@needs_contract
def test_a_good_exchange_passes() -> None:
    assert check("GET", "/issue/CASE-1/transitions", None, 200, {"transitions": [{"id": "11"}]}) == []


@needs_contract
@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "answered", "names"),
    [
        ("GET", "/issue/CASE-1", None, 200, {"id": 10001}, "id"),
        ("GET", "/issue/CASE-1", None, 200, {"id": "1", "colour": "red"}, "colour"),
        ("GET", "/issue/CASE-1", None, 418, {}, "418"),
        ("GET", "/field", None, 200, {"id": "summary"}, "array"),
        ("POST", "/jql/match", {"jqls": ["project = CASE"]}, 200, {"matches": []}, "issueIds"),
        ("GET", "/search/jql?maxResults=many", None, 200, {"issues": []}, "maxResults"),
        ("POST", "/issue/CASE-1/transitions", {"transition": {"id": 11}}, 204, None, "string"),
    ],
)
def test_each_kind_of_breach_is_named(
    method: str, path: str, sent: object, status: int, answered: object, names: str
) -> None:
    problems = check(method, path, sent, status, answered)
    assert problems
    assert names in " ".join(problems)


@needs_contract
def test_a_refused_request_may_be_wrong_its_answer_may_not() -> None:
    refusal = {"errorMessages": ["no"], "errors": {}}
    assert check("POST", "/jql/match", {}, 400, refusal) == []
    assert check("POST", "/issue", {"fields": {}}, 400, {"errorMessages": "no"})


@needs_contract
def test_calls_the_contract_lacks_are_listed_and_other_paths_ignored() -> None:
    checked = ContractCheck()
    assert checked.check("GET", f"{SITE}/dashboard", {}, None, 200, JSON, b"{}") == []
    assert checked.check("GET", "http://127.0.0.1:1/_edge/tenant_info", {}, None, 200, JSON, b"{}") == []
    assert checked.uncovered == ["GET /rest/api/2/dashboard"]
    with pytest.raises(AssertionError, match="only 0"):
        checked.assert_clean()


@needs_contract
def test_breaches_are_kept_until_asked_for() -> None:
    checked = ContractCheck()
    checked.check("GET", f"{SITE}/issue/A-1", {}, None, 200, JSON, b'{"id": 1}')
    with pytest.raises(AssertionError, match="GET /rest/api/2/issue/A-1 -> 200"):
        checked.assert_clean()


@needs_contract
def test_every_patch_still_changes_the_document() -> None:
    """A patch the document no longer needs must go."""
    document = json.loads(CONTRACT.read_text())
    for reason, patch in PATCHES:
        before = json.dumps(document)
        patch(document)
        assert json.dumps(document) != before, reason


def test_without_the_document_nothing_is_checked_and_a_line_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checked = ContractCheck(tmp_path / "absent.json")
    assert "contract not checked" in capsys.readouterr().out
    assert checked.check("GET", f"{SITE}/issue/A-1", {}, None, 200, JSON, b'{"id": 1}') == []
    checked.assert_clean()


@needs_contract
def test_the_practice_trackers_exchanges_arrive_here(cloud: Client) -> None:
    checked = ContractCheck()
    cloud.server.on_exchange(checked.exchange)
    cloud.get("issue/CASE-1", expand="changelog,names")
    cloud.post("issue/CASE-1/comment", {"body": "x"})
    checked.assert_clean(least=2)
    assert checked.uncovered == []
