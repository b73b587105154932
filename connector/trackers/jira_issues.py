"""Issues of Jira by one call, one or many, and whether what came of each is all of it. Facts: jira 2.

find_one     a search for the id within the scope: the issue, or nothing if it is outside. Cloud reads it as it is now,
             whatever the search's index holds (reconcileIssues)
bulk_fetch   Cloud: POST issue/bulkfetch. What cannot be given is left out of the answer
search_many  Data Center: a search for `id in (…)` within the scope
"""

from collections.abc import Mapping, Sequence
from typing import Any

from connector.trackers.jira_api import JiraApi, Json
from connector.trackers.jira_fields import JiraField
from connector.trackers.paging import PAGE, Page, walk
from connector.trackers.port import Misconfigured, Unavailable

BULK = 100  # what POST issue/bulkfetch takes at most (Atlassian's OpenAPI document of Jira Cloud)

# What a ticket is asked for besides the mapped fields.
EXPANSIONS = ("changelog", "transitions")
_ALWAYS = ("status", "project", "issuetype", "duedate", "updated", "comment")


def _wanted_ids(fields: Mapping[str, JiraField]) -> list[str]:
    """The ids of the fields that a ticket is asked for."""
    return list(dict.fromkeys([*_ALWAYS, *(field.id for field in fields.values())]))


def _asked(fields: Mapping[str, JiraField], *, with_history: bool) -> dict[str, str | int]:
    """The parameters of a search for whole issues.

    To a source whose history matters, tickets come with the moves open to them: so a move costs one call, not two.
    """
    asked: dict[str, str | int] = {"fields": ",".join(_wanted_ids(fields))}
    return asked | {"expand": ",".join(EXPANSIONS)} if with_history else asked


def find_one(
    api: JiraApi, scope: str, ticket_id: str, fields: Mapping[str, JiraField], *, with_history: bool
) -> list[Json]:
    """The one issue, or none if it is out of scope. Raises TicketGone, and Misconfigured for a scope that is wrong."""
    params = _asked(fields, with_history=with_history) | {"jql": f"({scope}) AND id = {ticket_id}", "maxResults": 2}
    try:
        if api.cloud:
            answer = api.get_object("search/jql", about="source", params={**params, "reconcileIssues": ticket_id})
        else:
            answer = api.get_object("search", about="source", params=params)
    except Misconfigured:
        # Jira says 400 to an id that it does not know, in the account's language. So the ticket is looked for: if it is
        # there, the scope is wrong.
        api.get_object(f"issue/{ticket_id}", about="ticket", params={"fields": "status"})
        raise
    return [raw for raw in Page.of(answer, "issues").items if str(raw["id"]) == ticket_id][:1]


def bulk_fetch(api: JiraApi, ids: Sequence[str], fields: Mapping[str, JiraField], *, with_history: bool) -> list[Json]:
    """Those issues that Jira Cloud gives, in its order. At most BULK ids."""
    body: Json = {"issueIdsOrKeys": list(ids), "fields": _wanted_ids(fields)}
    if with_history:
        body["expand"] = list(EXPANSIONS)
    return list(Page.of(api.ask("issue/bulkfetch", body), "issues").items)


def search_many(
    api: JiraApi, ids: Sequence[str], fields: Mapping[str, JiraField], *, scope: str, with_history: bool
) -> list[Json]:
    """Those issues that Data Center finds in scope, in no order.

    One id that does not exist makes a search an error as a whole: then each half of the ids is searched, and so on.
    Raises Misconfigured if it is the scope that Jira does not understand.
    """
    params = _asked(fields, with_history=with_history) | {"maxResults": PAGE}

    def found(some: Sequence[str]) -> list[Json]:
        jql = f"({scope}) AND id in ({', '.join(some)}) ORDER BY key ASC"

        def page(start: int) -> Page:
            return Page.of(
                api.get_object("search", about="source", params={**params, "jql": jql, "startAt": start}), "issues"
            )

        return list(walk(page))

    def halved(some: Sequence[str]) -> list[Json]:
        try:
            return found(some)
        except Misconfigured:
            middle = len(some) // 2
            return [*halved(some[:middle]), *halved(some[middle:])] if middle else []

    try:
        return found(ids)
    except Misconfigured:
        # Either an id or the scope, and Jira says which in the account's language. The scope alone shows it.
        api.get_object("search", about="source", params={"jql": scope, "fields": "status", "maxResults": 1})
        return halved(ids)


def is_whole(raw: Json, *, with_history: bool) -> bool:
    """Whether the issue came with all of its comments and, if that was asked for, all of its history."""
    return is_ticket(raw) and not lacks_comments(raw) and (not with_history or _has_whole_history(raw))


def is_ticket(raw: Json) -> bool:
    """A gateway may answer 200 with JSON of its own: taken for a ticket, it would be one whose fields are all empty."""
    values = raw.get("fields")
    return isinstance(values, dict) and isinstance(values.get("status"), dict)


def lacks_comments(raw: Json) -> bool:
    """Whether the issue came without all of its comments: Jira may send the latest ones only, and tells the total."""
    values = raw.get("fields")
    comments = values.get("comment") if isinstance(values, Mapping) else None
    if not isinstance(comments, dict):
        return True
    page = Page.of(comments, "comments")
    return page.total is None or page.total > len(page.items)


def lacks_field(raw: Json, fields: Mapping[str, JiraField]) -> bool:
    """Whether the issue came without one of these fields: then the list of fields may be old."""
    values = raw.get("fields")
    return isinstance(values, dict) and any(field.id not in values for field in fields.values())


def histories(raw: Json) -> Sequence[Mapping[str, Any]]:
    """The entries of the issue's history that came with it."""
    changelog = raw.get("changelog")
    return Page.of(changelog, "histories").items if isinstance(changelog, dict) else ()


def _has_whole_history(raw: Json) -> bool:
    changelog = raw.get("changelog")
    if not isinstance(changelog, dict):
        return False
    page = Page.of(changelog, "histories")
    return page.total is not None and page.total <= len(page.items)


def matches_in(answer: Json) -> tuple[set[str], list[str]]:
    """The ids that the one query of a jql/match matches, and what Jira has against the query."""
    try:
        (match,) = answer["matches"]
        return {str(each) for each in match["matchedIssues"]}, [str(error) for error in match["errors"]]
    except (KeyError, TypeError, ValueError):
        raise Unavailable("Jira's answer has not the form that its documentation tells.") from None
