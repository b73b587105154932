"""What several commands share: how they fail, their options, the settings, the sources and the database."""

import functools
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from connector.mapping.loading import MappingError
from connector.settings import Settings, SettingsError
from connector.trackers.port import TrackerError

if TYPE_CHECKING:
    from connector.attention.look import Look
    from connector.attention.source import Source
    from connector.store import Store

P = ParamSpec("P")
R = TypeVar("R")

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
SOURCE = click.option("--source", "source_name", metavar="NAME", help="The source, if there are several.")

HOW_TO_BEGIN = (
    "copy the example for your tracker in field_mappings/ (*.example.yaml) to a name of your own that ends in "
    ".yaml, or let CONNECTOR_MAPPINGS name your mapping or its folder"
)


class Failure(click.ClickException):
    """What went wrong and what to do, on one or more lines; ends the command with status 1."""

    def show(self, file: Any = None) -> None:
        click.echo(self.format_message(), err=True, file=file)


def failures_told(command: Callable[P, R]) -> Callable[P, R]:
    """Let a command fail with a sentence rather than a traceback."""

    @functools.wraps(command)
    def told(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (click.ClickException, SystemExit):
            raise
        except TrackerError as error:
            raise Failure(error.message) from error
        except _failures() as error:
            raise Failure(str(error)) from error
        except OSError as error:
            if error.filename is None:  # no file of the user's: a closed pipe, which click knows how to end on
                raise
            raise Failure(f"{error.filename}: {error.strerror}") from error

    return told


def _failures() -> tuple[type[Exception], ...]:
    """The failures whose text is a message for people. Asked for only when something has failed."""
    from connector.application import ConfigurationError  # noqa: PLC0415  on demand
    from connector.store.errors import DatabaseError  # noqa: PLC0415  on demand
    from connector.web.server import ListenError  # noqa: PLC0415  on demand

    return SettingsError, MappingError, ConfigurationError, DatabaseError, ListenError


def counted(number: int, what: str) -> str:
    """1 ticket, 2 tickets."""
    return f"{number} {what}{'' if number == 1 else 's'}"


# Settings, sources and the database


def read_settings() -> Settings:
    """The settings of this process's environment. Raises SettingsError."""
    return Settings.from_environment(os.environ)


def see_that_there_are_mappings(path: Path) -> None:
    """Raise Failure, with how to begin, if the mapping file or folder is not there."""
    if not path.exists():
        raise Failure(f"{path} is not there; {HOW_TO_BEGIN}")


def quiet_logs() -> None:
    """Warnings only, on standard error, and masked like those of the service."""
    from connector.telemetry import configure  # noqa: PLC0415  on demand

    configure("console")
    logging.getLogger().setLevel(logging.WARNING)


def open_store() -> "Store":
    """The store, beside the service that may be running on it. Raises DatabaseError."""
    from connector.store import Store, open_database  # noqa: PLC0415  on demand

    return Store(open_database(read_settings().database_url, exclusive=False))


def chosen_sources(name: str | None) -> list["Source"]:
    """Every source, or the one of that name. Makes no call yet. Raises Failure if no source has that name."""
    from connector.application import load_sources  # noqa: PLC0415  on demand

    quiet_logs()
    mappings = read_settings().mappings
    see_that_there_are_mappings(mappings)
    sources = load_sources(mappings)
    if name is None:
        return list(sources.values())
    if name not in sources:
        raise Failure(f"there is no source {name}; there {_are(list(sources))}")
    return [sources[name]]


def _are(names: Sequence[str]) -> str:
    return f"is only {names[0]}" if len(names) == 1 else f"are: {', '.join(names)}"


@contextmanager
def asking(source: "Source") -> Iterator[None]:
    """What the tracker answers wrongly is told with the source that it concerns."""
    try:
        yield
    except TrackerError as error:
        raise Failure(f"{source.name}: {error.message}") from error
    finally:
        source.tracker.close()


def previewed(source: "Source", ticket_id: str, now: datetime, told: frozenset[str] = frozenset()) -> "Look | None":
    """What would be done on a ticket, as attention.preview tells it."""
    from connector.attention.preview import preview  # noqa: PLC0415  on demand

    return preview(source, ticket_id, now, told=told)


@contextmanager
def counter(label: str, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A counter on the terminal for work whose length nobody knows beforehand (Jira Cloud tells no total)."""
    shown = sys.stderr.isatty() and not quiet

    def advance(count: int) -> None:
        if shown:
            click.echo(f"\r{label}: {counted(count, 'ticket')}", nl=False, err=True)

    yield advance
    if shown:
        click.echo("", err=True)
