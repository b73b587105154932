"""What can be wrong with the database, each with a message that says what to do.

No message carries what was being written, nor the password of a database URL.
"""

import sqlite3

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError


class DatabaseError(Exception):
    """The database cannot be used now. A webhook that meets one is answered 503, so that its sender tries again."""


class UnsuitableUrl(DatabaseError):
    """The database URL cannot be used."""


class NoDatabase(DatabaseError):
    """There is no database yet, or no folder to put it in."""


class InUse(DatabaseError):
    """Another connector process works on the same file."""


class NotOurs(DatabaseError):
    """The file is not a database of the connector."""


class NewerSchema(DatabaseError):
    """A later version of the connector has changed the tables."""


class OlderSchema(DatabaseError):
    """The tables are those of an earlier version, and this command may not change them."""


class ReadOnly(DatabaseError):
    """The database cannot be written."""


class Full(DatabaseError):
    """The disk is full."""


class Busy(DatabaseError):
    """Another process kept the database locked for too long."""


class Damaged(DatabaseError):
    """The file is damaged."""


class Unreachable(DatabaseError):
    """The database did not answer, or failed in a way that may pass."""


# Primary result codes: https://sqlite.org/rescode.html
_SQLITE: dict[int, tuple[type[DatabaseError], str]] = {
    sqlite3.SQLITE_FULL: (Full, "the disk that holds the database is full: make room on it"),
    sqlite3.SQLITE_READONLY: (
        ReadOnly,
        "the database cannot be written: give this user write permission on the file and its folder",
    ),
    sqlite3.SQLITE_BUSY: (Busy, "another process keeps the database locked: close it, or try again"),
    sqlite3.SQLITE_LOCKED: (Busy, "another connection keeps a table locked: try again"),
    sqlite3.SQLITE_NOTADB: (NotOurs, "the file is not a SQLite database: name another one"),
    sqlite3.SQLITE_CORRUPT: (
        Damaged,
        "the database is damaged: move it away and start with an empty one (nothing is posted again)",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        Unreachable,
        "the database cannot be opened: it must be a file, in a folder that this user may write in",
    ),
    sqlite3.SQLITE_IOERR: (Unreachable, "the disk that holds the database fails to read or write"),
}
_POSTGRESQL_DISK_FULL = "53100"


def translated(error: DBAPIError) -> DatabaseError | None:
    """The DatabaseError for an error of the driver, or None if it can only be a mistake in a statement of ours."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None and (code & 0xFF) in _SQLITE:
        kind, message = _SQLITE[code & 0xFF]
        return kind(message)
    if getattr(error.orig, "sqlstate", None) == _POSTGRESQL_DISK_FULL:
        return Full("the database server's disk is full: make room on it")
    if isinstance(error, OperationalError | InterfaceError):
        return Unreachable("the database did not answer as it should: see that it runs and that its URL is right")
    return None
