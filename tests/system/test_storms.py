"""Webhooks as they come on bad days: doubled, out of order, forged between, all tried again, a thousand at once."""

import random
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from connector.practice.hooks import Attempt
from tests.system.office import CALL, DETAILS, START, Office
from tests.system.process import SOURCE, wait_for
from tests.system.test_ladders import CALIFORNIA, CALL_SHEET, assert_walked, people_at_work

WEBHOOKS = f"/webhooks/{SOURCE}"


def send_all(office: Office, attempts: Sequence[Attempt]) -> Counter[int]:
    """All of them from eight connections at once; how often each status was answered."""
    with ThreadPoolExecutor(8) as pool:
        return Counter(
            pool.map(lambda each: office.connector.post(WEBHOOKS, each.body, each.headers).status_code, attempts)
        )


def forged(attempt: Attempt) -> Attempt:
    headers = attempt.headers | {"X-Hub-Signature": "sha256=" + "0" * 64}
    return Attempt("0", attempt.event, attempt.url, 0, None, headers, attempt.body)


@pytest.mark.parametrize("burst", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_burst_doubles_nothing_and_everything_is_attended_to(cloud: Office, burst: int) -> None:
    chance = random.Random(burst)
    cloud.start()
    cloud.settle()
    cloud.server.hooks.hold()  # the real ones come later, and in reverse
    ready = [cloud.add(**DETAILS | {"Receipt_Number": f"WAC25901{n:05}"}) for n in range(burst // 20)]
    late = [
        cloud.add(**DETAILS | CALL | {"Receipt_Number": f"WAC25902{n:05}"}, NCSC_Called_At=START.replace(month=1))
        for n in range(burst // 20)
    ]
    cloud.server.hooks.release(reverse=True)
    wait_for(lambda: len(cloud.server.hooks.deliveries) >= 2 * len(ready), "the true webhooks are delivered")
    genuine = chance.choices(list(cloud.server.hooks.deliveries), k=burst * 3 // 4)
    false = [forged(each) for each in genuine[: burst // 4]]
    storm = chance.sample(genuine + false, burst)

    assert send_all(cloud, storm) == {204: len(genuine), 401: len(false)}

    cloud.settle()
    for issue in ready:
        assert (cloud.titles(issue), cloud.moves(issue)) == ([CALL_SHEET], ["Call NCSC"])
    for issue in late:
        assert (cloud.titles(issue), cloud.moves(issue)) == ([CALIFORNIA], ["E-mail Service Center"])
    delivered = len(cloud.server.hooks.deliveries)
    assert cloud.connector.metric("connector_webhooks_total", result="refused_signature") == len(false)
    assert cloud.connector.metric("connector_webhooks_total", result="accepted") == len(genuine) + delivered
    assert cloud.connector.metric("connector_tickets", state="stuck") == 0
    assert cloud.connector.get("/readyz").status_code == 200


@pytest.mark.slow
def test_a_ladder_walked_in_disorder(cloud: Office) -> None:
    """Every delivery doubled, those of each step in reverse, and many lost: the poll finds what they told of."""
    script = people_at_work(cloud)
    walks = next(script)
    hooks = cloud.server.hooks
    cloud.start()
    cloud.settle()
    hooks.duplicate(10_000)
    while True:
        hooks.hold()
        if next(script, None) is None:
            break
        hooks.drop(1)
        hooks.release(reverse=True)
        cloud.settle()
        assert cloud.connector.command("poll").returncode == 0
        cloud.settle()
    assert_walked(cloud, walks)
    again = [each for each in hooks.deliveries if each.status == 204]
    writes = cloud.writes()
    assert send_all(cloud, again) == {204: len(again)}  # all of them, weeks later
    cloud.settle()
    assert cloud.writes() == writes
