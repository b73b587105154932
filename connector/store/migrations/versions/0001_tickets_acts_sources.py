"""The first tables: tickets, acts, sources. Moments are whole microseconds since 1970-01-01 UTC.

There is no way back: an earlier version starts with an empty database and finds everything on the tickets.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tickets",
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("ticket_id", sa.String(255), nullable=False),
        sa.Column("key", sa.String(255)),
        sa.Column("stage", sa.String(64)),
        sa.Column("attend_at", sa.BigInteger),
        sa.Column("not_before", sa.BigInteger),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("lease_until", sa.BigInteger),
        sa.Column("lease_token", sa.String(64)),
        sa.Column("news", sa.BigInteger, nullable=False),
        sa.Column("claimed_news", sa.BigInteger, nullable=False),
        sa.Column("stuck_since", sa.BigInteger),
        sa.Column("error", sa.String(300)),
        sa.Column("config_hash", sa.String(64)),
        sa.Column("receipt_digest", sa.String(64)),
        sa.Column("tracker_updated_at", sa.BigInteger),
        sa.Column("attended_at", sa.BigInteger),
        sa.Column("first_seen_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("source", "ticket_id", name="pk_tickets"),
    )
    for column in ("attend_at", "lease_until", "stuck_since"):
        present = sa.text(f"{column} IS NOT NULL")
        op.create_index(
            f"ix_tickets_{column}", "tickets", ["source", column], sqlite_where=present, postgresql_where=present
        )
    for column in ("stage", "key", "config_hash", "receipt_digest"):
        op.create_index(f"ix_tickets_{column}", "tickets", ["source", column])

    op.create_table(
        "acts",
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("ticket_id", sa.String(255), nullable=False),
        sa.Column("ref", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("stage", sa.String(64)),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("done_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("source", "ticket_id", "ref", name="pk_acts"),
        sa.ForeignKeyConstraint(
            ["source", "ticket_id"], ["tickets.source", "tickets.ticket_id"], name="fk_acts_tickets", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_acts_started_at", "acts", ["source", "kind", "started_at"])

    op.create_table(
        "sources",
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("watermark", sa.BigInteger),
        sa.Column("polled_at", sa.BigInteger),
        sa.Column("attended_at", sa.BigInteger),
        sa.Column("heard_at", sa.BigInteger),
        sa.Column("paused_until", sa.BigInteger),
        sa.Column("pause_reason", sa.String(300)),
        sa.Column("braked_at", sa.BigInteger),
        sa.Column("brake_reason", sa.String(300)),
        sa.Column("allowance_from", sa.BigInteger),
        sa.PrimaryKeyConstraint("source", name="pk_sources"),
    )
