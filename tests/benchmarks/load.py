"""Keep-alive clients that send webhooks one after the other: a process of its own, so that it takes no server's time.

    python -m tests.benchmarks.load URL [--clients 16] [--seconds 3] [--warm 0.5] [--tickets 2000]

Each client sends its next request when its last is answered. The requests are made and signed beforehand, and one
thread serves all clients (epoll), so that a request costs this process some twenty microseconds: it says how much.
Prints one line of JSON: requests, rate (a second), p50, p95, p99, max (milliseconds), statuses, own_cpu (of a second).
"""

import argparse
import json
import select
import socket
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.benchmarks.payloads import jira_payload, signature

FIRST_TICKET = 1_000_000


@dataclass
class Client:
    """One connection. `sent_at` is when its request went out."""

    connection: socket.socket
    sent_at: float = 0.0
    received: bytes = b""
    latencies: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--warm", type=float, default=0.5)
    parser.add_argument("--tickets", type=int, default=2000)
    given = parser.parse_args()
    requests = [webhook_request(given.url, FIRST_TICKET + number) for number in range(given.tickets)]
    print(json.dumps(measure(given.url, requests, given.clients, given.seconds, given.warm)))  # noqa: T201  its answer


def webhook_request(url: str, ticket_id: int) -> bytes:
    """A whole HTTP request, signed."""
    parts, body = urlsplit(url), jira_payload(ticket_id)
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json; charset=UTF-8\r\n"
        f"User-Agent: Atlassian Webhook HTTP Client\r\nX-Hub-Signature: {signature(body)}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def measure(url: str, requests: list[bytes], clients: int, seconds: float, warm: float) -> dict[str, object]:
    """Send for `warm + seconds` seconds; what is answered in the latter counts."""
    address = (urlsplit(url).hostname, urlsplit(url).port)
    poll = select.epoll()
    connections: dict[int, Client] = {}
    for _ in range(clients):
        connection = socket.create_connection(address, timeout=10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connections[connection.fileno()] = Client(connection)
        poll.register(connection.fileno(), select.EPOLLIN)
    upcoming = 0
    statuses: Counter[str] = Counter()
    counts_from = time.perf_counter() + warm
    ends_at = counts_from + seconds
    for client in connections.values():
        upcoming = _send(client, requests, upcoming)
    cpu = time.process_time()
    while (now := time.perf_counter()) < ends_at:
        for number, _ in poll.poll(max(0.0, ends_at - now)):
            client = connections[number]
            status = _answered(client)
            if status is None:
                continue
            done = time.perf_counter()
            if counts_from <= done < ends_at:
                statuses[status] += 1
                client.latencies.append(done - client.sent_at)
            upcoming = _send(client, requests, upcoming)
    cpu = time.process_time() - cpu
    for client in connections.values():
        client.connection.close()
    latencies = sorted(1000 * each for client in connections.values() for each in client.latencies)
    cuts = statistics.quantiles(latencies, n=100) if len(latencies) > 1 else [0.0] * 99
    return {
        "requests": len(latencies),
        "rate": len(latencies) / seconds,
        "p50": cuts[49],
        "p95": cuts[94],
        "p99": cuts[98],
        "max": max(latencies, default=0.0),
        "statuses": dict(statuses),
        "own_cpu": cpu / (warm + seconds),
    }


def _send(client: Client, requests: list[bytes], number: int) -> int:
    client.sent_at = time.perf_counter()
    client.connection.sendall(requests[number % len(requests)])
    return number + 1


def _answered(client: Client) -> str | None:
    """The status, once the whole answer is there."""
    received = client.connection.recv(65_536)
    if not received:
        raise SystemExit("the server closed a connection")
    client.received += received
    head, end, body = client.received.partition(b"\r\n\r\n")
    if not end:
        return None
    lines = head.decode("latin-1").lower().split("\r\n")
    length = next((int(line.partition(":")[2]) for line in lines if line.startswith("content-length:")), 0)
    if len(body) < length:
        return None
    client.received = b""
    return lines[0].split(" ")[1]


if __name__ == "__main__":
    main()
