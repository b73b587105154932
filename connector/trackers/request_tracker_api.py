"""Calls to Request Tracker's REST API 2, and what its answers mean. Facts: request-tracker, "REST2 quirks".

Every call is made once. RT answers 200 to a change that it refused, so a change is never taken for done by its answer:
the adapter looks again. RT's own words are for people alone: they are in the account's language.
"""

import re
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Literal

import requests

from connector.trackers.http import Answer, exchange, masked, pause_asked
from connector.trackers.port import (
    AccessRefused,
    Misconfigured,
    RateLimited,
    Refused,
    TicketGone,
    TrackerError,
    Turns,
    Unavailable,
)

Json = dict[str, Any]
Params = Mapping[str, str | int]
# Whom a refusal concerns: one ticket, or the source as a whole (its scope, its fields, the account).
About = Literal["ticket", "source"]

PAGE = 100  # RT gives no more at once
# So many pages in a row may be empty because the account may not see what stands on them, where RT tells no total.
UNSEEN_PAGES = 10

LOGIN = (
    "Request Tracker refused the connector's account. Check that tracker.token is an authentication token that has not "
    "expired or been revoked, of an account that is not disabled."
)
REDIRECT = (
    "Request Tracker answered with a redirect, as to its log-in page. Check tracker.url (https, the exact host, the "
    "path if RT has one), the token, and any single sign-on that stands in front of /REST/2.0."
)
IN_FRONT = "Something in front of Request Tracker refused the call: a proxy or a firewall."
NO_API = "There is no Request Tracker REST API at this address. Check tracker.url, and that RT is 5.0 or later."
FORM = "Request Tracker's answer has not the form that its documentation tells."

# Where in RT's own code a search was refused is of no use to anybody.
_PLACE_IN_CODE = re.compile(r"\s+at \S+ line \d+\.?\s*$")
# A ticket's ETag is the id of its last transaction. Proxies that compress make W/"48" or "48-gzip" of it.
_ETAG = re.compile(r'"(\d+)')


class Changed(Unavailable):
    """The ticket is not any more as the call supposed (status 412). Nothing was done."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of what is listed. What the account may not see is left out, so that a short one may not be the last.

    `last` is whether no page follows: None where RT does not tell, as where hidden things would have to be counted.
    """

    items: list[Json]
    last: bool | None


class RequestTrackerApi:
    """Calls to one Request Tracker. Thread safe.

    `token` is asked before every call, so that a rotated secret is used at once. `keep` tells which quoted parts of
    RT's messages may be repeated. No cookie is kept: RT lets in whom a cookie names before it looks at the token.
    """

    def __init__(
        self,
        *,
        url: str,
        token: Callable[[], str],
        timeout: tuple[float, float],
        clock: Callable[[], datetime],
        keep: Callable[[str], bool],
        pace: Turns | None = None,
    ) -> None:
        self._base, self._token = f"{url.rstrip('/')}/REST/2.0/", token
        self._timeout, self._clock, self._keep, self._pace = timeout, clock, keep, pace
        self._of_thread = threading.local()
        self._sessions_lock = threading.Lock()
        self._sessions: weakref.WeakSet[requests.Session] = weakref.WeakSet()
        self._ahead = timedelta(0)

    def now(self) -> datetime:
        """RT's own time, to the second, by the `Date` of its last answer; our time before there was one."""
        return self._clock() + self._ahead

    def get(self, path: str, *, about: About, params: Params | None = None) -> Json:
        """The object at `path` (below /REST/2.0/). Raises TrackerError."""
        return self._get(path, about, params)[0]

    def get_tagged(self, path: str) -> tuple[Json, str | None]:
        """A ticket, and its ETag as `change` takes it: None if whatever stands in front of RT took it away."""
        found, answer = self._get(path, "ticket", None)
        tag = _ETAG.search(answer.headers.get("ETag", ""))
        return found, f'"{tag[1]}"' if tag else None

    def page(self, path: str, *, about: About, params: Params) -> Page:
        """One page of what is listed at `path`: objects with numbers for ids."""
        found = self.get(path, about=about, params={"per_page": PAGE, **params})
        items = found.get("items")
        if not isinstance(items, list) or not all(map(_has_number, items)):
            raise Unavailable(FORM)
        # `pages` is null where `total` is; and `next_page` is told only where they are not.
        return Page(items, None if found.get("pages") is None else "next_page" not in found)

    def walk(self, path: str, *, about: About, params: Params, sees_all: bool) -> Iterator[Json]:
        """All pages of a list that only grows.

        Where RT does not tell which page is the last, that is one that is not full, if the account may see everything
        that is listed. Otherwise the list has come to its end after UNSEEN_PAGES empty ones.
        """
        number, empty = 1, 0
        while True:
            page = self.page(path, about=about, params={**params, "page": number})
            yield from page.items
            empty = 0 if page.items else empty + 1
            is_whole = sees_all and len(page.items) < PAGE
            if page.last or (page.last is None and (is_whole or empty == UNSEEN_PAGES)):
                return
            number += 1

    def change(self, method: str, path: str, body: Json, *, if_match: str | None = None) -> str:
        """A change on a ticket; returns RT's own words about it, masked. They may be those of a refusal.

        With `if_match`, an ETag, raises Changed if the ticket has another one. RT takes that on PUT alone, and looks
        before it changes: two changes in the same moment may both be made.
        """
        call = Call("ticket", changes=True, keep=self._keep)
        said = _parsed(self._answer(method, path, call, body=body, if_match=if_match), call)
        words = [each for each in said if isinstance(each, str)] if isinstance(said, list) else []
        return " · ".join(masked(each, self._keep) for each in words if each.strip())

    def close(self) -> None:
        """Give back the connections of all threads."""
        with self._sessions_lock:
            sessions = list(self._sessions)
            self._sessions.clear()
            self._of_thread = threading.local()
        for session in sessions:
            session.close()

    def current_token(self) -> str:
        """The token as it is now. Raises AccessRefused if it is empty."""
        token = self._token().strip()
        if not token:
            raise AccessRefused("The tracker's token is empty. Check what tracker.token names.")
        return token

    def _get(self, path: str, about: About, params: Params | None) -> tuple[Json, Answer]:
        call = Call(about, changes=False, keep=self._keep)
        answer = self._answer("GET", path, call, params=params)
        found = _parsed(answer, call)
        if not isinstance(found, dict):
            raise Unavailable(FORM)
        return found, answer

    def _answer(
        self,
        method: str,
        path: str,
        call: "Call",
        *,
        params: Params | None = None,
        body: Any = None,
        if_match: str | None = None,
    ) -> Answer:
        token = self.current_token()

        def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
            # Not "Bearer", which RT does not know.
            request.headers["Authorization"] = f"token {token}"
            if if_match is not None:
                request.headers["If-Match"] = if_match
            return request

        answer = exchange(
            self._session(),
            method,
            self._base + path,
            timeout=self._timeout,
            changes=call.changes,
            params=params,
            body=body,
            auth=authorize,
            pace=self._pace,
        )
        now = self._clock()
        error = error_of(answer, call, now)
        if error is not None:
            raise error
        told = _date(answer)
        if told is not None:
            self._ahead = told - now
        return answer

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._of_thread, "session", None)
        if session is None:
            session = requests.Session()
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            self._of_thread.session = session
            with self._sessions_lock:
                self._sessions.add(session)
        return session


@dataclass(frozen=True, slots=True)
class Call:
    """What was asked, as far as the meaning of the answer depends on it."""

    about: About
    changes: bool
    keep: Callable[[str], bool]  # the quoted parts of RT's messages that may be repeated


def error_of(answer: Answer, call: Call, now: datetime) -> TrackerError | None:
    """What went wrong, or None for an answer with a status of success."""
    status = answer.status
    if status == 429 or (status == 503 and "Retry-After" in answer.headers):
        seconds = pause_asked(answer.headers, now)
        message = f"Request Tracker asks for a pause of {seconds:.0f} seconds."
        return RateLimited(message, retry_after=seconds, whole_source=True)
    if status == 401:
        return AccessRefused(LOGIN)
    if 300 <= status < 400:
        return AccessRefused(REDIRECT)
    if status in {408, 409, 412, 425}:
        # Only 408 may have had an effect.
        unknown = call.changes and status == 408
        kind = Changed if status == 412 else Unavailable
        return kind(f"Request Tracker could not take the call now (status {status}).", outcome_unknown=unknown)
    if status >= 500:
        # RT dies with an empty body in the middle of things: a comment may stand although its call failed.
        return Unavailable(f"Request Tracker is not well (status {status}).", outcome_unknown=call.changes)
    return _refused(answer, call) if status >= 400 else None


def _refused(answer: Answer, call: Call) -> TrackerError:
    said = _message(answer)
    if answer.status == 404:
        # Only RT itself can say that a ticket is gone; a page says nothing about tickets.
        gone = call.about == "ticket" and said is not None
        return (
            TicketGone("Request Tracker has no such ticket, or this account may not see it.")
            if gone
            else Misconfigured(NO_API)
        )
    if answer.status == 403 and said is None:
        return AccessRefused(IN_FRONT)
    words = masked(_PLACE_IN_CODE.sub("", said), call.keep) if said else f"status {answer.status}, without a reason"
    if call.about == "ticket":
        return Refused(f"Request Tracker refused the call: {words}")
    if answer.status == 403:
        return AccessRefused(f"Request Tracker refused the connector's account: {words}")
    return Misconfigured(f"Request Tracker refused a question about the source (scope): {words}")


def _date(answer: Answer) -> datetime | None:
    """When the answer was given, by the clock of who gave it."""
    try:
        told = parsedate_to_datetime(answer.headers.get("Date", ""))
    except (ValueError, OverflowError):
        return None
    return told if told.tzinfo else None


def _has_number(item: object) -> bool:
    return isinstance(item, dict) and re.fullmatch(r"[0-9]{1,19}", str(item.get("id")), re.ASCII) is not None


def _message(answer: Answer) -> str | None:
    """RT's own `{"message": "..."}`, or None if the answer is not RT's."""
    try:
        body = answer.json()
    except ValueError:
        return None
    message = body.get("message") if isinstance(body, dict) else None
    return message if isinstance(message, str) else None


def _parsed(answer: Answer, call: Call) -> Any:
    """The JSON of a successful answer. A web page with status 200 is none, and what was sent may not have arrived."""
    try:
        return answer.json()
    except ValueError:
        text = answer.body[:65536].lower()
        if answer.is_page and (b"login" in text or b"log in" in text or b"sign in" in text):
            raise AccessRefused(f"Request Tracker answered with a log-in page. {LOGIN}") from None
        what = "a web page" if answer.is_page else "something that is not JSON"
        message = f"Request Tracker answered with {what}. If it goes on like this, check tracker.url."
        raise Unavailable(message, outcome_unknown=call.changes) from None
