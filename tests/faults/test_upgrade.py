"""A rolling upgrade, by processes: the version before beside the next on the migrated tables, while waits pass."""

import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import psycopg
import pytest

from tests.benchmarks.tracker import FRESH
from tests.faults.figures import Figures
from tests.faults.nodes import Node
from tests.faults.rush import CALL_DUE, PASSED, PATIENCE, Rush, rush
from tests.faults.spawned import Spawned
from tests.faults.zygote import Zygote
from tests.store.test_schema import NEXT
from tests.system.process import wait_for

pytestmark = pytest.mark.postgres


@pytest.fixture
def place(tmp_path: Path, zygote: Zygote, postgresql_url: str) -> Iterator[Rush]:
    with rush(tmp_path, zygote, postgresql_url) as made:
        yield made


def test_every_node_is_replaced_by_the_next_version_while_waits_pass(
    place: Rush, figures: Figures, size: str, tmp_path: Path
) -> None:
    """Migrate; then one node after the other, each by SIGTERM; in between, one of the version before comes back."""
    row = figures("rolling upgrade: two versions on the migrated tables")
    waits = 200 if size == "short" else 5_000
    (tmp_path / "step.py").write_text(NEXT)
    next_version = partial(Spawned, module="tests.faults.next_version", file=tmp_path / "step.py")
    place.add_waits(waits)
    old = [place.node(role) for role in ("web", "work", "work")]
    new = [place.node(role, next_version) for role in ("web", "work", "work")]
    back_again, migrating = place.node("work"), place.node("web", next_version)
    assert old[0].upgrade() == 0, old[0].last_words()
    before = revision(place)
    place.start(*old)
    place.let_waits_run(waits)

    place.tracker.set(latency=0.05)
    people = People(place, [old[0], new[0]])
    place.set_clock(PASSED)
    come_to(place, waits, 0.1)
    assert migrating.upgrade() == 0, migrating.last_words()
    row.injected += 1
    assert revision(place) > before
    come_to(place, waits, 0.2)
    for number, (outgoing, incoming) in enumerate(zip(old, new, strict=True)):
        place.start(incoming)
        people.work_until_acted(outgoing, incoming)
        come_to(place, waits, 0.3 + number / 5)
        assert outgoing.stop() == 0, outgoing.last_words()
        people.work_until_acted(incoming)
        row.injected += 1
        if number == 1:
            place.start(back_again)
            people.work_until_acted(back_again)
    place.finish(row)
    row.check()
    assert all(node.stop() == 0 for node in (*new, back_again))


class People:
    """Go on completing tickets; the tracker sends a webhook of each to one of the web nodes until one accepts it."""

    def __init__(self, place: Rush, webs: Sequence[Node]) -> None:
        self._place, self._webs, self._tickets = place, itertools.cycle(webs), itertools.count(FRESH)

    def work_until_acted(self, *nodes: Node) -> None:
        """Until each of these that work has done an act of late. A web node: until it took a webhook in."""
        for node in nodes:
            before = acted(node)
            wait_for(
                lambda node=node, before=before: self._complete_one() and acted(node) > before, "it acts", PATIENCE
            )

    def _complete_one(self) -> bool:
        ticket = next(self._tickets)
        self._place.due[ticket] = CALL_DUE
        return any(self._place.tell(web, ticket) for web in self._webs)


def come_to(place: Rush, waits: int, share: float) -> None:
    """Wait until so much of it is done."""
    wait_for(lambda: place.tracker.counts()["comment"] >= share * waits, f"{share:.0%} of the acts are done", PATIENCE)


def acted(node: Node) -> float:
    """How many acts a worker has done, or how many webhooks a web node has taken in."""
    if node.role == "web":
        return node.metric("connector_webhooks_total", result="accepted")
    return node.metric("connector_acts_total", outcome="done")


def revision(place: Rush) -> str:
    """That of the tables."""
    with psycopg.connect(place.database_url) as connection:
        rows: Sequence[tuple[str]] = connection.execute("select version_num from alembic_version").fetchall()
    return rows[0][0]
