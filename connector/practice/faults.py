"""Faults on demand: what the next requests that match shall meet instead of, or besides, their answer."""

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Drop = Literal["before", "after"]


@dataclass
class Fault:
    """The next `times` requests whose method and path match are met by it.

    method   an HTTP method, or "*" for any
    path     a regular expression, searched in the path as called
    wait     seconds to wait before anything else
    status   answer with this instead of processing; None: process as usual
    body     what that answer says; not text: as JSON
    drop     "before": close the connection unprocessed; "after": process, then close it unanswered
    callback called after processing and before answering (Python only)
    """

    method: str = "*"
    path: str = ""
    times: int = 1
    wait: float = 0.0
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = ""
    drop: Drop | None = None
    callback: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        re.compile(self.path)
        if self.drop not in {None, "before", "after"}:
            raise ValueError("drop is 'before', 'after' or left out")
        if not isinstance(self.times, int) or self.times < 1:
            raise ValueError("times is a whole number, 1 or more")

    def meets(self, method: str, path: str, query: str) -> bool:
        return self.method in {"*", method} and is_meant(self.path, path, query)

    def payload(self) -> tuple[bytes, str]:
        """(body, content type) of the answer."""
        if isinstance(self.body, str):
            kind = "text/html;charset=UTF-8" if self.body.lstrip().startswith("<") else "text/plain"
            return self.body.encode(), kind
        return json.dumps(self.body).encode(), "application/json;charset=UTF-8"


def is_meant(pattern: str, path: str, query: str) -> bool:
    """Whether the regular expression is found in the path, or in the path with its query."""
    return any(re.search(pattern, text) for text in (path, f"{path}?{query}"))


LOGIN_PAGE = "<!DOCTYPE html><html><head><title>Log in - Jira</title></head><body><form></form></body></html>"
BAD_GATEWAY = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


class Faults:
    """The faults that wait for their requests; the first that matches is used."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []

    def add(self, method: str = "*", path: str = "", **settings: Any) -> Fault:
        """See Fault for the settings."""
        fault = Fault(method, path, **settings)
        with self._lock:
            self._waiting.append(fault)
        return fault

    def rate_limited(
        self,
        method: str = "*",
        path: str = "",
        *,
        retry_after: str | None = "2",
        reason: str | None = None,
        times: int = 1,
    ) -> Fault:
        """429. `retry_after` as sent: seconds, decimals or an HTTP date; `reason`: as `RateLimit-Reason`."""
        headers = {}
        if retry_after is not None:
            headers["Retry-After"] = retry_after
        if reason is not None:
            headers["RateLimit-Reason"] = reason
        body = {"errorMessages": ["Rate limit exceeded."], "errors": {}}
        return self.add(method, path, times=times, status=429, headers=headers, body=body)

    def bad_gateway(self, method: str = "*", path: str = "", *, times: int = 1) -> Fault:
        return self.add(method, path, times=times, status=502, body=BAD_GATEWAY)

    def login_page(self, method: str = "*", path: str = "", *, times: int = 1) -> Fault:
        """200 with an HTML page, as a proxy or a lost session answers."""
        return self.add(method, path, times=times, status=200, body=LOGIN_PAGE)

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    @property
    def waiting(self) -> int:
        """How many faults have requests still to meet."""
        with self._lock:
            return len(self._waiting)

    def take(self, method: str, path: str, query: str = "") -> Fault | None:
        """The fault for this request, used up by one."""
        with self._lock:
            for fault in self._waiting:
                if fault.meets(method, path, query):
                    fault.times -= 1
                    if fault.times == 0:
                        self._waiting.remove(fault)
                    return fault
        return None
