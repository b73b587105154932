"""What Jira's answers mean: from a status, headers and an error body to a TrackerError. Facts: jira 2, "Error bodies".

Jira's own words are kept as far as they help: masked, as they may quote what a ticket holds.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from connector.trackers.http import Answer, masked, pause_asked
from connector.trackers.port import (
    AccessRefused,
    Misconfigured,
    RateLimited,
    Refused,
    TicketGone,
    TrackerError,
    Unavailable,
)

# Whom a refusal concerns: one ticket, or the source as a whole (fields, searches, the account).
About = Literal["ticket", "source"]

LOGIN = (
    "Jira refused the connector's account. Check that the token has not expired or been revoked, and tracker.user: "
    "the account's e-mail address on Cloud, left out for a personal access token of Data Center. A scoped token of "
    "Cloud only works where tracker.url is https://api.atlassian.com/ex/jira/ and the site's cloud id."
)
CAPTCHA = "Jira wants this account to log in once in a browser (CAPTCHA) before it lets it in again."
REDIRECT = (
    "Jira answered with a redirect, as to a log-in page. Check tracker.url (https, the exact host, the context path), "
    "the token, and any single sign-on that stands in front of Jira."
)
IN_FRONT = "Something in front of Jira refused the call: a proxy, a firewall, or Jira's list of allowed addresses."
NO_API = "There is no Jira REST API at this address. Check tracker.url, its context path included."

PER_ISSUE = "jira-per-issue-on-write"  # the one RateLimit-Reason that concerns a single ticket (facts: jira 2)


# What Jira says of itself, in the words of its own source. Any other text may be a validator's that an office wrote,
# and may name people: it is told on the ticket alone.
_OF_ITSELF = (
    re.compile(r"Field (?:'(.+)'|“…”) cannot be set\. It is not on the appropriate screen, or unknown\."),
    re.compile(r"(.+) is required\.?"),
    re.compile(r"Issue does not exist or you do not have permission to see it\."),
    re.compile(r"You do not have (?:the )?permission to [a-z ]{1,60}\.?"),
    re.compile(r"The entered text is too long\.(?: It exceeds the allowed limit of [\d,.]+ characters\.)?"),
    re.compile(r"Operation value must be an? [a-z ]{1,40}\.?"),
)


class Rejected(Refused):
    """Jira refused what was sent. `messages` and `errors` (by field id) are its own words, masked.

    The message names the fields and says what Jira says of itself; the rest of its words are for staff.
    """

    def __init__(
        self,
        status: int,
        messages: tuple[str, ...],
        errors: Mapping[str, str],
        what: str = "the call",
        label: Callable[[str], str] = str,
        keep: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.status, self.messages, self.errors, self._keep = status, messages, dict(errors), keep
        whole = [*messages, *(f"{label(name)}: {text}" for name, text in errors.items())]
        shown = [text for text in messages if self._is_of_itself(text)]
        for name, text in errors.items():
            shown.append(f"{label(name)}: {text}" if self._is_of_itself(text, name, label(name)) else label(name))
        bare = f"status {status}"
        if status == 413:
            shown.append("the ticket has as many comments as Jira allows (its comment limit), or this one is too large")
        unsaid = "; its reason is left out, as it may name people" if whole else ", without a reason"
        reasons = " · ".join(shown) or bare + unsaid
        super().__init__(
            f"Jira refused {what}: {reasons}", for_staff=f"Jira refused {what}: {' · '.join(whole) or bare}"
        )

    def told(self, what: str, label: Callable[[str], str] = str) -> "Rejected":
        """The same, as the refusal of `what`, with fields called by their labels."""
        return Rejected(self.status, self.messages, self.errors, what, label, self._keep)

    def _is_of_itself(self, text: str, *names: str) -> bool:
        found = next((match for known in _OF_ITSELF if (match := known.fullmatch(text))), None)
        return found is not None and all(name is None or name in names or self._keep(name) for name in found.groups())


class InternalError(Unavailable):
    """500. Data Center answers so, too, to a transition that is not open any more (its REST documentation)."""


@dataclass(frozen=True, slots=True)
class Call:
    """What was asked, as far as the meaning of the answer depends on it."""

    method: str
    about: About
    changes: bool
    keep: Callable[[str], bool]  # the quoted parts of Jira's messages that may be repeated


def error_of(answer: Answer, call: Call, now: datetime) -> TrackerError | None:
    """What went wrong, or None for an answer with a status of success."""
    status = answer.status
    if status == 429 or (status == 503 and "Retry-After" in answer.headers):
        return _rate_limited(answer, now)
    if status == 401 or (400 <= status < 500 and _login_failed(answer)):
        return AccessRefused(CAPTCHA if _wants_captcha(answer) else LOGIN)
    if 300 <= status < 400:
        return AccessRefused(REDIRECT)
    if status in {408, 409, 425}:
        # 409: somebody else writes to the ticket at this moment. None of the three has had an effect but, perhaps, 408.
        return Unavailable(
            f"Jira could not take the call now (status {status}).", outcome_unknown=_unknown(call, status)
        )
    if status >= 500:
        kind = InternalError if status == 500 else Unavailable
        return kind(f"Jira is not well (status {status}).", outcome_unknown=call.changes)
    return _refused(answer, call) if status >= 400 else None


def login_page(answer: Answer) -> bool:
    """Whether a page that came instead of JSON asks for a log-in."""
    text = answer.body[:65536].lower()
    return b"log in" in text or b"login" in text or b"sign in" in text


def _unknown(call: Call, status: int) -> bool:
    return call.changes and status == 408


def _rate_limited(answer: Answer, now: datetime) -> RateLimited:
    seconds = pause_asked(answer.headers, now)
    one_ticket = answer.headers.get("RateLimit-Reason", "").strip().lower() == PER_ISSUE
    what = "this ticket" if one_ticket else "all calls"
    return RateLimited(
        f"Jira asks for a pause of {seconds:.0f} seconds for {what}.", retry_after=seconds, whole_source=not one_ticket
    )


def _login_failed(answer: Answer) -> bool:
    # Without a valid login Jira may go on as for an anonymous visitor and say 403 or even 404: the ticket is not gone.
    reason = answer.headers.get("X-Seraph-LoginReason", "").upper()
    anonymous = answer.headers.get("X-AUSERNAME", "").lower() == "anonymous"
    return "AUTHENTICATION_DENIED" in reason or "AUTHENTICATED_FAILED" in reason or anonymous or _wants_captcha(answer)


def _wants_captcha(answer: Answer) -> bool:
    denied = answer.headers.get("X-Authentication-Denied-Reason", "").upper()
    return "CAPTCHA" in denied or "AUTHENTICATION_DENIED" in answer.headers.get("X-Seraph-LoginReason", "").upper()


def _refused(answer: Answer, call: Call) -> TrackerError:
    body = _error_body(answer)
    if answer.status == 404:
        # Only Jira itself can say that a ticket is gone; a proxy's 404 page says nothing about tickets.
        gone = call.about == "ticket" and "errorMessages" in body
        return TicketGone("Jira has no such ticket, or this account may not see it.") if gone else Misconfigured(NO_API)
    if answer.status == 403 and not body:
        return AccessRefused(IN_FRONT)
    rejected = Rejected(answer.status, _messages(body, call), _field_errors(body, call), keep=call.keep)
    if call.about == "ticket":
        return rejected
    if answer.status == 403:
        return AccessRefused(rejected.told("the connector's account").for_staff)
    # A search or the list of fields: what Jira says of these is about the mapping, not about a ticket.
    return Misconfigured(rejected.told("a question about the source").for_staff)


def _error_body(answer: Answer) -> Mapping[str, object]:
    """`{"errorMessages": [...], "errors": {field: message}}`, or nothing."""
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _messages(body: Mapping[str, object], call: Call) -> tuple[str, ...]:
    listed = body.get("errorMessages")
    texts = listed if isinstance(listed, list) else []
    return tuple(masked(text, call.keep) for text in texts if isinstance(text, str))


def _field_errors(body: Mapping[str, object], call: Call) -> dict[str, str]:
    errors = body.get("errors")
    texts = errors if isinstance(errors, dict) else {}
    return {
        masked(str(name), call.keep): masked(text, call.keep) for name, text in texts.items() if isinstance(text, str)
    }
