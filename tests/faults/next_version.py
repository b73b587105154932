"""The real `connector` as the version after this one might be: with one more step of migration, which only adds.

    python -m tests.faults.next_version CLOCK_FILE STEP_FILE [--beat SECONDS] COMMAND...

CLOCK_FILE   as for tests/system/child.py
STEP_FILE    the step, after all of our own
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from connector.store import migrations
from tests.faults.spawned import be_a_node


@contextmanager
def with_step(file: Path) -> Iterator[None]:
    """The migrations are ours and this one."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(migrations._FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        shutil.copy(file, Path(folder) / "versions")
        migrations._FOLDER = Path(folder)
        yield


if __name__ == "__main__":
    be_a_node(with_step)
