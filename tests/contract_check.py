"""Holds exchanges with Jira (or with the practice tracker) against Atlassian's own OpenAPI document of Jira Cloud.

    check = ContractCheck()
    server.on_exchange(check.exchange)
    ...
    check.assert_clean()

The document describes v3; ours speak v2, whose twins have the same shapes except for rich text, and there the document
says `{}`. It stands beside the checkout, not in it: where it is absent, nothing is checked and a line says so.
"""

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from openapi_core.templating.paths.exceptions import PathError
from werkzeug.datastructures import Headers, ImmutableMultiDict

CONTRACT = Path(__file__).parents[1].parent / "shared" / "contracts" / "jira-cloud-v3.openapi.json"
HOST = "https://your-domain.atlassian.net"
_OURS = re.compile(r"(?:/ex/jira/[^/]+)?/rest/api/[23](/.*)")


def _schemas(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        yield from _schemas(child)


def _answers(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What each operation may answer, by status."""
    for path in document["paths"].values():
        for operation in path.values():
            if isinstance(operation, dict):
                yield operation["responses"]


def _answers_before_the_api(document: dict[str, Any]) -> None:
    for answers in _answers(document):
        for status in ("401", "415"):
            answers[status] = {"description": "answered in front of the API"}
        answers.setdefault("404", {"description": "the gateway knows no such site"})


def _offsets_without_colon(document: dict[str, Any]) -> None:
    for node in _schemas(document):
        if node.get("format") == "date-time":
            del node["format"]


def _nullable_history(document: dict[str, Any]) -> None:
    for name in ("from", "fromString", "to", "toString"):
        document["components"]["schemas"]["ChangeDetails"]["properties"][name]["nullable"] = True


def _gone_search(document: dict[str, Any]) -> None:
    gone = {"operationId": "goneSearch", "responses": {"410": {"description": "gone"}}}
    document["paths"]["/rest/api/3/search"] = {"get": gone, "post": {**gone, "operationId": "goneSearchPost"}}


PATCHES: tuple[tuple[str, Callable[[dict[str, Any]], None]], ...] = (
    ("401 and 415 are answered in front of every operation, with any body or none", _answers_before_the_api),
    ("Jira writes offsets as -0500, which `format: date-time` (RFC 3339) refuses", _offsets_without_colon),
    ("a change from or to an empty field has nulls, declared as plain strings", _nullable_history),
    ("the removed search still answers (410), but is not declared", _gone_search),
)


class ExchangeLike(Protocol):
    """What `on_exchange` of the practice tracker hands over."""

    @property
    def method(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def request_headers(self) -> Mapping[str, str]: ...
    @property
    def request_body(self) -> bytes: ...
    @property
    def status(self) -> int: ...
    @property
    def response_headers(self) -> Mapping[str, str]: ...
    @property
    def response_body(self) -> bytes: ...


class _Request:
    """An exchange's request, as openapi-core wants it."""

    def __init__(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> None:
        self.host_url = HOST
        self.path = path
        self.method = method.lower()
        self.body = body or None
        found = Headers(dict(headers))
        self.content_type = found.get("Content-Type", "application/json").partition(";")[0].lower()
        self.parameters = RequestParameters(
            path={},
            query=ImmutableMultiDict(parse_qsl(query, keep_blank_values=True)),
            header=found,
            cookie=ImmutableMultiDict(),
        )


class _Response:
    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status_code = status
        self.data = body
        self.headers = Headers(dict(headers))
        self.content_type = self.headers.get("Content-Type", "application/json").partition(";")[0].lower()


@functools.cache
def _contract(path: Path) -> OpenAPI:
    document = json.loads(path.read_text())
    for _reason, patch in PATCHES:
        patch(document)
    return OpenAPI.from_dict(document)


class ContractCheck:
    """Collects what breaks the contract. `checked` counts exchanges, `uncovered` lists calls the document lacks."""

    def __init__(self, path: Path = CONTRACT) -> None:
        self.violations: list[str] = []
        self.uncovered: list[str] = []
        self.checked = 0
        self._contract = _contract(path) if path.is_file() else None
        if self._contract is None:
            print(f"contract not checked: {path.name} is not beside this checkout")  # noqa: T201  # pytest -rA shows it

    def exchange(self, exchange: ExchangeLike) -> None:
        self.check(
            exchange.method,
            exchange.url,
            exchange.request_headers,
            exchange.request_body,
            exchange.status,
            exchange.response_headers,
            exchange.response_body,
        )

    def check(
        self,
        method: str,
        url: str,
        request_headers: Mapping[str, str],
        request_body: bytes | str | None,
        status: int,
        response_headers: Mapping[str, str],
        response_body: bytes,
    ) -> list[str]:
        """The violations of this exchange; kept in `violations` as well.

        A request that was refused with a 4xx may break the contract; its answer may not.
        """
        parts = urlsplit(url)
        ours = _OURS.fullmatch(parts.path)
        if self._contract is None or ours is None:
            return []
        sent = request_body.encode() if isinstance(request_body, str) else request_body or b""
        request = _Request(method, f"/rest/api/3{ours[1]}", parts.query, request_headers, sent)
        response = _Response(status, response_headers, response_body)
        found = []
        try:
            if status < 400:
                found += _problems(self._contract.iter_request_errors, request)
            found += _problems(self._contract.iter_response_errors, request, response)
        except PathError:
            self.uncovered.append(f"{method} {parts.path}")
            return []
        self.checked += 1
        named = [f"{method} {parts.path} -> {status}: {problem}" for problem in found]
        self.violations += named
        return named

    def assert_clean(self, *, least: int = 1) -> None:
        """Nothing broke the contract, and at least so many exchanges were checked (where there is a contract)."""
        assert not self.violations, "\n".join(self.violations)
        assert self._contract is None or self.checked >= least, f"only {self.checked} exchanges were checked"


def _problems(iterate: Callable[..., Any], *of: Any) -> list[str]:
    """Each problem with its causes. Security is not judged here: an answer 401 does that."""
    problems = []
    for error in iterate(*of):
        if isinstance(error, PathError):
            raise error
        if isinstance(error, OpenAPIError) and "ecurity" not in type(error).__name__:
            causes = getattr(error.__cause__, "schema_errors", None) or [error.__cause__ or error]
            problems.append(f"{error}: " + "; ".join(_place(each) for each in causes))
    return problems


def _place(error: Any) -> str:
    where = "/".join(str(part) for part in getattr(error, "absolute_path", ()))
    return f"{where or '.'}: {getattr(error, 'message', error)}"
