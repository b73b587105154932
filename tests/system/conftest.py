"""Offices with a connector of their own, on loopback."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.contract_check import ContractCheck
from tests.system.office import Office, office


@pytest.fixture
def open_office(tmp_path: Path) -> Iterator[Callable[..., Office]]:
    """open_office(deployment, project_type=..., start=...) -> Office. Cloud's exchanges must keep the contract."""
    check = ContractCheck()
    with ExitStack() as stack:

        def open_one(*args: Any, **kwargs: Any) -> Office:
            place = stack.enter_context(office(tmp_path, *args, **kwargs))
            if place.world.deployment == "cloud":
                place.server.on_exchange(check.exchange)
            return place

        yield open_one
    check.assert_clean(least=0)


@pytest.fixture
def cloud(open_office: Callable[..., Office]) -> Office:
    """A service desk on Jira Cloud without tickets; the connector is not started yet."""
    return open_office()
