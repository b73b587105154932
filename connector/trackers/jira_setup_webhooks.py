"""The webhook of a source in Jira: which there are, making ours, and what is wrong with it. Facts: jira 1.4.

    Cloud and Data Center up to 9   /rest/webhooks/1.0/webhook
    Data Center from 10             /rest/jira-webhook/1.0/webhooks

Only Cloud signs with a secret given here. For Data Center the secret stands at the end of the webhook's address, where
every version sends it; such an address is never repeated in a message.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from connector.trackers.jira_api import JiraApi, Json
from connector.trackers.jira_errors import Rejected
from connector.trackers.port import AccessRefused, Misconfigured, Refused, TicketGone
from connector.trackers.setup_port import LEND_ADMIN, Finding, Wanted, unseen, well, wrong

EVENTS = ("jira:issue_created", "jira:issue_updated", "jira:issue_deleted", "comment_created")
WEBHOOK_NAME = "Inquiry connector"
_FILTER = "issue-related-events-section"


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook of this Jira. `signed` is None where Jira does not tell."""

    url: str
    enabled: bool
    events: frozenset[str]
    signed: bool | None


class Webhooks:
    """The webhooks of one Jira; `source` is whose webhook is meant. Methods may raise TrackerError."""

    def __init__(self, api: JiraApi, source: str) -> None:
        self._api, self._source = api, source

    def has(self, url: str) -> bool | None:
        """Whether there is one that points to `url`; None if this account is not told."""
        try:
            return any(_points_to(each.url, url) for each in self._hooks())
        except (AccessRefused, Misconfigured, Refused):
            return None

    def make(self, wanted: Wanted, project: str | None) -> None:
        """Make ours, for the project with that key (None: for all), unless one is there that points to the same."""
        base, secret = wanted.webhook_url, wanted.webhook_secret()
        if base is None or secret is None:
            raise Misconfigured("The webhook needs the connector's address and a secret.")
        hooks = self._hooks()
        if any(_points_to(each.url, base) for each in hooks):
            return
        body: Json = {
            "name": f"{WEBHOOK_NAME}: {self._source}",
            "url": base if self._api.cloud else f"{base}/{quote(secret, safe='')}",
            "events": list(EVENTS),
            # Cloud's webhooks take less JQL than searches do: the project alone is safe (facts: jira 1.4).
            "filters": {_FILTER: f'project = "{project}"' if project else ""},
            "excludeBody": False,
        }
        if self._api.cloud:
            body["secret"] = secret
        try:
            self._api.post(self._hooks_path(), body)
        except TicketGone:
            raise Misconfigured("Jira does not know the place for webhooks, or this account may not see it.") from None
        except Rejected as rejected:
            told = rejected.told("the webhook").for_staff
            if secret in told or quote(secret, safe="") in told:
                told = f"Jira refused the webhook (status {rejected.status})."
            raise Refused(told) from None

    def findings(self, wanted: Wanted) -> list[Finding]:
        """What is wrong with ours. Changes nothing."""
        try:
            hooks = self._hooks()
        except (AccessRefused, Misconfigured, Refused):
            told = "The webhook was not looked at: Jira shows its webhooks to administrators only."
            return [unseen("webhook", f"{told} Whether it works shows in when it was last heard from.", LEND_ADMIN)]
        mine = [each for each in hooks if _is_for(each.url, self._source, wanted.webhook_url)]
        if not mine:
            return [_no_webhook(hooks, self._source, wanted.webhook_url)]
        best = max(mine, key=lambda each: (each.enabled, each.events >= set(EVENTS), each.signed is not False))
        can_sign = self._api.cloud or self._has_new_webhooks()
        return list(_hook_findings(best, wanted, can_sign=can_sign))

    def _hooks_path(self) -> str:
        """Relative to /rest/api/2/, below which the API's paths are (RFC 3986, 5.2.4: dot segments are taken away)."""
        return "../../jira-webhook/1.0/webhooks" if self._has_new_webhooks() else "../../webhooks/1.0/webhook"

    def _has_new_webhooks(self) -> bool:
        if self._api.cloud:
            return False
        numbers = self._api.get_object("serverInfo", about="source").get("versionNumbers")
        return isinstance(numbers, list) and bool(numbers) and isinstance(numbers[0], int) and numbers[0] >= 10

    def _hooks(self) -> list[Hook]:
        listed = self._api.get(self._hooks_path(), about="source")
        listed = listed.get("values") if isinstance(listed, dict) else listed  # in case a version pages them
        hooks = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
        return [_hook(each) for each in hooks]


def _hook(raw: Json) -> Hook:
    """Both forms: Data Center from 10 on says `active` where the others say `enabled`."""
    events = raw.get("events")
    signed = raw.get("isSigned")
    return Hook(
        url=str(raw.get("url") or ""),
        enabled=raw.get("enabled", raw.get("active", True)) is not False,
        events=frozenset(map(str, events)) if isinstance(events, list) else frozenset(),
        signed=signed if isinstance(signed, bool) else None,
    )


def _points_to(url: str, base: str) -> bool:
    """Whether a webhook's address is ours, with or without a secret at its end."""
    return url.rstrip("/") == base or url.startswith(f"{base}/")


def _is_for(url: str, source: str, base: str | None) -> bool:
    return _points_to(url, base) if base is not None else _names_source(url, source)


def _names_source(url: str, source: str) -> bool:
    return f"/webhooks/{source}/" in f"{_parts(url)[1]}/"


def _parts(url: str) -> tuple[str, str]:
    """(scheme and host, path); empty for what is no address."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", parts.path


_REFUSED = "The connector refuses what it sends, as it cannot know who sent it."
_WITHOUT_WEBHOOK = "Changes are found by the poll alone, some minutes later."


def _no_webhook(hooks: Iterable[Hook], source: str, base: str | None) -> Finding:
    elsewhere = [each for each in hooks if _names_source(each.url, source)]
    if elsewhere and base is not None:
        host = _parts(elsewhere[0].url)[0]  # no more of it: its end may be the secret
        what = f"The webhook of this source points to {host}, not to {_parts(base)[0]} where the connector is."
        return wrong("webhook", what, _WITHOUT_WEBHOOK, f"Settings > System > WebHooks: change its URL to {base}.")
    mend = "Create it: connector provision SOURCE --webhook-url https://your-address/webhooks/SOURCE"
    return wrong("webhook", "There is no webhook for this source.", _WITHOUT_WEBHOOK, mend.replace("SOURCE", source))


def _hook_findings(hook: Hook, wanted: Wanted, *, can_sign: bool) -> Iterator[Finding]:
    menu = "Settings > System > WebHooks: open it and"
    if wanted.webhook_url is None:
        yield well("webhook", f"There is a webhook for this source, to {_parts(hook.url)[0]}.")
        told = "Whether the webhook points to the connector was not looked at: the connector's address is not known."
        yield unseen("webhook address", told, "Say it with --webhook-url, or set CONNECTOR_PUBLIC_URL.")
    else:
        yield well("webhook", "The webhook is there and points to the connector.")
    if hook.enabled:
        yield well("webhook enabled", "The webhook is enabled.")
    else:
        yield wrong("webhook enabled", "The webhook is disabled.", _WITHOUT_WEBHOOK, f"{menu} enable it.")
    lacking = sorted(set(EVENTS) - hook.events)
    if lacking:
        what = f"The webhook does not tell of: {', '.join(lacking)}."
        yield Finding("webhook events", "warning", what, "Such changes are found by the poll.", f"{menu} tick these.")
    else:
        yield well("webhook events", "The webhook tells of all that the connector listens to.")
    yield _secret_finding(hook, wanted, can_sign=can_sign, menu=menu)


def _secret_finding(hook: Hook, wanted: Wanted, *, can_sign: bool, menu: str) -> Finding:
    """Cloud tells whether it signs, not with what. A secret at the end of the address can be held against ours."""
    path = _parts(hook.url)[1].rstrip("/")
    shown = path.partition("/webhooks/")[2].partition("/")[2]
    secret = wanted.webhook_secret()
    if secret is None:
        mend = "Name one under tracker.webhook_secrets in the mapping, and give the same to the webhook."
        return wrong("webhook secret", "There is no secret for the webhook.", _REFUSED, mend)
    if shown and shown != quote(secret, safe=""):
        mend = f"{menu} put the first of tracker.webhook_secrets at the end of its URL."
        return wrong("webhook secret", "The webhook's address ends with another secret.", _REFUSED, mend)
    if shown:
        return well("webhook secret", "The webhook's address ends with the secret.")
    if not can_sign:
        mend = f"{menu} put a slash and the first of tracker.webhook_secrets at the end of its URL."
        return wrong(
            "webhook secret", "The webhook has no secret: it is not signed, nor in its address.", _REFUSED, mend
        )
    return _signed_finding(hook, f"{menu} fill in Secret with the first of tracker.webhook_secrets.")


def _signed_finding(hook: Hook, mend: str) -> Finding:
    finding, heard = "webhook secret", "One that comes in will tell."
    if hook.signed is None:
        return unseen(finding, f"Whether the webhook has the secret was not looked at: Jira does not tell. {heard}")
    if hook.signed:
        told = "The webhook has a secret. Whether it is the mapping's was not looked at: Jira does not show it."
        return well(finding, f"{told} {heard}")
    return wrong(finding, "The webhook has no secret.", _REFUSED, mend)
