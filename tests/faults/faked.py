"""tests/system/child.py under libfaketime, which fakes a wait that time.sleep makes, and makes it fail.

Python waits there for a moment of the monotonic clock (clock_nanosleep with TIMER_ABSTIME), which libfaketime 0.9.10
takes for one of the clock that it fakes. An event waits in another way, for the same time.
"""

import threading
import time
from pathlib import Path

LIBRARIES = ("/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime", "/usr/lib/faketime")


def libfaketime() -> Path | None:
    """libfaketime for programs with threads, where Debian and others put it."""
    paths = (Path(folder, "libfaketimeMT.so.1") for folder in LIBRARIES)
    return next((path for path in paths if path.exists()), None)


def environment(clock: Path) -> dict[str, str]:
    """What makes a program go by the clock of that file, which says by how many seconds it is wrong: +3600.0"""
    return {
        "LD_PRELOAD": str(libfaketime()),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


if __name__ == "__main__":
    from tests.system.child import main

    time.sleep = lambda seconds: threading.Event().wait(seconds)  # type: ignore[assignment,return-value]  # as said
    main()
