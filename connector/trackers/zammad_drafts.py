"""The letter as a shared draft e-mail on the ticket, for staff to look over and send. Facts: zammad 2.6.

A ticket has one draft, and a PUT replaces whatever is there: so a draft that a person has made or touched is left as it
is. Ours is known by its addressee and subject, or by a mark that the draft keeps until a person saves it.
"""

import html
import secrets
from collections.abc import Mapping
from typing import Any, Literal

from connector.inquiry.wording import Letter
from connector.trackers.zammad_api import Json, ZammadApi
from connector.trackers.zammad_reading import PREFERENCE


def leave_draft(api: ZammadApi, ticket_id: str, letter: Letter) -> Literal["left", "there", "another's"]:
    """Leave the letter as the ticket's draft, unless it is there, or another's draft is. Raises TrackerError."""
    path = _path(ticket_id)
    there = _draft_in(api.get_object(path, about="ticket"))
    if there is not None:
        if _is_the_letter(there, letter):
            return "there"  # staff may have changed its text already
        if PREFERENCE not in there:
            return "another's"
    api.change("PUT", path, _draft(letter), about="ticket")
    return "left"


def take_back(api: ZammadApi, ticket_id: str, letter: Letter) -> None:
    """Remove the draft of the letter, unless a person has saved it since. Raises TrackerError."""
    there = _draft_in(api.get_object(_path(ticket_id), about="ticket"))
    if there is not None and PREFERENCE in there and _is_the_letter(there, letter):
        api.change("DELETE", _path(ticket_id), about="ticket")


def _path(ticket_id: str) -> str:
    return f"tickets/{ticket_id}/shared_draft"


def _draft(letter: Letter) -> Json:
    body = "<br>\n".join(html.escape(line) for line in letter.body.rstrip().splitlines())
    article = {
        "type": "email",
        "to": letter.to,
        "cc": "",
        "subject": letter.subject,
        "body": body,
        "content_type": "text/html",
        "internal": False,
        "subtype": "",
        "in_reply_to": "",
        PREFERENCE: True,
    }
    # Attachments are found by form_id: one that nobody else uses brings none.
    return {"form_id": str(secrets.randbelow(10**15)), "new_article": article, "ticket_attributes": {}}


def _draft_in(answer: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The draft's article; None if the ticket has no draft. One whose content is not told counts as a person's."""
    number = answer.get("shared_draft_id")
    if number is None:
        return None
    assets = answer.get("assets")
    drafts = assets.get("TicketSharedDraftZoom") if isinstance(assets, Mapping) else None
    draft = drafts.get(str(number)) if isinstance(drafts, Mapping) else None
    article = draft.get("new_article") if isinstance(draft, Mapping) else None
    return article if isinstance(article, Mapping) else {}


def _is_the_letter(draft: Mapping[str, Any], letter: Letter) -> bool:
    return (draft.get("to"), draft.get("subject")) == (letter.to, letter.subject)
