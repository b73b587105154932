"""Which acts were started and which are done, so that nothing is posted twice.

An act is started before the call to the tracker and finished after it. One found started and not done may or may not
have had its effect: it is looked for on the ticket by its ref, and then adopted (it is there) or dropped (it is not).
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import (
    ClauseElement,
    ColumnElement,
    Connection,
    String,
    bindparam,
    delete,
    func,
    or_,
    select,
    update,
)

from connector.store import lanes
from connector.store.compiled import driver_of
from connector.store.database import Database
from connector.store.tables import NOW, Moment, acts, sources, tickets

if TYPE_CHECKING:  # the queue notes acts, too, when it takes a ticket in as it stands
    from connector.store.attention import Claim

COMMENT = "comment"
ADOPTED = "adopted"  # the kind of an act that counts as done, though this database did not start it


class Acts:
    """The acts of one database. They go when their ticket is forgotten. Thread safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, claim: "Claim", kinds: Mapping[str, str], stage: str, now: datetime, lease: timedelta) -> bool:
        """Note that acts are about to be done (ref -> kind), and keep the claim until `now + lease`.

        One transaction. False, with nothing noted, if the lease has run out: then they must not be done. To start one
        again that is not done moves its start to `now`; one that is done stays as it is.
        """
        values = {**_ticket(claim.source, claim.ticket_id), "b_token": claim.token, "now": now}
        rows = [{**values, "b_ref": ref, "b_kind": kind, "b_stage": stage} for ref, kind in kinds.items()]
        kept, started = self._database.compiled(lanes.keep), self._database.compiled(_start)

        def note(connection: Connection) -> bool:
            driver = driver_of(connection)
            if kept.run(driver, {**values, "until": now + lease}).rowcount != 1:
                return False
            started.run_many(driver, rows)
            return True

        return self._database.write(note)

    def finish(self, source: str, ticket_id: str, refs: Iterable[str], now: datetime) -> None:
        """These acts, started before, are done. One that is done already keeps its moment."""
        done = self._database.compiled(_finish)
        values = [{**_ticket(source, ticket_id), "b_ref": ref, "now": now} for ref in refs]
        if values:
            self._database.write(lambda connection: done.run_many(driver_of(connection), values))

    def adopt(self, source: str, ticket_id: str, refs: Iterable[str], now: datetime) -> None:
        """These refs were found on the ticket: their acts are done, started here or not.

        Does not count for the brake, unless it was started here. Nothing happens if the ticket is forgotten already.
        """
        found = list(refs)
        if not found:
            return
        known = select(tickets.c.ticket_id).where(tickets.c.source == source, tickets.c.ticket_id == ticket_id)

        def adopt(connection: Connection) -> None:
            if connection.execute(known.with_for_update()).first() is not None:
                note_adopted(self._database, connection, source, ticket_id, found, now)

        self._database.write(adopt)

    def drop_started(self, source: str, ticket_id: str, ref: str) -> None:
        """The act was looked for and had no effect: forget that it was started. One that is done stays."""
        dropped = delete(acts).where(*_of(source, ticket_id), acts.c.ref == ref, acts.c.done_at.is_(None))
        self._database.write(lambda connection: connection.execute(dropped))

    def done_refs(self, source: str, ticket_id: str) -> frozenset[str]:
        """The refs of the acts that are done."""
        return frozenset(ref for (ref,) in self._database.look(_done, **_ticket(source, ticket_id)))

    def started(self, source: str, ticket_id: str) -> dict[str, datetime]:
        """The acts that were started and are not known to be done: ref -> when it was started."""
        return dict(self._database.look(_started, **_ticket(source, ticket_id)))

    def comments_since(self, source: str, moment: datetime) -> int:
        """How many comments were started at or after `moment`, without those before the last release of the brake."""
        [(count,)] = self._database.look(_comments, b_source=source, b_moment=moment)
        return int(count)


def _ticket(source: str, ticket_id: str) -> dict[str, str]:
    """The values of a statement about one ticket."""
    return {"b_source": source, "b_ticket_id": ticket_id}


_SOURCE = bindparam("b_source", type_=String())
_TICKET_ID = bindparam("b_ticket_id", type_=String())
_REF = bindparam("b_ref", type_=String())
_OF_TICKET = (acts.c.source == _SOURCE, acts.c.ticket_id == _TICKET_ID)


def _start(database: Database) -> ClauseElement:
    what = {"kind": bindparam("b_kind"), "stage": bindparam("b_stage"), "started_at": NOW}
    insert = database.insert(acts).values(source=_SOURCE, ticket_id=_TICKET_ID, ref=_REF, **what)
    return insert.on_conflict_do_update(
        index_elements=[acts.c.source, acts.c.ticket_id, acts.c.ref],
        set_={name: insert.excluded[name] for name in what},
        where=acts.c.done_at.is_(None),
    )


def _finish(_database: Database) -> ClauseElement:
    return update(acts).where(*_OF_TICKET, acts.c.ref == _REF, acts.c.done_at.is_(None)).values(done_at=NOW)


def _done(_database: Database) -> ClauseElement:
    return select(acts.c.ref).where(*_OF_TICKET, acts.c.done_at.is_not(None))


def _started(_database: Database) -> ClauseElement:
    return select(acts.c.ref, acts.c.started_at).where(*_OF_TICKET, acts.c.done_at.is_(None))


def _comments(_database: Database) -> ClauseElement:
    allowance_from = select(sources.c.allowance_from).where(sources.c.source == _SOURCE).scalar_subquery()
    return select(func.count()).where(
        acts.c.source == _SOURCE,
        acts.c.kind == COMMENT,
        acts.c.started_at >= bindparam("b_moment", type_=Moment()),
        or_(allowance_from.is_(None), acts.c.started_at >= allowance_from),
    )


def note_adopted(
    database: Database, connection: Connection, source: str, ticket_id: str, refs: Iterable[str], now: datetime
) -> None:
    """Note these acts of a known ticket as done. One that is done already keeps its kind and its moment."""
    rows = [
        {"source": source, "ticket_id": ticket_id, "ref": ref, "kind": ADOPTED, "started_at": now, "done_at": now}
        for ref in refs
    ]
    if not rows:
        return
    insert = database.insert(acts)
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=[acts.c.source, acts.c.ticket_id, acts.c.ref],
            set_={"done_at": insert.excluded.done_at},
            where=acts.c.done_at.is_(None),
        ),
        rows,
    )


def _of(source: str, ticket_id: str) -> tuple[ColumnElement[bool], ...]:
    return (acts.c.source == source, acts.c.ticket_id == ticket_id)
