"""The description of the routes, held against the routes, and the running server held against it."""

import hashlib
import hmac
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from openapi_spec_validator import validate
from requests import PreparedRequest
from requests.auth import AuthBase
from schemathesis import Case, GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.core.result import Ok

from connector.web.app import create_app
from connector.web.openapi import describe
from tests.web.conftest import SECRET, SOURCE, Service, event

LIMITS = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


def test_it_is_a_valid_document() -> None:
    validate(describe())


def test_it_is_served_and_names_no_source_and_no_secret(service: Service) -> None:
    answer = service.request("GET", "/openapi.json")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json == describe()
    for word in (f'"{SOURCE}"', SECRET):
        assert word not in answer.body.decode()


def test_every_route_is_described_and_no_other(service: Service) -> None:
    app = create_app({}, service.store, service.metrics, service.clock, lambda: None, on_notice=print)  # type: ignore[arg-type,return-value]  # not called
    rules = {
        (rule.rule.replace("<path:path_secret>", "{secret}").replace("<source>", "{source}"), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule != "/webhooks/<source>/"  # forgiven, not offered
    }
    described = {
        (path, method) for path, item in describe()["paths"].items() for method in item if method != "parameters"
    }
    assert rules == described


class Signed(AuthBase):
    """Signs whatever bytes are about to be sent."""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        body = request.body or b""
        raw = body.encode() if isinstance(body, str) else bytes(body)
        request.headers["X-Hub-Signature"] = "sha256=" + hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
        return request


CONFIG = schemathesis.Config.from_dict(
    {
        "checks": {
            "not_a_server_error": {"enabled": True},
            # Any body at all is taken in: the tracker that sent it would send it again and again.
            "negative_data_rejection": {"enabled": False},
        }
    }
)


def held_against(service: Service) -> schemathesis.BaseSchema:
    service.store.sources.attended(SOURCE, service.now)  # ready
    with requests.Session() as session:
        session.trust_env = False
        document = session.get(f"{service.server.url}/openapi.json", timeout=5).json()
    schema = schemathesis.openapi.from_dict(document, config=CONFIG)
    schema.config.update(base_url=service.server.url)
    return schema


@pytest.mark.slow
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_the_running_server_keeps_to_it(start: Callable[[], Service], mode: GenerationMode, signed: bool) -> None:
    service = start()
    load_all_checks()
    schema = held_against(service)
    answered: defaultdict[str, set[int]] = defaultdict(set)
    with requests.Session() as session:
        session.trust_env = False
        for found in schema.get_all_operations():
            assert isinstance(found, Ok)
            operation = found.ok()

            @LIMITS
            @given(operation.as_strategy(mode))
            def keeps_to_it(case: Case[Any]) -> None:
                if signed and "source" in case.path_parameters:
                    case.path_parameters["source"] = SOURCE
                answer = case.call_and_validate(session=session, auth=Signed() if signed else None, timeout=10)
                answered[case.operation.label].add(answer.status_code)

            try:
                keeps_to_it()
            except Unsatisfiable:
                assert mode is GenerationMode.NEGATIVE  # there is nothing to get wrong about a GET of no parameters
    for path in ("POST /webhooks/{source}", "POST /webhooks/{source}/{secret}"):
        assert (200 if signed else 404) in answered[path]
    assert service.post(event(99)).status == 204
