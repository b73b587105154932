"""The Kubernetes manifests: valid by Kubernetes' own schemas, and each pod as shut off as it says."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from connector.cli import main
from connector.mapping.loading import load_mapping
from tests.deploy.tools import CONFIGURATION, DEPLOY, IMAGE_USER, SECRETS, read_yaml, run, see_settings, tool

FOLDER = DEPLOY / "kubernetes"
MAPPING = FOLDER / "mappings" / "cases.yaml"
OLDEST = "1.29"  # the oldest version that kustomization.yaml promises

Object = dict[str, Any]


def objects(kind: str) -> dict[str, Object]:
    """Every object of that kind in this folder, by name."""
    everything = [one for path in sorted(FOLDER.glob("*.yaml")) for one in read_yaml(path)]
    return {one["metadata"]["name"]: one for one in everything if one["kind"] == kind}


PODS = [
    pytest.param(one["spec"]["template"]["spec"], id=name)
    for name, one in {**objects("Deployment"), **objects("Job")}.items()
]


@pytest.fixture(scope="module")
def rendered() -> str:
    """What kustomize makes of the folder."""
    return run(tool("kubectl", "kubectl"), "kustomize", FOLDER)


@pytest.mark.deploy
@pytest.mark.parametrize("version", [OLDEST, None], ids=["oldest", "newest"])
def test_kubernetes_accepts_what_kustomize_makes_of_it(rendered: str, version: str | None, tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(rendered)
    words = ["--kubernetes-version", version] if version else []
    files = [tmp_path / "all.yaml", FOLDER / "secrets.example.yaml", FOLDER / "web-autoscaler.yaml"]
    run(tool("kubernetes-validate", "kubernetes-validate from PyPI"), "--strict", *words, *files)


@pytest.mark.deploy
def test_kustomize_leaves_selectors_of_other_people_s_pods_alone(rendered: str) -> None:
    """Labels that kustomize adds to selectors reach those of network policies, too: then nobody is let through."""
    made = {one["metadata"]["name"]: one for one in yaml.safe_load_all(rendered) if one["kind"] == "NetworkPolicy"}
    assert {name: one["spec"] for name, one in made.items()} == {
        name: one["spec"] for name, one in objects("NetworkPolicy").items()
    }


@pytest.mark.deploy
def test_no_secret_is_applied_by_kustomize(rendered: str) -> None:
    assert "Secret" not in {one["kind"] for one in yaml.safe_load_all(rendered)}


def test_every_manifest_is_applied_or_says_why_not() -> None:
    (kustomization,) = read_yaml(FOLDER / "kustomization.yaml")
    apart = {"kustomization.yaml", "secrets.example.yaml", "web-autoscaler.yaml"}
    assert set(kustomization["resources"]) | apart == {path.name for path in FOLDER.glob("*.yaml")}


@pytest.mark.parametrize("pod", PODS)
def test_every_pod_is_shut_off(pod: Object) -> None:
    (container,) = pod["containers"]

    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == IMAGE_USER
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in container["resources"]["limits"]
    assert objects("Namespace")["inquiry-connector"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == (
        "restricted"
    )


@pytest.mark.parametrize("pod", PODS)
def test_its_command_and_settings_exist(pod: Object) -> None:
    (container,) = pod["containers"]
    command: Any = main
    for word in container["args"]:
        command = command.commands[word]
    data = objects("ConfigMap")["settings"]["data"]
    see_settings({name: value for name, value in data.items() if name.startswith("CONNECTOR_")})


@pytest.mark.parametrize("name", ["web", "work"])
def test_the_mapping_finds_its_secrets_and_web_has_no_token(name: str) -> None:
    pod = objects("Deployment")[name]["spec"]["template"]["spec"]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "secrets"]
    (mount,) = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "secrets"]
    names = [source["secret"]["name"] for source in volume["projected"]["sources"]]
    files = {Path(mount["mountPath"]) / file for one in names for file in objects("Secret")[one]["stringData"]}
    tracker = load_mapping(MAPPING).tracker
    webhook = {secret.file for secret in tracker.webhook_secrets}

    assert files == {SECRETS / "pg-service", *webhook, *({tracker.token.file} if name == "work" else ())}
    assert Path(objects("ConfigMap")["settings"]["data"]["PGSERVICEFILE"]) in files


@pytest.mark.parametrize("name", ["web", "work"])
def test_it_is_probed_kept_up_and_may_finish(name: str) -> None:
    spec = objects("Deployment")[name]["spec"]
    pod = spec["template"]["spec"]
    probes = {
        kind: pod["containers"][0][f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")
    }

    assert probes == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}
    assert spec["replicas"] > objects("PodDisruptionBudget")[name]["spec"]["minAvailable"] >= 1
    assert pod["terminationGracePeriodSeconds"] >= 60
    labels = {"app.kubernetes.io/component": name}
    for selector in (
        spec["selector"]["matchLabels"],
        spec["template"]["metadata"]["labels"],
        objects("PodDisruptionBudget")[name]["spec"]["selector"]["matchLabels"],
        objects("Service")[name]["spec"]["selector"],
        pod["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ):
        assert selector == labels


def test_mappings_are_mounted_where_the_image_looks_for_them() -> None:
    (kustomization,) = read_yaml(FOLDER / "kustomization.yaml")
    (generated,) = kustomization["configMapGenerator"]
    assert [FOLDER / file for file in generated["files"]] == sorted((FOLDER / "mappings").iterdir())
    for name in ("web", "work"):
        mounts = objects("Deployment")[name]["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
        assert {"name": "mappings", "mountPath": f"{CONFIGURATION}/mappings", "readOnly": True} in mounts


def test_nothing_is_let_through_but_what_is_named() -> None:
    policies = objects("NetworkPolicy")
    nothing = policies["nothing-else"]["spec"]
    ways = {
        name: (
            one["spec"]["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/component", "all"),
            [
                port["port"]
                for rule in [*one["spec"].get("egress", []), *one["spec"].get("ingress", [])]
                for port in rule["ports"]
            ],
        )
        for name, one in policies.items()
        if name != "nothing-else"
    }

    assert nothing == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert ways == {
        "names": ("all", [53, 53]),
        "to-database": ("all", [5432]),
        "work-to-trackers": ("work", [443]),
        "ingress-to-web": ("web", ["http"]),
        "prometheus-to-all": ("all", ["http"]),
    }


def test_the_ingress_leads_webhooks_and_nothing_else_to_web() -> None:
    spec = objects("Ingress")["webhooks"]["spec"]
    (rule,) = spec["rules"]
    (path,) = rule["http"]["paths"]

    assert path["path"] == "/webhooks/"
    assert path["backend"]["service"] == {"name": "web", "port": {"name": "http"}}
    assert spec["tls"][0]["hosts"] == [rule["host"]]
