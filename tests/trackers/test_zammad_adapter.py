"""What the adapter does that is Zammad's own, on the stand-in and, if there is one, on a live Zammad.

What every tracker does: tests/contract.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest

from connector.inquiry.wording import Letter
from connector.practice.clock import PracticeClock
from connector.trackers.port import Edit, NoTransition, Ticket
from tests.trackers.zammad_sites import ZammadSite, live_site, standin_site
from tests.zammad_standin import ZammadStandin

START = datetime(2026, 4, 1, 14, 0, tzinfo=UTC)  # a Wednesday, 10:00 a.m. in New York
COMMENT = "<p><strong>E-mail the centre now</strong></p>\n<p>Inquiry connector, Step 2, ref 5d01b7f4</p>"
LETTER = Letter(
    "csc-ncsc-followup@dhs.gov", "WAC2590123456, Form I-130: follow-up", "Dear <officer>,\n\nplease advise.\n"
)


@pytest.fixture(params=["stand-in 6", "stand-in 7", "live"])
def site(request: pytest.FixtureRequest) -> Iterator[ZammadSite]:
    if request.param == "live":
        live = live_site()
        if isinstance(live, str):
            pytest.skip(live)
        yield live
        live.close()
        return
    clock = PracticeClock(START)
    version = "7.1.1" if request.param.endswith("7") else "6.5.2"
    with ZammadStandin(clock, version=version) as zammad:
        kinds = {"receipt_number": "input", "filed_on": "date", "called_at": "datetime", "protected_case": "boolean"}
        zammad.world.provide(**kinds, due_on="date")
        made = standin_site(zammad, clock, other="Donations")
        yield made
        made.close()


def fetched(site: ZammadSite, ticket_id: str, *, with_history: bool = False) -> Ticket:
    ticket = site.tracker().fetch(ticket_id, with_history=with_history)
    assert ticket is not None
    return ticket


def test_state_due_date_moment_and_note_are_one_put(site: ZammadSite) -> None:
    ticket_id = site.create()
    called = datetime(2026, 4, 2, 1, 30, tzinfo=UTC)  # still the 1st in New York
    edit = Edit(
        status="open",
        due_on=date(2026, 5, 1),
        moments={"called_at": called, "filed_on": called},
        comment=COMMENT,
    )
    site.tracker().edit(fetched(site, ticket_id), edit)
    ticket = fetched(site, ticket_id)
    assert (ticket.status, ticket.due_on) == ("open", date(2026, 5, 1))
    assert ticket.fields["called_at"] == "2026-04-02T01:30:00.000Z"
    assert ticket.fields["filed_on"] == "2026-04-01"
    assert ticket.refs == {"5d01b7f4"}
    note = site.articles(ticket_id)[-1]
    assert (note["internal"], note["type"], note["content_type"]) == (True, "note", "text/html")
    assert note["preferences"]["inquiry_connector"] == {"refs": ["5d01b7f4"]}
    assert "<strong>E-mail the centre now</strong>" in note["body"]


def test_a_pending_state_gets_its_time_from_the_due_date(site: ZammadSite) -> None:
    ticket_id = site.create()
    with pytest.raises(NoTransition, match="due date"):
        site.tracker().edit(fetched(site, ticket_id), Edit(status="pending reminder"))
    site.tracker().edit(fetched(site, ticket_id), Edit(status="pending reminder", due_on=date(2027, 5, 1)))
    ticket = fetched(site, ticket_id)
    assert (ticket.status, ticket.due_on) == ("pending reminder", date(2027, 5, 1))
    assert site.ticket(ticket_id)["pending_time"] == "2027-05-01T04:00:00.000Z"
    site.tracker().edit(ticket, Edit(status="open"))
    assert site.ticket(ticket_id)["pending_time"] is None


def test_a_scope_may_ask_for_values_of_attributes(site: ZammadSite) -> None:
    ticket_id = site.create(receipt_number="one")
    scope = f'group = "{site.group}" AND receipt_number = "one"'
    assert site.tracker(scope=scope).fetch(ticket_id, with_history=False) is not None
    site.edit(ticket_id, receipt_number="two")
    assert site.tracker(scope=scope).fetch(ticket_id, with_history=False) is None
    not_one = f'group in ("{site.group}") AND receipt_number not in ("one", "three")'
    assert site.tracker(scope=not_one).fetch(ticket_id, with_history=False) is not None


def test_the_letter_waits_as_a_draft(site: ZammadSite) -> None:
    ticket_id = site.create()
    site.tracker().edit(fetched(site, ticket_id), Edit(comment=COMMENT, letter=LETTER))
    draft = site.draft(ticket_id)
    assert (draft["to"], draft["subject"], draft["type"]) == (LETTER.to, LETTER.subject, "email")
    assert draft["body"] == "Dear &lt;officer&gt;,<br>\n<br>\nplease advise."
    assert draft["internal"] is False


def test_a_persons_draft_is_never_overwritten(site: ZammadSite) -> None:
    ticket_id = site.create()
    site.put_draft(ticket_id, to="somebody@office.example", subject="Hello", body="Half a letter", type="email")
    site.tracker().edit(fetched(site, ticket_id), Edit(comment=COMMENT, letter=LETTER))
    assert site.draft(ticket_id)["body"] == "Half a letter"
    assert fetched(site, ticket_id).refs == {"5d01b7f4"}


def test_our_letter_is_not_written_over_what_staff_made_of_it(site: ZammadSite) -> None:
    ticket_id = site.create()
    mine = {"to": LETTER.to, "subject": LETTER.subject, "body": "A better wording", "type": "email"}
    site.put_draft(ticket_id, **mine)
    site.tracker().edit(fetched(site, ticket_id), Edit(letter=LETTER))
    assert site.draft(ticket_id)["body"] == "A better wording"


def test_our_own_untouched_draft_makes_room_for_the_next_letter(site: ZammadSite) -> None:
    ticket_id = site.create()
    site.tracker().edit(fetched(site, ticket_id), Edit(letter=LETTER))
    later = Letter("SCOPSSCATA@dhs.gov", "WAC2590123456, Form I-130: no answer", "Please advise.")
    site.tracker().edit(fetched(site, ticket_id), Edit(letter=later))
    assert site.draft(ticket_id)["to"] == later.to
