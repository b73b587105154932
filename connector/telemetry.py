"""Structured logs, in which everything a case says is masked.

Logs are for operators, who need not and must not see cases. Our own code logs ticket ids, keys, stages and refs; but a
library may log or raise anything, so whatever reaches the log passes mask() first. An exception is told by its type and
by where it was raised. Its message is shown only if the exception is one of ours: another may quote a request, an
answer or a field's value.
"""

import json
import logging
import re
import secrets
import sys
import threading
import traceback
import unicodedata
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import date, datetime, time, timedelta
from enum import Enum
from pathlib import PurePath
from types import TracebackType
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor

log = structlog.get_logger(__name__)

# ---- Masking

_SHOWN = 2_000  # characters of a text that a log line shows
_READ = 4_000  # characters of a text that are looked at
_DEPTH = 6  # levels of a nested value that are shown
_ITEMS = 50  # items of a list or mapping that are shown

_GAP = r"[ .·•∙。_/,*-]*"
_RECEIPT = re.compile(rf"(?<![^\W\d_])(?:[^\W\d_]{_GAP}){{3}}[*\d](?:{_GAP}\d){{9}}(?!{_GAP}\d)")
_RULES = (
    # The last part of the path is a shared secret, and may hold anything: nothing behind it is shown.
    (re.compile(r"(/webhooks/[^/]*/).*", re.I), r"\1[secret]"),
    (re.compile(r"""\b((?:proxy-)?authorization|(?:set-)?cookie)["']? ?[=:].+""", re.I), r"\1 [secret]"),
    (re.compile(r"://[^ ]*@"), "://[secret]"),
    (re.compile(r"\b((?i:basic|bearer)) (?=[^ ]*[0-9A-Z=+/_~])[^ ]{8,}"), r"\1 [secret]"),
    (re.compile(r"\bsha\d{1,3}=[^ ]+", re.I), "[secret]"),
    (
        re.compile(r"""((?:password|passwd|secret|token|api[_-]?key)[\w-]*["']? ?[=:] ?)[^ ]+""", re.I),
        r"\1[secret]",
    ),
    (re.compile(r"""(?<![^ @,;:<>()"'])[^ @,;:<>()"']++@[^ @,;:<>()"']+"""), "[e-mail]"),
    (_RECEIPT, "[receipt number]"),
    # A-numbers, Social Security numbers, telephone numbers, dates of birth: any seven digits that belong together.
    (re.compile(rf"\d(?:{_GAP}\d){{6,}}"), "[number]"),
)
# No rule finds anything in such texts, which most are: events, keys, stages, and other words of our own.
_HARMLESS = re.compile(r"[a-z]{1,40}(?: [a-z]{1,40}){0,20}|[a-z_]{1,80}")
_CUT = re.compile(r"(?<![\W\d_])[\W\d_]++\Z")  # the first part of a number, perhaps, too short to be known for one
_SECRET_KEY = re.compile(r"password|passwd|secret|token|api[_-]?key|authorization|cookie|credential|signature", re.I)
_IDENTIFIER_KEYS = frozenset({"ticket_id", "key", "ref", "refs", "correlation_id"})
_IDENTIFIER = re.compile(r"[A-Za-z0-9_:.#-]{1,64}")
_MORE_DASHES = "\u00ad\u2043\u2212\u02d7\u207b\u208b\u30fc"  # those that Unicode does not count as dashes (Pd)
_CONTROLS = dict.fromkeys((*range(32), 127), " ")


def mask(text: str) -> str:
    """`text` on one line, with receipt numbers, other long numbers, e-mail addresses and secrets masked.

    The numbers are found in every spelling that inquiry/identifiers.py reads: with spaces or dashes of any kind, full
    width, with marks in between that print nothing. So the text comes back plain: compatibility forms folded (NFKC),
    white space single, invisible characters dropped. At most 2,000 characters are shown.
    """
    return text if _HARMLESS.fullmatch(text) else _mask_by_rules(text)


def _mask_by_rules(text: str) -> str:
    masked = _plain(text[:_READ])
    if len(text) > _READ:
        masked = _CUT.sub("", masked)
    for pattern, shown in _RULES:
        masked = pattern.sub(shown, masked)
    return masked if len(masked) <= _SHOWN else masked[:_SHOWN] + "…"


def _plain(text: str) -> str:
    if text.isascii():
        folded = text.translate(_CONTROLS)
    else:
        folded = "".join(_plain_character(character) for character in unicodedata.normalize("NFKC", text))
    return " ".join(folded.split())


def _plain_character(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Pd" or character in _MORE_DASHES:
        return "-"
    if category in {"Cc", "Zs", "Zl", "Zp"}:
        return " "
    return "" if category[0] == "C" or category in {"Mn", "Me"} else character


def _masked(key: str, value: object, depth: int = 0) -> Any:
    """The value as a log may show it: plain JSON. An object of any other class is told by the class alone."""
    shown: Any
    if isinstance(value, Enum):
        shown = _masked(key, value.value, depth)
    elif value is None or isinstance(value, bool):
        shown = value
    elif _SECRET_KEY.search(key):
        shown = "[secret]"
    elif depth > _DEPTH:
        shown = "[…]"
    elif isinstance(value, Mapping):
        pairs = list(value.items())[:_ITEMS]
        shown = {mask(str(name)): _masked(str(name), item, depth + 1) for name, item in pairs}
    elif isinstance(value, list | tuple | set | frozenset):
        shown = [_masked(key, item, depth + 1) for item in list(value)[:_ITEMS]]
    else:
        shown = _masked_scalar(key, value)
    return shown


def _masked_scalar(key: str, value: object) -> Any:
    shown: Any = f"<{type(value).__name__}>"
    match value:
        case str() | int() if key in _IDENTIFIER_KEYS and _IDENTIFIER.fullmatch(str(value)):
            shown = _RECEIPT.sub("[receipt number]", str(value))
        case str():
            shown = mask(value)
        case int() | float():
            shown = value if abs(value) < 1_000_000 else "[number]"
        case datetime() | date() | time():
            shown = value.isoformat()
        case timedelta():
            shown = value.total_seconds()
        case PurePath():
            shown = mask(str(value))
        case bytes() | bytearray():
            shown = f"[{len(value)} bytes]"
        case BaseException():
            shown = described(value)
    return shown


# ---- Exceptions


def described(error: BaseException, *, depth: int = 4) -> dict[str, Any]:
    """An exception as a log may show it: {type, message, at, cause, parts}; all but type only where there is one.

    `message` is that of our own exceptions, masked. `at` are the places it passed, as file:line:function, the innermost
    last: no source lines and no values.
    """
    kind = type(error)
    shown: dict[str, Any] = {"type": kind.__qualname__}
    if kind.__module__.startswith("connector."):
        shown["message"] = mask(str(error))
    else:
        shown["type"] = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    if error.__traceback__ is not None:
        shown["at"] = [
            f"{'/'.join(PurePath(frame.f_code.co_filename).parts[-3:])}:{line}:{frame.f_code.co_name}"
            for frame, line in list(traceback.walk_tb(error.__traceback__))[-20:]
        ]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if depth > 0 and cause is not None:
        shown["cause"] = described(cause, depth=depth - 1)
    if depth > 0 and isinstance(error, BaseExceptionGroup):
        shown["parts"] = [described(part, depth=depth - 1) for part in error.exceptions[:5]]
    return shown


def _with_error(_: object, __: str, event: EventDict) -> EventDict:
    """Replace whatever tells of an exception by `raised`, and drop stacks: their source lines may hold anything."""
    exc_info = event.pop("exc_info", None)
    event.pop("stack_info", None)
    event.pop("exception", None)
    if exc_info is True:
        exc_info = sys.exc_info()
    error = exc_info[1] if isinstance(exc_info, tuple) else exc_info
    if isinstance(error, BaseException):
        event["raised"] = described(error)
    return event


# ---- Logs

_NOT_SHOWN = frozenset({"exc_info", "stack_info", "_record", "_from_structlog"})  # taken away before a line is written
_QUIET = ("alembic", "apscheduler", "jira", "opentelemetry", "sentry_sdk", "sqlalchemy", "urllib3", "waitress")
_OBSERVERS = ("opentelemetry", "sentry_sdk")  # they send what forward() hands on


class _Handler(logging.StreamHandler[TextIO]):
    """Writes to a stream; says no more than that a record could not be written, where logging would print it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        try:
            self.stream.write(f"a log record of {record.name} could not be written\n")
        except (OSError, ValueError):
            return  # the stream itself is gone: there is nobody to tell


def configure(log_format: Literal["console", "json"], stream: TextIO | None = None) -> None:
    """Send the logs of this process, those of libraries among them, to `stream` (stderr): a line of text or JSON each.

    Uncaught exceptions are logged in the same way instead of being printed with their messages.
    """
    stream = stream or sys.stderr
    renderer: Processor = structlog.processors.JSONRenderer()
    if log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=stream.isatty())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = _Handler(stream)
    handler.setFormatter(_formatter(renderer))
    root = logging.getLogger()
    for earlier in [one for one in root.handlers if isinstance(one, _Handler)]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a queue of requests is no news
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def _shared() -> list[Processor]:
    """What every event passes, whoever logs it."""
    return [
        structlog.contextvars.merge_contextvars,
        _mask_event,
        _with_error,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _formatter(renderer: Processor) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        foreign_pre_chain=_shared(),
    )


class _Forwarder(logging.Handler):
    """Hands errors on, and warnings with an exception that was not foreseen, as plain JSON, masked as in the log."""

    def __init__(self, receive: Callable[[dict[str, Any]], object]) -> None:
        super().__init__(logging.WARNING)
        self._receive = receive
        self.setFormatter(_formatter(structlog.processors.JSONRenderer()))

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.partition(".")[0] not in _OBSERVERS:
            try:
                shown = json.loads(self.format(record))
                if record.levelno >= logging.ERROR or "raised" in shown:
                    self._receive(shown)
            except Exception:  # noqa: BLE001  the log has the error itself; there is nobody to tell of this one
                return


def forward(receive: Callable[[dict[str, Any]], object]) -> Callable[[], None]:
    """Hand every error that is logged to `receive`, as the log shows it, until the returned function is called.

    So are warnings that come with an exception: one that nobody foresaw. What is handed on has `event`, `level`,
    `logger`, `timestamp`, what was logged and bound, and `raised` (see described()).
    """
    handler = _Forwarder(receive)
    logging.getLogger().addHandler(handler)
    return lambda: logging.getLogger().removeHandler(handler)


def _mask_event(_: object, __: str, event: EventDict) -> EventDict:
    kept = {key: value for key, value in event.items() if key in _NOT_SHOWN}
    return kept | {mask(key): _masked(key, value) for key, value in event.items() if key not in _NOT_SHOWN}


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    log.critical("uncaught exception", exc_info=error)


def _log_uncaught_in_thread(hook: threading.ExceptHookArgs) -> None:
    if hook.exc_value is not None and hook.exc_type is not SystemExit:
        log.critical("uncaught exception", thread=hook.thread and hook.thread.name, exc_info=hook.exc_value)


def new_correlation_id() -> str:
    """A fresh id that ties together the log lines of one request and of what follows from it."""
    return secrets.token_hex(6)


def bind(**values: object) -> AbstractContextManager[Any]:
    """Add these values to every log line of this thread, those of libraries among them, while the block runs."""
    return structlog.contextvars.bound_contextvars(**values)
