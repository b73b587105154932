"""The one gateway to Jira's REST API v2, which Cloud and Data Center both have.

It stands on the `jira` library's client and session, with that library's traps closed (facts: jira 3): a client per
thread, built at its first call and not before; no hidden retries; always a timeout; errors read from the JSON body.
Every call is made once. Two exceptions, both after a 401, which has had no effect: a token that has been replaced in
the meantime, and Cloud's scoped tokens, which only work at another address.
"""

import re
import threading
import weakref
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from jira import JIRA

from connector.trackers.http import BAD_ADDRESS, Answer, exchange
from connector.trackers.jira_errors import LOGIN, About, Call, error_of, login_page
from connector.trackers.port import AccessRefused, Misconfigured, TicketGone, TrackerError, Turns, Unavailable

Json = dict[str, Any]
Params = Mapping[str, str | int]

# A token is shown to no other host than the mapping's, but for this one, and that for Atlassian's own sites only.
GATEWAY = "https://api.atlassian.com"
_ATLASSIAN = re.compile(r"https://[a-z0-9.-]+\.(atlassian\.net|jira\.com)(/|$)", re.IGNORECASE)
_CLOUD_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
_GATEWAY_PATH = "/ex/jira/"


class JiraApi:
    """Calls to one Jira. Thread safe.

    `token` is asked before every call, so that a rotated secret is used at once. `keep` tells which quoted parts of
    Jira's messages may be repeated. Proxies and authorities come from the environment, as `requests` reads it; a
    ~/.netrc is never used, as requests looks into it only where a session has no credentials of its own.
    """

    def __init__(
        self,
        *,
        url: str,
        user: str | None,
        token: Callable[[], str],
        gateway: str | None,
        timeout: tuple[float, float],
        clock: Callable[[], datetime],
        keep: Callable[[str], bool],
        pace: Turns | None = None,
    ) -> None:
        self._url, self._user, self._token = url.rstrip("/"), user, token
        self._timeout, self._clock, self._keep = timeout, clock, keep
        self._pace = pace
        self._gateway = gateway or (GATEWAY if _ATLASSIAN.match(self._url) else None)
        self._base = self._url  # or, once it has proved to work, the gateway's address
        self._cloud: bool | None = None
        self._learning = threading.Lock()
        self._of_thread = threading.local()
        self._clients_lock = threading.Lock()
        self._clients: weakref.WeakSet[JIRA] = weakref.WeakSet()

    @property
    def cloud(self) -> bool:
        """Whether this is Jira Cloud: asked once (GET serverInfo) and then known to all threads."""
        with self._learning:
            if self._cloud is None:
                info = _object(self.get("serverInfo", about="source"))
                self._cloud = info.get("deploymentType") == "Cloud"
            return self._cloud

    def get(self, path: str, *, about: About, params: Params | None = None) -> Any:
        """The JSON at `path` (below /rest/api/2/). Raises TrackerError."""
        return self._json("GET", path, Call("GET", about, changes=False, keep=self._keep), params=params)

    def get_object(self, path: str, *, about: About, params: Params | None = None) -> Json:
        """As `get`, where Jira answers with an object."""
        return _object(self.get(path, about=about, params=params))

    def find_object(self, path: str, *, params: Params | None = None) -> Json | None:
        """As `get_object`, of something on a ticket that may be missing: then None."""
        try:
            return self.get_object(path, about="ticket", params=params)
        except TicketGone:
            return None

    def ask(self, path: str, body: Json) -> Json:
        """POST of a question, which changes nothing."""
        call = Call("POST", "source", changes=False, keep=self._keep)
        return _object(self._json("POST", path, call, body=body))

    def post(self, path: str, body: Json) -> Json:
        """POST to a ticket; returns what Jira made of it. Unavailable.outcome_unknown where that is not certain."""
        made = self._json("POST", path, Call("POST", "ticket", changes=True, keep=self._keep), body=body)
        if not isinstance(made, dict):
            raise Unavailable("Jira's answer to a change cannot be read.", outcome_unknown=True)
        return made

    def change(self, method: str, path: str, body: Json | None = None) -> None:
        """PUT, POST or DELETE on a ticket that is answered without content (204)."""
        call = Call(method, "ticket", changes=True, keep=self._keep)
        answer = self._answer(method, path, call, body=body)
        if answer.status != 204:
            _parsed(answer, call)  # 200 and nothing more is the answer of something that stands in front of Jira

    def close(self) -> None:
        """Give back the connections of all threads."""
        with self._clients_lock:
            clients = list(self._clients)
            self._clients.clear()
            self._of_thread = threading.local()
        for client in clients:
            client.close()  # type: ignore[no-untyped-call]  # the library's own, without types

    # One call

    def _json(self, method: str, path: str, call: Call, *, params: Params | None = None, body: Any = None) -> Any:
        return _parsed(self._answer(method, path, call, params=params, body=body), call)

    def _answer(self, method: str, path: str, call: Call, *, params: Params | None = None, body: Any = None) -> Answer:
        def once(base: str, token: str) -> Answer:
            client = self._client(base, token)
            url = client._get_url(path)
            return exchange(
                client._session,
                method,
                url,
                timeout=self._timeout,
                changes=call.changes,
                params=params,
                body=body,
                pace=self._pace,
            )

        base, token = self._base, self._current_token()
        answer = once(base, token)
        if answer.status == 401:
            replaced = self._current_token()
            if replaced != token:
                answer = once(base, replaced)
            if answer.status == 401:
                answer = self._at_other_address(base, replaced, once) or answer
        if answer.status == 410:
            self._cloud = None  # calls that Cloud has removed: the site has moved there, and is asked anew
        error = error_of(answer, call, self._clock())
        if error is not None:
            raise error
        return answer

    def _at_other_address(self, base: str, token: str, once: Callable[[str, str], Answer]) -> Answer | None:
        """The answer of Cloud's gateway, if it knows the site; None if there is no other address to try."""
        if base != self._url:
            self._base = self._url  # the gateway has let us in before: the next call starts at the site again
            return None
        other = self._gateway_base()
        if other is None:
            return None
        try:
            answer = once(other, token)
        except (Unavailable, AccessRefused) as error:
            if isinstance(error, Unavailable) and error.outcome_unknown:
                raise
            return None  # the gateway cannot be reached: what the site said stands
        if answer.status != 401:
            self._base = other
        return answer

    def _gateway_base(self) -> str | None:
        """Where scoped tokens of this site work (facts: jira 2, "Auth"). Asked without credentials."""
        if self._gateway is None or self._user is None or self._cloud is False or _GATEWAY_PATH in self._url:
            return None
        parts = urlsplit(self._url)
        with requests.Session() as session:
            try:
                answer = exchange(
                    session,
                    "GET",
                    f"{parts.scheme}://{parts.netloc}/_edge/tenant_info",
                    timeout=self._timeout,
                    changes=False,
                    auth=_nobody,
                    pace=self._pace,
                )
                cloud_id = _object(answer.json()).get("cloudId") if answer.status == 200 else None
            except (TrackerError, ValueError):
                return None
        known = isinstance(cloud_id, str) and _CLOUD_ID.fullmatch(cloud_id)
        return f"{self._gateway.rstrip('/')}{_GATEWAY_PATH}{cloud_id}" if known else None

    def _current_token(self) -> str:
        token = self._token().strip()
        if not token:
            raise AccessRefused("The tracker's token is empty. Check what tracker.token names.")
        return token

    def _client(self, base: str, token: str) -> JIRA:
        """This thread's client for that address and token; a new one if it has none."""
        mine = self._of_thread
        if getattr(mine, "made_for", None) != (base, token):
            mine.client, mine.made_for = self._new_client(base, token), (base, token)
        client: JIRA = mine.client
        client.deploymentType = {True: "Cloud", False: "Server", None: None}[self._cloud]
        return client

    def _new_client(self, base: str, token: str) -> JIRA:
        """No call is made here: `get_server_info=False`. `logging=False`: at INFO the library logs whole answers."""
        try:
            client = JIRA(
                options={"server": base, "rest_api_version": "2", "check_update": False},
                basic_auth=(self._user, token) if self._user is not None else None,
                token_auth=token if self._user is None else None,
                get_server_info=False,
                max_retries=0,
                timeout=self._timeout,
                logging=False,
            )
        except ValueError:
            raise Misconfigured(BAD_ADDRESS) from None
        with self._clients_lock:
            self._clients.add(client)
        return client


def _nobody(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _parsed(answer: Answer, call: Call) -> Any:
    """The JSON of a successful answer. A web page with status 200 is none, and what was sent may not have arrived."""
    try:
        return answer.json()
    except ValueError:
        if answer.is_page and login_page(answer):
            raise AccessRefused(f"Jira answered with a log-in page. {LOGIN}") from None
        what = "a web page" if answer.is_page else "something that is not JSON"
        raise Unavailable(f"Jira answered with {what}.", outcome_unknown=call.changes) from None


def _object(value: object) -> Json:
    if not isinstance(value, dict):
        raise Unavailable("Jira's answer has not the form that its documentation tells.")
    return value
