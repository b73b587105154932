"""The connector installed as the Dockerfile does it, once for all tests that run it."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.dockerfile import read_stages
from tests.deploy.tools import DEPLOY, IMAGE_USER, ROOT


@pytest.fixture(scope="session")
def built() -> Iterator[Path]:
    """The folder of an environment made by the build steps of the Dockerfile, from what its builder may see.

    Other users can read it: pytest's own folders are closed to them.
    """
    folder = Path(tempfile.mkdtemp(prefix="image-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        _build(folder)
        yield folder / "opt"
    finally:
        shutil.rmtree(folder)


def _build(folder: Path) -> None:
    stage = read_stages(DEPLOY / "Dockerfile")[0]
    context, wheels, environment = folder / "context", folder / "wheels", folder / "opt"
    context.mkdir()
    for line in stage.all("COPY"):
        *sources, target = line.split()
        for name in sources:
            _copy(ROOT / name, context / target / name if target == "./" else context / target)
    # The image's Python and pip are those of this machine here, and its folders lie elsewhere.
    tools, python = folder / "bin", _python()
    tools.mkdir()
    for name, words in {"python": [python], "pip": [sys.executable, "-m", "pip", "--python", python]}.items():
        (tools / name).write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        (tools / name).chmod(0o755)
    for step in stage.all("RUN"):
        command = step.replace("/opt/inquiry-connector", str(environment)).replace("/wheels", str(wheels))
        result = subprocess.run(
            ["/bin/sh", "-ec", command],
            cwd=context,
            env={
                **os.environ,
                **dict(rest.split("=", 1) for rest in stage.all("ARG")),
                "PATH": f"{tools}:{os.environ['PATH']}",
                "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        assert result.returncode == 0, result.stdout[-3000:]


def _python() -> str:
    """A Python that other users can run, too: the one of these tests, or else the system's."""
    own = Path(sys.base_prefix).resolve() / "bin" / "python3"
    reachable = all(folder.stat().st_mode & 0o001 for folder in own.parents)
    return str(own) if reachable else "/usr/bin/python3"


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


@pytest.fixture
def stranger() -> int:
    """The image's user. Skips where this user cannot become another one."""
    if os.geteuid() != 0:
        pytest.skip("only root can run a program as another user")
    return IMAGE_USER
