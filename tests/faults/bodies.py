"""Webhook bodies that no tracker sends: real payloads with something wrong in any place, and bytes of no kind.

Every text, key and run of bytes that is planted holds MARK, so that it is found wherever it should not be. No id is one
of a ticket that exists.
"""

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hypothesis import strategies as st

MARK = "Quillfeather planted"  # with a space, so that it passes for no ticket's number
NO_TICKET = 7_770_000_000_000  # ids from here on are of no ticket

Path = tuple[str | int, ...]


def jira(ticket: Any, key: Any) -> dict[str, Any]:
    """As Jira sends when an issue was updated and commented on (developer.atlassian.com, "Webhooks")."""
    person = {"accountId": f"{MARK} account", "displayName": f"{MARK} name", "active": True, "timeZone": "Etc/UTC"}
    url = f"https://jira.example.org/rest/api/2/issue/{ticket}"
    return {
        "timestamp": 1_771_000_000_000,
        "webhookEvent": "jira:issue_updated",
        "issue_event_type_name": "issue_commented",
        "user": person,
        "issue": {
            "id": str(ticket),
            "self": url,
            "key": key,
            "fields": {
                "summary": f"{MARK} summary",
                "status": {"name": "Call NCSC", "id": "10001", "statusCategory": {"id": 4, "key": "indeterminate"}},
                "project": {"id": "10000", "key": "CASE", "projectTypeKey": "service_desk"},
                "customfield_10050": f"{MARK} receipt",
                "customfield_10051": None,
                "labels": [f"{MARK} label"],
                "comment": {"comments": [], "maxResults": 0, "total": 0, "startAt": 0},
                "updated": "2026-03-02T10:00:00.000-0500",
            },
        },
        "comment": {"id": "5", "self": f"{url}/comment/5", "body": f"{MARK} comment", "author": person},
        "changelog": {"id": "9", "items": [{"field": "status", "from": "1", "to": "2", "toString": f"{MARK} to"}]},
    }


def automation(ticket: Any, key: Any) -> dict[str, Any]:
    """As an automation rule sends the issue: without an envelope."""
    return jira(ticket, key)["issue"]  # type: ignore[no-any-return]  # it is an object, as above


def zammad(ticket: Any, key: Any) -> dict[str, Any]:
    """As a trigger's default payload (docs.zammad.org, "Webhook")."""
    person = {"id": 4, "login": f"{MARK} login", "firstname": f"{MARK} first", "email": f"{MARK}@example.org"}
    return {
        "ticket": {
            "id": ticket,
            "number": str(key),
            "title": f"{MARK} title",
            "group": {"id": 2, "name": "USCIS inquiries"},
            "state": "open",
            "receipt_number": f"{MARK} receipt",
            "customer": person,
            "updated_at": "2026-03-02T15:00:00.000Z",
            "article_ids": [7, 8],
        },
        "article": {"id": 7, "body": f"{MARK} body", "internal": True, "from": f"{MARK} from", "created_by": person},
    }


def smallest(ticket: Any, _key: Any) -> dict[str, Any]:
    """The smallest customized payload of Zammad that the connector takes."""
    return {"ticket_id": ticket}


def request_tracker(ticket: Any, _key: Any) -> dict[str, Any]:
    """As the scrip of deploy/request-tracker sends."""
    return {"event": "ticket.updated", "ticket": {"id": ticket}}


PAYLOADS: Mapping[str, tuple[Callable[[Any, Any], dict[str, Any]], ...]] = {
    "jira": (jira, automation),
    "zammad": (zammad, smallest),
    "request_tracker": (request_tracker,),
}


# What may stand where it does not belong

_marked = st.text(max_size=30).map(lambda text: f"{text}{MARK}{text}")
_numbers = st.one_of(
    st.integers(NO_TICKET, NO_TICKET * 1000),
    st.integers(10**19, 10**400),
    st.integers(-(10**30), 0),
    st.floats(),
    st.just(float(NO_TICKET)),
)
_odd_texts = st.one_of(
    _marked,
    st.integers(NO_TICKET, NO_TICKET * 1000).map(str),
    st.sampled_from(["", " ", "\0", "\ud800", "-1", "1e9", "0x10", "１２３", "../../etc", "'; --", "%s{0}"]),
    st.integers(1, 200_000).map(lambda length: MARK + "x" * length),
)
_leaves = st.one_of(st.none(), st.booleans(), _numbers, _odd_texts)
_values = st.recursive(
    _leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_odd_texts, inner, max_size=4)),
    max_leaves=8,
)
DEEP = "\x01deep\x01"  # stands for what json.dumps itself could not nest


def _deep(kind: str, depth: int) -> bytes:
    opening, closing = (b"[", b"]") if kind == "list" else (b'{"issue":', b"}")
    return opening * depth + b"1" + closing * depth


_depths = st.tuples(st.sampled_from(["list", "object"]), st.integers(1, 30_000))


def _places(value: Any, here: Path = ()) -> Iterator[Path]:
    yield here
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _places(inner, (*here, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _places(inner, (*here, number))


def _put(payload: Any, where: Path, value: Any) -> Any:
    """The payload with that value in that place."""
    if not where:
        return value
    holder = payload
    for step in where[:-1]:
        holder = holder[step]
    holder[where[-1]] = value
    return payload


@st.composite
def _wrong_somewhere(draw: st.DrawFn, kind: str) -> bytes:
    """A real payload with other values in some places; each place of it may be one."""
    ticket, key = draw(st.integers(NO_TICKET, NO_TICKET * 1000)), draw(st.sampled_from(["CASE-99999", f"{MARK}", 12]))
    payload: Any = copy.deepcopy(draw(st.sampled_from(PAYLOADS[kind]))(ticket, key))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(payload))
        near = [place for place in places if len(place) < 3]  # where ids, keys and events are read from
        where = draw(st.one_of(st.sampled_from(near), st.sampled_from(places)))
        payload = _put(payload, where, draw(st.one_of(_values, st.just(DEEP))))
    text = json.dumps(payload, ensure_ascii=draw(st.booleans()))
    body = text.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32-le"])), "surrogatepass")
    return body.replace(json.dumps(DEEP).encode(), _deep(*draw(_depths)))


@st.composite
def _damaged(draw: st.DrawFn, kind: str) -> bytes:
    """A real payload, cut or with some of its bytes changed on the way."""
    body = bytearray(json.dumps(draw(st.sampled_from(PAYLOADS[kind]))(NO_TICKET, "CASE-99999")).encode())
    for at, byte in draw(st.lists(st.tuples(st.integers(0, len(body) - 1), st.integers(0, 255)), max_size=8)):
        body[at] = byte
    return bytes(body[: draw(st.integers(0, len(body)))])


_bytes = st.binary(max_size=2000).map(lambda raw: raw + MARK.encode() + raw)


def bodies(kind: str) -> st.SearchStrategy[bytes]:
    """Bodies for the webhook of that kind of tracker."""
    deep = _depths.map(lambda how: _deep(*how))
    return st.one_of(_wrong_somewhere(kind), _wrong_somewhere(kind), _damaged(kind), _bytes, deep, _values.map(_json))


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
