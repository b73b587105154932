"""The history of the tables, run by Alembic from within the program: no alembic.ini, no command of its own.

To add a step: change tables.py, write the next file in versions/ (numbered, `down_revision` the one before), and run
the store's tests, which compare the two.
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
