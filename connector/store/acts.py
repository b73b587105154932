"""Which acts were started and which are done, so that nothing is posted twice.

An act is started before the call to the tracker and finished after it. One found started and not done may or may not
have had its effect: it is looked for on the ticket by its ref, and then adopted (it is there) or dropped (it is not).
"""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Connection, and_, delete, func, or_, select, update

from connector.store.database import Database
from connector.store.tables import acts, sources, tickets

if TYPE_CHECKING:  # the queue notes acts, too, when it takes a ticket in as it stands
    from connector.store.attention import Claim

COMMENT = "comment"
ADOPTED = "adopted"  # the kind of an act that counts as done, though this database did not start it


class Acts:
    """The acts of one database. They go when their ticket is forgotten. Thread safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, claim: "Claim", ref: str, kind: str, stage: str, now: datetime) -> bool:
        """Note that the act is about to be done. False if the lease has run out: then it must not be done.

        To start one again that is not done moves its start to `now`; one that is done stays as it is.
        """
        insert = self._database.insert(acts).values(
            source=claim.source, ticket_id=claim.ticket_id, ref=ref, kind=kind, stage=stage, started_at=now
        )
        held = (
            select(tickets.c.ticket_id)
            .where(
                tickets.c.source == claim.source,
                tickets.c.ticket_id == claim.ticket_id,
                tickets.c.lease_token == claim.token,
                tickets.c.lease_until > now,
            )
            .with_for_update()
        )
        with self._database.write() as connection:
            if connection.execute(held).first() is None:
                return False
            connection.execute(
                insert.on_conflict_do_update(
                    index_elements=[acts.c.source, acts.c.ticket_id, acts.c.ref],
                    set_={"started_at": now, "kind": kind, "stage": stage},
                    where=acts.c.done_at.is_(None),
                )
            )
            return True

    def finish(self, source: str, ticket_id: str, refs: Iterable[str], now: datetime) -> None:
        """These acts, started before, are done. One that is done already keeps its moment."""
        with self._database.write() as connection:
            connection.execute(
                update(acts)
                .where(*_of(source, ticket_id), acts.c.ref.in_(list(refs)), acts.c.done_at.is_(None))
                .values(done_at=now)
            )

    def adopt(self, source: str, ticket_id: str, refs: Iterable[str], now: datetime) -> None:
        """These refs were found on the ticket: their acts are done, started here or not.

        Does not count for the brake, unless it was started here. Nothing happens if the ticket is forgotten already.
        """
        found = list(refs)
        if not found:
            return
        known = select(tickets.c.ticket_id).where(tickets.c.source == source, tickets.c.ticket_id == ticket_id)
        with self._database.write() as connection:
            if connection.execute(known.with_for_update()).first() is not None:
                note_adopted(self._database, connection, source, ticket_id, found, now)

    def drop_started(self, source: str, ticket_id: str, ref: str) -> None:
        """The act was looked for and had no effect: forget that it was started. One that is done stays."""
        with self._database.write() as connection:
            connection.execute(delete(acts).where(*_of(source, ticket_id), acts.c.ref == ref, acts.c.done_at.is_(None)))

    def done_refs(self, source: str, ticket_id: str) -> frozenset[str]:
        """The refs of the acts that are done."""
        query = select(acts.c.ref).where(*_of(source, ticket_id), acts.c.done_at.is_not(None))
        with self._database.read() as connection:
            return frozenset(connection.scalars(query))

    def started(self, source: str, ticket_id: str) -> dict[str, datetime]:
        """The acts that were started and are not known to be done: ref -> when it was started."""
        query = select(acts.c.ref, acts.c.started_at).where(*_of(source, ticket_id), acts.c.done_at.is_(None))
        with self._database.read() as connection:
            return {row.ref: row.started_at for row in connection.execute(query)}

    def comments_since(self, source: str, moment: datetime) -> int:
        """How many comments were started at or after `moment`, without those before the last release of the brake."""
        allowance_from = select(sources.c.allowance_from).where(sources.c.source == source).scalar_subquery()
        query = select(func.count()).where(
            and_(acts.c.source == source, acts.c.kind == COMMENT, acts.c.started_at >= moment),
            or_(allowance_from.is_(None), acts.c.started_at >= allowance_from),
        )
        with self._database.read() as connection:
            return connection.scalar(query) or 0


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
