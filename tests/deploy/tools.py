"""The tools that these tests ask, and the small readers of the files in deploy/."""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from connector.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CONFIGURATION = Path("/etc/inquiry-connector")  # where every form of deployment keeps mappings and secrets
SECRETS = CONFIGURATION / "secrets"
IMAGE_USER = 65532


def tool(name: str, package: str) -> str:
    """The path of a tool, from beside this Python or from PATH. Skips the test if the machine lacks it."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        pytest.skip(f"{name} is not here (install {package})")
    return found


def run(*words: str | Path, **more: Any) -> str:
    """What a command says, on both streams. Fails the test with it if the command does."""
    result = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240, check=False, **more
    )
    assert result.returncode == 0, f"{words[0]} ended with {result.returncode}:\n{result.stdout}"
    said: str = result.stdout
    return said


def read_yaml(path: Path) -> list[Any]:
    """All documents of a file. Parsed once: take nothing out of it."""
    return _parse(path.read_text())


@functools.cache
def _parse(text: str) -> list[Any]:
    return [document for document in yaml.safe_load_all(text) if document]


def see_settings(environment: Mapping[str, Any]) -> Settings:
    """The settings that an environment makes. Fails on a variable that does not exist or cannot be used."""
    return Settings.from_environment({name: str(value) for name, value in environment.items()})
