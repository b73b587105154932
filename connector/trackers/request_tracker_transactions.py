"""What is read of a ticket's transactions in Request Tracker: its comments with their refs, and its history.

of_one   every transaction of interest of one ticket
of_many  the same of several tickets by few calls, for those of which all came
"""

import json
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence

from connector.trackers.request_tracker_api import Json, RequestTrackerApi
from connector.trackers.request_tracker_reading import refs_in_field, refs_in_text

_WANTED = "Type,Field,OldValue,NewValue,Created,CustomFields"
_TICKET_BY_TICKET = "transactions?orderby=ObjectId&order=ASC&orderby=id&order=DESC"  # and in each the newest first
_TEXTS_AT_ONCE = 50  # comments whose texts are asked for in one call
_TEXTS_KEPT = 20_000  # comments whose refs are remembered: some tens of bytes each


def of_one(api: RequestTrackerApi, ticket_id: str, fields: Iterable[str] | None) -> list[Json]:
    """The ticket's comments; with `fields`, ids of custom fields, also the changes of status, due date and of these.

    Oldest first.
    """
    # Nothing else is asked for: what the account may not see is left out of a page without a word, and a page that is
    # short because of that would look like the last.
    query = f"TicketId = {ticket_id} AND ({_types(fields)})"
    params = {"query": query, "fields": _WANTED, "orderby": "id"}
    return list(api.walk("transactions", about="ticket", params=params, sees_all=True))


def of_many(
    api: RequestTrackerApi, fields: Mapping[str, Collection[str]], *, with_history: bool
) -> dict[str, list[Json]]:
    """As of_one, by ticket; of those tickets of which it is certain that all came. `fields`: of each ticket, in the
    order of their numbers, the ids of its custom fields.

    A ticket's creation comes last of all that is its own: if it has come, nothing is lacking but what the account may
    not see, whatever gaps that leaves in the page. What a page does not hold wholly is asked for anew, so that the
    transactions of a ticket are those of one moment; what fills a page alone is left out. At most one page is read for
    every two tickets: more than that would cost more than each alone does.
    """
    of_any = dict.fromkeys(each for own in fields.values() for each in own)
    types, left, whole = _types(of_any if with_history else None), list(fields), dict[str, list[Json]]()
    for _ in range(0, len(fields), 2):
        # Other things than tickets have transactions, too, and numbers that are those of tickets.
        query = f"ObjectType = 'RT::Ticket' AND {any_of('TicketId', left)} AND (Type = 'Create' OR {types})"
        page = api.page(_TICKET_BY_TICKET, about="source", params={"query": query, "fields": f"{_WANTED},ObjectId"})
        created = {str(row.get("ObjectId")) for row in page.items if row.get("Type") == "Create"}
        came = [each for each in left if each in created]
        whole |= {each: _own(each, fields[each], page.items) for each in came}
        left = left[left.index(came[-1]) + 1 :] if came else left[1:]
        if page.last or not left:
            break
    return whole


def _own(ticket_id: str, fields: Collection[str], rows: Sequence[Json]) -> list[Json]:
    """What of_one gives of the ticket, among rows of many in the other order. Nothing more: what stands between two
    changes of one second would give the later one another stamp, and what is said of it another ref."""
    return [
        row
        for row in reversed(rows)
        if str(row.get("ObjectId")) == ticket_id
        and row.get("Type") != "Create"
        and (row.get("Type") != "CustomField" or str(row.get("Field")) in fields)
    ]


def comments(rows: Iterable[Json]) -> list[Json]:
    """Those that are comments."""
    return [row for row in rows if row.get("Type") == "Comment"]


def any_of(name: str, numbers: Iterable[str]) -> str:
    """That what RT's searches call `name` is one of these."""
    return f"({' OR '.join(f'{name} = {each}' for each in numbers)})"


def _types(fields: Iterable[str] | None) -> str:
    types = ["Type = 'Comment'"]
    if fields is not None:
        types += ["Type = 'Status'", "(Type = 'Set' AND Field = 'Due')"]
        types += [f"(Type = 'CustomField' AND Field = {each})" for each in fields]
    return " OR ".join(types)


class RefsOfTexts:
    """The refs of comments. Those that no field tells are read from the texts, and remembered: a comment of RT never
    changes. Thread safe."""

    def __init__(self, api: RequestTrackerApi) -> None:
        self._api = api
        self._known: dict[str, frozenset[str]] = {}
        self._lock = threading.Lock()

    def refs(self, comments: Iterable[Json]) -> frozenset[str]:
        """The refs in all of these comments (transactions with their custom fields), whoever wrote them."""
        found: set[str] = set()
        unmarked: list[str] = []
        for row in comments:
            marked = refs_in_field(row)
            found |= marked
            if not marked:
                unmarked.append(str(row["id"]))
        return frozenset(found).union(*self._of_texts(unmarked).values())

    def _of_texts(self, ids: Sequence[str]) -> dict[str, frozenset[str]]:
        with self._lock:
            known = {each: self._known[each] for each in ids if each in self._known}
        unread = [each for each in ids if each not in known]
        for start in range(0, len(unread), _TEXTS_AT_ONCE):
            known |= self._read(unread[start : start + _TEXTS_AT_ONCE])
        with self._lock:
            if len(self._known) > _TEXTS_KEPT:
                self._known.clear()
            self._known |= {each: known[each] for each in unread}
        return known

    def _read(self, ids: Sequence[str]) -> dict[str, frozenset[str]]:
        """One search for the texts of several comments; files that hang on them are not asked for."""
        conditions = [{"field": "TransactionId", "value": each} for each in ids]
        conditions.append({"field": "ContentType", "operator": "STARTSWITH", "value": "text/"})
        conditions.append({"field": "Filename", "operator": "IS", "value": "NULL"})
        params = {"query": json.dumps(conditions), "fields": "Content,TransactionId", "orderby": "id"}
        found = {each: frozenset[str]() for each in ids}
        for text in self._api.walk("attachments", about="ticket", params=params, sees_all=True):
            of = _transaction_of(text)
            if of in found:
                found[of] |= refs_in_text(text.get("Content"))
        return found


def _transaction_of(attachment: Json) -> str:
    about = attachment.get("TransactionId")
    return str(about.get("id") if isinstance(about, dict) else about)
