"""make_setup: every kind of tracker has its set-up side, made without a call and without reading a secret."""

from dataclasses import replace

import pytest

from connector.mapping.loading import load_mapping
from connector.setup.connect import make_setup
from connector.trackers.port import AccessRefused
from tests.setup.conftest import Office


def test_jiras_is_made_from_the_mapping(bare: Office) -> None:
    mapping = load_mapping(bare.path)
    setup = make_setup(mapping.source, mapping.tracker, mapping.scope)
    assert setup.inventory().statuses == ("To Do", "In Progress", "Done")
    setup.close()


@pytest.mark.parametrize("kind", ["jira", "request_tracker", "zammad"])
def test_a_secret_is_read_when_it_is_used(bare: Office, kind: str) -> None:
    (bare.folder / "token").unlink()
    mapping = load_mapping(bare.path)
    setup = make_setup(mapping.source, replace(mapping.tracker, kind=kind), mapping.scope)
    assert len(bare.server.requests) == 0
    with pytest.raises(AccessRefused, match="cannot be read"):
        setup.inventory()
    setup.close()
