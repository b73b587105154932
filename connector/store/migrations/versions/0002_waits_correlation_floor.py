"""The index of passed waits, the webhook's correlation id, and the floor.

On SQLite the connector is stopped meanwhile: about a second for each million tickets. On PostgreSQL the tables are
locked for as long as the index is built; see the rule in connector/store/migrations/__init__.py.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

PASSED_WAITS = sa.text("attend_at IS NOT NULL AND news = claimed_news")


def upgrade() -> None:
    op.add_column("tickets", sa.Column("correlation_id", sa.String(64)))
    op.create_index(
        "ix_tickets_waits",
        "tickets",
        ["source", "attend_at"],
        if_not_exists=True,
        sqlite_where=PASSED_WAITS,
        postgresql_where=PASSED_WAITS,
    )
    if op.get_bind().dialect.name == "postgresql":
        # No statement needs it there, and it doubled what a claim costs. (No version has worked there before.)
        op.drop_index("ix_tickets_lease_until")
    floor = op.create_table(
        "schema_floor",
        sa.Column("revision", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("revision", name="pk_schema_floor"),
    )
    # No earlier program asks for the floor.
    op.bulk_insert(floor, [{"revision": "0002"}])
