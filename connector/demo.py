"""The demo: a practice tracker with sample cases and the connector beside it, sharing a clock that can be moved."""

import logging
import os
import queue
import re
import secrets
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Self
from zoneinfo import ZoneInfo

from connector.inquiry.wording import day_text
from connector.practice.clock import PracticeClock
from connector.practice.sample import CONNECTOR_TOKEN, sample_world
from connector.practice.server import PracticeServer
from connector.practice.world import Event
from connector.service import Service
from connector.settings import Settings
from connector.web.server import ListenError

SOURCE = "cases"
OFFICE = ZoneInfo("America/New_York")
POLL_SECONDS = 15


class Demo:
    """Runs until it is left; everything it keeps is in a folder that goes with it. Raises ListenError."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stack = ExitStack()
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        _see_that_it_is_free(self._port)
        with ExitStack() as stack:
            stack.enter_context(_no_proxy_for_this_machine())
            stack.enter_context(_no_word_of_lost_leases())
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="connector-demo-")))
            clock = PracticeClock()
            # In the middle of the office's morning, so that a day later the office's hour has passed, whenever it is.
            clock.set(clock.now().astimezone(OFFICE).replace(hour=10, minute=30))
            self.tracker = stack.enter_context(PracticeServer(sample_world(clock), port=self._port))
            secret = secrets.token_urlsafe(24)
            self.service = Service(_settings(folder, self.tracker.url, secret), clock.now)
            stack.callback(self.service.stop)
            self.tracker.world.listeners.append(self._events.put)
            self.service.start()
            self.tracker.hooks.register(f"{self.service.web.url}/webhooks/{SOURCE}", secret)
            clock.on_move.append(lambda _moment: self.service.wake())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def welcome(self) -> str:
        """What a visitor reads first."""
        return f"""
  The practice tracker:  {self.tracker.url}
  The connector:         {self.service.web.url}/readyz   and /metrics

  Open the first address. Eight invented cases stand at different steps, and the
  connector has already written to them.

   1. Move the clock by a day: on CASE-3 the wait after the call passes, and the
      letter arrives.
   2. On CASE-1 fill in what the comment asks for: the call sheet follows.
   3. Move CASE-3 to "E-mailed Service Center", then the clock by 22 days:
      Headquarters is next.

  Ctrl-C ends it; nothing is kept. What the connector does, as it does it:
"""

    def news(self) -> Iterator[str]:
        """What the connector has done on tickets since the last call, a line for each act."""
        while not self._events.empty():
            event = self._events.get()
            if event.actor is self.tracker.world.connector:
                yield from _lines(event)


def _lines(event: Event) -> Iterator[str]:
    if event.kind == "comment_created" and event.comment:
        first = event.comment.body.strip().partition("\n")[0]
        yield f"  {event.issue.key}: comment: {_plain(first)}"
    for item in event.change.items if event.change else ():
        raw, readable = item.after
        if item.field_id == "duedate" and raw:
            yield f"  {event.issue.key}: due on {day_text(date.fromisoformat(raw))}"
        else:
            verb = "moved to" if item.field_id == "status" else f"{item.field} set to"
            yield f"  {event.issue.key}: {verb} {readable or 'nothing'}"


def _plain(wiki: str) -> str:
    """A line of Jira's markup without its marks for bold and its escapes."""
    return re.sub(r"(?<!\\)\*|\\(?=[^\w\s])", "", wiki)


def _see_that_it_is_free(port: int) -> None:
    """Raise ListenError if it is not. The practice server itself would end the process."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ListenError(
                f"cannot listen on 127.0.0.1:{port} ({error.strerror}): end what listens there, or try --port 0"
            ) from error


@contextmanager
def _no_word_of_lost_leases() -> Iterator[None]:
    """A moved clock outlives the lease of every look in hand. Such a ticket is looked at again: nothing to warn of."""

    def worth_a_word(record: logging.LogRecord) -> bool:
        return not (isinstance(record.msg, dict) and record.msg.get("event") == "lease lost")

    logger = logging.getLogger("connector.attention.attend")
    logger.addFilter(worth_a_word)
    try:
        yield
    finally:
        logger.removeFilter(worth_a_word)


@contextmanager
def _no_proxy_for_this_machine() -> Iterator[None]:
    """An office's proxy must not be asked for the way from this machine to itself."""
    before = os.environ.get("no_proxy")
    others = before or os.environ.get("NO_PROXY")
    os.environ["no_proxy"] = f"{others},127.0.0.1" if others else "127.0.0.1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["no_proxy"]
        else:
            os.environ["no_proxy"] = before


def _settings(folder: Path, tracker_url: str, webhook_secret: str) -> Settings:
    """The settings of an ordinary service, with its files in the demo's folder."""
    mapping = resources.files("connector.practice").joinpath("demo-mapping.yaml").read_text(encoding="utf-8")
    (folder / f"{SOURCE}.yaml").write_text(mapping.replace("{{ url }}", tracker_url), encoding="utf-8")
    (folder / "token").write_text(CONNECTOR_TOKEN, encoding="utf-8")
    (folder / "webhook-secret").write_text(webhook_secret, encoding="utf-8")
    return Settings.from_environment(
        {
            "CONNECTOR_MAPPINGS": str(folder),
            "CONNECTOR_DATABASE_URL": f"sqlite:///{folder / 'connector.sqlite3'}",
            "CONNECTOR_LISTEN": "127.0.0.1:0",
            "CONNECTOR_POLL_SECONDS": str(POLL_SECONDS),
        }
    )
