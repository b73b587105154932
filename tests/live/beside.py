"""The real `connector run` as a process, listening where the running Request Tracker's webhook looks for it."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from connector.inquiry.markup import find_refs
from tests.live.request_tracker import EXAMPLE, NAME, QUEUE, Rt
from tests.system.process import Connector


class Beside(Connector):
    """A connector that listens where RT's webhook looks for it."""

    def __init__(self, folder: Path, rt: Rt) -> None:
        self._clock = folder / "clock"
        self._clock.write_text("0", encoding="utf-8")
        super().__init__(folder, self._clock)
        self._rt, self._ahead = rt, 0
        text = EXAMPLE.read_text(encoding="utf-8").replace("https://rt.example.org", rt.url)
        text = text.replace(f"Queue = '{QUEUE}'", f"Queue = '{QUEUE}' AND id > {rt.latest()}")
        for name, value in (("token", rt.tokens["connector"]), ("webhook-secret", rt.hook_secret)):
            (folder / name).write_text(value, encoding="utf-8")
            text = text.replace(f"/run/secrets/request-tracker-{name}", str(folder / name))
        (self.mappings / f"{NAME}.yaml").write_text(text, encoding="utf-8")

    def environment(self) -> dict[str, str]:
        return super().environment() | {"CONNECTOR_LISTEN": f"127.0.0.1:{self._rt.hook_port}"}

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._ahead)

    def let_doubts_pass(self) -> None:
        """Set the clock past the time for which an act stays in doubt."""
        self._ahead += 100
        self._clock.write_text(str(self._ahead), encoding="utf-8")


def refs_of(rt: Rt, ticket_id: str) -> Counter[str]:
    return Counter(ref for text in rt.comments(ticket_id) for ref in find_refs(text))
