"""The history of the tables, run by Alembic from within the program: no alembic.ini, no command of its own.

To add a step: change tables.py, write the next file in versions/ (numbered, `down_revision` the one before), and run
the store's tests, which compare the two.

**Expand, run both, contract.** Nodes are replaced one by one, so for a while the version before works on the tables of
the next. A step therefore only adds: a table, a nullable column (or one with a server default), an index. What an
earlier version does not know it neither fills nor reads. Removing, renaming, tightening waits for a later release, when
no node needs the old shape any more; that step raises the floor:

    op.execute("UPDATE schema_floor SET revision = '0007'")   # the oldest head that can work on what this step leaves

A program that meets a revision it does not know works on if its own head is the floor or above (revisions are compared
as text, so they are numbered with four digits), and refuses to start otherwise. Raise it only after all of them know.

**Locks.** A step is one transaction. Adding a column takes a moment; an index on a large table keeps every writer
waiting while it is built (2 s for a million tickets; webhooks are answered 503 after 5 s, and come again). Give it
`if_not_exists=True`, so that who has millions of tickets can build it beforehand with CREATE INDEX CONCURRENTLY, and
say so in the changelog.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

_FOLDER = Path(__file__).parent


def known_revisions() -> frozenset[str]:
    """Every revision that this version of the connector knows."""
    return frozenset(script.revision for script in ScriptDirectory(str(_FOLDER)).walk_revisions())


def head() -> str:
    """The revision that this version of the connector works with."""
    revision = ScriptDirectory(str(_FOLDER)).get_current_head()
    if revision is None:
        raise FileNotFoundError("the package was installed without its migrations")
    return revision


def current(connection: Connection) -> str | None:
    """The revision of the database, or None if it has never been migrated."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(connection: Connection) -> None:
    """Bring the tables to the head, inside the caller's transaction."""
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
