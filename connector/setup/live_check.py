"""`connector check --live`: the tracker's own findings, and what the database knows of webhooks and polls."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from tabulate import tabulate

from connector.mapping.schema import Mapping
from connector.setup.connect import setup_of
from connector.setup.wanted import wanted_of
from connector.store import SourceState
from connector.trackers.port import TrackerError
from connector.trackers.setup_port import Finding, Setup, Wanted, unseen

HEARD_WITHIN = timedelta(days=7)  # a quiet week is possible, but worth a look
_SLACK = timedelta(minutes=10)  # so much later than a change its webhook may come
_CELL = 70  # columns

_MARKS = {"ok": "ok", "unseen": "unseen", "warning": "look", "error": "WRONG"}


def look_over(mapping: Mapping, webhook_url: str | None) -> list[Finding]:
    """What is checked of the tracker of a mapping; `webhook_url` is where it reaches us, if known. Never raises."""
    try:
        setup = setup_of(mapping)
    except TrackerError as error:
        what, breaks = "This kind of tracker cannot be looked over.", "What is wrong with it shows only at work."
        return [Finding("tracker", "warning", what, breaks, error.message)]
    try:
        return tracker_findings(setup, wanted_of(mapping, webhook_url))
    finally:
        setup.close()


def tracker_findings(setup: Setup, wanted: Wanted) -> list[Finding]:
    """What is checked of the tracker. One that cannot even be asked is a finding, too."""
    try:
        return list(setup.findings(wanted))
    except TrackerError as error:
        breaks = "Nothing else of the tracker could be checked."
        return [Finding("tracker", "error", "The tracker could not be looked at.", breaks, error.message)]


def store_findings(state: SourceState | None, now: datetime, *, poll_seconds: int) -> list[Finding]:
    """What the database knows: is the service looking after this source, and do its webhooks arrive."""
    if state is None or state == SourceState(state.source):
        what = "Whether webhooks arrive was not looked at: the connector has not run with this source yet."
        return [unseen("service", what)]
    return [_heard(state, now), _polled(state, now, poll_seconds), *_held(state, now)]


def _heard(state: SourceState, now: datetime) -> Finding:
    finding, heard = "webhook heard", state.heard_at
    mend = "See that the webhook points here, that its address can be reached from outside, and that the secrets agree."
    if heard is None:
        what = "No webhook has ever come in for this source."
        return Finding(finding, "warning", what, "Changes are found by the poll alone, some minutes later.", mend)
    if state.watermark is not None and state.watermark > heard + _SLACK:
        what = (
            f"A ticket changed {_ago(now - state.watermark)}, and no webhook came; the last came {_ago(now - heard)}."
        )
        return Finding(finding, "warning", what, "Changes are found by the poll alone, some minutes later.", mend)
    if now - heard > HEARD_WITHIN:
        what = f"The last webhook came {_ago(now - heard)}."
        return Finding(finding, "warning", what, "If tickets changed since, their webhooks are lost.", mend)
    return Finding(finding, "ok", f"The last webhook came {_ago(now - heard)}.")


def _polled(state: SourceState, now: datetime, poll_seconds: int) -> Finding:
    limit = timedelta(seconds=3 * poll_seconds + 60)
    if state.polled_at is None:
        what = "No poll has succeeded yet."
    elif now - state.polled_at > limit:
        what = f"The last poll that succeeded was {_ago(now - state.polled_at)}."
    else:
        return Finding("poll", "ok", f"The last poll was {_ago(now - state.polled_at)}.")
    breaks = "Changes that no webhook told are not found."
    return Finding("poll", "warning", what, breaks, "See that `connector run` is running, and what it logs.")


def _held(state: SourceState, now: datetime) -> list[Finding]:
    held = []
    release = f"Look into it, then: connector release {state.source}"
    if state.braked_at is not None:
        what = f"The brake is on: {state.brake_reason or 'no reason noted'}."
        held.append(Finding("brake", "error", what, "No ticket of this source is attended to.", release))
    if state.paused_until is not None and state.paused_until > now:
        what = f"The source is paused: {state.pause_reason or 'no reason noted'}."
        held.append(Finding("pause", "warning", what, "No ticket of it is attended to for the moment.", release))
    return held


def is_usable(findings: Sequence[Finding]) -> bool:
    """No finding says that something is broken."""
    return all(finding.level != "error" for finding in findings)


def findings_text(findings: Sequence[Finding], *, everything: bool = False) -> str:
    """A table for a person: what is wrong and what was not looked at, worst first; all of it if `everything`."""
    order = list(reversed(_MARKS))
    shown = [each for each in findings if everything or each.level != "ok"]
    shown.sort(key=lambda each: order.index(each.level))
    rows = [(_MARKS[each.level], each.id, _told(each)) for each in shown]
    fine = sum(each.level == "ok" for each in findings)
    count = f"{fine} of {len(findings)} checks are well."
    not_looked_at = sum(each.level == "unseen" for each in findings)
    if not_looked_at:
        count += f" Not looked at: {not_looked_at}."
    if not rows:
        return count
    return (
        tabulate(rows, headers=("", "check", "finding"), tablefmt="plain", maxcolwidths=[None, 24, _CELL])
        + f"\n{count}"
    )


def _told(finding: Finding) -> str:
    how = "To look at it" if finding.level == "unseen" else "To mend it"
    parts = (finding.what, finding.breaks, f"{how}: {finding.mend}" if finding.mend else "")
    return "\n".join(part for part in parts if part)


def finding_json(finding: Finding) -> dict[str, Any]:
    """A finding as `check --live --json` prints it."""
    return {
        "id": finding.id,
        "level": finding.level,
        "what": finding.what,
        "breaks": finding.breaks,
        "mend": finding.mend,
    }


def _ago(age: timedelta) -> str:
    minutes = int(age.total_seconds()) // 60
    for size, unit in ((24 * 60, "day"), (60, "hour"), (1, "minute")):
        count = minutes // size
        if count > 0:
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return "just now"
