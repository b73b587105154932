"""What is wrong with a Jira that a source is to work with: account, permissions one by one, fields, statuses, webhook.

Looks alone; goes on after a finding wherever it can.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from connector.trackers.jira_api import JiraApi
from connector.trackers.jira_setup_site import Match, Place, Screens, Site, choices_of, folded, match_field
from connector.trackers.jira_setup_webhooks import Webhooks
from connector.trackers.port import AccessRefused, TrackerError
from connector.trackers.setup_port import LEND_ADMIN, USABLE, Finding, Wanted, WantedField, unseen, well, wrong

# What the connector does with each permission, and what fails without it.
_PERMISSIONS: Mapping[str, tuple[str, str]] = {
    "BROWSE_PROJECTS": ("see the tickets (Browse Projects)", "No ticket can be read: nothing works."),
    "EDIT_ISSUES": ("fill in fields (Edit Issues)", "Due dates and recorded dates are not written."),
    "TRANSITION_ISSUES": ("move tickets (Transition Issues)", "No ticket is moved to another status."),
    "ADD_COMMENTS": ("write comments (Add Comments)", "Call sheets and letters are not posted."),
    "DELETE_OWN_COMMENTS": (
        "take its own comments back (Delete Own Comments)",
        "A comment that became public by mistake cannot be taken back.",
    ),
}
_AGENT = "SERVICEDESK_AGENT"
_NOTHING_WORKS = "Nothing works: no ticket can be read."


class Checks:
    """The checks of one source. `internal`: the mapping asks for internal comments."""

    def __init__(self, api: JiraApi, site: Site, webhooks: Webhooks, *, internal: bool) -> None:
        self._api, self._site, self._webhooks, self._internal = api, site, webhooks, internal

    def findings(self, wanted: Wanted) -> Sequence[Finding]:
        """All of them. Without a login that works there is nothing else to look at."""
        try:
            self._api.get_object("myself", about="source")
        except AccessRefused as error:
            return [wrong("credentials", "Jira does not let the connector in.", _NOTHING_WORKS, error.message)]
        except TrackerError as error:
            return [wrong("address", "Jira does not answer as it should.", _NOTHING_WORKS, error.message)]
        found = [well("credentials", "Jira lets the connector in.")]
        place, scope = self._scope_finding()
        found.append(scope)
        found += _going_on("permissions", lambda: self._permission_findings(place))
        found += _going_on("fields", lambda: self._field_findings(wanted, place))
        found += _going_on("statuses", lambda: self._status_findings(wanted, place))
        found += _going_on("webhook", lambda: self._webhooks.findings(wanted))
        return found

    def _scope_finding(self) -> tuple[Place, Finding]:
        try:
            place = self._site.place()
        except TrackerError as error:
            mend = f"Try the scope in Jira's own search, and mend `scope` in the mapping. {error.message}"
            return Place(), wrong("scope", "Jira cannot search for the scope.", "No ticket is found.", mend)
        if not place.samples:
            return place, Finding(
                "scope",
                "warning",
                "The scope finds no ticket that the connector's account can see.",
                "As long as that is so, nothing is attended to, and several things cannot be checked.",
                "If there are such tickets: try the scope in Jira's own search as that account, and mend `scope`.",
            )
        return place, well("scope", f"The scope finds tickets, {place.samples[0].key} among them.")

    def _permission_findings(self, place: Place) -> Iterator[Finding]:
        on_desk = place.service_desk and self._internal
        keys = [*_PERMISSIONS, *([_AGENT] if on_desk else [])]
        held = self._site.permissions(keys, place)
        for key, (what, breaks) in _PERMISSIONS.items():
            finding = f"permission {key}"
            if held[key] and place.key is None:
                why = "without a ticket in scope, or a project that the scope names, Jira tells only of some project"
                yield unseen(finding, f"Whether the connector's account may {what} was not looked at: {why}.")
            elif held[key]:
                yield well(finding, f"The connector's account may {what}.")
            else:
                mend = (
                    "Project settings > Permissions: give this permission to a role, and the role to the account "
                    f"(project {place.key or 'of the scope'})."
                )
                yield wrong(finding, f"The connector's account may not {what}.", breaks, mend)
        yield self._internal_finding(place, agent=held.get(_AGENT, False))

    def _internal_finding(self, place: Place, *, agent: bool) -> Finding:
        name = "comments internal"
        if not self._internal:
            return well(name, "The mapping asks for public comments: clients of a service desk would see them.")
        if place.key is None:
            return unseen(name, "Whether comments can be internal was not looked at: the project is not known.")
        if not place.service_desk:
            return well(name, "The project is no service desk: comments are seen by whoever sees the ticket.")
        if agent:
            return well(name, "The connector's account is an agent: its comments are internal.")
        return wrong(
            name,
            "The connector's account is no agent of the service desk.",
            "Jira makes its comments public without a word; the connector then stops.",
            "Give the account a Jira Service Management licence and the role Service Desk Team in the project.",
        )

    def _field_findings(self, wanted: Wanted, place: Place) -> Iterator[Finding]:
        fields, screens = self._site.fields(), self._site.screens(place)
        for each in wanted.fields:
            found = match_field(each, fields)
            yield _field_finding(each, found)
            if found.id is None or found.type not in USABLE[each.type]:
                continue
            yield _screen_finding(each, found.id, screens)
            if found.type in {"select", "boolean"} and choices_of(each):
                yield _options_finding(each, self._site.choices(found.id, screens))

    def _status_findings(self, wanted: Wanted, place: Place) -> Iterator[Finding]:
        if not wanted.statuses:
            return
        statuses = self._site.statuses(place)
        known = {folded(name) for name in statuses}
        here = {folded(each.status) for each in place.samples}
        reachable = self._site.reachable(place) if place.samples else set()
        for name in wanted.statuses:
            finding, is_called = f"status {name}", folded(name)
            if is_called not in known:
                yield wrong(
                    finding,
                    f'There is no status "{name}" in the workflow of these tickets.',
                    "Tickets are not moved there; what such a move would record is not recorded.",
                    f"Add it to the workflow, or change the mapping. There are: {', '.join(statuses)}.",
                )
            elif place.samples and is_called not in reachable | here:
                yield Finding(
                    finding,
                    "warning",
                    f'No ticket that was looked at can be moved to "{name}" from where it stands.',
                    "A ticket that is to go there stays where it is, and `connector explain` says so.",
                    "Add a transition to this status in the workflow, best one from every status, without a screen.",
                )
            elif not place.samples:
                why = "there is no ticket in scope to move"
                yield unseen(
                    finding, f'The status "{name}" is there. Whether it can be reached was not looked at: {why}.'
                )
            else:
                yield well(finding, f'The status "{name}" is there and can be reached.')


def _field_finding(wanted: WantedField, found: Match) -> Finding:
    finding = f"field {wanted.fact}"
    breaks = f"{wanted.fact} cannot be read: tickets cannot be attended to."
    if found.trouble:
        mend = "Write the id of the right field (customfield_ and a number) in the mapping, or create a field for it."
        return wrong(finding, found.trouble, breaks, mend)
    if found.id is None:
        what = f'There is no field "{wanted.name}" that the connector\'s account can see.'
        mend = "Create it with `connector provision`, or write the name of your own field in the mapping."
        return wrong(finding, what, breaks, mend)
    return well(finding, f'The field "{wanted.name}" is there, of a kind that can hold {wanted.fact}.')


def _screen_finding(wanted: WantedField, field_id: str, screens: Screens) -> Finding:
    finding = f"screen {wanted.fact}"
    if screens.on_edit is None:
        why = "no ticket in scope, or none that this account may edit"
        return unseen(finding, f'Whether "{wanted.name}" is on the edit screen was not looked at: {why}.')
    if field_id in screens.on_edit:
        return well(finding, f'"{wanted.name}" is on the edit screen.')
    return wrong(
        finding,
        f'"{wanted.name}" is not on the edit screen of the tickets.',
        "Neither staff nor the connector can fill it in.",
        f'Put it there with `connector provision`, or: open a ticket, ... menu > Configure, and add "{wanted.name}".',
    )


def _options_finding(wanted: WantedField, choices: tuple[str, ...] | None) -> Finding:
    finding = f"options {wanted.fact}"
    known = {folded(each) for each in choices or ()}
    named = [each for each in choices_of(wanted) if folded(each) in known]
    if choices is None:
        what = f'The choices of "{wanted.name}" were not looked at: Jira shows them to administrators only.'
        return unseen(finding, what, LEND_ADMIN)
    if not choices:
        what, names = f'The list "{wanted.name}" has no choices.', ", ".join(choices_of(wanted))
        mend = (
            f"In Jira's administration of fields open its options, and add: {names}. `connector provision` says where."
        )
        return wrong(finding, what, "Staff cannot fill it in.", mend)
    if wanted.options and not named:
        return Finding(
            finding,
            "warning",
            f'The list "{wanted.name}" has none of these choices: {", ".join(wanted.options)}.',
            "A ticket with a choice that the connector does not know gets a comment that asks for another.",
            "Say in the mapping, under `values`, what the choices of your list mean, or add these.",
        )
    return well(finding, f'The list "{wanted.name}" has choices that the connector knows.')


def _going_on(what: str, look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """What one look finds; what keeps it from looking is a finding, too."""
    found: list[Finding] = []
    try:
        for each in look():
            found.append(each)  # one by one: what was found before an error is kept
    except TrackerError as error:
        told = f"The checks of {what} could not be made."
        found.append(wrong(f"looking {what}", told, "What they would have found is not known.", error.message))
    return found
