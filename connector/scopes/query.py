"""JQL (Jira) and TicketSQL (Request Tracker): the tracker reads it, we only see that it can stand among conditions."""

import re


def check_scope(scope: str) -> str | None:
    """What is wrong with a condition, or None. Quoted text is passed over; both languages escape with a backslash."""
    bare = re.sub(r"""(?s)"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""", " ", scope)
    if '"' in bare or "'" in bare:
        return "has a quotation mark without its partner"
    depth = 0
    for character in bare:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            return "has a closing bracket without an opening one"
    if depth:
        return "has an opening bracket without a closing one"
    if re.search(r"\border\s+by\b", bare, re.IGNORECASE):
        return "must not have ORDER BY: it says which tickets, not in which order"
    return None
