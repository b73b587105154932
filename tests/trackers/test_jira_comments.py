"""Comments stay internal on a service desk, and an alarm is raised where they do not."""

from collections.abc import Callable
from typing import Any

import pytest

from connector.trackers.jira import INTERNAL, JiraTracker
from connector.trackers.port import AccessRefused, CommentWentPublic, RateLimited, Ticket, TrackerError, Unavailable
from tests.trackers.sites import PracticeSite

Ready = tuple[PracticeSite, JiraTracker, Ticket]


@pytest.fixture(params=["cloud", "data-center"])
def desk(request: pytest.FixtureRequest, practice: Callable[..., PracticeSite]) -> Ready:
    return ready(practice(request.param, project_type="service_desk"))


def ready(site: PracticeSite, **more: Any) -> Ready:
    tracker = site.tracker(**more)
    ticket = tracker.fetch(site.create("One"), with_history=False)
    assert ticket is not None
    site.calls()
    return site, tracker, ticket


def test_a_comment_is_internal_on_a_service_desk(desk: Ready) -> None:
    site, tracker, ticket = desk
    tracker.post_comment(ticket, "For the office")
    (comment,) = site.issue(ticket.id).comments
    assert not comment.public
    assert comment.properties == {INTERNAL: {"internal": True}}


def test_it_is_public_where_the_source_says_so(practice: Callable[..., PracticeSite]) -> None:
    site, tracker, ticket = ready(practice("cloud", project_type="service_desk"), internal_comments=False)
    tracker.post_comment(ticket, "For everybody")
    assert site.issue(ticket.id).comments[0].public


@pytest.mark.parametrize("project_type", ["business", "software"])
@pytest.mark.parametrize("deployment", ["cloud", "data-center"])
def test_other_projects_know_no_internal_comments(
    practice: Callable[..., PracticeSite], deployment: str, project_type: str
) -> None:
    site, tracker, ticket = ready(practice(deployment, project_type=project_type))
    tracker.post_comment(ticket, "For the office")
    assert site.issue(ticket.id).comments[0].properties == {}
    assert len(site.calls()) == 1


def test_an_account_that_is_no_agent_raises_the_alarm(desk: Ready) -> None:
    site, tracker, ticket = desk
    site.world.connector.denied.add("SERVICEDESK_AGENT")
    with pytest.raises(CommentWentPublic, match="agent role") as alarm:
        tracker.post_comment(ticket, "For the office")
    assert alarm.value.removed
    assert site.bodies(ticket.id) == []


def test_the_alarm_tells_when_the_comment_still_stands(desk: Ready) -> None:
    site, tracker, ticket = desk
    site.world.connector.denied.add("SERVICEDESK_AGENT")
    site.server.faults.add("DELETE", status=403, body={"errorMessages": ["no"], "errors": {}})
    with pytest.raises(CommentWentPublic, match="by hand") as alarm:
        tracker.post_comment(ticket, "For the office")
    assert not alarm.value.removed
    assert len(site.bodies(ticket.id)) == 1


def test_a_comment_that_somebody_else_has_removed_is_removed(desk: Ready) -> None:
    site, tracker, ticket = desk
    site.world.connector.denied.add("SERVICEDESK_AGENT")
    gone = {"errorMessages": ["Can not find a comment."], "errors": {}}
    site.server.faults.add("DELETE", status=404, body=gone)
    with pytest.raises(CommentWentPublic) as alarm:
        tracker.post_comment(ticket, "For the office")
    assert alarm.value.removed


@pytest.mark.parametrize("fault", [{"drop": "before"}, {"status": 502}])
def test_a_comment_that_cannot_be_looked_at_is_taken_back(
    practice: Callable[..., PracticeSite], fault: dict[str, Any]
) -> None:
    """In doubt all the same: the next try must not follow at once upon the webhooks of our own comment."""
    site, tracker, ticket = ready(practice("data-center", project_type="service_desk"))
    site.server.faults.add("GET", "/properties/", **fault)
    with pytest.raises(Unavailable, match="taken back") as failure:
        tracker.post_comment(ticket, "For the office")
    assert failure.value.outcome_unknown
    assert site.bodies(ticket.id) == []


@pytest.mark.parametrize(("status", "kind"), [(429, RateLimited), (401, AccessRefused)])
def test_a_pause_asked_for_while_looking_at_a_comment_is_kept(
    practice: Callable[..., PracticeSite], status: int, kind: type[TrackerError]
) -> None:
    site, tracker, ticket = ready(practice("data-center", project_type="service_desk"))
    site.server.faults.add("GET", "/properties/", status=status)
    with pytest.raises(kind):
        tracker.post_comment(ticket, "For the office")
    assert site.bodies(ticket.id) == []


@pytest.mark.parametrize("deployment", ["cloud", "data-center"])
def test_a_comment_found_after_a_doubt_is_looked_at_again(
    practice: Callable[..., PracticeSite], deployment: str
) -> None:
    """Guards against a public comment that nobody was told of, because its looking-at had failed, too."""
    site, tracker, ticket = ready(practice(deployment, project_type="service_desk"))
    said = "For the office\n\nInquiry connector, Step 1, ref 7c3e19a2"
    tracker.post_comment(ticket, said)
    tracker.recheck(ticket, {"7c3e19a2"})
    site.world.connector.denied.add("SERVICEDESK_AGENT")
    site.server.faults.add("POST", "/comment", drop="after")
    with pytest.raises(Unavailable):
        tracker.post_comment(ticket, said.replace("7c3e19a2", "5d01b7f4"))
    tracker.recheck(ticket, {"7c3e19a2"})
    with pytest.raises(CommentWentPublic) as alarm:
        tracker.recheck(ticket, {"5d01b7f4"})
    assert alarm.value.removed
    assert len(site.bodies(ticket.id)) == 1


def test_a_ticket_is_found_by_its_key(practice: Callable[..., PracticeSite]) -> None:
    _site, tracker, ticket = ready(practice("cloud", project_type="service_desk"))
    assert tracker.find(ticket.key) == ticket.id
    assert tracker.find("CASE-99") is None
    assert tracker.find("../../myself") is None


def test_a_comment_that_can_neither_be_looked_at_nor_taken_back_is_in_doubt(
    practice: Callable[..., PracticeSite],
) -> None:
    site, tracker, ticket = ready(practice("data-center", project_type="service_desk"))
    site.server.faults.add("GET", "/properties/", drop="before")
    site.server.faults.add("DELETE", drop="before")
    with pytest.raises(Unavailable) as failure:
        tracker.post_comment(ticket, "For the office")
    assert failure.value.outcome_unknown


def test_a_comment_that_jira_will_not_let_us_look_at_counts_as_public(practice: Callable[..., PracticeSite]) -> None:
    site, tracker, ticket = ready(practice("data-center", project_type="service_desk"))
    site.server.faults.add("GET", "/properties/", status=403, body={"errorMessages": ["no"], "errors": {}})
    with pytest.raises(CommentWentPublic):
        tracker.post_comment(ticket, "For the office")
    assert site.bodies(ticket.id) == []


def test_an_answer_without_an_id_leaves_the_comment_in_doubt(desk: Ready) -> None:
    site, tracker, ticket = desk
    site.server.faults.add("POST", "comment", status=201, body={})
    with pytest.raises(Unavailable) as failure:
        tracker.post_comment(ticket, "For the office")
    assert failure.value.outcome_unknown


def test_a_ticket_known_only_by_its_id_is_asked_for_its_project(desk: Ready) -> None:
    site, tracker, ticket = desk
    bare = Ticket(id=ticket.id, key=ticket.key, status="New", closed=False, fields={})
    tracker.post_comment(bare, "For the office")
    assert not site.issue(ticket.id).comments[0].public


def test_a_rate_limit_on_posting_posts_nothing(desk: Ready) -> None:
    site, tracker, ticket = desk
    site.server.faults.rate_limited("POST")
    with pytest.raises(RateLimited):
        tracker.post_comment(ticket, "For the office")
    assert site.bodies(ticket.id) == []
