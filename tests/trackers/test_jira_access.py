"""Who the connector is to Jira: tokens, their replacement, Cloud's gateway for scoped tokens, refusals."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connector.practice.sample import CONNECTOR_TOKEN, SCOPED_TOKEN
from connector.trackers.port import AccessRefused, TicketGone
from tests.trackers.sites import PracticeSite


def look(site: PracticeSite, **more: Any) -> None:
    ticket_id = site.create("One")
    assert site.tracker(**more).fetch(ticket_id, with_history=False) is not None


def test_data_center_takes_a_name_and_password_too(data_center: PracticeSite) -> None:
    name, secret = data_center.world.connector_auth
    look(data_center, user=name, token=lambda: secret)


def test_a_wrong_token_is_told_with_what_to_do(either: PracticeSite) -> None:
    with pytest.raises(AccessRefused, match="expired or been revoked"):
        look(either, token=lambda: "wrong")


def test_an_empty_401_is_told_alike(either: PracticeSite) -> None:
    either.world.empty_401 = True
    with pytest.raises(AccessRefused, match="expired or been revoked"):
        look(either, token=lambda: "wrong")


@pytest.mark.parametrize("token", ["", "  \n"])
def test_an_empty_token_is_never_sent(either: PracticeSite, token: str) -> None:
    with pytest.raises(AccessRefused, match="empty"):
        look(either, token=lambda: token)
    assert either.calls() == []


@pytest.mark.parametrize("token", ["tok\nen", "t\u043eken", "\ud800"])
def test_a_token_that_cannot_be_sent(either: PracticeSite, token: str) -> None:
    with pytest.raises(AccessRefused, match=r"Copy the token again|expired") as refusal:
        look(either, token=lambda: token)
    assert token not in refusal.value.message


def test_the_token_is_taken_without_the_line_break_of_its_file(either: PracticeSite) -> None:
    look(either, token=lambda: f"{CONNECTOR_TOKEN}\n")


def test_a_replaced_token_is_used_at_once(either: PracticeSite) -> None:
    ticket_id, current = either.create("One"), [CONNECTOR_TOKEN]
    tracker = either.tracker(token=lambda: current[0])
    assert tracker.fetch(ticket_id, with_history=False) is not None
    either.world.accounts[0].secret = current[0] = "replaced"
    assert tracker.fetch(ticket_id, with_history=False) is not None


def test_a_token_replaced_while_the_call_was_made_is_tried_once(data_center: PracticeSite) -> None:
    ticket_id = data_center.create("One")
    tokens: Iterator[str] = iter(["old", CONNECTOR_TOKEN])
    tracker = data_center.tracker(token=lambda: next(tokens, CONNECTOR_TOKEN))
    assert tracker.fetch(ticket_id, with_history=False) is not None
    assert [path for _, path in data_center.calls()].count("serverInfo") == 2


def test_a_netrc_never_replaces_the_token(
    either: PracticeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\ndefault login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    look(either)


# Scoped tokens


def test_a_scoped_token_finds_its_gateway(cloud: PracticeSite) -> None:
    ticket_id = cloud.create("One")
    tracker = cloud.tracker(token=lambda: SCOPED_TOKEN, gateway=cloud.server.url)
    assert tracker.fetch(ticket_id, with_history=False) is not None
    before = [each.path for each in cloud.server.requests if not each.path.startswith("/ex/jira/")]
    assert before == ["/rest/api/2/serverInfo", "/_edge/tenant_info"]
    ticket = tracker.fetch(ticket_id, with_history=True)
    assert ticket is not None
    tracker.post_comment(ticket, "Through the gateway")
    assert cloud.bodies(ticket_id) == ["Through the gateway"]
    assert [each.path for each in cloud.server.requests if not each.path.startswith("/ex/jira/")] == before


def test_the_gateway_may_be_the_mappings_address(cloud: PracticeSite) -> None:
    look(cloud, url=f"{cloud.server.gateway_url}/", token=lambda: SCOPED_TOKEN)


def test_a_token_that_neither_address_takes_is_refused_after_one_look_at_each(cloud: PracticeSite) -> None:
    with pytest.raises(AccessRefused):
        look(cloud, token=lambda: "wrong", gateway=cloud.server.url)
    paths = [each.path for each in cloud.server.requests]
    assert len(paths) == 3
    assert paths[1] == "/_edge/tenant_info"


def test_when_the_gateway_closes_the_site_is_tried_again(cloud: PracticeSite) -> None:
    ticket_id, current = cloud.create("One"), [SCOPED_TOKEN]
    tracker = cloud.tracker(token=lambda: current[0], gateway=cloud.server.url)
    assert tracker.fetch(ticket_id, with_history=False) is not None
    current[0] = CONNECTOR_TOKEN
    with pytest.raises(AccessRefused):
        tracker.fetch(ticket_id, with_history=False)
    assert tracker.fetch(ticket_id, with_history=False) is not None


def test_a_gateway_that_cannot_be_reached_leaves_the_sites_own_answer(cloud: PracticeSite) -> None:
    with pytest.raises(AccessRefused):
        look(cloud, token=lambda: SCOPED_TOKEN, gateway="http://127.0.0.1:9")


def test_no_gateway_is_looked_for_but_for_atlassians_own_sites(cloud: PracticeSite) -> None:
    with pytest.raises(AccessRefused):
        look(cloud, token=lambda: SCOPED_TOKEN)
    assert cloud.calls() == [("GET", "serverInfo")]


@pytest.mark.parametrize("answer", ["../../evil", "a/b", "", None, 7, "x" * 65])
def test_a_site_cannot_send_the_token_elsewhere(cloud: PracticeSite, answer: object) -> None:
    cloud.server.faults.add(path="tenant_info", status=200, body={"cloudId": answer})
    with pytest.raises(AccessRefused):
        look(cloud, token=lambda: "wrong", gateway=cloud.server.url)
    assert len(cloud.server.requests) == 2


def test_the_question_for_the_gateway_carries_no_token(
    cloud: PracticeSite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: dict[str, Any] = {}
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    app = cloud.server.app

    @app.before_request
    def note() -> None:
        from flask import request  # noqa: PLC0415  of the request under way

        seen[request.path] = request.headers.get("Authorization")

    look(cloud, token=lambda: SCOPED_TOKEN, gateway=cloud.server.url)
    assert seen["/_edge/tenant_info"] is None
    assert seen["/rest/api/2/field"]


def test_data_center_is_never_asked_for_a_gateway(data_center: PracticeSite) -> None:
    ticket_id = data_center.create("One")
    name, secret = data_center.world.connector_auth
    current = [secret]
    tracker = data_center.tracker(user=name, token=lambda: current[0])
    assert tracker.fetch(ticket_id, with_history=False) is not None
    current[0] = "wrong"
    with pytest.raises(AccessRefused):
        tracker.fetch(ticket_id, with_history=False)
    assert not data_center.server.requests.matching(path="tenant_info")


# Refusals that do not look like refusals


def test_a_captcha_is_told(either: PracticeSite) -> None:
    headers = {"X-Seraph-LoginReason": "AUTHENTICATION_DENIED", "X-Authentication-Denied-Reason": "CAPTCHA_CHALLENGE"}
    either.server.faults.add(status=403, headers=headers, body="<html></html>")
    with pytest.raises(AccessRefused, match="CAPTCHA"):
        look(either)


@pytest.mark.parametrize("headers", [{"X-Seraph-LoginReason": "AUTHENTICATED_FAILED"}, {"X-AUSERNAME": "anonymous"}])
def test_a_404_to_an_anonymous_visitor_is_no_lost_ticket(either: PracticeSite, headers: dict[str, str]) -> None:
    body = {"errorMessages": ["Issue does not exist or you do not have permission to see it."], "errors": {}}
    tracker = either.tracker()
    ticket = tracker.fetch(either.create("One"), with_history=False)
    assert ticket is not None
    either.server.faults.add("POST", "comment", status=404, headers=headers, body=body)
    with pytest.raises(AccessRefused):
        tracker.post_comment(ticket, "One")
    either.server.faults.add("POST", "comment", status=404, body=body)
    with pytest.raises(TicketGone):
        tracker.post_comment(ticket, "One")


def test_a_poll_with_an_expired_token_does_not_find_nothing(either: PracticeSite) -> None:
    either.create("One")
    tracker = either.tracker()
    assert len(list(tracker.changed_since(None))) == 1
    either.world.accounts[0].secret = "replaced"
    with pytest.raises(AccessRefused):
        list(tracker.changed_since(None))
