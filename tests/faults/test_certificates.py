"""A tracker whose certificate cannot be trusted: nothing is sent to it, the source says why, and others go on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.certificates import Certificate, authority, issued
from tests.faults.figures import Figures
from tests.faults.neighbours import BAD, scene_at
from tests.faults.zygote import Zygote
from tests.system.process import wait_for

Make = Callable[[Certificate, Path], Certificate]
ANYBODY_ELSE = {"REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": "", "SSL_CERT_FILE": ""}  # those of the machine's own

WRONG: dict[str, tuple[Make, str]] = {
    "expired": (lambda by, folder: issued(by, folder, "expired", days=-1), "has expired"),
    "another address": (lambda by, folder: issued(by, folder, "other", of="IP:127.0.0.2"), "is for another"),
    "a host's name": (lambda by, folder: issued(by, folder, "named", of="DNS:jira.example.org"), "is for another"),
    "self-signed": (lambda _, folder: authority(folder, "itself"), "is signed by nobody but itself"),
    "unknown authority": (
        lambda _, folder: issued(authority(folder, "stranger"), folder, "strange"),
        "comes from an authority that is not trusted here",
    ),
}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """The office's own authority."""
    return authority(tmp_path_factory.mktemp("authority"), "office")


def trusting(own: Certificate, by: str = "REQUESTS_CA_BUNDLE") -> dict[str, str]:
    return ANYBODY_ELSE | {by: str(own.certificate)}


@pytest.mark.parametrize("name", WRONG)
def test_nothing_is_sent_before_it_is_mended(
    name: str, own: Certificate, tmp_path: Path, zygote: Zygote, figures: Figures
) -> None:
    row = figures(f"certificate: {name}")
    make, words = WRONG[name]
    good, wrong = issued(own, tmp_path, "good"), make(own, tmp_path)
    with scene_at(tmp_path, zygote, context=good.context(), environment=trusting(own)) as scene:
        tracker, node = scene.tracker, scene.pair.node
        tracker.stop()
        tracker.context = wrong.context()
        tracker.behave()
        tracker.start()
        sent, shaken = len(tracker.seen), tracker.handshakes
        scene.let_the_day_come()
        scene.see_the_good_done()
        wait_for(lambda: words in scene.pair.pause_of(BAD)[1], "the source is paused, and says why")
        assert words in str(node.get("/readyz").json()["sources"][BAD])
        scene.pair.clock.advance(minutes=6)  # it tries again
        before = tracker.refusals
        wait_for(lambda: tracker.refusals > before, "it has tried again")
        assert (len(tracker.seen), tracker.handshakes) == (sent, shaken)
        assert any(words in line["reason"] for line in node.logged("look failed") + node.logged("poll failed"))
        assert node.metric("connector_tickets", state="stuck") == 0

        tracker.context = good.context()
        scene.settle()
        row.injected += tracker.refusals
        scene.count(row)


@pytest.mark.parametrize("by", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_offices_own_authority(by: str, own: Certificate, tmp_path: Path, zygote: Zygote) -> None:
    good = issued(own, tmp_path, "good")
    with scene_at(tmp_path, zygote, context=good.context(), environment=trusting(own, by)) as scene:
        scene.let_the_day_come()
        scene.settle()
        assert scene.bad.are_done
        assert scene.good.are_done
        assert scene.tracker.refusals == 0


def test_a_bundle_that_is_not_there(own: Certificate, tmp_path: Path, zygote: Zygote, figures: Figures) -> None:
    """It concerns the trackers that are reached over TLS, and says what to mend."""
    row = figures("certificates: the bundle cannot be read")
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(own.certificate.read_bytes())
    good = issued(own, tmp_path, "good")
    environment = ANYBODY_ELSE | {"REQUESTS_CA_BUNDLE": str(bundle)}
    with scene_at(tmp_path, zygote, context=good.context(), environment=environment) as scene:
        bundle.unlink()
        scene.let_the_day_come()
        scene.see_the_good_done()
        wait_for(lambda: "REQUESTS_CA_BUNDLE" in scene.pair.pause_of(BAD)[1], "the source is paused, and says why")
        row.injected += 1
        assert not [line for line in scene.pair.node.logged("look failed") if line["kind"] == "OSError"]
        bundle.write_bytes(own.certificate.read_bytes())
        scene.pair.clock.advance(minutes=6)
        scene.settle()
        scene.count(row)


def test_no_tls_at_all(own: Certificate, tmp_path: Path, zygote: Zygote, figures: Figures) -> None:
    row = figures("certificate: none, the port speaks HTTP")
    good = issued(own, tmp_path, "good")
    with scene_at(tmp_path, zygote, context=good.context(), environment=trusting(own)) as scene:
        tracker = scene.tracker
        tracker.stop()
        tracker.context = None
        tracker.behave()
        tracker.start()
        sent = len(tracker.seen)
        scene.let_the_day_come()
        scene.see_the_good_done()

        def is_told() -> bool:
            scene.pair.clock.advance(seconds=30)
            return "speaks TLS" in scene.pair.pause_of(BAD)[1]

        wait_for(is_told, "the source is paused, and says why")
        row.injected += 1
        assert len(tracker.seen) == sent
        tracker.context = good.context()
        scene.settle()
        scene.count(row)
