"""The tables. There is no column for anything a case says: only ids, keys, stages, times, refs, hashes.

A change here needs a migration beside it (connector/store/migrations); a test compares the two.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
    and_,
    bindparam,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

ERROR_LENGTH = 300
ID_LENGTH = 255
CORRELATION_LENGTH = 64


class Moment(TypeDecorator[datetime]):
    """An aware datetime, stored as whole microseconds since 1970-01-01 UTC: exact, and the same on every database.

    Comes back in UTC. A naive datetime is refused (ValueError).
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> int | None:  # noqa: ARG002  # SQLAlchemy's hook
        return None if value is None else microseconds(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002  # as above
        return None if value is None else moment_at(value)


def microseconds(moment: datetime) -> int:
    """An aware datetime as it is stored. Raises ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError("a naive datetime is no moment: give it a time zone")
    return int((moment - _EPOCH) // _MICROSECOND)


def moment_at(stored: int) -> datetime:
    """A stored moment, in UTC."""
    return _EPOCH + stored * _MICROSECOND


NOW = bindparam("now", type_=Moment())  # the caller's, in statements that are made once

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s",
    }
)

tickets = Table(
    "tickets",
    metadata,
    Column("source", String(ID_LENGTH), primary_key=True),
    Column("ticket_id", String(ID_LENGTH), primary_key=True),
    Column("key", String(ID_LENGTH)),  # what people call the ticket
    Column("stage", String(64)),  # None until it was attended for the first time
    Column("attend_at", Moment),  # when it next deserves attention; None: only when there is news
    Column("not_before", Moment),  # a rate limit of this ticket: news does not make it due earlier
    Column("attempts", Integer, nullable=False),  # failed looks in a row, whatever failed
    Column("failures", Integer, nullable=False),  # those of them that were the ticket's own: it gets stuck by these
    Column("lease_until", Moment),
    Column("lease_token", String(64)),
    Column("news", BigInteger, nullable=False),  # raised by every notice
    Column("claimed_news", BigInteger, nullable=False),  # what `news` was when the ticket was last claimed
    Column("stuck_since", Moment),
    Column("error", String(ERROR_LENGTH)),  # why the last look failed, in our words
    Column("config_hash", String(64)),  # of the mapping and procedure the ticket was last looked at with
    Column("receipt_digest", String(64)),  # keyed, so that it tells nobody the receipt number
    Column("tracker_updated_at", Moment),  # the tracker's own stamp at the last look
    Column("attended_at", Moment),  # the last look that succeeded
    Column("first_seen_at", Moment, nullable=False),
    Column("correlation_id", String(CORRELATION_LENGTH)),  # of the webhook that the next look is due to
)
Index(
    "ix_tickets_attend_at",
    tickets.c.source,
    tickets.c.attend_at,
    sqlite_where=tickets.c.attend_at.is_not(None),
    postgresql_where=tickets.c.attend_at.is_not(None),
)
# Passed waits alone, so that a burst of news never lies before them.
Index(
    "ix_tickets_waits",
    tickets.c.source,
    tickets.c.attend_at,
    sqlite_where=and_(tickets.c.attend_at.is_not(None), tickets.c.news == tickets.c.claimed_news),
    postgresql_where=and_(tickets.c.attend_at.is_not(None), tickets.c.news == tickets.c.claimed_news),
)
# Only a SQLite file is started with leases to free; on PostgreSQL it would double what a claim costs.
Index(
    "ix_tickets_lease_until",
    tickets.c.source,
    tickets.c.lease_until,
    sqlite_where=tickets.c.lease_until.is_not(None),
).ddl_if(dialect="sqlite")
Index(
    "ix_tickets_stuck_since",
    tickets.c.source,
    tickets.c.stuck_since,
    sqlite_where=tickets.c.stuck_since.is_not(None),
    postgresql_where=tickets.c.stuck_since.is_not(None),
)
Index("ix_tickets_stage", tickets.c.source, tickets.c.stage)
Index("ix_tickets_key", tickets.c.source, tickets.c.key)
Index("ix_tickets_config_hash", tickets.c.source, tickets.c.config_hash)
Index("ix_tickets_receipt_digest", tickets.c.source, tickets.c.receipt_digest)

acts = Table(
    "acts",
    metadata,
    Column("source", String(ID_LENGTH), primary_key=True),
    Column("ticket_id", String(ID_LENGTH), primary_key=True),
    Column("ref", String(64), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("stage", String(64)),
    Column("started_at", Moment, nullable=False),
    Column("done_at", Moment),  # None: started, and not known to be done
    ForeignKeyConstraint(
        ["source", "ticket_id"], ["tickets.source", "tickets.ticket_id"], name="fk_acts_tickets", ondelete="CASCADE"
    ),
)
Index("ix_acts_started_at", acts.c.source, acts.c.kind, acts.c.started_at)

sources = Table(
    "sources",
    metadata,
    Column("source", String(ID_LENGTH), primary_key=True),
    Column("watermark", Moment),  # the next poll asks for changes from here on
    Column("polled_at", Moment),  # the last poll that succeeded
    Column("attended_at", Moment),  # the last attention round that succeeded
    Column("heard_at", Moment),  # the last authentic webhook, to within ten seconds
    Column("paused_until", Moment),
    Column("pause_reason", String(ERROR_LENGTH)),
    Column("braked_at", Moment),  # too many comments in an hour: nothing is done until `connector release`
    Column("brake_reason", String(ERROR_LENGTH)),
    Column("allowance_from", Moment),  # comments before this moment do not count for the brake
)

# One row: the oldest head that a program must know to work on these tables (connector/store/migrations).
schema_floor = Table("schema_floor", metadata, Column("revision", String(32), primary_key=True))
