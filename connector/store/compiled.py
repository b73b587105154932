"""Statements of the hot paths: written with SQLAlchemy like the others, compiled once, run on the driver's connection.

SQLAlchemy's own way of running one costs several times what the database needs for it.
"""

from collections.abc import Iterable
from typing import Any, cast

from sqlalchemy import ClauseElement, Connection, Dialect, Executable
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.compiler import SQLCompiler

from connector.store.tables import Moment, microseconds, moment_at

Values = dict[str, Any]
Row = tuple[Any, ...]


class Compiled:
    """A statement for one kind of database. The values of its bindparams are given by name.

    PostgreSQL plans it at its first run on a connection, and not after a few, if its execution options say `planned`.
    """

    def __init__(self, statement: ClauseElement, dialect: Dialect) -> None:
        self._is_sqlite = is_sqlite = dialect.name == "sqlite"
        # SQLite's driver takes :names as well as question marks, and names can stand in any order.
        named = sqlite.dialect(paramstyle="named") if is_sqlite else dialect
        compiled = cast("SQLCompiler", statement.compile(dialect=named))
        self.text = str(compiled)
        given, binds = compiled.params, compiled.bind_names
        self._constants = {name: given[name] for bind, name in binds.items() if not bind.required}
        self._moments = [name for bind, name in binds.items() if bind.required and isinstance(bind.type, Moment)]
        answered = getattr(statement, "exported_columns", ())
        self._moments_answered = [place for place, column in enumerate(answered) if isinstance(column.type, Moment)]
        planned = isinstance(statement, Executable) and statement.get_execution_options().get("planned", False)
        self._how = {"prepare": True} if planned and not is_sqlite else {}  # psycopg's word for it

    def run(self, driver: Any, values: Values) -> Any:
        """Run it on the driver's connection; its cursor."""
        return driver.execute(self.text, self._bound(values), **self._how)

    def run_many(self, driver: Any, values: Iterable[Values]) -> None:
        """Run it once for each set of values.

        On PostgreSQL in a round trip each, and not in one pipeline: a session whose line goes dead in the midst of a
        pipeline is idle for no time-out of the server's, and keeps its locks for as long as TCP lets it.
        """
        if self._is_sqlite:
            driver.cursor().executemany(self.text, [self._bound(each) for each in values])
            return
        for each in values:
            self.run(driver, each)

    def run_each(self, driver: Any, values: Values, each: Iterable[Values]) -> None:
        """Run it once for each, the other `values` being the same for all. No moment is among those of each."""
        bound = self._bound({**dict.fromkeys(self._moments), **values})
        driver.cursor().executemany(self.text, [{**bound, **own} for own in each])

    def rows(self, cursor: Any) -> list[Row]:
        """What run() answered."""
        rows: list[Row] = cursor.fetchall()
        return [self._read(row) for row in rows] if self._moments_answered else rows

    def _bound(self, values: Values) -> Values:
        bound = {**self._constants, **values}
        for name in self._moments:
            if (moment := bound[name]) is not None:
                bound[name] = microseconds(moment)
        return bound

    def _read(self, row: Row) -> Row:
        read = list(row)
        for place in self._moments_answered:
            if read[place] is not None:
                read[place] = moment_at(read[place])
        return tuple(read)


def driver_of(connection: Connection) -> Any:
    """The driver's own connection, in the same transaction."""
    return connection.connection.dbapi_connection
