"""What happens after a failed call: how long until the next try, and what the failure means for the whole source."""

import random
from dataclasses import dataclass
from datetime import timedelta

from connector.store.errors import DatabaseError
from connector.trackers.port import (
    AccessRefused,
    CommentWentPublic,
    Misconfigured,
    RateLimited,
    Stopping,
    TooLate,
    TrackerError,
    Unavailable,
)

FIRST = timedelta(seconds=5)
LONGEST = timedelta(hours=1)
TRIES = 8  # five to eleven minutes of trying; then the ticket is stuck until somebody touches it
PAUSE_FOR_ADMIN = timedelta(minutes=5)  # how often a source that only an admin can mend is tried again
SILENT_IN_A_ROW = 3  # so many looks without any answer: the tracker is down, not the ticket
LONGEST_PAUSE = timedelta(minutes=5)

# An act whose outcome is unknown may still be under way at the tracker. It is looked for only after this time, which is
# longer than any tracker takes to finish a request that it has read.
IN_DOUBT = timedelta(seconds=90)


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do after a failure: try this ticket again after `delay`; leave the whole source for `pause`; stop it."""

    delay: timedelta
    pause: timedelta | None = None
    brake: bool = False
    counts: bool = False  # whether the failure is the ticket's own, so that tries can be used up


def delay(attempts: int, chance: random.Random) -> timedelta:
    """The wait before the next try after `attempts` failures: doubling, with jitter so that tickets spread out."""
    doubled: timedelta = FIRST * 2 ** min(attempts, 16)
    return min(doubled, LONGEST) * chance.uniform(0.5, 1.0)


def remedy(error: Exception, attempts: int, silent_in_a_row: int, chance: random.Random) -> Remedy:
    """The remedy for a failed look. `attempts` are the ticket's failures so far, `silent_in_a_row` the source's."""
    match error:
        case CommentWentPublic() | Stopping():
            return Remedy(timedelta(0), brake=isinstance(error, CommentWentPublic))
        case RateLimited(retry_after=seconds, whole_source=whole):
            wait = timedelta(seconds=seconds) + FIRST * chance.random()
            return Remedy(wait, pause=wait if whole else None)
        case AccessRefused() | Misconfigured():
            return Remedy(PAUSE_FOR_ADMIN, pause=PAUSE_FOR_ADMIN)
        case Unavailable():
            wait = delay(attempts, chance)
            if silent_in_a_row < SILENT_IN_A_ROW:
                return Remedy(wait)
            # The ticket is not at fault: it waits no longer than the source, however often it was tried.
            pause = min(delay(silent_in_a_row - SILENT_IN_A_ROW, chance), LONGEST_PAUSE)
            return Remedy(min(wait, pause), pause=pause)
        case _:  # the ticket's own failure, unless it is the database's or this machine's
            return Remedy(delay(attempts, chance), counts=not isinstance(error, DatabaseError | TooLate))


def describe(error: Exception) -> str:
    """The failure in our own words. A foreign exception's text may quote a ticket, so only its kind is told."""
    return error.message if isinstance(error, TrackerError) else f"unexpected {type(error).__name__}; see the log"
