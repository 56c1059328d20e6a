"""Everything under cluster/ that describes machines: valid, safe, and in step with the project."""

from __future__ import annotations

import copy
import json
import os
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from kuberay_crd import schema_of
from kuberay_schema import SCHEMAS

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "cluster"


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((CLUSTER / name).read_text()))


def ray_spec(name: str) -> dict[str, Any]:
    spec = documents(name)[0]["spec"]
    return spec.get("rayClusterSpec", spec)


def test_launcher_is_valid_by_ray_s_own_schema() -> None:
    import ray

    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    (config,) = documents("launcher.yaml")
    jsonschema.validate(config, schema)
    with pytest.raises(jsonschema.ValidationError, match="max_worker"):
        jsonschema.validate({**config, "max_worker": 3}, schema)
    assert config["available_node_types"][config["head_node_type"]]["resources"] == {"CPU": 0}
    (start,) = [command for command in config["head_start_ray_commands"] if "ray start" in command]
    assert "--num-cpus=0" in start, "no trials on the head"
    assert "--dashboard-host=127.0.0.1" in start
    starts = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    assert all("RAY_AUTH_MODE=token" in command for command in starts if "ray start" in command)


def test_launcher_passes_ray_s_own_validation() -> None:
    """What `ray up` checks first, provider defaults filled in."""
    util = pytest.importorskip("ray.autoscaler._private.util")
    (config,) = documents("launcher.yaml")
    filled = util.fillout_defaults(config)
    util.fill_node_type_min_max_workers(filled)
    util.validate_config(filled)


@pytest.mark.parametrize("name", ["raycluster.yaml", "rayjob.yaml"])
def test_kuberay_manifests(name: str) -> None:
    manifest = documents(name)[0]
    jsonschema.validate(manifest, SCHEMAS[manifest["kind"]])
    spec = ray_spec(name)
    assert spec["rayVersion"] == version("ray")
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["enableInTreeAutoscaling"] is True
    head = spec["headGroupSpec"]
    assert head["rayStartParams"]["num-cpus"] == "0", "no trials on the head"
    assert head["serviceType"] == "ClusterIP", "nothing listens outside of the cluster"
    spot = [group for group in spec["workerGroupSpecs"] if "nodeSelector" in group["template"]["spec"]]
    assert spot
    for group in spec["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        (container,) = group["template"]["spec"]["containers"]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    for pod in (head["template"]["spec"], *(group["template"]["spec"] for group in spec["workerGroupSpecs"])):
        assert pod["securityContext"]["runAsNonRoot"]
        claims = {volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]}
        assert claims == {"branchpoint-shared"}
        (container,) = pod["containers"]
        assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/shared"}
        assert {"name": "BRANCHPOINT_HOME", "value": "/shared/branchpoint"} in container["env"]


@pytest.mark.parametrize(
    ("where", "wrong"),
    [
        (["spec", "enableAutoscaling"], True),
        (["spec", "headGroupSpec", "serviceType"], "Public"),
        (["spec", "headGroupSpec", "rayStartParams", "num-cpus"], 0),
        (["spec", "workerGroupSpecs", 0, "minReplicas"], "none"),
        (["spec", "authOptions", "mode"], "password"),
    ],
)
def test_kuberay_schema_refuses_mistakes(where: list[Any], wrong: Any) -> None:
    manifest = documents("raycluster.yaml")[0]
    place: Any = manifest
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = wrong
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(manifest, SCHEMAS["RayCluster"])


def pods(name: str) -> list[dict[str, Any]]:
    """Every pod that KubeRay would make, with what it puts around a template."""
    spec = ray_spec(name)
    templates = [group["template"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]
    return [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, **template} for template in templates]


@pytest.mark.parametrize("name", ["raycluster.yaml", "rayjob.yaml"])
def test_kubernetes_own_schema(name: str) -> None:
    """Pods, and what is of Kubernetes itself, by the published schema of the newest version, no unknown field left."""
    kubernetes = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    newest = kubernetes.latest_version()
    found = pods(name)
    assert len(found) >= 2
    for document in (*found, *documents(name)[1:]):
        kubernetes.validate(document, newest, strict=True)
    for wrong in ({"volumeMount": []}, {"image": 3}, {"ports": [{"containerPort": "http"}]}):
        broken = copy.deepcopy(found[0])
        broken["spec"]["containers"][0] |= wrong
        with pytest.raises(kubernetes.ValidationError):
            kubernetes.validate(broken, newest, strict=True)


SMALL_DEFINITION = """
spec:
  names: {kind: RayCluster}
  versions:
    - name: v1alpha1
      schema: {openAPIV3Schema: {type: object}}
    - name: v1
      schema:
        openAPIV3Schema:
          type: object
          properties:
            metadata: {type: object}
            spec:
              type: object
              required: [headGroupSpec]
              properties:
                rayVersion: {type: string}
                headGroupSpec:
                  type: object
                  properties:
                    rayStartParams: {type: object, additionalProperties: {type: string}}
                    free: {type: object, x-kubernetes-preserve-unknown-fields: true, properties: {a: {type: string}}}
"""


def test_definitions_are_read_strictly(tmp_path: Path) -> None:
    (tmp_path / "ray.io_rayclusters.yaml").write_text(SMALL_DEFINITION)
    schema = schema_of(tmp_path, "RayCluster")
    head = {"rayStartParams": {"num-cpus": "0"}, "free": {"a": "b", "c": 1}}
    good: dict[str, Any] = {"metadata": {"name": "x"}, "spec": {"rayVersion": "2", "headGroupSpec": head}}
    jsonschema.validate(good, schema)
    for wrong in ({"rayVersions": "2"}, {"rayVersion": 2}, {"headGroupSpec": {"rayStartParams": {"num-cpus": 0}}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**good, "spec": {**good["spec"], **wrong}}, schema)
    with pytest.raises(ValueError, match="no definition of RayJob"):
        schema_of(tmp_path, "RayJob")


@pytest.mark.skipif("KUBERAY_CRDS" not in os.environ, reason="KUBERAY_CRDS (crds of KubeRay's Helm chart) is not set")
@pytest.mark.parametrize("name", ["raycluster.yaml", "rayjob.yaml"])
def test_kuberay_own_definitions(name: str) -> None:
    manifest = documents(name)[0]
    jsonschema.validate(manifest, schema_of(Path(os.environ["KUBERAY_CRDS"]), manifest["kind"]))


def test_the_rest_of_the_standing_cluster() -> None:
    kinds = {document["kind"]: document for document in documents("raycluster.yaml")}
    policy = kinds["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    assert all(source for rule in policy["ingress"] for source in rule["from"]), "no rule lets everybody in"
    assert kinds["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteMany"]


def test_rayjob_runs_a_job_of_the_image() -> None:
    command = documents("rayjob.yaml")[0]["spec"]["entrypoint"].split()
    script = command[1].removeprefix("/opt/branchpoint/")
    assert (ROOT / script).exists()
    options = (ROOT / "jobs" / "common.py").read_text()
    for option in command[2:]:
        if option.startswith("--"):
            assert f"{option[2:].replace('-', '_')}:" in options


def test_runtime_env() -> None:
    from ray.runtime_env import RuntimeEnv

    (plain,) = documents("runtime_env.yaml")
    known = RuntimeEnv(**plain)
    assert known["env_vars"]["BRANCHPOINT_HOME"] == "/shared/branchpoint"


def test_containerfile() -> None:
    text = (CLUSTER / "Containerfile").read_text()
    for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE):
        *sources, _ = line.split()
        for source in sources:
            assert (ROOT / source).exists(), f"COPY {source}"
    extras = re.search(r'"\.\[(.+)\]"', text)
    assert extras
    project = (ROOT / "pyproject.toml").read_text()
    assert all(re.search(rf"^{extra} = ", project, re.MULTILINE) for extra in extras[1].split(","))
    users = re.findall(r"^USER (\w+)", text, re.MULTILINE)
    assert users[-1] == "ray"
    assert "RAY_AUTH_MODE=token" in text


@pytest.mark.parametrize("path", sorted(CLUSTER.iterdir()), ids=lambda path: path.name)
def test_no_secret_in_any_file(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"(?i)(secret_access_key|auth_token|password)\s*[:=]\s*[\"']?[A-Za-z0-9+/]{8}", text)
    assert "RAY_AUTH_TOKEN=" not in text
    assert "0.0.0.0" not in text or path.name in ("raycluster.yaml", "rayjob.yaml"), "a pod's address, behind a policy"
