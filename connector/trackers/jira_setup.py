"""Setting up Jira Cloud and Data Center: what is there, what is lacking, and making it. Facts: jira 1.4 and 2.

    jira_setup_site.py       what this Jira has        jira_setup_tasks.py      what is to be made, or done by hand
    jira_setup_webhooks.py   the webhook               jira_setup_findings.py   what is wrong

Custom fields are made on both; choices by context and option on Cloud alone, elsewhere by hand.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from connector.trackers.jira_api import JiraApi
from connector.trackers.jira_errors import Rejected
from connector.trackers.jira_setup_findings import Checks
from connector.trackers.jira_setup_site import MADE, TYPE, Match, Screens, Site, choices_of, folded, match_field
from connector.trackers.jira_setup_tasks import ADDRESS_MISSING, NO_KEY_YET, Planner
from connector.trackers.jira_setup_webhooks import Webhooks
from connector.trackers.paging import Page
from connector.trackers.port import Misconfigured, Refused, TicketGone
from connector.trackers.setup_port import Finding, FoundField, Inventory, SetupConnection, Task, Wanted, WantedField

_ADMIN = "ADMINISTER"


class JiraSetup:
    """The set-up side of one Jira (see connector.trackers.setup_port). Makes no call before it is used.

    source             the source's name, by which its webhook is known where our own address is not
    user, token        as for JiraTracker; to make things, an account that may administer Jira
    scope              JQL
    internal_comments  whether the mapping asks for internal comments
    timeout            seconds to connect, and to wait for an answer
    """

    def __init__(
        self,
        *,
        source: str,
        url: str,
        user: str | None,
        token: Callable[[], str],
        scope: str,
        internal_comments: bool,
        clock: Callable[[], datetime],
        timeout: tuple[float, float] = (5, 30),
        gateway: str | None = None,
    ) -> None:
        self._source, self._scope, self._internal = source, scope, internal_comments
        self._api = JiraApi(
            url=url,
            user=user,
            token=token,
            gateway=gateway,
            timeout=timeout,
            clock=clock,
            keep=lambda quoted: quoted.casefold() in scope.casefold() or quoted.startswith("customfield_"),
        )
        self._site, self._webhooks = Site(self._api, scope), Webhooks(self._api, source)

    def close(self) -> None:
        """Give back connections."""
        self._api.close()

    # The port

    def inventory(self) -> Inventory:
        """See port. Fields on the edit screen of a ticket come first: where two have one name, those are meant."""
        place = self._site.place()
        screens = self._site.screens(place)
        shown = screens.on_edit or frozenset()
        fields = [
            FoundField(each.id, each.name, kind, screens.choices.get(each.id, ()))
            for each, kind in self._site.fields()
            if each.id.startswith("customfield_")
        ]
        fields.sort(key=lambda each: each.id not in shown)  # stable: otherwise as Jira lists them
        return Inventory(tuple(fields), tuple(self._site.statuses(place)))

    def plan(self, wanted: Wanted) -> Sequence[Task]:
        """See port."""
        place = self._site.place()
        planner = Planner(self._api.cloud, self._site.may(_ADMIN, place), place, self._scope)
        screens, fields = self._site.screens(place), self._site.fields()
        tabs = self._site.tabs(place) if planner.admin and not place.team_managed else ()
        tasks: list[Task] = []
        for each in wanted.fields:
            found = match_field(each, fields)
            tasks.append(planner.field(each, found))
            if choices_of(each) and found.type in {None, "select", "boolean"}:
                tasks.append(planner.options(each, found, self._choices(found, screens)))
            tasks.append(planner.screen(each, found, screens, tabs))
        known = {folded(name) for name in self._site.statuses(place)}
        tasks += [planner.status(name, there=folded(name) in known) for name in wanted.statuses]
        tasks.append(self._webhook_task(wanted, planner))
        return tasks

    def carry_out(self, wanted: Wanted, task: Task) -> None:
        """See port. Looks again before it makes anything."""
        kind, _, fact = task.id.partition(" ")
        if kind == "webhook":
            self._webhooks.make(wanted, self._site.place().key)
            return
        about = next((each for each in wanted.fields if each.fact == fact), None)
        if about is None or kind not in {"field", "options", "screen"}:
            raise Refused(f"This cannot be made by command: {task.what}")
        found = match_field(about, self._site.fields())
        if kind == "field":
            self._make_field(about, found)
        elif found.id is None:
            raise Misconfigured(f'There is no field "{about.name}" yet that could hold {fact}.')
        elif kind == "options":
            self._make_options(about, found.id)
        else:
            self._put_on_screens(about, found.id)

    def findings(self, wanted: Wanted) -> Sequence[Finding]:
        """See port. Without a login that works there is nothing else to look at."""
        return Checks(self._api, self._site, self._webhooks, internal=self._internal).findings(wanted)

    def _webhook_task(self, wanted: Wanted, planner: Planner) -> Task:
        what = "A webhook tells the connector at once when a ticket changes."
        if wanted.webhook_url is None:
            return Task("webhook", what, "by_hand", ADDRESS_MISSING.format(source=self._source))
        if wanted.webhook_secret() is None:
            return Task("webhook", what, "by_hand", NO_KEY_YET)
        there = self._webhooks.has(wanted.webhook_url)
        if there is None:
            return Task("webhook", what, "by_hand", planner.webhook_clicks(wanted.webhook_url))
        return Task("webhook", what, "there" if there else "lacking")

    def _choices(self, found: Match, screens: Screens) -> tuple[str, ...] | None:
        """The choices of a list that is there, if they are shown."""
        if found.id is None or found.type not in {"select", "boolean"}:
            return None
        return self._site.choices(found.id, screens)

    # Making

    def _make_field(self, about: WantedField, found: Match) -> None:
        if found.id is not None:
            return
        kind, searcher, _ = MADE[about.type]
        body = {"name": about.name, "description": about.help, "type": TYPE + kind, "searcherKey": TYPE + searcher}
        with _making(f'the new field "{about.name}"'):
            self._api.post("field", body)

    def _make_options(self, about: WantedField, field_id: str) -> None:
        """Only a list without any choice is filled: one with choices is somebody's."""
        path = f"field/{field_id}/context/{self._site.context(field_id)}/option"
        if Page.of(self._api.get_object(path, about="source"), "values").items:
            return
        with _making(f'the choices of "{about.name}"'):
            self._api.post(path, {"options": [{"value": each} for each in choices_of(about)]})

    def _put_on_screens(self, about: WantedField, field_id: str) -> None:
        for tab in self._site.tabs(self._site.place()):
            if field_id not in tab.fields:
                with _making(f'"{about.name}" on the screen "{tab.screen}"'):
                    self._api.post(tab.path, {"fieldId": field_id})


@contextmanager
def _making(what: str) -> Iterator[None]:
    """Refusals inside are told as refusals of `what`."""
    try:
        yield
    except Rejected as rejected:
        # About the configuration, not about a ticket: Jira's own reasons are for the administrator who runs this.
        raise Refused(rejected.told(what).for_staff) from None
    except TicketGone:
        raise Misconfigured(f"Jira does not know the place for {what}, or this account may not see it.") from None


def make(connection: SetupConnection) -> JiraSetup:
    """The set-up side that the entry point offers (connector/kinds.py)."""
    return JiraSetup(
        source=connection.source,
        url=connection.url,
        user=connection.user,
        token=connection.token,
        scope=connection.scope,
        internal_comments=connection.internal_comments,
        clock=connection.clock,
    )
