"""Acts and their refs: what is to be done on a ticket, and how it is recognised as done."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Literal

from connector.inquiry.case import Case, Moment
from connector.inquiry.markup import literal, ref_line
from connector.inquiry.wording import Letter

ActKind = Literal["comment", "transition", "set_field", "due_date"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One thing to do on the ticket, done once: when all its refs are known there, it is done.

    `to` is a comment's addressee (address or number, if it has one), a transition's status, a set_field's fact, a due
    date's day (ISO). `body` is a comment's Markdown without its ref line, or the moment (UTC ISO-8601) to set.
    """

    kind: ActKind
    ref: str
    to: str | None = None
    body: str | None = None
    step: int = 1
    also: tuple[str, ...] = ()  # refs of the single problems that the comment tells of: none is told twice
    letter: Letter | None = None  # the e-mail that the comment asks to send
    concludes: bool = False  # the stage's own comment, posted last: where it is found, the stage's other acts are done

    @property
    def refs(self) -> tuple[str, ...]:
        return (self.ref, *self.also)

    def signed(self, notes: Sequence[str] = ()) -> str:
        """A comment's whole Markdown: the body, notes of what could not be done, and the line with its refs."""
        return "\n\n".join([self.body or "", *map(literal, notes), ref_line(self.step, self.refs)])


def make_ref(case: Case, step: str, follows: Moment | None = None, addressee: str = "") -> str:
    """The ref of an act: a short hash of ticket, step, moment of the contact it follows, addressee.

    Never of the text, so that a new wording does not repeat what has been said; nor of the source's name, which is that
    of the mapping's file, so that a renamed file does not (docs/decisions).
    """
    moment = follows.at.astimezone(UTC).isoformat(timespec="minutes") if follows else ""
    parts = (case.ticket_id, step, moment, addressee)
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:8]
