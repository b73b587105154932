"""What Zammad's answers mean: from a status, headers and an error body to a TrackerError. Facts: zammad 2.1, 2.2.

Zammad's own words are kept as far as they help: masked, as they may quote what a ticket holds.
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

# Whom a refusal concerns: one ticket, or the source as a whole (searches, states, the account).
About = Literal["ticket", "source"]

LOGIN = (
    "Zammad refused the connector's token. Check that it has not been deleted, that its user is active, and that token "
    "access (api_token_access) is switched on in Zammad."
)
EXPIRED = "The connector's token in Zammad has expired. Make a new one in the profile of the connector's user."
NO_LOGIN = (
    "Zammad did not see any token. Check tracker.token, and that no proxy in front of Zammad takes away the header "
    "Authorization."
)
REDIRECT = (
    "Zammad answered with a redirect. Check tracker.url (https, the exact host) and any single sign-on before it."
)
IN_FRONT = "Something in front of Zammad refused the call: a proxy, a firewall, or a list of allowed addresses."
NO_API = "There is no Zammad REST API at this address. Check tracker.url."
MAINTENANCE = "Zammad is in maintenance mode and takes calls of administrators only."

_ERROR_ID = re.compile(r"\bError ID ([0-9A-Za-z-]{1,40})\b")


class Rejected(Refused):
    """Zammad refused what was sent. `reason` is its own words, masked."""

    def __init__(self, reason: str, what: str = "the call") -> None:
        self.reason = reason
        super().__init__(f"Zammad refused {what}: {reason}")

    def told(self, what: str) -> "Rejected":
        """The same, as the refusal of `what`."""
        return Rejected(self.reason, what)


@dataclass(frozen=True, slots=True)
class Call:
    """What was asked, as far as the meaning of the answer depends on it."""

    about: About
    changes: bool
    keep: Callable[[str], bool]  # the quoted parts of Zammad's messages that may be repeated


def error_of(answer: Answer, call: Call, now: datetime) -> TrackerError | None:
    """What went wrong, or None for an answer with a status of success."""
    status = answer.status
    if status < 300:
        return None
    if status == 429 or (status == 503 and "Retry-After" in answer.headers):
        seconds = pause_asked(answer.headers, now)
        message = f"Zammad, or what stands in front of it, asks for a pause of {seconds:.0f} seconds for all calls."
        return RateLimited(message, retry_after=seconds, whole_source=True)
    if status < 400:
        return AccessRefused(REDIRECT)
    if status in {408, 409, 425}:
        # Of the three only 408 may have had an effect. Zammad itself answers none of them.
        unknown = call.changes and status == 408
        return Unavailable(f"Zammad could not take the call now (status {status}).", outcome_unknown=unknown)
    if status >= 500:
        return Unavailable(f"Zammad is not well (status {status}).", outcome_unknown=call.changes)
    return _refused(answer, call)


def _refused(answer: Answer, call: Call) -> TrackerError:
    text = _error_text(answer)
    if answer.status == 401:
        return AccessRefused(EXPIRED if "expired" in text.lower() else LOGIN)
    if answer.status == 403:
        return _forbidden(text, call)
    if answer.status == 404:
        # Only Zammad itself can say that a ticket is gone; a proxy's 404, or one for an unknown route, says nothing.
        gone = call.about == "ticket" and text and "route" not in text.lower()
        return TicketGone("Zammad has no such ticket any more.") if gone else Misconfigured(NO_API)
    rejected = Rejected(explained(text, call.keep) or f"status {answer.status}, without a reason")
    return rejected if call.about == "ticket" else Misconfigured(rejected.told("a question about the source").message)


def _forbidden(text: str, call: Call) -> TrackerError:
    """403 has four meanings here; the message alone tells which (facts: zammad 2.1)."""
    if not text:
        return AccessRefused(IN_FRONT)
    if "maintenance" in text.lower():
        return Unavailable(MAINTENANCE)
    if "authentication required" in text.lower():
        return AccessRefused(NO_LOGIN)
    if call.about == "ticket":
        return Rejected(
            f"the connector's account may not do this ({masked(text, call.keep)}). It needs the permission "
            "ticket.agent, in its role and in its token, and full access to the group"
        )
    return AccessRefused(
        f"Zammad does not let the connector's account do this ({masked(text, call.keep)}). Check the permissions of "
        "its role and of its token."
    )


def explained(text: str, keep: Callable[[str], bool]) -> str:
    """A message of Zammad's, masked; one that Zammad itself has hidden is said to be so, with what it may be.

    To accounts that are no administrators Zammad hides most reasons behind an Error ID (facts: zammad 2.2).
    """
    hidden = _ERROR_ID.search(text)
    if not hidden:
        return masked(text, keep)
    return (
        f"Zammad keeps the reason from this account. An administrator finds it in Zammad's log under Error ID "
        f"{hidden[1]}. Usually an attribute that must be filled in on the edit screen is empty, or a core workflow "
        "does not allow the value"
    )


def _error_text(answer: Answer) -> str:
    """`error` of `{"error": "...", "error_human": "..."}`, or nothing."""
    try:
        body = answer.json()
    except ValueError:
        return ""
    if not isinstance(body, Mapping):
        return ""
    texts = (body.get(key) for key in ("error", "error_human"))
    return next((text for text in texts if isinstance(text, str) and text.strip()), "")
