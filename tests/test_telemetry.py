"""Logs that show nothing of a case."""

import io
import json
import logging
import re
import sys
import threading
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from connector import telemetry
from connector.inquiry.identifiers import IdentifierError, alien_number, receipt_number
from connector.settings import SettingsError
from connector.telemetry import bind, configure, described, mask, new_correlation_id
from connector.trackers.port import Unavailable

LAW = settings(deadline=None, derandomize=True)  # a busy machine is no mistake

RECEIPT = "WAC1512350123"
ALIEN = "A012345678"
SSN = "123-45-6789"

# ---- Masking

GAPS = st.text(
    alphabet=" -\u00a0\u2009\u2010\u2011\u2013\u2014\u2212\u00ad\u200b\u200d\u202e\ufeff\t\n\u30fc\u0336", max_size=3
)
FULL_WIDTH = {ord(c): chr(ord(c) + 0xFEE0) for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"}
CIRCLED = {ord(str(digit)): chr(0x2460 + digit - 1) for digit in range(1, 10)}


def digits_shown(text: str) -> int:
    """The longest run of digits in `text`, whatever stands between them except letters."""
    plain = unicodedata.normalize("NFKC", text)
    return max((sum(c.isdecimal() for c in run) for run in re.split(r"[^\W\d_]+|[\[\]:]", plain)), default=0)


@st.composite
def spelt(draw: st.DrawFn, characters: str) -> str:
    """`characters` as somebody may have pasted them."""
    gapped = "".join(character + draw(GAPS) for character in characters)
    look = draw(st.sampled_from([{}, FULL_WIDTH, CIRCLED]))
    return draw(st.sampled_from([str.upper, str.lower]))(gapped).translate(look)


@LAW
@given(
    st.sampled_from(["EAC", "WAC", "LIN", "SRC", "MSC", "IOE", "YSC"]),
    st.text("0123456789", min_size=10, max_size=10)
    | st.text("0123456789", min_size=9, max_size=9).map(lambda d: "*" + d),
    st.data(),
)
def test_a_receipt_number_is_masked_in_every_spelling_that_is_read_as_one(prefix: str, rest: str, data: Any) -> None:
    text = f"the case {data.draw(spelt(prefix + rest))} is late"
    try:
        assert receipt_number(text) == prefix + rest
    except IdentifierError:
        assume(False)
    masked = mask(text)
    assert digits_shown(masked) == 0
    assert masked.endswith("is late")


@LAW
@given(st.text("0123456789", min_size=7, max_size=9), st.sampled_from(["", "A", "A#", "A-", "USCIS# "]), st.data())
def test_an_a_number_is_masked_in_every_spelling_that_is_read_as_one(digits: str, label: str, data: Any) -> None:
    text = label + data.draw(spelt(digits))
    try:
        assert alien_number(text) == digits.zfill(9)
    except IdentifierError:
        assume(False)
    assert digits_shown(mask(f"about {text}, which is late")) == 0


@LAW
@given(st.text("0123456789", min_size=9, max_size=9), st.text(" .·•∙_/-", min_size=1, max_size=3))
def test_a_social_security_number_is_masked_whatever_divides_it(digits: str, gap: str) -> None:
    assert digits_shown(mask(f"SSN {digits[:3]}{gap}{digits[3:5]}{gap}{digits[5:]}.")) == 0


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"ticket about {RECEIPT} is late", "ticket about [receipt number] is late"),
        ("WAC-15-123-50123", "[receipt number]"),
        ("EAC*123456789", "[receipt number]"),
        ("call 1512350123 now", "call [number] now"),
        ("born 1990-12-31", "born [number]"),
        ("1-800-375-5283", "[number]"),
        ("write to maria.lopez+case@example.org now", "write to [e-mail] now"),
        ("maria@localhost", "[e-mail]"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization [secret]"),
        ("cookie: a=1; JSESSIONID=0123abc", "cookie [secret]"),
        ("sent Bearer abc123def456", "sent Bearer [secret]"),
        ("X-Hub-Signature: sha256=a4771c39fbe90f31", "X-Hub-Signature: [secret]"),
        ("api_token='s3cret' was refused", "api_token=[secret] was refused"),
        ("postgresql://user:p%40ss@db/x", "postgresql://[secret]db/x"),
        ("POST /webhooks/case/my secret/with slash", "POST /webhooks/case/[secret]"),
        ("GET //WEBHOOKS/case/s3cret?x", "GET //WEBHOOKS/case/[secret]"),
        ("one\r\nlevel=error two", "one level=error two"),
        ("in\u200bvisi\u202eble", "invisible"),
        ("x" * 3000, "x" * 2000 + "…"),
        # What must stay readable
        ("ticket CASE-12 in 0.25 s, try 3 of 8", "ticket CASE-12 in 0.25 s, try 3 of 8"),
        ("listening on 127.0.0.1:8080", "listening on 127.0.0.1:8080"),
        ("POST /webhooks/case", "POST /webhooks/case"),
        ("basic authentication was refused: the token expired", "basic authentication was refused: the token expired"),
        ("Maren Müßig schläft", "Maren Müßig schläft"),
    ],
)
def test_what_is_masked_and_what_stays(text: str, shown: str) -> None:
    assert mask(text) == shown


@LAW
@given(st.text(max_size=5000))
@example("\ud800 lone surrogate")
@example("://" * 2000)
@example("token" * 1000)
@example("1-" * 2500)
def test_any_text_becomes_one_line_of_bounded_length(text: str) -> None:
    masked = mask(text)
    assert len(masked) <= 2001
    assert masked.isprintable()


WORDS = [
    "attended",
    "awaiting_ncsc",
    "at_",
    "a",
    "_",
    "basic",
    "bearer",
    "authorization",
    "cookie",
    "token",
    "secret",
    "sha",
]


@LAW
@given(
    st.text(max_size=60)
    | st.text("abcz_  ", max_size=200)
    | st.lists(st.sampled_from(WORDS) | st.text("abcz_ AZ09=:@/.-\n", max_size=9)).map(" ".join)
    | st.lists(st.sampled_from(WORDS)).map("_".join)
    | st.from_regex(telemetry._HARMLESS, fullmatch=True)
)
@example("bearer abcdefgh_")
@example("a" * 5000)
@example("attended\n")
def test_the_short_way_for_harmless_texts_shows_what_the_rules_show(text: str) -> None:
    assert mask(text) == telemetry._mask_by_rules(text)


def test_our_own_words_go_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(telemetry, "_mask_by_rules")
    for text in ("attended", "look failed", "awaiting_service_center", "attend_at"):
        assert mask(text) == text


@LAW
@given(st.integers(3980, 4000))
def test_a_number_across_the_end_of_what_is_read_does_not_show_in_part(where: int) -> None:
    # Regression: its first digits alone are no number, and what stands before them shrinks when it is masked.
    before = ("maria.lopez@example.org " * 200)[:where]
    assert digits_shown(mask(f"{before} 1512350123")) == 0


# ---- Logs


@pytest.fixture(params=["json", "console"])
def log_format(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def stream(log_format: Any) -> Iterator[io.StringIO]:
    """The log of the process; the process is left as it was."""
    root = logging.getLogger()
    handlers, level, hooks = list(root.handlers), root.level, (sys.excepthook, threading.excepthook)
    out = io.StringIO()
    configure(log_format, out)
    yield out
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook, threading.excepthook = hooks
    structlog.reset_defaults()


only_json = pytest.mark.parametrize("log_format", ["json"], indirect=True)


def last(stream: io.StringIO) -> Any:
    return json.loads(stream.getvalue().splitlines()[-1])


class Colour(Enum):
    RED = "red"


class Ticket:
    """A class whose repr tells too much, as that of any dataclass."""

    def __repr__(self) -> str:
        return f"Ticket({RECEIPT})"


@only_json
def test_a_json_line_has_utc_time_level_logger_event_and_values(stream: io.StringIO) -> None:
    moment = datetime(2026, 3, 1, 15, 15, tzinfo=UTC)
    structlog.get_logger("connector.here").info(
        "acted",
        source="case",
        attend_at=moment,
        took=timedelta(seconds=1.5),
        colour=Colour.RED,
        stage=None,
        ok=True,
        n=3,
    )
    line = last(stream)
    stamp = datetime.fromisoformat(line.pop("timestamp"))
    assert stamp.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - stamp) < timedelta(minutes=1)
    assert line == {
        "event": "acted",
        "level": "info",
        "logger": "connector.here",
        "source": "case",
        "attend_at": "2026-03-01T15:15:00+00:00",
        "took": 1.5,
        "colour": "red",
        "stage": None,
        "ok": True,
        "n": 3,
    }


@only_json
def test_values_are_masked_at_every_depth_and_objects_are_told_by_class(stream: io.StringIO) -> None:
    structlog.get_logger().info(
        f"event {RECEIPT}",
        reason=ALIEN,
        nested={"list": [{"deep": (SSN, {RECEIPT})}], RECEIPT: 1},
        number=12345678,
        body=b"secret",
        ticket=Ticket(),
        path=Path("/webhooks/case/s3cret"),
        api_token="s3cret",
        headers={"Authorization": "s3cret", "X-Hub-Signature": "s3cret"},
        error=ValueError(RECEIPT),
        _private=ALIEN,
    )
    line = last(stream)
    assert line["event"] == "event [receipt number]"
    assert line["reason"] == "A[number]"
    assert line["nested"] == {"list": [{"deep": ["[number]", ["[receipt number]"]]}], "[receipt number]": 1}
    assert line["number"] == "[number]"
    assert line["body"] == "[6 bytes]"
    assert line["ticket"] == "<Ticket>"
    assert line["path"] == "/webhooks/case/[secret]"
    assert line["api_token"] == "[secret]"
    assert line["headers"] == {"Authorization": "[secret]", "X-Hub-Signature": "[secret]"}
    assert line["error"] == {"type": "ValueError"}
    assert line["_private"] == "A[number]"


@only_json
def test_ids_are_shown_but_not_what_else_stands_under_their_names(stream: io.StringIO) -> None:
    log = structlog.get_logger()
    log.info(
        "x", ticket_id="1001234567", key="CASE-12", ref="12345678", correlation_id="0123456789ab", refs=["98765432"]
    )
    line = last(stream)
    assert (line["ticket_id"], line["key"], line["ref"]) == ("1001234567", "CASE-12", "12345678")
    assert (line["correlation_id"], line["refs"]) == ("0123456789ab", ["98765432"])
    log.info("x", ticket_id=f"of {ALIEN}", key="WAC-1512350123", ref=RECEIPT)
    line = last(stream)
    assert (line["ticket_id"], line["key"], line["ref"]) == ("of A[number]", "[receipt number]", "[receipt number]")


def test_an_endless_value_is_cut(stream: io.StringIO) -> None:
    loop: dict[str, Any] = {}
    loop["again"] = loop
    structlog.get_logger().info("x", loop=loop, long=list(range(1000)))
    assert re.search(r"\[(…|\\u2026)\]", stream.getvalue())
    assert "999" not in stream.getvalue()


@pytest.mark.parametrize(
    "name", ["jira", "urllib3.connectionpool", "waitress", "apscheduler.executors", "sqlalchemy.pool"]
)
def test_what_libraries_log_is_masked(stream: io.StringIO, name: str) -> None:
    try:
        raise RuntimeError(f"answer of Jira: {RECEIPT}")
    except RuntimeError:
        logging.getLogger(name).exception(
            "failed for %s at %s", RECEIPT, "https://a:hunter2@jira.example", stack_info=True
        )
    shown = stream.getvalue()
    assert "[receipt number]" in shown
    assert RECEIPT not in shown
    assert "hunter2" not in shown
    assert "RuntimeError" in shown
    assert name in shown


def test_what_libraries_chat_about_is_left_out(stream: io.StringIO) -> None:
    logging.getLogger("apscheduler.scheduler").info("Added job")
    logging.getLogger("urllib3").debug("GET /rest")
    logging.getLogger("waitress.queue").warning("Task queue depth is 1")
    assert stream.getvalue() == ""


def test_a_record_that_cannot_be_written_is_told_without_its_arguments(
    stream: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    # Regression: logging prints such a record's arguments to stderr.
    record = logging.LogRecord("jira", logging.ERROR, __file__, 1, "%s and %s", (RECEIPT,), None)
    for handler in logging.getLogger().handlers:
        if getattr(handler, "stream", None) is stream:  # not pytest's own
            handler.handle(record)
    assert stream.getvalue() == "a log record of jira could not be written\n"
    assert capsys.readouterr().err == ""


def raise_with_cause() -> None:
    secret_local = RECEIPT
    try:
        dict[str, str]()[secret_local]
    except KeyError as error:
        raise Unavailable(f"Jira did not answer about {ALIEN}") from error


@only_json
def test_an_exception_is_told_by_type_our_message_and_places(stream: io.StringIO) -> None:
    try:
        raise_with_cause()
    except Unavailable:
        structlog.get_logger().exception("look failed")
    raised = last(stream)["raised"]
    assert raised["type"] == "Unavailable"
    assert raised["message"] == "Jira did not answer about A[number]"
    assert re.fullmatch(r"(\w+/)*tests/test_telemetry\.py:\d+:raise_with_cause", raised["at"][-1])
    assert raised["cause"]["type"] == "KeyError"
    assert "message" not in raised["cause"]
    assert RECEIPT not in stream.getvalue()
    assert "secret_local" not in stream.getvalue()


def test_an_identifiers_own_message_stays_in_the_ticket() -> None:
    with pytest.raises(IdentifierError) as caught:
        receipt_number("WAC15123")
    assert "WAC15123" in caught.value.message
    assert described(caught.value)["message"] == "too_short"


def test_a_group_of_exceptions_is_told_part_by_part() -> None:
    group = ExceptionGroup(RECEIPT, [ValueError(RECEIPT), SettingsError(["CONNECTOR_LISTEN: write host:port"])])
    assert described(group) == {
        "type": "ExceptionGroup",
        "parts": [{"type": "ValueError"}, {"type": "SettingsError", "message": "CONNECTOR_LISTEN: write host:port"}],
    }


def test_a_circle_of_causes_ends() -> None:
    one, two = ValueError(), ValueError()
    one.__cause__, two.__cause__ = two, one
    assert str(described(one)).count("ValueError") == 5


def test_exceptions_nobody_caught_are_logged_and_not_printed(
    stream: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        raise ValueError(RECEIPT)

    thread = threading.Thread(target=work, name="attend-0")
    thread.start()
    thread.join()
    assert "attend-0" in stream.getvalue()
    try:
        work()
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)
    assert stream.getvalue().count("uncaught exception") == 2
    assert RECEIPT not in stream.getvalue()
    assert RECEIPT not in capsys.readouterr().err


@only_json
def test_what_is_bound_stands_on_every_line_and_only_while_bound(stream: io.StringIO) -> None:
    identity = new_correlation_id()
    with bind(correlation_id=identity, note=RECEIPT):
        logging.getLogger("jira").warning("slow")
        assert last(stream)["correlation_id"] == identity
        assert last(stream)["note"] == "[receipt number]"
    structlog.get_logger().info("x")
    assert "correlation_id" not in last(stream)
    assert new_correlation_id() != identity


def test_configuring_twice_does_not_log_twice(log_format: Any, stream: io.StringIO) -> None:
    second = io.StringIO()
    configure(log_format, second)
    structlog.get_logger().info("once")
    assert stream.getvalue() == ""
    assert second.getvalue().count("once") == 1
