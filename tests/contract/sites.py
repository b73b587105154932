"""Which sites there are: ours, and those that other packages bring."""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from importlib.metadata import entry_points
from typing import Any

from tests.contract.jira_sites import jira820, practice_cloud, practice_data_center
from tests.contract.request_tracker_site import request_tracker
from tests.contract.site import GROUP, Site
from tests.contract.zammad_site import NEEDED, live, zammad_6, zammad_7

Open = Callable[..., AbstractContextManager[Site]]

# Name -> (how to open it, the fixture of whole runs that it needs: a tracker that takes long to start).
OURS: Mapping[str, tuple[Open, str | None]] = {
    "jira cloud": (practice_cloud, None),
    "jira data-center": (practice_data_center, None),
    "jira820": (jira820, "emulated_jira"),
    "zammad 6": (zammad_6, None),
    "zammad 7": (zammad_7, None),
    "zammad live": (live, "live_zammad"),
    "request tracker": (request_tracker, "rt"),
}
# Real trackers, which belong to make test-live, with what else they need.
LIVE = {
    "zammad live": f"make test-live, with {', '.join(NEEDED)} set",
    "request tracker": "make test-live, which starts one",
}


def foreign() -> Mapping[str, Any]:
    """Name -> entry point, which makes a context manager of a Site."""
    return {found.name: found for found in sorted(entry_points(group=GROUP), key=lambda found: found.name)}


def names() -> list[str]:
    lacking = {"zammad live"} if any(name not in os.environ for name in NEEDED) else set()
    return [name for name in (*OURS, *foreign()) if name not in lacking]
