"""Sending what triggers have queued: late, five times at most, signed with SHA-1. Facts: zammad 1.1 to 1.4."""

import hashlib
import hmac
import json
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import requests

from tests.zammad_standin.world import Job, Row, World

WAITS = (10, 20, 30, 40)  # seconds before the second try, the third, the fourth and the fifth


@dataclass(frozen=True)
class Delivery:
    """One try. `status` is None where nobody answered."""

    delivery: str
    ticket_id: int
    body: bytes
    status: int | None


class Sender:
    """Sends the jobs that are due when `run` is called, by the world's clock; `start` calls it again and again."""

    def __init__(self, world: World, waits: tuple[float, ...] = WAITS) -> None:
        self.world, self.waits = world, waits
        self.deliveries: list[Delivery] = []
        self._session = requests.Session()
        self._session.trust_env = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._in_hand = 0

    @property
    def is_idle(self) -> bool:
        """Nothing is being sent, and nothing is due."""
        with self.world.lock:
            return not self._in_hand and all(job.due_at > self.world.clock() for job in self.world.jobs)

    def run(self) -> int:
        """Send what is due. Returns the number of tries."""
        with self.world.lock:
            due = [job for job in self.world.jobs if job.due_at <= self.world.clock()]
            self.world.jobs = [job for job in self.world.jobs if job not in due]
            self._in_hand = len(due)
        for job in due:
            self._try(job)
            self._in_hand -= 1
        return len(due)

    def start(self, every: float = 0.05) -> None:
        def work() -> None:
            while not self._stop.wait(every):
                self.run()

        self._thread = threading.Thread(target=work, name="zammad-jobs", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()
            self._thread = None
        self._session.close()

    def _try(self, job: Job) -> None:
        with self.world.lock:
            made = self._request(job)
        if made is None:
            return  # ticket, article or webhook deleted meanwhile: nothing is sent, and nothing said
        url, headers, body = made
        try:
            answer = self._session.post(url, data=body, headers=headers, timeout=(4, 30), allow_redirects=False)
            status: int | None = answer.status_code
        except requests.RequestException:
            status = None
        self.deliveries.append(Delivery(job.delivery, job.ticket_id, body, status))
        if status is not None and 200 <= status < 300:
            return
        job.tries += 1
        with self.world.lock:
            if job.tries > len(self.waits):
                self.world.failed_jobs.append(job)
                return
            job.due_at = self.world.clock() + timedelta(seconds=self.waits[job.tries - 1])
            self.world.jobs.append(job)

    def _request(self, job: Job) -> tuple[str, dict[str, bytes], bytes] | None:
        webhook_id = str(job.trigger["perform"]["notification.webhook"]["webhook_id"])
        webhook = next((each for each in self.world.webhooks if str(each["id"]) == webhook_id), None)
        article_gone = job.article_id is not None and job.article_id not in self.world.articles
        if webhook is None or not webhook["active"] or job.ticket_id not in self.world.tickets or article_gone:
            return None
        body = rails_json(self._payload(job, webhook))
        headers = {
            "User-Agent": "Zammad User Agent",
            "Content-Type": "application/json; charset=utf-8",
            "X-Zammad-Trigger": job.trigger["name"],
            "X-Zammad-Delivery": job.delivery,
        }
        if webhook.get("signature_token"):
            digest = hmac.new(webhook["signature_token"].encode(), body, hashlib.sha1).hexdigest()
            headers["X-Hub-Signature"] = f"sha1={digest}"
        return webhook["endpoint"], {name: value.encode() for name, value in headers.items()}, body

    def _payload(self, job: Job, webhook: Row) -> Any:
        """As the ticket is now, whatever it was when the trigger ran."""
        row = self.world.tickets[job.ticket_id]
        if webhook.get("customized_payload"):
            return json.loads(webhook["custom_payload"].replace("#{ticket.id}", str(row["id"])))
        ticket = self.world.shown(row, set(self.world.columns), expand=True)
        for name in ("created_by", "updated_by"):
            user = next((each for each in self.world.users if each.id == row[f"{name}_id"]), None)
            ticket[name] = {"id": user.id, "login": user.login} if user else {}
        ticket["organization"] = {}
        article = self.world.articles[job.article_id] if job.article_id is not None else {}
        return {"ticket": dict(sorted(ticket.items())), "article": article}


def rails_json(value: Any) -> bytes:
    """JSON as Rails writes it: no spaces, <, > and & escaped, other letters as they are."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode()
