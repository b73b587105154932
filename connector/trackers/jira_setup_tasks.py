"""What set-up would do to a Jira, and how it is done by hand where the account or Jira's API cannot.

Workflows are always changed by hand: they are shared, and what stands in one is not ours to rearrange.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from connector.trackers.jira_setup_site import MADE, Match, Place, Screens, Tab, choices_of
from connector.trackers.setup_port import Task, WantedField

_NO_ADMIN = "This account may not administer Jira, so an administrator does it by hand:"
ADDRESS_MISSING = (
    "It is not known where Jira reaches the connector. Run this again with "
    "--webhook-url https://your-address/webhooks/{source} (or set CONNECTOR_PUBLIC_URL)"
)
NO_KEY_YET = (
    "Think up a long secret, keep it where tracker.webhook_secrets in the mapping says (add that, if it is missing), "
    "and run this again."
)


@dataclass(frozen=True, slots=True)
class Planner:
    """What is to be done about each wanted thing, and how by hand where the account or Jira's API cannot."""

    cloud: bool
    admin: bool
    place: Place
    scope: str

    def field(self, wanted: WantedField, found: Match) -> Task:
        kind = MADE[wanted.type][2]
        task, what = f"field {wanted.fact}", f'A field "{wanted.name}" ({kind}) holds {wanted.fact}.'
        if found.trouble:
            how = "Write the id of the right field in the mapping, or give a new one another name."
            return Task(task, what, "by_hand", how, found.trouble)
        if found.id is not None:
            return Task(task, what, "there")
        if re.fullmatch(r"customfield_\d+", wanted.name):
            how = "There is no field with this id, and Jira gives ids itself: write a name in the mapping instead."
            return Task(task, what, "by_hand", how)
        if self.admin:
            return Task(task, what, "lacking")
        menu = f'{self._fields_menu} > Create (Add) custom field > {kind}, named "{wanted.name}"'
        return Task(task, what, "by_hand", f"{_NO_ADMIN} {menu}.")

    def options(self, wanted: WantedField, found: Match, choices: tuple[str, ...] | None) -> Task:
        names = ", ".join(f'"{each}"' for each in choices_of(wanted))
        task, what = f"options {wanted.fact}", f'The list "{wanted.name}" has choices: {names}.'
        if choices:
            return Task(task, what, "there")
        if found.trouble:
            return Task(task, what, "by_hand", f"First see to the field {wanted.fact}.")
        if self.cloud and self.admin:
            return Task(task, what, "lacking")
        how = (
            f'{self._fields_menu}, the ... menu of "{wanted.name}" > Contexts (Configure) > Edit options: add {names}.'
        )
        return Task(task, what, "by_hand", how)

    def screen(self, wanted: WantedField, found: Match, screens: Screens, tabs: Sequence[Tab]) -> Task:
        task, what = f"screen {wanted.fact}", f'"{wanted.name}" is on the screens where staff edit tickets.'
        lacking = [each for each in tabs if found.id not in each.fields]
        if found.id is not None and screens.on_edit is not None:
            if found.id in screens.on_edit:
                return Task(task, what, "there")
        elif tabs and not lacking:
            return Task(task, what, "there")
        if found.trouble:
            return Task(task, what, "by_hand", f"First see to the field {wanted.fact}.")
        if lacking:
            return Task(task, what, "lacking")
        return Task(task, what, "by_hand", self._screen_clicks(wanted.name))

    def status(self, name: str, *, there: bool) -> Task:
        task, what = f"status {name}", f'The workflow has a status "{name}".'
        if there:
            return Task(task, what, "there")
        project = self.place.key or "the project"
        if self.place.team_managed:
            how = f'{project}: Project settings > Board > Columns and statuses: add a status "{name}".'
        elif self.cloud:
            how = (
                f'{project}: Project settings > Workflows > edit the workflow > Add status "{name}", tick "Any status" '
                "so that every status leads there, then publish."
            )
        else:
            how = (
                f'{project}: Project settings > Workflows > the pencil > Diagram > Add status "{name}", '
                'tick "Allow all statuses to transition to this one", then publish the draft.'
            )
        return Task(task, what, "by_hand", how)

    def webhook_clicks(self, url: str) -> str:
        """By hand, where the account may not. The secret is named, never shown."""
        where = "Settings > System > WebHooks > Create a WebHook"
        secret = (
            "as Secret the first of tracker.webhook_secrets"
            if self.cloud
            else "with a slash and the first of tracker.webhook_secrets at its end"
        )
        jql = f"project = {self.place.key}" if self.place.key else self.scope
        events = "Issue created, updated and deleted, Comment created"
        return f"{_NO_ADMIN} {where}. URL: {url}, {secret}. JQL: {jql}. Events: {events}."

    @property
    def _fields_menu(self) -> str:
        return "Settings > Issues (Work items) > Fields" if self.cloud else "Administration > Issues > Custom fields"

    def _screen_clicks(self, name: str) -> str:
        if self.place.team_managed:
            return f'{self.place.key}: Project settings > Issue types > your type: drag "{name}" among its fields.'
        menu = f'Project settings > Screens: open the screen for editing, and for creating, and add "{name}" to each'
        return f"{'' if self.admin else _NO_ADMIN + ' '}{self.place.key or 'The project'}: {menu}."
