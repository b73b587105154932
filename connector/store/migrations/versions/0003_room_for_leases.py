"""On PostgreSQL each page of the tickets keeps room for a second version of its rows.

A lease changes no indexed column, so it costs no index as long as the new version lies in the same page
(https://www.postgresql.org/docs/current/storage-hot.html). Takes a moment and waits for nobody. Pages that are full
already get their room with VACUUM FULL, which locks the table, or little by little as tickets change.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE tickets SET (fillfactor = 50)")
