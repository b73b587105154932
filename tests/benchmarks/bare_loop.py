"""What the tracker, the HTTP library and the threads allow: the calls of a run of the connector, and nothing else.

    python -m tests.benchmarks.bare_loop URL HANDS TICKETS '{"comment": 10000, "move": 10000, "bulk": 100, ...}'

Each thread has a session of `requests` and makes its share of the calls, read to the end as the connector reads them
(trackers/http.py). Prints one line of JSON: seconds, and cpu (seconds).
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import requests

from connector.trackers.http import exchange
from tests.benchmarks.tracker import TOKEN, USER, WAITING

_COMMENT = {"body": "x" * 1500, "properties": [{"key": "sd.public.comment", "value": {"internal": True}}]}
_FIELDS = "status,project,issuetype,duedate,updated,comment"
_BULK = 100  # tickets in one

# kind -> (method, path, parameters, body) of the call about the ticket with that number
_CALLS: Mapping[str, Callable[[int], tuple[str, str, Any, Any]]] = {
    "match": lambda n: ("POST", "jql/match", None, {"issueIds": [n], "jqls": ["project = CASE"]}),
    "fetch": lambda n: ("GET", "search/jql", {"jql": f"(project = CASE) AND id = {n}", "fields": _FIELDS}, None),
    "bulk": lambda n: ("POST", "issue/bulkfetch", None, {"issueIdsOrKeys": [str(n + k) for k in range(_BULK)]}),
    "transitions_of": lambda n: ("GET", f"issue/{n}/transitions", None, None),
    "move": lambda n: ("POST", f"issue/{n}/transitions", None, {"transition": {"id": "51"}}),
    "edit": lambda n: ("PUT", f"issue/{n}", None, {"fields": {"duedate": "2026-04-02"}}),
    "comment": lambda n: ("POST", f"issue/{n}/comment", None, _COMMENT),
}


def main() -> None:
    url, hands, tickets, counts = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
    work = [(kind, WAITING + number % tickets) for kind in _CALLS for number in range(counts.get(kind, 0))]
    work.sort(key=lambda each: each[1])  # ticket by ticket, as the connector does
    threads = [threading.Thread(target=_loop, args=(url, work[hand::hands])) for hand in range(hands)]
    begun, cpu = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - cpu}
    print(json.dumps(found), flush=True)  # noqa: T201  its answer


def _loop(url: str, work: Sequence[tuple[str, int]]) -> None:
    with requests.Session() as session:
        session.auth = (USER, TOKEN)
        for kind, number in work:
            method, path, params, body = _CALLS[kind](number)
            answer = exchange(
                session,
                method,
                f"{url}/rest/api/2/{path}",
                timeout=(5, 30),
                changes=method != "GET",
                params=params,
                body=body,
            )
            if answer.body:
                answer.json()


if __name__ == "__main__":
    main()
