"""The whole procedure on a real Request Tracker, by its webhook, with dates moved as staff would correct them."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.live.request_tracker import CALL, MARIAS_TIME, Office, step_1

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]


def ago(**span: float) -> datetime:
    return (datetime.now(UTC) - timedelta(**span)).replace(microsecond=0)


def nothing_more(office: Office, ticket_id: str) -> None:
    """A further look writes nothing."""
    before = office.rt.ticket(ticket_id)["LastUpdated"], len(office.rt.rows(ticket_id, "Comment"))
    office.attend()
    office.store.attention.wake("request-tracker", [ticket_id], datetime.now(UTC))
    assert office.attend() == 1
    assert (office.rt.ticket(ticket_id)["LastUpdated"], len(office.rt.rows(ticket_id, "Comment"))) == before


def test_the_whole_ladder(office: Office) -> None:
    rt = office.rt
    ticket_id = rt.create(Receipt_Number="WAC2590123456")
    office.attend()
    assert office.state(ticket_id).stage == "collect_details"
    assert office.said(ticket_id) == ["Before the call, please complete this ticket"]
    assert rt.status(ticket_id) == "Collect Details"
    nothing_more(office, ticket_id)

    rt.fill(ticket_id, **step_1())
    office.attend()
    assert office.said(ticket_id)[-1] == "Ready to call the NCSC: 1-800-375-5283"
    assert rt.status(ticket_id) == "Call NCSC"
    nothing_more(office, ticket_id)

    rt.fill(ticket_id, NCSC_Called_At=ago(days=2), **CALL)
    office.attend()
    assert office.state(ticket_id).stage == "awaiting_ncsc"
    assert rt.status(ticket_id) == "Awaiting NCSC"
    attend_at = office.state(ticket_id).attend_at
    assert attend_at is not None
    due = datetime.fromisoformat(rt.ticket(ticket_id)["Due"]).astimezone(MARIAS_TIME)
    assert due == attend_at.astimezone(MARIAS_TIME).replace(hour=17)
    nothing_more(office, ticket_id)

    called_at = ago(days=70)
    rt.fill(ticket_id, NCSC_Called_At=called_at)
    office.attend()
    assert office.said(ticket_id)[-1] == "E-mail the California Service Center now: csc-ncsc-followup@dhs.gov"
    assert rt.status(ticket_id) == "E-mail Service Center"
    nothing_more(office, ticket_id)

    rt.put(ticket_id, Status="E-mailed Service Center")  # records the moment, and the connector moves on
    office.attend()
    assert office.state(ticket_id).stage == "awaiting_service_center"
    assert rt.status(ticket_id) == "Awaiting Service Center"
    [emailed_at] = rt.values(ticket_id, "Service Center Emailed At")
    assert datetime.now(UTC) - datetime.fromisoformat(emailed_at) < timedelta(minutes=5)
    nothing_more(office, ticket_id)

    rt.fill(ticket_id, Service_Center_Emailed_At=ago(days=30))
    office.attend()
    assert office.said(ticket_id)[-1] == "E-mail Headquarters now: SCOPSSCATA@dhs.gov"
    assert rt.status(ticket_id) == "E-mail Headquarters"
    nothing_more(office, ticket_id)

    rt.put(ticket_id, Status="E-mailed Headquarters")
    office.attend()
    assert office.state(ticket_id).stage == "awaiting_headquarters"
    nothing_more(office, ticket_id)

    rt.fill(ticket_id, HQ_Emailed_At=ago(days=14))
    office.attend()
    assert office.state(ticket_id).stage == "headquarters_overdue"
    assert rt.status(ticket_id) == "Headquarters Overdue"
    assert len(office.said(ticket_id)) == 5
    nothing_more(office, ticket_id)
    assert office.own_moves(ticket_id) == [
        "collect details",
        "call ncsc",
        "awaiting ncsc",
        "e-mail service center",
        "awaiting service center",
        "e-mail headquarters",
        "awaiting headquarters",
        "headquarters overdue",
    ]

    rt.fill(ticket_id, Answered_At=ago(minutes=5))
    office.attend()
    assert office.state(ticket_id).stage == "answered"
    nothing_more(office, ticket_id)
    office.assert_nothing_doubled(ticket_id)
