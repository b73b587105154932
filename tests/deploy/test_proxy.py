"""The reverse proxy: a real nginx, with the files of deploy/nginx, between a sender and something that answers."""

import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.test_image import free_port
from tests.deploy.tools import DEPLOY, run, tool

FOLDER = DEPLOY / "nginx"
MEGABYTE = 1 << 20
SITES = ["inquiry-connector.conf", "compose.conf"]

pytestmark = pytest.mark.deploy


@dataclass
class Web:
    """What stands behind the proxy: it notes each request, and answers what it is told to."""

    statuses: list[int] = field(default_factory=list)  # for the next ones; then 200
    seen: list[tuple[str, str, int]] = field(default_factory=list)  # method, path, bytes
    port: int = 0


@pytest.fixture
def web() -> Iterator[Web]:
    one = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            one.seen.append((self.command, self.path, len(body)))
            self.send_response(one.statuses.pop(0) if one.statuses else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *words: Any) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        one.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield one
        server.shutdown()
        thread.join()


@dataclass
class Proxy:
    """A running nginx."""

    folder: Path
    port: int

    def ask(self, method: str, path: str, body: bytes = b"{}", **headers: str) -> int:
        """The status of its answer."""
        context = ssl.create_default_context(cafile=str(self.folder / "certificate.pem"))
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=10, context=context)
        try:
            connection.request(method, path, body, headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def logged(self) -> str:
        """All that stands in its logs."""
        return "".join(path.read_text() for path in (self.folder / "logs").iterdir())


def configure(folder: Path, site: str, port: int, behind: int, allowed: str | None = None) -> Path:
    """The configuration of this folder as installed, with other ports, paths and certificates. Returns nginx.conf."""
    place = folder / "inquiry-connector"
    place.mkdir()
    (folder / "logs").mkdir(exist_ok=True)
    for path in FOLDER.glob("*.conf"):
        (place / path.name).write_text(path.read_text())
    text = (FOLDER / site).read_text()
    for here, there in {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "    listen [::]:443 ssl;\n": "",
        "listen 80;": f"listen 127.0.0.1:{free_port()};",
        "    listen [::]:80;\n": "",
        "/etc/ssl/connector.example.org/fullchain.pem": str(folder / "certificate.pem"),
        "/etc/ssl/connector.example.org/privkey.pem": str(folder / "key.pem"),
        "/run/secrets/tls-certificate": str(folder / "certificate.pem"),
        "/run/secrets/tls-key": str(folder / "key.pem"),
        "/var/log/nginx/": f"{folder}/logs/",
        "/dev/stdout": f"{folder}/logs/stdout.log",
        "http://127.0.0.1:8080": f"http://127.0.0.1:{behind}",
    }.items():
        text = text.replace(here, there)
    (place / site).write_text(text)
    if allowed is not None:
        (place / "allowed-addresses.conf").write_text(allowed)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""  # another one could not write into this folder
    main.write_text(
        f"{user} daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/logs/error.log;\n"
        f"events {{ }}\nhttp {{\naccess_log off;\n{temporary}include inquiry-connector/{site};\n}}\n"
    )
    certificate: list[str | Path] = ["-keyout", folder / "key.pem", "-out", folder / "certificate.pem", "-days", "1"]
    alternative = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    elliptic = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    run(tool("openssl", "openssl"), "req", "-x509", *elliptic, *certificate, *alternative)
    return main


@pytest.fixture
def start(tmp_path: Path, web: Web) -> Iterator[Any]:
    """start(allowed=None) -> Proxy, before `web`."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(allowed: str | None = None) -> Proxy:
        port = free_port()
        main = configure(tmp_path, "inquiry-connector.conf", port, web.port, allowed)
        nginx = tool("nginx", "nginx-light")
        running.append(subprocess.Popen([nginx, "-c", main, "-p", tmp_path, "-e", tmp_path / "logs" / "start.log"]))
        proxy = Proxy(tmp_path, port)
        for _ in range(100):
            try:
                proxy.ask("GET", "/")
            except ConnectionRefusedError:
                time.sleep(0.02)
            else:
                return proxy
        raise AssertionError(proxy.logged())

    yield begin
    for process in running:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize("site", SITES)
def test_nginx_finds_no_mistake(site: str, tmp_path: Path) -> None:
    main = configure(tmp_path, site, free_port(), free_port())
    said = run(tool("nginx", "nginx-light"), "-t", "-c", main, "-p", tmp_path, "-e", tmp_path / "logs" / "start.log")
    assert "[warn]" not in said


def test_webhooks_pass_and_nothing_else_does(start: Any, web: Web) -> None:
    proxy = start()

    assert proxy.ask("POST", "/webhooks/cases") == 200
    assert proxy.ask("POST", "/webhooks/cases/the-secret") == 200
    assert [proxy.ask("POST", path) for path in ("/", "/metrics", "/readyz", "/livez", "/openapi.json")] == [404] * 5
    assert [proxy.ask(method, "/webhooks/cases") for method in ("GET", "PUT", "DELETE")] == [403] * 3
    assert [path for _, path, _ in web.seen] == ["/webhooks/cases", "/webhooks/cases/the-secret"]


def test_a_body_of_25_mb_passes_unchanged_and_a_larger_one_does_not(start: Any, web: Web) -> None:
    proxy = start()

    assert proxy.ask("POST", "/webhooks/cases", b"x" * (25 * MEGABYTE)) == 200
    assert proxy.ask("POST", "/webhooks/cases", b"x", **{"Content-Length": str(25 * MEGABYTE + 1)}) == 413
    assert [size for _, _, size in web.seen] == [25 * MEGABYTE]


def test_no_log_holds_a_secret_of_the_path(start: Any, web: Web) -> None:
    """Of errors neither: nginx writes the request line with each of them."""
    proxy = start()
    web.statuses += [503, 503]
    proxy.ask("POST", "/webhooks/cases/planted-secret")
    proxy.ask("POST", "/webhooks/cases/planted-secret", b"x", **{"Content-Length": str(26 * MEGABYTE)})
    proxy.ask("GET", "/planted-secret?planted-secret")
    proxy.ask("GET", "/webhooks/cases/planted-secret")

    logged = proxy.logged()
    assert "planted-secret" not in logged
    assert '"POST /webhooks/cases" 503' in logged
    assert '"GET (other)" 404' in logged


def test_strangers_are_turned_away(start: Any, web: Web) -> None:
    proxy = start(allowed="192.0.2.0/24 0;\n")

    assert proxy.ask("POST", "/webhooks/cases") == 403
    assert web.seen == []


def test_another_node_is_asked_when_one_is_down(
    tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch, start: Any
) -> None:
    """The upstream that the file offers, taken in as it says: one node is gone, the other takes all."""
    written = FOLDER / "inquiry-connector.conf"
    text = re.sub(r"^#(upstream|    server|    keepalive|\})", r"\1", written.read_text(), flags=re.MULTILINE)
    text = text.replace(
        "set $inquiry_connector http://127.0.0.1:8080;", "set $inquiry_connector http://inquiry_connector;"
    )
    text = text.replace("127.0.0.1:8081", f"127.0.0.1:{free_port()}").replace("127.0.0.1:8082", f"127.0.0.1:{web.port}")
    several = tmp_path / "several"
    shutil.copytree(FOLDER, several)
    (several / written.name).write_text(text)
    monkeypatch.setattr("tests.deploy.test_proxy.FOLDER", several)
    proxy = start()

    assert [proxy.ask("POST", "/webhooks/cases") for _ in range(20)] == [200] * 20
    assert len(web.seen) == 20


def test_a_burst_of_webhooks_passes(start: Any, web: Web) -> None:
    proxy = start()
    statuses: list[int] = []

    def send() -> None:
        statuses.extend(proxy.ask("POST", "/webhooks/cases") for _ in range(50))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 200


# ---- Atlassian's networks


def picked(document: Any) -> "subprocess.CompletedProcess[str]":
    text = document if isinstance(document, str) else json.dumps(document)
    words = [sys.executable, str(FOLDER / "atlassian-addresses")]
    return subprocess.run(words, input=text, capture_output=True, text=True, timeout=30, check=False)


def test_atlassian_s_list_becomes_lines_that_nginx_takes(start: Any) -> None:
    """The list's shape: https://ip-ranges.atlassian.com/ (items with cidr, product, direction)."""
    items = [
        {"cidr": "198.51.100.0/24", "product": ["jira", "trello"], "direction": ["ingress", "egress"]},
        {"cidr": "2001:db8::/32", "product": ["jira"], "direction": ["egress"]},
        {"cidr": "198.51.100.0/24", "product": ["jira"], "direction": ["egress"]},
        {"cidr": "203.0.113.0/24", "product": ["bitbucket"], "direction": ["egress"]},
        {"cidr": "192.0.2.0/24", "product": ["jira"], "direction": ["ingress"]},
    ]
    lines = picked({"items": items}).stdout

    assert lines == "198.51.100.0/24 0;\n2001:db8::/32 0;\n"
    assert start(allowed=lines + "127.0.0.0/8 0;\n").ask("POST", "/webhooks/cases") == 200


@pytest.mark.parametrize(
    "document",
    [
        "",
        "<html>",
        {"items": []},
        {},
        [],
        {"items": [{"cidr": "x;} evil", "product": ["jira"], "direction": ["egress"]}]},
    ],
)
def test_what_is_no_such_list_is_refused_and_writes_nothing(document: Any) -> None:
    result = picked(document)
    assert (result.returncode, result.stdout) == (1, "")
