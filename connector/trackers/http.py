"""One HTTP exchange with a tracker: sent once, never redirected, bounded in size, and its failures told apart.

What a broken exchange means is the same for every tracker and decided here; what an answer means is each adapter's
own matter. Nothing is logged here: URLs, bodies and headers are the caller's to keep to itself.
"""

import json
import os
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import requests
import urllib3.exceptions
from requests.structures import CaseInsensitiveDict

from connector.trackers.deadline import tame
from connector.trackers.late import sending
from connector.trackers.port import AccessRefused, Misconfigured, TrackerError, Turns, Unavailable

MAX_BODY = 32 * 1024 * 1024  # bytes, unpacked; no page of 100 tickets comes near it
_CHUNK = 64 * 1024

DEFAULT_PAUSE = 60.0  # seconds, where a tracker asks for a pause and does not say how long
SHORTEST_PAUSE = 1.0
LONGEST_PAUSE = timedelta(days=1).total_seconds()

BAD_ADDRESS = "The tracker's address cannot be used. Check tracker.url: https:// and the host's name."

# Either of `user:token` in a header, or a header's value, could not be put into a request at all.
_UNSENDABLE = (
    "The tracker's user or token holds characters that cannot be sent. Copy the token again, without line breaks."
)


_NO_AUTHORITIES = (
    "The file of certificate authorities cannot be read. Check REQUESTS_CA_BUNDLE, or else SSL_CERT_FILE: the path of "
    "a file with certificates in PEM form."
)

# What is wrong with a certificate, by OpenSSL's number (X509_V_ERR_... in its x509_vfy.h).
_CERTIFICATE_FAULTS = {
    9: "is not valid yet; check this machine's clock, too",
    10: "has expired",
    18: "is signed by nobody but itself",
    19: "comes from an authority that is not trusted here",
    20: "comes from an authority that is not trusted here",
    21: "comes from an authority that is not trusted here",
    62: "is for another host than tracker.url names",
    64: "is for another address than tracker.url names",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `body` is unpacked and never longer than MAX_BODY."""

    status: int
    headers: Mapping[str, str]  # keys in any case
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The body as JSON. Raises ValueError, without a word of the body, if it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise ValueError("the body is not JSON") from None

    @property
    def is_page(self) -> bool:
        """Whether this is a web page: a log-in form, a proxy's or a maintenance page."""
        return "html" in self.headers.get("Content-Type", "").lower() or self.body.lstrip()[:1] == b"<"


def exchange(
    session: requests.Session,
    method: str,
    url: str,
    *,
    timeout: tuple[float, float],
    changes: bool,
    params: Mapping[str, str | int] | None = None,
    body: Any = None,
    auth: Callable[[requests.PreparedRequest], requests.PreparedRequest] | None = None,
    pace: Turns | None = None,
) -> Answer:
    """Send one request, once, and read its answer, whatever its status.

    `timeout`: seconds to connect, and between two bytes of the answer, which must have come whole within
    deadline.ANSWER_SECONDS. `changes` says whether the request may change anything at the tracker: then a failure after
    sending leaves the outcome unknown. `body` is sent as JSON. `auth` replaces the session's own. `pace` is waited for
    first. Raises Unavailable, AccessRefused or Misconfigured, what `pace` raises, and TooLate (late.changes_only_if).

    `requests.Session.request` is called past any override of it, so that no subclass tries again or logs the answer.
    """
    if pace is not None:
        pace.wait()
    tame(session)
    try:
        with sending(method, changes=changes):
            response = requests.Session.request(
                session,
                method,
                url,
                params=params,
                json=body,
                timeout=timeout,
                auth=auth,
                allow_redirects=False,
                stream=True,
                verify=_authorities(),
            )
        with response:
            content = _read(response, changes)
    except requests.RequestException as error:
        # `from None`: the foreign exception names URLs and proxies, and is of no use to whoever reads our message.
        raise _failure(error, changes) from None
    except ValueError:
        # Of http.client, which repeats the whole Authorization header in its message.
        raise AccessRefused(_UNSENDABLE) from None
    except OSError:
        # Of requests itself, of a file that does not exist; whatever fails on the way is a RequestException.
        raise _untrusted(_NO_AUTHORITIES, changes) from None
    return Answer(response.status_code, CaseInsensitiveDict(response.headers), content)


def _authorities() -> str | None:
    """The file of trusted authorities that the environment names; None leaves it to requests, which knows two names."""
    if os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE"):
        return None
    return os.environ.get("SSL_CERT_FILE") or None


def _read(response: requests.Response, changes: bool) -> bytes:
    content = bytearray()
    for chunk in response.iter_content(_CHUNK):
        content += chunk
        if len(content) > MAX_BODY:
            raise Unavailable("The tracker's answer is far too long to be one of its own.", outcome_unknown=changes)
    return bytes(content)


def _failure(error: requests.RequestException, changes: bool) -> TrackerError:
    if isinstance(
        error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema | requests.exceptions.MissingSchema
    ):
        return Misconfigured(BAD_ADDRESS)
    if isinstance(error, requests.exceptions.InvalidHeader):
        return AccessRefused(_UNSENDABLE)
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _untrusted(_certificate_message(cause.verify_code), changes)
    unsent = isinstance(error, requests.ConnectTimeout) or any(isinstance(cause, _NEVER_SENT) for cause in causes)
    if isinstance(error, requests.exceptions.SSLError):
        message = (
            "The encrypted connection to the tracker failed. Check that tracker.url names a port that speaks TLS, the "
            "tracker's certificate, and REQUESTS_CA_BUNDLE if it is set."
        )
    elif isinstance(error, requests.exceptions.ProxyError):
        message = "The proxy could not be used. Check HTTPS_PROXY and NO_PROXY."
    elif isinstance(error, requests.Timeout) or any(
        isinstance(each, urllib3.exceptions.ReadTimeoutError) for each in causes
    ):
        message = "The tracker did not answer in time."
    elif unsent:
        message = "The tracker cannot be reached. Check tracker.url, the network, and that the tracker runs."
    else:
        message = "The connection to the tracker broke off."
    return Unavailable(message, outcome_unknown=changes and not unsent)


# Failures that come before a byte of the request is sent.
_NEVER_SENT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
)


def _untrusted(message: str, changes: bool) -> TrackerError:
    """Nothing was sent. The source waits for an admin. A change is no ticket's refusal: it comes again after a look."""
    return Unavailable(message) if changes else AccessRefused(message)


def _certificate_message(code: int) -> str:
    fault = _CERTIFICATE_FAULTS.get(code, f"was not accepted (OpenSSL's code {code})")
    return (
        f"The tracker's certificate {fault}. Nothing was sent. Mend the certificate; where the office has its own "
        "authority, name its file in REQUESTS_CA_BUNDLE or SSL_CERT_FILE."
    )


def _causes(error: object) -> Iterator[object]:
    """The error and what it wraps. requests and urllib3 hand causes on in `args`, `reason` and `original_error`."""
    for _ in range(10):
        yield error
        inner = getattr(error, "reason", None) or getattr(error, "original_error", None)
        if inner is None and isinstance(error, Exception):
            inner = next((each for each in error.args if isinstance(each, Exception)), None)
        if not isinstance(inner, Exception):
            return
        error = inner


# Rate limits


def pause_asked(headers: Mapping[str, str], now: datetime) -> float:
    """The pause in seconds that an answer asks for, between SHORTEST_PAUSE and LONGEST_PAUSE.

    `Retry-After` in seconds, decimals or as an HTTP date (RFC 9110 section 10.2.3), else the moment in
    `X-RateLimit-Reset` (facts: jira 2), else DEFAULT_PAUSE. Moments are held against the answer's own `Date`, so that
    a clock that is wrong here does no harm.
    """
    here = _http_date(headers.get("Date", "")) or now
    seconds = _seconds(headers.get("Retry-After", ""), here)
    if seconds is None:
        seconds = _until(_iso_moment(headers.get("X-RateLimit-Reset", "")), here)
    if seconds is None:
        seconds = DEFAULT_PAUSE
    return min(max(seconds, SHORTEST_PAUSE), LONGEST_PAUSE)


def _seconds(text: str, here: datetime) -> float | None:
    text = text.strip()
    if re.fullmatch(r"[+-]?\d{1,300}(\.\d*)?", text, re.ASCII):
        return float(text)
    return _until(_http_date(text), here)


def _until(moment: datetime | None, here: datetime) -> float | None:
    return None if moment is None else (moment - here).total_seconds()


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _iso_moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


# Messages of a tracker

_QUOTED = re.compile(r"""(?<!\w)(?:'(.+?)'|"(.+?)"|“(.+?)”|‘(.+?)’)(?!\w)""", re.DOTALL)
_LONG_NUMBER = re.compile(r"\d(?:[ .\-‐-―]?\d){6,}")
_EMAIL = re.compile(r"\S+@\S+")
_LONGEST_MESSAGE = 300


def masked(text: str, keep: Callable[[str], bool]) -> str:
    """A tracker's own message, on one line, fit for logs: it may quote what a ticket holds.

    Quoted parts stay only if `keep` knows them (names of fields, the scope); long numbers and addresses never do.
    """

    def veiled(quoted: re.Match[str]) -> str:
        inner = next(part for part in quoted.groups() if part is not None)
        return quoted[0] if keep(inner) else "“…”"

    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    line = _EMAIL.sub("…", _LONG_NUMBER.sub("…", _QUOTED.sub(veiled, line)))
    return line if len(line) <= _LONGEST_MESSAGE else line[: _LONGEST_MESSAGE - 1] + "…"
