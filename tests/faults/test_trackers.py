"""A tracker on a bad day: in the end everything due is there, once; and no other source has waited for it."""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from tests.faults import badtracker as bad
from tests.faults.badtracker import BadTracker, Misdeed, Request
from tests.faults.figures import Figures
from tests.faults.hasty import HastyZygote
from tests.faults.neighbours import BAD, Scene, scene_at
from tests.faults.zygote import Zygote
from tests.system.process import wait_for

Opener = Callable[..., Scene]

ALL, COMMENTS, MOVES = ("*", ""), ("POST", "/comment$"), ("POST", "/transitions$")
ZAMMAD_EDITS = ("PUT", r"/tickets/\d+")  # a move and a comment are one edit
BOMB = bad.bomb_of(1024)
MOST_MORE_MEGABYTES = 250.0  # that bombs may make a process larger: five calls at once, each of 32 MB at most


@dataclass(frozen=True)
class Fault:
    """What is done to which requests, and how often at least."""

    name: str
    misdeed: Misdeed
    which: tuple[str, str] = ALL
    least: int = 2
    kind: str = "cloud"


READS = [
    Fault("silent: the request is read, no byte comes back", bad.fall_silent, least=6),
    Fault("slow: a byte at a time, the body", bad.drip_body, least=6),
    Fault("slow: a byte at a time, the head", bad.drip_head, least=6),
    Fault("reset before anything is done", bad.reset, least=6),
    Fault("a web page with status 200", bad.answer_page, least=6),
    Fault("200 and no body", bad.answer_empty, least=6),
    Fault("JSON of its own with status 200", bad.answer_own_json, least=6),
    Fault("JSON that nests too deep", bad.answer_deep, least=6),
    Fault("the second half is missing", bad.do_and_cut, least=6),
    Fault("the second half is missing, and nothing tells", bad.do_and_cut_json, least=6),
    Fault("500", bad.answer_error(500), least=6),
    Fault("503", bad.answer_error(503), least=6),
]
WRITES = [
    Fault("a comment made, its answer never sent", bad.do_and_fall_silent, COMMENTS),
    Fault("a comment made, the connection reset", bad.do_and_reset, COMMENTS),
    Fault("a comment made, answered by a web page", bad.do_and_answer_page, COMMENTS),
    Fault("a comment made, answered by nothing", bad.do_and_answer_nothing, COMMENTS),
    Fault("a comment made, the answer cut", bad.do_and_cut, COMMENTS),
    Fault("a comment not made, the connection reset", bad.reset, COMMENTS),
    Fault("a comment not made, answered by a web page", bad.answer_page, COMMENTS),
    Fault("a comment not made, 500", bad.answer_error(500), COMMENTS),
    Fault("a move made, its answer never sent", bad.do_and_fall_silent, MOVES),
    Fault("a move made, the connection reset", bad.do_and_reset, MOVES),
    Fault("a move not made, answered by nothing", bad.answer_empty, MOVES),
    Fault("a move not made, answered by a web page", bad.answer_page, MOVES),
]
OTHERS = [
    Fault("Data Center: slow, a byte at a time", bad.drip_body, least=6, kind="data-center"),
    Fault("Data Center: a comment made, reset", bad.do_and_reset, COMMENTS, kind="data-center"),
    Fault("Zammad: slow, a byte at a time", bad.drip_body, least=6, kind="zammad"),
    Fault("Zammad: an edit made, its answer never sent", bad.do_and_fall_silent, ZAMMAD_EDITS, kind="zammad"),
    Fault("Zammad: an edit made, answered by a web page", bad.do_and_answer_page, ZAMMAD_EDITS, kind="zammad"),
    Fault("Zammad: an edit not made, reset", bad.reset, ZAMMAD_EDITS, kind="zammad"),
]


@pytest.fixture(scope="module")
def hasty() -> Iterator[HastyZygote]:
    with HastyZygote() as running:
        yield running


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Opener]:
    """scene(zygote, waiting=3, kind="cloud") -> Scene, on the evening before the day on which waits pass."""
    with ExitStack() as stack:
        yield lambda zygote, **more: stack.enter_context(scene_at(tmp_path, zygote, **more))


@pytest.mark.parametrize("fault", READS + WRITES + OTHERS, ids=lambda fault: fault.name)
def test_what_is_due_is_done_once(
    fault: Fault, scene: Opener, hasty: Zygote, zygote: Zygote, size: str, figures: Figures
) -> None:
    """And meanwhile the good source does its own."""
    row = figures(fault.name)
    patient, waiting, seconds = (zygote, 20, 600) if size == "full" else (hasty, 3, 60)
    at_work = scene(patient, waiting=waiting, kind=fault.kind)
    at_work.tracker.misbehave(fault.misdeed, *fault.which)
    at_work.let_the_day_come()
    at_work.see_the_good_done()
    at_work.see_met(fault.least, seconds)
    at_work.tracker.behave()
    at_work.settle()
    at_work.count(row)


@pytest.mark.parametrize("takes_connections", [False, True], ids=["nobody listens", "nobody is let in"])
def test_down_for_a_day(takes_connections: bool, scene: Opener, hasty: Zygote, figures: Figures) -> None:
    row = figures("down for a day, " + ("nobody is let in" if takes_connections else "nobody listens"))
    at_work = scene(hasty)
    at_work.tracker.stop()
    if takes_connections:
        at_work.tracker.take_no_connection()
    at_work.let_the_day_come()
    at_work.see_the_good_done()
    for _ in range(4):
        failed = at_work.pair.node.metric("connector_looks_total", source=BAD, outcome="postponed")
        at_work.pair.clock.advance(hours=6)
        at_work.good.add_ready()
        at_work.bad.add_ready()
        at_work.see_the_good_done()
        wait_for(
            lambda failed=failed: (
                at_work.pair.node.metric("connector_looks_total", source=BAD, outcome="postponed") > failed
            ),
            "it goes on trying",
        )
        row.injected += 1
    assert at_work.pair.node.metric("connector_tickets", state="stuck") == 0
    at_work.tracker.stop()
    at_work.tracker.behave()
    at_work.tracker.start()
    at_work.settle()
    at_work.count(row)


@pytest.mark.parametrize("misdeed", [bad.hold_back, bad.drip_body], ids=["holds every call", "drips"])
def test_no_source_waits_for_another(misdeed: Misdeed, scene: Opener, zygote: Zygote, figures: Figures) -> None:
    """With the product's own patience: the calls to the bad tracker are under way all the while."""
    row = figures(f"{'every call held' if misdeed is bad.hold_back else 'every call slow'}, with all our patience")
    at_work = scene(zygote, waiting=8)
    at_work.tracker.misbehave(misdeed)
    at_work.bad.add_ready()
    wait_for(lambda: at_work.tracker.met > 0, "the bad tracker has a call in hand")
    at_work.let_the_day_come()
    at_work.see_the_good_done()
    given_up = at_work.pair.node.metric("connector_looks_total", source=BAD, outcome="postponed")
    assert given_up == 0, "no call was under way any more: nothing was proved"
    for _ in range(3):
        at_work.good.add_ready()
        at_work.see_the_good_done()
    at_work.tracker.behave()
    at_work.settle()
    at_work.count(row)


@pytest.mark.parametrize("by_date", [False, True], ids=["seconds", "HTTP date"])
def test_a_long_pause_is_kept(by_date: bool, scene: Opener, hasty: Zygote, figures: Figures) -> None:
    row = figures(f"429, Retry-After of six hours, {'an HTTP date' if by_date else 'in seconds'}")
    at_work = scene(hasty)
    pair, clock = at_work.pair, at_work.pair.clock
    pause = timedelta(hours=6)
    began = clock.now()
    at_work.tracker.misbehave(bad.ask_for_pause(pause, clock.now if by_date else None))
    at_work.let_the_day_come()
    at_work.see_the_good_done()
    wait_for(lambda: pair.pause_of(BAD)[0], "the bad source is paused")
    wait_for(lambda: not pair.node.count("select count(*) from tickets where lease_until > 0"), "no look is in hand")
    until, reason = pair.pause_of(BAD)
    assert until is not None
    assert began + pause <= until <= clock.now() + pause + timedelta(seconds=10)
    assert "21600" in reason or "21599" in reason
    at_work.see_another_poll()

    at_work.tracker.behave()  # it would answer; but it is not asked
    asked = len(at_work.tracker.seen)
    clock.advance(hours=5, minutes=50)
    at_work.good.add_ready()
    at_work.bad.add_ready()
    at_work.see_the_good_done()
    at_work.see_another_poll()
    assert len(at_work.tracker.seen) == asked

    clock.advance(minutes=11)
    at_work.settle()
    at_work.count(row)


def test_credentials_follow_no_redirect(scene: Opener, hasty: Zygote, figures: Figures) -> None:
    row = figures("every call redirected to another host")
    at_work = scene(hasty)
    with BadTracker(None) as elsewhere:
        at_work.tracker.misbehave(bad.redirect(elsewhere.url))
        at_work.let_the_day_come()
        at_work.see_the_good_done()
        at_work.see_met(6)
        assert "redirect" in at_work.pair.pause_of(BAD)[1]
        at_work.tracker.behave()
        at_work.settle()
        assert elsewhere.seen == []
    at_work.count(row)


@pytest.mark.parametrize(
    ("name", "misdeed"),
    [
        ("a gzip bomb of 1 GB", bad.explode(BOMB)),
        ("a gzip bomb in a gzip bomb", bad.explode(bad.packed(BOMB), "gzip, gzip")),
        ("a gzip bomb behind a redirect", bad.redirect("http://127.0.0.1:9", BOMB)),
    ],
)
def test_a_bomb_takes_little_memory(
    name: str, misdeed: Misdeed, scene: Opener, hasty: Zygote, figures: Figures
) -> None:
    row = figures(name)
    at_work = scene(hasty)
    before = at_work.pair.node.most_megabytes
    at_work.tracker.misbehave(misdeed)
    at_work.let_the_day_come()
    at_work.see_the_good_done()
    at_work.see_met(6)
    at_work.tracker.behave()
    at_work.settle()
    at_work.count(row)
    assert at_work.pair.node.most_megabytes - before < MOST_MORE_MEGABYTES


@pytest.mark.parametrize("kind", ["cloud", "data-center", "zammad"])
def test_a_storm_of_misdeeds(kind: str, scene: Opener, hasty: Zygote, seed: int, size: str, figures: Figures) -> None:
    """Every second request meets some misdeed, and waits pass and tickets come all the while."""
    row = figures(f"a storm of misdeeds, {kind}")
    chance = random.Random(f"{seed} {kind}")
    rounds, waiting = (60, 40) if size == "full" else (3, 6)

    def some(request: Request) -> None:
        which = ANY_REQUEST if request.command == "GET" else ANY_CHANGE
        (chance.choice(which) if chance.random() < 0.5 else bad.pass_on)(request)

    at_work = scene(hasty, waiting=waiting, kind=kind)
    at_work.tracker.misbehave(some)
    at_work.let_the_day_come()
    for number in range(1, rounds + 1):
        at_work.see_met(number * 20)
        at_work.good.add_ready()
        at_work.bad.add_ready()
        at_work.see_the_good_done()
    at_work.tracker.behave()
    at_work.settle()
    at_work.count(row)


# Not among them: a change that was not made, answered as if it had been. No client can tell.
ANY_CHANGE: list[Misdeed] = [
    bad.fall_silent,
    bad.do_and_fall_silent,
    bad.reset,
    bad.do_and_reset,
    bad.answer_page,
    bad.do_and_answer_page,
    bad.answer_empty,
    bad.do_and_answer_nothing,
    bad.do_and_cut,
    bad.drip_body,
    bad.answer_error(500),
    bad.answer_error(502),
]
ANY_REQUEST: list[Misdeed] = [
    *ANY_CHANGE,
    bad.answer_own_json,
    bad.answer_deep,
    bad.do_and_cut_json,
    bad.drip_head,
    bad.explode(BOMB),
]
