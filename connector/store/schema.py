"""Whether the tables are those of this version, of an earlier or of a later one; and bringing them up to date."""

from sqlalchemy import Connection, inspect, select, text, update

from connector.store import migrations
from connector.store.errors import NewerSchema, NotOurs
from connector.store.tables import schema_floor, tickets

_TURN = 5_280_283_000_112_021  # the key of our advisory lock: any number that is nobody else's
_LOCK_SECONDS = 5


def is_older(connection: Connection, name: str) -> bool:
    """Whether the tables lack something that this version needs. `name` is how errors call the database.

    Raises NotOurs for another program's tables, and NewerSchema for those of a later version that this one cannot work
    with. Those that it can (the floor says so) are as good as its own.
    """
    revision = migrations.current(connection)
    if revision is None and inspect(connection).get_table_names():
        raise NotOurs(f"{name} holds tables that are not the connector's: name another database")
    if revision is None or revision in migrations.known_revisions():
        return revision != migrations.head()
    floor = floor_of(connection)
    if floor is None or floor > migrations.head():
        raise NewerSchema(
            f"{name} was made by a later version of the connector (schema {revision}): install that version, or"
            " start with another database"
        )
    return False


def floor_of(connection: Connection) -> str | None:
    """The oldest head that a program must know to work on these tables."""
    if not inspect(connection).has_table(schema_floor.name):
        return None
    return connection.scalar(select(schema_floor.c.revision))


def wait_for_turn(connection: Connection) -> None:
    """Let one process at a time migrate, however long that takes (PostgreSQL). Ends with the transaction.

    From then on the transaction waits for no other lock longer than a webhook would: whatever waits for a table stops
    all who come after it.
    """
    connection.connection.dbapi_connection.patience = None  # type: ignore[union-attr]  # of PatientConnection
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    connection.execute(text("SET LOCAL lock_timeout = 0"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _TURN})
    connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'"))


def bring_up_to_date(connection: Connection, name: str) -> None:
    """Migrate, unless another process has done so meanwhile. The connection is one of Database.migrating()."""
    if is_older(connection, name):
        migrations.upgrade(connection)


def free_leases(connection: Connection) -> None:
    """Free every lease: no other process can hold one. A look cut short by a kill counts as a failed one."""
    connection.execute(
        update(tickets)
        .where(tickets.c.lease_until.is_not(None))
        .values(lease_until=None, lease_token=None, attempts=tickets.c.attempts + 1)
    )
