"""The one gateway to Zammad's REST API (/api/v1). Facts: zammad 2.

Every call is made once, but for a 401 that a token replaced in the meantime may mend: it has had no effect.
"""

import threading
import weakref
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import requests

from connector.trackers.http import Answer, exchange
from connector.trackers.port import AccessRefused, Turns, Unavailable
from connector.trackers.zammad_errors import About, Call, error_of

Json = dict[str, Any]
Params = Mapping[str, str | int]


class ZammadApi:
    """Calls to one Zammad. Makes none before it is used. Thread safe: each thread has a session of its own.

    `token` is asked before every call, so that a rotated secret is used at once. `keep` tells which quoted parts of
    Zammad's messages may be repeated.
    """

    def __init__(
        self,
        *,
        url: str,
        token: Callable[[], str],
        timeout: tuple[float, float],
        clock: Callable[[], datetime],
        keep: Callable[[str], bool],
        pace: Turns | None = None,
    ) -> None:
        self._base = f"{url.rstrip('/')}/api/v1/"
        self._token, self._timeout, self._clock, self._keep = token, timeout, clock, keep
        self._pace = pace
        self._lock = threading.Lock()
        self._of_thread = threading.local()
        self._sessions: weakref.WeakSet[requests.Session] = weakref.WeakSet()

    def get(self, path: str, *, about: About, params: Params | None = None) -> Any:
        """The JSON at `path`. Raises TrackerError."""
        return self._json("GET", path, Call(about, changes=False, keep=self._keep), params=params)

    def get_object(self, path: str, *, about: About, params: Params | None = None) -> Json:
        """As `get`, where Zammad answers with an object."""
        return object_of(self.get(path, about=about, params=params))

    def get_list(self, path: str, *, about: About, params: Params | None = None) -> list[Json]:
        """As `get`, where Zammad answers with a list of objects."""
        return list_of(self.get(path, about=about, params=params))

    def ask(self, path: str, body: Json) -> list[Json]:
        """POST of a question, which changes nothing and is answered by a list of objects."""
        return list_of(self._json("POST", path, Call("source", changes=False, keep=self._keep), body=body))

    def change(
        self, method: str, path: str, body: Json | None = None, *, about: About, params: Params | None = None
    ) -> Json:
        """A call that changes something; returns what Zammad says it made of it.

        Unavailable.outcome_unknown where that is not certain.
        """
        made = self._json(method, path, Call(about, changes=True, keep=self._keep), params=params, body=body)
        if not isinstance(made, dict):
            raise Unavailable("Zammad's answer to a change cannot be read.", outcome_unknown=True)
        return made

    def close(self) -> None:
        """Give back the connections of all threads."""
        with self._lock:
            sessions = list(self._sessions)
            self._sessions.clear()
            self._of_thread = threading.local()
        for session in sessions:
            session.close()

    # One call

    def _json(self, method: str, path: str, call: Call, *, params: Params | None = None, body: Any = None) -> Any:
        answer = self._answer(method, path, call, params, body)
        try:
            return answer.json()
        except ValueError:
            what = "a web page" if answer.is_page else "something that is not JSON"
            raise Unavailable(f"Zammad answered with {what}.", outcome_unknown=call.changes) from None

    def _answer(self, method: str, path: str, call: Call, params: Params | None, body: Any) -> Answer:
        def once(token: str) -> Answer:
            return exchange(
                self._session(),
                method,
                self._base + path,
                timeout=self._timeout,
                changes=call.changes,
                params=params,
                body=body,
                auth=_bearer_of(token),
                pace=self._pace,
            )

        token = self._current_token()
        answer = once(token)
        if answer.status == 401 and (replaced := self._current_token()) != token:
            answer = once(replaced)
        error = error_of(answer, call, self._clock())
        if error is not None:
            raise error
        return answer

    def _current_token(self) -> str:
        token = self._token().strip()
        if not token:
            raise AccessRefused("The tracker's token is empty. Check what tracker.token names.")
        return token

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._of_thread, "session", None)
        if session is None:
            session = requests.Session()
            session.headers["Accept"] = "application/json"  # else errors come as web pages (facts: zammad 2.2)
            self._of_thread.session = session
            with self._lock:
                self._sessions.add(session)
        return session


def _bearer_of(token: str) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    """Shows the token in the form that Zammad documents. As `auth`, it keeps a ~/.netrc out, too."""

    def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Token token={token}"
        return request

    return sign


def object_of(value: object) -> Json:
    """The value, if it is an object. Raises Unavailable."""
    if not isinstance(value, dict):
        raise Unavailable("Zammad's answer has not the form that its documentation tells.")
    return value


def list_of(value: object) -> list[Json]:
    """The value, if it is a list of objects with ids. Raises Unavailable."""
    if not isinstance(value, list) or not all(isinstance(each, dict) and "id" in each for each in value):
        raise Unavailable("Zammad's answer has not the form that its documentation tells: no list.")
    return value
