"""Zammad end to end: the real `connector run` beside the stand-in, with webhooks, and a clock that is moved."""

import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.system.office import CALL, DETAILS, START, WEBHOOK_SECRET
from tests.system.process import wait_for
from tests.system.test_kills import Death, Killer, assert_nothing_lost_or_doubled
from tests.system.test_ladders import (
    CALIFORNIA,
    CALL_SHEET,
    DETAILS_WANTED,
    HEADQUARTERS,
    Walk,
    assert_walked,
    people_at_work,
)
from tests.system.test_lost_database import in_every_stage
from tests.system.zammad_office import ELSEWHERE, ZammadOffice, zammad_office
from tests.zammad_standin.world import AGENT_TOKEN

LATE = DETAILS | CALL | {"NCSC_Called_At": START - timedelta(days=40)}  # the letter to the centre is due
# As the manual says to make it by hand: every change of a case is told, our own among them.
TRIGGER_BY_HAND = {
    "execution_condition_mode": "always",
    "condition": {"ticket.group_id": {"operator": "is", "value": ["2"]}},
}
SETS = 6


@pytest.fixture
def open_office(tmp_path: Path) -> Iterator[Callable[..., ZammadOffice]]:
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(zammad_office(tmp_path, **settings))


@pytest.fixture
def office(open_office: Callable[..., ZammadOffice]) -> ZammadOffice:
    """A Zammad 6 without tickets; the connector is not started yet."""
    return open_office()


def snapshot(office: ZammadOffice) -> list[Any]:
    """All that a person sees on the tickets, and when each was changed last."""
    world = office.world
    return [(dict(row), world.articles_of(number), office.letter(number)) for number, row in world.tickets.items()]


def assert_at_rest(office: ZammadOffice) -> None:
    """One more look at every ticket changes nothing, and sends nothing."""
    office.settle()
    before, writes = snapshot(office), office.writes()
    looked = office.server.count("GET", "by_ticket")
    for ticket in office.world.tickets:
        office.nudge(ticket)
    office.settle()
    assert office.server.count("GET", "by_ticket") >= looked + len(office.world.tickets)
    assert office.writes() == writes
    assert snapshot(office) == before


def assert_nothing_personal_is_kept(office: ZammadOffice) -> None:
    """Neither in the logs nor in the database, whatever Zammad's answers quote."""
    kept = b"".join(
        path.read_bytes() for path in [*office.connector.outputs, *office.connector.folder.glob("*.sqlite3*")]
    )
    assert b"attended" in kept
    for planted in (
        "25901",
        "200555013",
        "A200 555",
        "Rivera",
        "SR1220326001",
        "csc-ncsc",
        AGENT_TOKEN,
        WEBHOOK_SECRET,
    ):
        assert planted.encode() not in kept, planted


# The ladder


@pytest.mark.parametrize("version", ["6.5.2", pytest.param("7.1.1", marks=pytest.mark.slow)])
def test_cases_are_walked_to_the_end(open_office: Callable[..., ZammadOffice], version: str) -> None:
    office = open_office(version=version)
    script = people_at_work(office)
    walks = next(script)
    assert office.start()
    office.settle()
    for _ in script:
        office.settle()

    assert_walked(office, walks)
    whole: Any = walks["whole"].issue
    assert_well_written(office, whole)
    # A stage is one PUT: its state with its comment, or with its due date; one more PUT for the moment recorded.
    assert office.puts(whole) == 8
    assert office.recorded(whole, "Service Center Emailed At") == ["2026-04-05T15:00:00.000Z"]
    assert all(each["internal"] is True for walk in walks.values() for each in office.comments(walk.issue))
    assert office.server.hooks.deliveries
    assert {each.status for each in office.server.hooks.deliveries} == {204}
    assert_nothing_personal_is_kept(office)
    assert office.connector.stop() == 0


def assert_well_written(office: ZammadOffice, ticket: int) -> None:
    """The places where Zammad's markup and sanitizer could have spoilt something, and the draft."""
    details, call, letter, _, overdue = office.texts(ticket)
    assert 'Alien number is missing (if the person has none, write "none assigned")' in details
    assert "receipt number WAC2590123456 · A-number A200555013 · Form I-130 · filed Jan 15, 2025" in call
    text = (
        "Receipt number: WAC2590123456\n"
        "A-number: A200555013\n"
        "Application: Form I-130, filed Jan 15, 2025\n"
        "NCSC call: Mar 4, 2026, 10:00 a.m. Eastern, Ms. Rivera, ID 4471\n"
        "Service request: SR1220326001\n"
    )
    assert f"Subject: WAC2590123456, Form I-130: follow-up to NCSC inquiry of Mar 4, 2026\n\n{text}" in letter
    assert 'href="mailto:csc-ncsc-followup@dhs.gov?subject=WAC2590123456%2C%20Form%20I-130' in str(
        office.comments(ticket)[2]["body"]
    )
    assert "\nMar 4, 2026, 10:00 a.m. Eastern: called the NCSC" in overdue
    draft = office.letter(ticket)
    assert draft is not None
    assert (draft["type"], draft["to"]) == ("email", "SCOPSSCATA@dhs.gov")
    assert draft["subject"] == "WAC2590123456, Form I-130: no response from the Service Center since Apr 5, 2026"
    assert draft["body"].startswith("Receipt number: WAC2590123456<br>\nA-number: A200555013<br>\n")


def test_own_writes_come_to_rest_and_a_lost_database_repeats_nothing(office: ZammadOffice) -> None:
    """Every edit of ours comes back as a webhook. Tickets in every stage; two were moved by a person, one redated."""
    tickets: list[Any] = in_every_stage(office)
    office.put(tickets[3], {"due_on": "2026-03-20"})
    drafts = [ticket for ticket in tickets if office.letter(ticket)]
    assert len(drafts) >= 2
    office.settle()
    told = [each for each in office.server.hooks.deliveries if b'"login":"connector@office.example"' in each.body]
    assert told
    assert_at_rest(office)

    before, writes = snapshot(office), office.writes()
    assert office.connector.stop() == 0
    office.connector.lose_database()
    office.clock.advance(minutes=5)
    office.start()
    office.settle()
    assert snapshot(office) == before
    assert office.writes() == writes


# What Zammad and its people do


def test_tickets_merged_deleted_foreign_or_with_a_draft_of_somebodys(office: ZammadOffice) -> None:
    theirs = office.add(**LATE | {"Receipt_Number": "WAC2590120001"})
    half_a_letter = {"to": "somebody@office.example", "subject": "", "body": "Dear"}
    office.world.drafts[theirs] = {"id": 1, "ticket_id": theirs, "new_article": half_a_letter}
    merged = office.add(**DETAILS | {"Receipt_Number": "WAC2590120002"})
    target = office.add(**DETAILS | {"Receipt_Number": "WAC2590120003"})
    gone = office.add(**DETAILS | {"Receipt_Number": "WAC2590120004"})
    office.start()
    office.world.triggers[0] |= TRIGGER_BY_HAND
    office.settle()
    with office.world.lock, office.world.request():
        office.world.merge(office.world.admin, office.row(merged), office.row(target))
    with office.world.lock:
        office.world.delete(gone)
    office.nudge(gone)
    office.settle()

    assert office.titles(theirs) == [CALIFORNIA]
    assert office.letter(theirs) == half_a_letter
    # The articles of the merged ticket stand on the other now; it is closed, and waits for nothing.
    assert office.titles(merged) == []
    assert office.titles(target) == [CALL_SHEET, CALL_SHEET]
    stages = dict(office.connector.rows("select ticket_id, stage from tickets"))
    assert stages == {str(theirs): "email_service_center", str(merged): "answered", str(target): "call_ncsc"}
    assert_at_rest(office)

    foreign = office.add_foreign("Toner", **DETAILS)
    office.put(target, {"group": ELSEWHERE})
    office.nudge(foreign)
    office.nudge(target)
    office.settle()
    assert office.titles(foreign) == []
    assert office.connector.count("select count(*) from tickets") == len(stages) - 1


def test_maintenance_mode_is_waited_for_and_lost_webhooks_are_found_by_the_poll(office: ZammadOffice) -> None:
    ticket = office.add(Receipt_Number="WAC26901")
    office.start()
    office.settle()
    office.world.maintenance = True
    office.fill(ticket, **DETAILS)
    wait_for(lambda: office.connector.metric("connector_looks_total", outcome="postponed"), "it has tried")
    assert office.titles(ticket) == [DETAILS_WANTED]
    office.world.maintenance = False
    office.settle()
    assert office.titles(ticket) == [DETAILS_WANTED, CALL_SHEET]

    office.world.webhooks[0]["endpoint"] += "x"  # no such source: every try is answered by 404
    office.fill(ticket, NCSC_Called_At=office.clock.now(), **CALL)
    for _ in range(5):
        wait_for(lambda: office.server.hooks.is_idle, "the webhook is sent")
        office.clock.advance(seconds=41)
    wait_for(lambda: office.world.failed_jobs, "Zammad gives it up")
    assert office.connector.command("poll").returncode == 0
    office.settle()
    assert office.moves(ticket)[-1] == "Awaiting NCSC"
    assert office.due_days(ticket) == ["2026-04-02"]
    assert office.connector.metric("connector_tickets", state="stuck") == 0


def test_an_edit_refused_as_a_whole_is_tried_in_parts(office: ZammadOffice) -> None:
    """The comment arrives, and says what could not be done."""
    world = office.world
    world.states.remove(next(each for each in world.states if each["name"] == "Call NCSC"))
    no_state = office.add(**DETAILS | {"Receipt_Number": "WAC2590120001"})
    world.restrict["state_id"] = {each["id"] for each in world.states} - {office.state_id("E-mail Service Center")}
    restricted = office.add(**LATE | {"Receipt_Number": "WAC2590120002"})
    office.start()
    office.settle()

    (sheet,) = office.texts(no_state)
    assert sheet.startswith(CALL_SHEET)
    assert 'The ticket cannot be moved to "Call NCSC". There is no active state of that name.' in sheet
    (letter,) = office.texts(restricted)
    assert letter.startswith(CALIFORNIA)
    assert "Zammad refused the change of" in letter
    assert "Error ID" in letter
    assert office.moves(restricted) == []
    assert office.letter(restricted)

    # An empty attribute that the edit screen requires refuses every PUT, also of a comment alone.
    required = next(each for each in office.world.attributes if each["name"] == "promised_days")
    required["screens"] = {"edit": {"ticket.agent": {"shown": True, "required": True}}}
    blocked = office.add(**LATE | {"Receipt_Number": "WAC2590120003"})
    office.settle()
    (letter,) = office.texts(blocked)
    assert letter.startswith(CALIFORNIA)
    assert "an attribute that must be filled in on the edit screen is empty" in letter
    assert office.comments(blocked)[0]["internal"] is True
    assert_at_rest(office)
    assert_nothing_personal_is_kept(office)


def test_what_zammad_drops_without_a_word_does_not_repeat_the_comment(office: ZammadOffice) -> None:
    """An attribute of the wrong kind empties the moment that a state recorded. It is told until it is mended."""
    kind = office.world.columns["service_center_emailed_at"]
    office.world.columns["service_center_emailed_at"] = "integer"
    office.clock.set(START - timedelta(days=30))
    ticket = office.add(**LATE)
    office.move(ticket, "E-mailed Service Center")
    office.clock.set(START)
    office.start()
    office.settle()
    assert (office.titles(ticket), office.moves(ticket)) == ([HEADQUARTERS], ["E-mail Headquarters"])
    before, told = snapshot(office), len(office.server.hooks.deliveries)
    office.nudge(ticket)
    office.settle()
    assert snapshot(office) == before
    assert len(office.server.hooks.deliveries) == told
    ((error,),) = office.connector.rows("select error from tickets")
    assert 'did not keep "Service center emailed at"' in error

    office.world.columns["service_center_emailed_at"] = kind
    office.nudge(ticket)
    office.settle()
    assert office.recorded(ticket, "Service Center Emailed At") == ["2026-01-31T15:00:00.000Z"]
    assert office.titles(ticket) == [HEADQUARTERS]
    assert office.connector.rows("select error from tickets") == [(None,)]
    assert_at_rest(office)


# Killed

STEPS = (
    "Attention.claim",
    "ZammadTracker.fetch",
    "Acts.adopt",
    "Acts.start",
    "ZammadTracker.edit",
    "Acts.finish",
    "Attention.settle",
)
CALLS = (
    ("POST", "/tickets/search$"),
    ("GET", r"/by_ticket/\d+$"),
    ("GET", "/shared_draft$"),
    ("PUT", "/shared_draft$"),
    ("PUT", r"/tickets/\d+$"),
    ("GET", r"/ticket_articles/\d+$"),
)
POINTS = [
    *(Death(inside=f"{step}:{when}:1") for step in STEPS for when in ("before", "after")),
    *(Death(call=call, processed=processed) for call in CALLS for processed in (False, True)),
]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_death_at_each_point(office: ZammadOffice) -> None:
    """For each point, two comments, a draft, moves, a due date and a recorded moment are due, and it dies there."""
    killer = Killer(office, iter(()), random.Random(1))
    for number, point in enumerate(POINTS):
        ready = office.add(**DETAILS | {"Receipt_Number": f"WAC25901{number:05}"})
        late = office.add(**LATE | {"Receipt_Number": f"WAC25902{number:05}"})
        mailed = office.add(**LATE | {"Receipt_Number": f"LIN25901{number:05}"})
        office.move(mailed, "E-mailed Service Center")
        office.connector.kill()
        killer.deaths = iter([point])
        killer.keep_running()
        assert killer.kills == number + 1, f"{point} was never reached"
        assert (office.titles(ready), office.moves(ready)) == ([CALL_SHEET], ["Call NCSC"]), point
        assert (office.titles(late), office.moves(late)) == ([CALIFORNIA], ["E-mail Service Center"]), point
        letter = office.letter(late)
        assert letter is not None, point
        assert letter["to"] == "csc-ncsc-followup@dhs.gov"
        assert (office.titles(mailed), office.moves(mailed)) == ([], ["Awaiting Service Center"]), point
        assert office.due_days(mailed) == [str(office.office_day(22))], point
        assert len(office.recorded(mailed, "Service Center Emailed At")) == 1, point
    assert office.connector.stop() == 0


def deaths(chance: random.Random) -> Iterator[Death]:
    """Deaths without end, in an order of chance; a third of them at any time."""
    while True:
        at_any_time = [Death(after=chance.uniform(0, 0.4)) for _ in range(len(POINTS) // 2)]
        yield from chance.sample([*POINTS, *at_any_time], len(POINTS) + len(at_any_time))


@pytest.mark.slow
@pytest.mark.timeout(480)
def test_no_kill_loses_or_doubles_an_act(office: ZammadOffice) -> None:
    """Several sets of tickets, one edited after the other, so that there is work at each death."""
    chance = random.Random("zammad")
    killer = Killer(office, deaths(chance), chance)
    scripts = [people_at_work(office, number) for number in range(SETS)]
    many: list[dict[str, Walk]] = [next(script) for script in scripts]
    killer.keep_running()
    for days in itertools.cycle(scripts):
        if next(days, None) is None:
            break
        killer.keep_running()
    killer.keep_running()
    assert_nothing_lost_or_doubled(office, many, killer.kills)
    assert killer.kills >= 5 * SETS
    assert office.connector.count("select count(*) from acts where done_at is null") == 0
    assert office.connector.stop() == 0
