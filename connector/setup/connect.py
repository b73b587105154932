"""The set-up side of a source's tracker, made from what a mapping says. Makes no call and reads no secret yet."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import cast

from connector import kinds
from connector.mapping.schema import Mapping, Secret, SecretError, TrackerSettings
from connector.trackers.port import AccessRefused, Misconfigured
from connector.trackers.setup_port import OpenSetup, SetupConnection


def make_setup(source: str, tracker: TrackerSettings, scope: str, *, internal_comments: bool = True) -> OpenSetup:
    """The set-up side of the source's tracker, by its entry point. Raises Misconfigured for a kind that has none."""
    make = cast("Callable[[SetupConnection], OpenSetup] | None", kinds.load_setup(tracker.kind))
    if make is None:
        raise Misconfigured(f"Trackers of the kind {tracker.kind} can be neither set up nor looked over by command.")
    return make(
        SetupConnection(
            source=source,
            url=tracker.url,
            user=tracker.user,
            token=lambda: _read(tracker.token),
            scope=scope,
            internal_comments=internal_comments,
            clock=lambda: datetime.now(UTC),
        )
    )


def setup_of(mapping: Mapping) -> OpenSetup:
    """The set-up side of a whole mapping. Raises Misconfigured as make_setup."""
    internal = mapping.comments == "internal"
    return make_setup(mapping.source, mapping.tracker, mapping.scope, internal_comments=internal)


def _read(secret: Secret) -> str:
    try:
        return secret.read()
    except SecretError as error:
        raise AccessRefused(str(error)) from error
