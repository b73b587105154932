"""The compose files: accepted by compose's schema, hardened in every part, and in agreement with image and mapping."""

from pathlib import Path
from typing import Any

import pytest

from connector.cli import main
from connector.mapping.loading import load_mapping
from tests.deploy.dockerfile import read_stages
from tests.deploy.tools import CONFIGURATION, DEPLOY, IMAGE_USER, SECRETS, read_yaml, run, see_settings, tool

FILES = ["compose.sqlite.yaml", "compose.postgres.yaml"]
ALL = [(file, *pair) for file in FILES for pair in read_yaml(DEPLOY / file)[0]["services"].items()]
SERVICES = [pytest.param(name, service, id=f"{file}:{name}") for file, name, service in ALL]
OURS = [
    pytest.param(name, service, id=f"{file}:{name}")
    for file, name, service in ALL
    if service["image"] == "inquiry-connector"
]


@pytest.mark.deploy
@pytest.mark.parametrize("file", FILES)
def test_compose_accepts_it(file: str) -> None:
    checker = tool("check-jsonschema", "check-jsonschema from PyPI")
    run(checker, "--builtin-schema", "vendor.compose-spec", DEPLOY / file)


@pytest.mark.parametrize(("name", "service"), SERVICES)
def test_every_container_is_shut_off(name: str, service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges"]
    assert any(mount.startswith("/tmp:") for mount in service["tmpfs"])
    assert {"mem_limit", "pids_limit", "restart", "logging"} <= service.keys()
    assert not {"privileged", "cap_add", "network_mode", "pid"} & service.keys()


@pytest.mark.parametrize(("name", "service"), OURS)
def test_its_command_exists(name: str, service: dict[str, Any]) -> None:
    command: Any = main
    for word in service["command"]:
        command = command.commands[word]


@pytest.mark.parametrize(("name", "service"), OURS)
def test_its_settings_exist(name: str, service: dict[str, Any]) -> None:
    see_settings({k: v for k, v in service["environment"].items() if k.startswith("CONNECTOR_")})


@pytest.mark.parametrize(("name", "service"), OURS)
def test_it_is_built_from_here_and_finds_its_mappings(name: str, service: dict[str, Any]) -> None:
    dockerfile = DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]

    assert dockerfile.resolve() == DEPLOY / "Dockerfile"
    assert f"./mappings:{CONFIGURATION}/mappings:ro" in service["volumes"]


@pytest.mark.parametrize(("name", "service"), OURS)
def test_the_example_mapping_finds_its_secrets_where_they_are_mounted(name: str, service: dict[str, Any]) -> None:
    tracker = load_mapping(DEPLOY / "kubernetes" / "mappings" / "cases.yaml").tracker
    mounted = {Path(secret["target"]) for secret in service["secrets"]}
    webhook = {secret.file for secret in tracker.webhook_secrets}
    expected: dict[str, set[Path | None]] = {
        "connector": {tracker.token.file, *webhook},
        "work": {tracker.token.file, *webhook},
        "web": webhook,  # what the world can reach does not hold the tracker's token
        "migrate": set(),
    }

    assert mounted - {SECRETS / "pg-service"} == expected[name]


@pytest.mark.parametrize("file", FILES)
def test_every_secret_is_a_file_and_every_one_is_used(file: str) -> None:
    (compose,) = read_yaml(DEPLOY / file)
    secrets = compose["secrets"]
    used = [one for service in compose["services"].values() for one in service.get("secrets", [])]

    assert all(list(where) == ["file"] for where in secrets.values())
    assert {one if isinstance(one, str) else one["source"] for one in used} == set(secrets)


@pytest.mark.parametrize(("name", "service"), [one for one in OURS if one.values[0] != "migrate"])
def test_it_may_finish_what_is_in_hand(name: str, service: dict[str, Any]) -> None:
    assert service["stop_grace_period"] == "2m"


def test_the_sqlite_file_is_on_a_volume_and_its_port_on_loopback() -> None:
    (compose,) = read_yaml(DEPLOY / "compose.sqlite.yaml")
    service = compose["services"]["connector"]
    where = read_stages(DEPLOY / "Dockerfile")[-1].one("WORKDIR")

    assert f"state:{where}" in service["volumes"]
    assert service["ports"] == ["127.0.0.1:8080:8080"]
    assert service.get("deploy", {}).get("replicas", 1) == 1


def test_only_the_proxy_can_be_reached_and_only_work_reaches_out() -> None:
    (compose,) = read_yaml(DEPLOY / "compose.postgres.yaml")
    services, networks = compose["services"], compose["networks"]
    ways_out = {name for name, network in networks.items() if not (network or {}).get("internal")}

    assert [name for name, service in services.items() if "ports" in service] == ["proxy"]
    assert {name for name, service in services.items() if ways_out & set(service["networks"])} == {"proxy", "work"}
    assert "data" not in services["proxy"]["networks"]


def test_processes_wait_for_the_tables() -> None:
    services = read_yaml(DEPLOY / "compose.postgres.yaml")[0]["services"]
    for name in ("web", "work"):
        assert services[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
        assert services[name]["deploy"]["replicas"] >= 2
    assert services["migrate"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert services["migrate"]["restart"] == "no"


def test_the_readme_makes_secrets_that_the_image_s_user_can_read() -> None:
    assert f"-o {IMAGE_USER} -g {IMAGE_USER} /dev/stdin secrets/jira-token" in (DEPLOY / "README.md").read_text()
