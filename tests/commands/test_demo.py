"""`connector demo`: what a visitor sees and does within two minutes of cloning."""

import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest
import requests

from connector.demo import Demo
from tests.commands.conftest import Process, Start, until


def url_of(process: Process) -> str:
    found = until(lambda: re.search(r"The practice tracker:  (http://127\.0\.0\.1:\d+)", process.stdout))
    return str(found[1])


def move_clock(session: requests.Session, url: str, days: int) -> None:
    assert session.post(f"{url}/practice/clock", json={"days": days}, timeout=5).status_code == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_visit(start: Start, number: int) -> None:
    # Settings of the visitor's own, and a proxy that does not answer, are no hindrance.
    process = start(
        "demo", "--port", "0", CONNECTOR_LISTEN="nowhere", CONNECTOR_NONSENSE="1", HTTP_PROXY="http://127.0.0.1:9"
    )
    url = url_of(process)
    with requests.Session() as session:
        session.trust_env = False
        assert session.get(url, timeout=5).status_code == 200
        until(lambda: "CASE-2: comment: Ready to call the NCSC: 1-800-375-5283" in process.stdout)
        until(lambda: "CASE-1: moved to Collect Details" in process.stdout)
        assert "CASE-3: comment" not in process.stdout
        move_clock(session, url, 2)
        until(lambda: "CASE-3: moved to E-mail Service Center" in process.stdout)
        until(
            lambda: (
                "CASE-3: comment: E-mail the Nebraska Service Center now: ncscfollowup.nsc@dhs.gov" in process.stdout
            )
        )
        began = time.monotonic()
        process.signal(number)  # while the visitor's browser still holds its connection
        assert process.wait(5) == 0
    assert time.monotonic() - began < 3
    welcome, _, acts = process.stdout.partition("What the connector does, as it does it:\n")
    assert "Ctrl-C ends it; nothing is kept." in welcome
    assert all(re.fullmatch(r"  CASE-\d: .+", line) for line in acts.split("\n") if line)
    assert process.stderr == ""


def test_a_port_that_is_taken(start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = start("demo", "--port", str(port))
        assert process.wait() == 1
    assert process.stderr == (
        f"cannot listen on 127.0.0.1:{port} (Address already in use): end what listens there, or try --port 0\n"
    )
    assert process.stdout == ""


def test_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("no_proxy", "intranet.example")
    with Demo(0) as demo:
        assert demo.tracker.url in demo.welcome()
        [folder] = tmp_path.iterdir()
        assert (folder / "cases.yaml").exists()
        assert os.environ["no_proxy"] == "intranet.example,127.0.0.1"
    assert not list(tmp_path.iterdir())
    assert os.environ["no_proxy"] == "intranet.example"
