"""The `jira` library, which the connector builds on, works against both deployments."""

import pytest
from jira import JIRA, JIRAError

from tests.practice.conftest import Client


def library(client: Client, **settings: object) -> JIRA:
    return JIRA(server=client.server.url, basic_auth=client.world.connector_auth, max_retries=0, timeout=5, **settings)  # type: ignore[arg-type]  # any of its options


def test_the_library_reads_writes_and_searches(either: Client) -> None:
    jira = library(either, get_server_info=True)
    try:
        issue = jira.issue("CASE-1")
        assert (issue.key, str(issue.fields.status)) == ("CASE-1", "New")
        issue.update(fields={"duedate": "2026-05-04"}, notify=True)
        jira.add_comment("CASE-1", "Hello", is_internal=False)
        assert [each.body for each in jira.comments("CASE-1")] == ["Hello"]
        assert [each.key for each in jira.search_issues("project = CASE", fields="summary")] == ["CASE-1"]
        assert jira.find_transitionid_by_name("CASE-1", "Move to Done")
        assert jira.myself()["displayName"] == "Inquiry connector"
        with pytest.raises(JIRAError) as refused:
            jira.issue("CASE-9")
        assert refused.value.status_code == 404
    finally:
        jira.close()  # type: ignore[no-untyped-call]  # the library's own, unannotated
    assert either.server.requests.unimplemented == []


def test_the_library_starts_without_a_call_if_it_may(data_center: Client) -> None:
    jira = library(data_center, get_server_info=False)
    try:
        assert len(data_center.server.requests) == 0
        assert jira.issue("CASE-1").fields.summary == "First"
    finally:
        jira.close()  # type: ignore[no-untyped-call]  # the library's own, unannotated


def test_its_transition_sends_a_number_where_jira_wants_a_string(cloud: Client) -> None:
    """Guards the strictness that keeps our adapter from using it."""
    jira = library(cloud, get_server_info=True)
    try:
        with pytest.raises(JIRAError) as refused:
            jira.transition_issue("CASE-1", cloud.world.transitions[-1].id)
        assert refused.value.status_code == 400
    finally:
        jira.close()  # type: ignore[no-untyped-call]  # the library's own, unannotated
