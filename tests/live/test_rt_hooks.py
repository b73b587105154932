"""The webhook of a real Request Tracker: what it sends, what is lost, and what finds it again."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from connector.application import utc_now
from connector.attention.clock import Metronome
from connector.trackers import request_tracker
from connector.trackers.port import Ticket, Unavailable
from connector.trackers.request_tracker import RequestTracker
from connector.trackers.request_tracker_api import RequestTrackerApi
from connector.trackers.request_tracker_webhooks import EVENTS, read_news, verify
from tests.live.request_tracker import CALL, NAME, Office, Receiver, Rt, step_1

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]
CALL_SHEET = "Ready to call the NCSC: 1-800-375-5283"


def test_a_webhook_is_signed_with_the_secret_and_tells_the_ticket(rt: Rt, receiver: Receiver) -> None:
    ticket_id = rt.create()
    rt.comment(ticket_id, "Some words", Status="Call NCSC", CustomFields=step_1())
    rt.put(ticket_id, Subject="Another")
    assert len(receiver.hooks) == 3  # one for all that one request changed
    for hook in receiver.hooks:
        assert verify(hook.headers, hook.body, ["old", rt.hook_secret], path_secret=None)
        assert not verify(hook.headers, hook.body, ["old"], path_secret=None)
        assert not verify(hook.headers, hook.body + b" ", [rt.hook_secret], path_secret=None)
    news = [read_news(hook.body) for hook in receiver.hooks]
    assert {each.ticket_id for each in news} == {ticket_id}
    assert [each.event for each in news] == ["ticket.created", "ticket.commented", "ticket.updated"]
    assert {each.event for each in news} <= EVENTS


def test_a_webhook_comes_after_the_commit(rt: Rt, receiver: Receiver) -> None:
    """Who reads the ticket back when told sees what changed, and RT answers at once."""
    seen: list[str] = []
    receiver.on_hook = lambda hook: seen.append(rt.status(str(hook.ticket_id)))
    ticket_id = rt.create()
    rt.comment(ticket_id, "Some words", Status="Call NCSC")
    assert seen == ["New", "Call NCSC"]


def test_a_webhook_that_was_not_taken_comes_again_as_the_same_delivery(rt: Rt, receiver: Receiver) -> None:
    receiver.answers = [503, 503, 204]
    rt.create()
    assert len(receiver.hooks) == 3
    assert len({hook.headers["X-RT-Delivery"] for hook in receiver.hooks}) == 1
    for hook in receiver.hooks:
        assert verify(hook.headers, hook.body, [rt.hook_secret], path_secret=None)
    receiver.answers = [401]
    rt.create()
    assert len(receiver.hooks) == 4  # a refusal is final


def test_webhooks_lost_after_three_tries_are_found_by_the_poll(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    rt = office.rt
    ticket_id = rt.create()
    office.poll()
    office.attend()
    office.deafen()
    rt.fill(ticket_id, **step_1())
    unheard = rt.create(**step_1(2))
    office.listen()
    assert office.attend() == 0
    office.poll()
    office.attend()
    assert office.said(ticket_id)[-1] == CALL_SHEET
    assert office.said(unheard) == [CALL_SHEET]
    monkeypatch.setattr(request_tracker, "RIPE", timedelta(0))
    office.poll()
    office.attend()
    office.poll()
    assert office.attend() == 0  # what was seen is recognised


def test_hooks_from_inside_many_workers_are_answered_first_and_looked_at_later(rt: Rt, office: Office) -> None:
    """With the metronome's own threads: each hook is taken while RT's worker waits, each ticket looked at after."""
    metronome = Metronome(
        {NAME: office.source}, office.store, office.attendant(), utc_now, workers=4, poll_seconds=3600
    )
    office.deafen()
    office.listen(on_notice=lambda _: metronome.wake())
    metronome.start()
    try:
        with ThreadPoolExecutor(6) as staff:
            ids = list(staff.map(lambda number: one_of(rt).create(**step_1(number)), range(12)))
        until(lambda: all(office.said(each) == [CALL_SHEET] and rt.status(each) == "Call NCSC" for each in ids))
    finally:
        metronome.stop()
    office.assert_nothing_doubled(*ids)


def test_a_ticket_that_a_person_closes_while_it_is_looked_at_is_left_alone(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    rt = office.rt
    fetch = RequestTracker.fetch

    def overtaken(tracker: RequestTracker, ticket_id: str, *, with_history: bool) -> Ticket | None:
        ticket = fetch(tracker, ticket_id, with_history=with_history)
        rt.put(ticket_id, Status="Closed")
        return ticket

    ticket_id = rt.create(**step_1())
    with monkeypatch.context() as patch:
        patch.setattr(RequestTracker, "fetch", overtaken)
        [claim] = office.claims()
        office.attendant().attend(office.source, claim)
    office.attend()
    assert (office.said(ticket_id), office.own_moves(ticket_id)) == ([], [])
    assert rt.status(ticket_id) == "Closed"
    assert office.state(ticket_id).stage == "answered"


def test_a_person_who_moves_the_ticket_elsewhere_wins(office: Office) -> None:
    rt = office.rt
    ticket_id = rt.create(**step_1())
    office.attend()
    assert rt.status(ticket_id) == "Call NCSC"
    rt.put(ticket_id, Status="Headquarters Overdue")
    office.attend()
    assert rt.status(ticket_id) == "Headquarters Overdue"
    assert office.own_moves(ticket_id) == ["call ncsc"]


def test_a_scrip_that_moves_the_ticket_wins_too_and_a_closed_one_is_left_alone(office: Office) -> None:
    """RT's own scrip opens a ticket on which somebody replies."""
    rt = office.rt
    ticket_id = rt.create(**step_1())
    office.attend()
    rt.put(ticket_id, Status="Closed")
    office.attend()
    assert office.state(ticket_id).stage == "answered"
    comments = len(office.said(ticket_id))
    sent = {"Content": "Still nothing", "ContentType": "text/plain"}
    assert rt.call("POST", f"ticket/{ticket_id}/correspond", json=sent).status_code == 201
    assert rt.status(ticket_id) == "Collect Details"
    office.attend()
    assert office.state(ticket_id).stage == "call_ncsc"
    assert rt.status(ticket_id) == "Collect Details"
    assert len(office.said(ticket_id)) == comments
    office.assert_nothing_doubled(ticket_id)


def test_a_status_that_staff_choose_records_the_contact_and_is_taken_back_by_emptying_the_field(office: Office) -> None:
    rt = office.rt
    called_at = datetime.now(UTC) - timedelta(days=50)
    ticket_id = rt.create(**step_1(), **CALL, NCSC_Called_At=called_at)
    office.attend()
    rt.put(ticket_id, Status="E-mailed Service Center")
    office.attend()
    assert len(rt.values(ticket_id, "Service Center Emailed At")) == 1
    assert office.state(ticket_id).stage == "awaiting_service_center"
    rt.fill(ticket_id, Service_Center_Emailed_At=[])
    office.attend()
    assert office.state(ticket_id).stage == "email_service_center"
    office.assert_nothing_doubled(ticket_id)


def test_a_comment_whose_answer_was_lost_is_found_by_its_ref_and_not_posted_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = RequestTrackerApi.change
    posted: list[str] = []

    def lost(api: RequestTrackerApi, method: str, path: str, body: dict[str, Any], **more: Any) -> str:
        said = change(api, method, path, body, **more)
        if method == "POST":
            posted.append(path)
            raise Unavailable("The connection broke off.", outcome_unknown=True)
        return said

    ticket_id = office.rt.create(**step_1())
    with monkeypatch.context() as patch:
        patch.setattr(RequestTrackerApi, "change", lost)
        office.attend()
    office.store.attention.retry(NAME, ticket_id, utc_now())
    office.attend()
    assert len(posted) == 1
    assert office.said(ticket_id) == [CALL_SHEET]
    assert office.state(ticket_id).stage == "call_ncsc"


def test_a_lost_database_posts_nothing_again(office: Office) -> None:
    rt = office.rt
    ids = [rt.create(**step_1()), rt.create(Receipt_Number="WAC15123")]
    office.attend()
    rt.comment(ids[0], "What staff say themselves")
    said = [office.said(each) for each in ids]
    statuses = [rt.status(each) for each in ids]
    office.deafen()
    office.lose_database()
    office.poll()
    office.attend()
    assert [office.said(each) for each in ids] == said
    assert [rt.status(each) for each in ids] == statuses
    assert office.state(ids[0]).stage == "call_ncsc"
    office.assert_nothing_doubled(*ids)


def one_of(rt: Rt) -> Rt:
    """The same RT for another member of staff, who works at the same time."""
    return replace(rt, session=requests.Session())


def until(done: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.1)
