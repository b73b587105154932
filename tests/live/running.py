"""Starts a real Request Tracker 5 on loopback, set up from deploy/request-tracker, and ends it.

The fixture stands in tests/conftest.py, so that all folders share one Request Tracker; what it needs is imported only
where it is used.
"""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.live.request_tracker import Rt

HERE = Path(__file__).parent
SERVER = "/usr/share/request-tracker5/libexec/rt-server"
CANNOT_BE_INSTALLED = 3  # exit status of rt-up.sh


@pytest.fixture(scope="session")
def rt(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Rt]":
    """One for the whole run."""
    from tests.live.request_tracker import Rt  # noqa: PLC0415  # most runs need none

    folder = tmp_path_factory.mktemp("rt")
    port, hook_port = _free_ports(2)
    environment = {
        **os.environ,
        "PORT": str(port),
        "STATE_DIR": str(folder),
        "HOOK_URL": f"http://127.0.0.1:{hook_port}/webhooks/request-tracker",
    }
    up = subprocess.run([HERE / "rt-up.sh"], env=environment, stderr=subprocess.PIPE, text=True, check=False)
    try:
        if up.returncode == CANNOT_BE_INSTALLED:
            pytest.skip(f"no Request Tracker: {up.stderr.strip().splitlines()[-1]}")
        assert up.returncode == 0, up.stderr
        lines = (folder / "env").read_text(encoding="utf-8").splitlines()
        told = dict(line.split("=", 1) for line in lines)
        tokens = {who: told[f"{who.upper()}_TOKEN"] for who in ("connector", "staff", "blind", "root")}
        running = Rt(told["RT_URL"], tokens, hook_port, told["HOOK_SECRET"], folder)
        yield running
        running.session.close()
    finally:
        subprocess.run([HERE / "rt-down.sh"], env=environment, check=True)


@contextmanager
def second_server(rt: "Rt", setting: str) -> Iterator[str]:
    """The address of another server of the same Request Tracker, with one setting that is not the first one's."""
    [port] = _free_ports(1)
    config = rt.folder / f"{port}.pm"
    usual = (rt.folder / "RT_SiteConfig.pm").read_text(encoding="utf-8")
    config.write_text(f"{usual}\n{setting}\n1;\n", encoding="utf-8")
    environment = {
        **os.environ,
        "RT_SITE_CONFIG": str(config),
        "RT_SITE_CONFIG_DIR": str(rt.folder / "conf.d"),
        "HOME": str(rt.folder),
        "STATE_DIR": str(rt.folder),
    }
    command = [SERVER, "--server", "Starlet", "--host", "127.0.0.1", "--port", str(port), "--max-workers", "2"]
    with (rt.folder / "log" / f"{port}.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        _wait_for(port, server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()  # see rt-down.sh
        server.wait(10)


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        assert server.poll() is None, "the second server died"
        with socket.socket() as connection:
            if connection.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the second server does not listen")


def _free_ports(number: int) -> list[int]:
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [server.getsockname()[1] for server in servers]
    for server in servers:
        server.close()
    return ports
