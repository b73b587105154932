"""From a Request Tracker that has loaded the files of deploy/request-tracker to a working connection."""

import time

import pytest

from tests.live.beside import Beside, refs_of
from tests.live.request_tracker import NAME, Rt, step_1
from tests.system.process import wait_for

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]


def test_check_provision_discover_run(rt: Rt, beside: Beside, capsys: pytest.CaptureFixture[str]) -> None:
    hook_url = f"http://127.0.0.1:{rt.hook_port}"
    began = time.monotonic()
    assert beside.command("check").returncode == 0
    told = beside.command("provision", NAME, "--dry-run", "--webhook-url", hook_url)
    assert told.returncode == 0, told.stderr
    assert "deploy/request-tracker" in told.stdout  # RT's interface makes none of it: the file that does is named
    drafted = beside.command("discover", NAME).stdout
    assert "  receipt_number: Receipt Number" in drafted
    assert "  service_center_emailed_at: Service Center Emailed At" in drafted
    looked = beside.command("check", "--live", NAME, "--webhook-url", hook_url)
    assert looked.returncode == 0, looked.stdout
    assert beside.start()
    ticket_id = rt.create(**step_1(701))
    wait_for(lambda: refs_of(rt, ticket_id), "the call sheet arrives")
    took = time.monotonic() - began
    assert beside.stop() == 0
    with capsys.disabled():
        print(f"\nRequest Tracker: from its loaded files to the first comment in {took:.1f} s")  # noqa: T201  told, as the README tells it
