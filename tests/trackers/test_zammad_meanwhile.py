"""A whole look at a ticket of Zammad that a person moves in the middle of it: they win, and nothing is said amiss."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from connector.application import make_source
from connector.attention.attend import Attendant
from connector.attention.clock import LEASE
from connector.mapping.loading import load_mapping
from connector.metrics import Metrics
from connector.practice.clock import PracticeClock
from connector.store import Store, TicketState, open_database
from tests.trackers.test_zammad_adapter import START
from tests.trackers.zammad_sites import standin_site
from tests.zammad_standin import ZammadStandin
from tests.zammad_standin.server import Fault
from tests.zammad_standin.world import AGENT_TOKEN

MAPPING = """
tracker: {{kind: zammad, url: "{url}", token: {{file: token}}}}
scope: group = "USCIS inquiries"
office: {{time_zone: America/New_York, act_at: "09:00"}}
procedure: service-center-inquiry
comments: internal
fields:
  receipt_number: receipt_number
  alien_number: alien_number
  form_type: form_type
  filed_on: filed_on
  called_at: called_at
  service_center_emailed_at: center_emailed_at
  headquarters_emailed_at: headquarters_emailed_at
statuses: {{call_ncsc: Ready to call, email_service_center: E-mail the center}}
records: {{E-mailed the center: service_center_emailed_at}}
"""
DETAILS = {
    "receipt_number": "WAC2590123456",
    "alien_number": "A200555013",
    "form_type": "I-130",
    "filed_on": "2025-06-02",
}
CALLED = {"called_at": (START - timedelta(days=40)).isoformat()}  # the letter is due
STATES = ("Ready to call", "E-mail the center", "E-mailed the center")


class Office:
    """One source on the stand-in, its database, and looks that are made when they are asked for."""

    def __init__(self, folder: Path, empty: Path, zammad: ZammadStandin, clock: PracticeClock) -> None:
        self.zammad, self.clock = zammad, clock
        zammad.world.provide(**dict.fromkeys(("receipt_number", "alien_number", "form_type"), "input"))
        zammad.world.provide(filed_on="date", called_at="datetime", center_emailed_at="datetime")
        zammad.world.provide(headquarters_emailed_at="datetime", due_on="date")
        self.site = standin_site(zammad, clock)
        for name in STATES:
            self.site.call("POST", "ticket_states", {"name": name, "state_type_id": 2})
        (folder / "token").write_text(AGENT_TOKEN, encoding="utf-8")
        (folder / "cases.yaml").write_text(MAPPING.format(url=zammad.url), encoding="utf-8")
        self.source = make_source(load_mapping(folder / "cases.yaml"), clock)
        shutil.copy(empty, folder / "connector.sqlite3")
        self.store = Store(open_database(f"sqlite:///{folder / 'connector.sqlite3'}", exclusive=True))
        self._attendant = Attendant(self.store, Metrics(["cases"]), clock, lease=LEASE)

    def close(self) -> None:
        self.source.tracker.close()
        self.store.close()
        self.site.close()

    def look(self, ticket_id: str) -> TicketState:
        """As after a webhook."""
        self.store.attention.notice("cases", ticket_id, ticket_id, self.clock())
        [claim] = self.store.attention.claim(self.clock(), {"cases": 1}, LEASE)
        with capture_logs():
            self._attendant.attend(self.source, claim)
        state = self.store.tickets.get("cases", ticket_id)
        assert state is not None
        return state

    def moves_during(self, method: str, path: str, ticket_id: str, state: str, seconds: float = 2) -> None:
        """A person moves the ticket right before this call of ours is answered, so long after the one before."""

        def move() -> None:
            self.clock.advance(seconds=seconds)
            self.site.edit(ticket_id, state=state)

        self.zammad.before.append((method, path, move))

    def seen(self, ticket_id: str) -> tuple[str, int, bool]:
        """(state, comments, whether a letter waits)"""
        comments = len(self.site.articles(ticket_id)) - 1
        return self.site.ticket(ticket_id)["state"], comments, self.site.draft(ticket_id) is not None


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables, to be copied: to make one takes long."""
    path = tmp_path_factory.mktemp("empty") / "connector.sqlite3"
    open_database(f"sqlite:///{path}", exclusive=True).close()
    return path


@pytest.fixture
def office(tmp_path: Path, empty_database: Path) -> Iterator[Office]:
    clock = PracticeClock(START)
    with ZammadStandin(clock) as zammad:
        made = Office(tmp_path, empty_database, zammad, clock)
        yield made
        made.close()


def test_undisturbed_the_letter_is_left_and_told(office: Office) -> None:
    ticket_id = office.site.create(**DETAILS, **CALLED)
    office.look(ticket_id)
    assert office.seen(ticket_id) == ("E-mail the center", 1, True)


@pytest.mark.parametrize(
    ("facts", "method", "path"),
    [(DETAILS, "GET", "ticket_history"), (DETAILS | CALLED, "GET", "ticket_history")]
    + [(DETAILS | CALLED, method, "shared_draft") for method in ("GET", "PUT")],
)
def test_a_ticket_that_is_closed_in_the_middle_of_a_look_stays_closed_and_silent(
    office: Office, facts: dict[str, str], method: str, path: str
) -> None:
    ticket_id = office.site.create(**facts)
    office.moves_during(method, path, ticket_id, "closed")
    office.look(ticket_id)
    assert office.zammad.before == []
    assert office.seen(ticket_id) == ("closed", 0, False)
    assert office.look(ticket_id).stage == "answered"
    assert office.seen(ticket_id) == ("closed", 0, False)


@pytest.mark.parametrize("state", ["closed", "Ready to call"])
def test_a_move_that_was_seen_is_not_overruled_however_soon_it_came(office: Office, state: str) -> None:
    """Guards against this: refused together because of the move, the parts were sent alone without another look."""
    ticket_id = office.site.create(**DETAILS, **CALLED)
    office.moves_during("GET", "shared_draft", ticket_id, state, seconds=0)
    office.look(ticket_id)
    assert office.seen(ticket_id) == (state, 0, False)


def test_a_move_that_records_a_contact_is_not_answered_by_the_letter_that_it_makes_needless(office: Office) -> None:
    ticket_id = office.site.create(**DETAILS, **CALLED)
    office.moves_during("GET", "shared_draft", ticket_id, "E-mailed the center")
    office.look(ticket_id)
    assert office.seen(ticket_id) == ("E-mailed the center", 0, False)
    assert office.look(ticket_id).stage == "awaiting_service_center"
    assert office.seen(ticket_id) == ("E-mailed the center", 0, False)


def test_our_own_move_is_not_taken_for_somebodys_when_the_parts_are_done_one_by_one(office: Office) -> None:
    """Zammad refuses them together once. Between the move and the letter's comment the ticket is looked at again."""
    ticket_id = office.site.create(**DETAILS, **CALLED)
    office.zammad.faults.append(Fault("PUT", rf"/tickets/{ticket_id}$", 422, '{"error": "Not now"}'))
    state = office.look(ticket_id)
    assert office.zammad.faults == []
    assert (office.seen(ticket_id), state.error) == (("E-mail the center", 1, True), None)
    assert office.zammad.count("PUT", rf"tickets/{ticket_id}$") == 3


def test_a_move_to_where_the_ticket_goes_anyway_stands_for_our_own(office: Office) -> None:
    """The comment alone is refused once, in both ways that there are to send it; then the parts come one by one."""
    ticket_id = office.site.create(**DETAILS, **CALLED)
    office.moves_during("GET", "shared_draft", ticket_id, "E-mail the center")
    office.zammad.before.append(("PUT", "shared_draft", lambda: office.zammad.faults.extend(refusals)))
    refusals = [Fault(how, where, 422, "{}") for how, where in (("PUT", r"/tickets/\d+$"), ("POST", "ticket_articles"))]
    state = office.look(ticket_id)
    assert (office.zammad.faults, office.zammad.before) == ([], [])
    assert (office.seen(ticket_id), state.error) == (("E-mail the center", 1, True), None)


def test_a_move_elsewhere_is_seen_at_the_next_look(office: Office) -> None:
    ticket_id = office.site.create(**DETAILS, **CALLED)
    office.moves_during("GET", "shared_draft", ticket_id, "Ready to call")
    state = office.look(ticket_id)
    assert office.seen(ticket_id) == ("Ready to call", 0, False)
    assert "somebody has moved the ticket" in (state.error or "")
    assert office.look(ticket_id).error is None
    assert office.seen(ticket_id)[1:] == (1, True)
