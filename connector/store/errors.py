"""What can be wrong with the database, each with a message that says what to do.

No message carries what was being written, nor the password of a database URL.
"""

import itertools
import sqlite3

from sqlalchemy.exc import TimeoutError as NoConnectionFree


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
    """A later version of the connector has changed the tables, in a way that this one cannot work with."""


class OlderSchema(DatabaseError):
    """The tables are those of an earlier version, and this command may not change them."""


class ReadOnly(DatabaseError):
    """The database cannot be written."""


class Full(DatabaseError):
    """The disk is full."""


class Busy(DatabaseError):
    """Others kept the database, or what was to be written, locked for too long."""


class Damaged(DatabaseError):
    """The file is damaged."""


class Replaced(DatabaseError):
    """The file that is in use is not the one of that name any more: what is written to it would be lost."""


class ClocksDiffer(DatabaseError):
    """This machine's clock is not that of the database's server, by which nodes know of each other's leases."""


class Unreachable(DatabaseError):
    """The database did not answer, or failed in a way that may pass.

    If that was at the end of a write, the write may have been kept nevertheless: every write is safe to repeat.
    """


class NoAnswer(Exception):
    """Part of the driver's error for a server that does not answer: to ask it again at once would double the wait."""


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
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRESQL: dict[str, tuple[type[DatabaseError], str]] = {
    "53100": (Full, "the database server's disk is full: make room on it"),
    "53300": (Busy, "the database server takes no more connections: raise max_connections, or run fewer nodes"),
    "25006": (ReadOnly, "the database server takes no writes, as a standby does: name the primary in the database URL"),
    "42501": (ReadOnly, "the database refuses this user: make it the owner of the database, or of its tables"),
    "55P03": (Busy, "another session keeps a table or a ticket locked: close it, or try again"),
    "57014": (Busy, "the database server took too long: see what else it is doing"),
    "40P01": (Busy, "two writers waited for each other: try again"),
    "40001": (Busy, "two writers changed the same at once: try again"),
}
# An error of the driver that none of the codes above explains, by its name in PEP 249: the connection, mostly.
_MAY_PASS = set(itertools.product(("sqlite3", "psycopg"), ("OperationalError", "InterfaceError")))


def translated(error: BaseException | None) -> DatabaseError | None:
    """The DatabaseError for an error of the driver, or of SQLAlchemy around it.

    None if it is neither, or can only be a mistake in a statement of ours.
    """
    if isinstance(error, NoConnectionFree):
        return Busy("all connections to the database are in use: see what the database server is doing")
    cause = getattr(error, "orig", error)
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None and (code & 0xFF) in _SQLITE:
        kind, message = _SQLITE[code & 0xFF]
        return kind(message)
    if (state := getattr(cause, "sqlstate", None)) in _POSTGRESQL:
        kind, message = _POSTGRESQL[state]
        return kind(message)
    if _may_pass(cause):
        return Unreachable(
            "the database did not answer as it should: see that it runs, and that its URL, user and password are right"
        )
    return None


def is_worth_repeating(error: Exception) -> bool:
    """Whether what failed so before it was committed is likely to succeed at once: a cut connection, a deadlock."""
    cause = getattr(error, "orig", error)
    if isinstance(cause, NoAnswer) or not hasattr(cause, "sqlstate"):  # which PostgreSQL's errors have
        return False
    state = cause.sqlstate or ""
    # No code at all: the driver itself found the connection gone. Class 08, and 57P0x: the server says so.
    return state in {"40P01", "40001"} or state[:2] == "08" or state[:3] == "57P" or (not state and _may_pass(cause))


def _may_pass(cause: object) -> bool:
    named = {(base.__module__.partition(".")[0], base.__name__) for base in type(cause).__mro__}
    return bool(named & _MAY_PASS)
