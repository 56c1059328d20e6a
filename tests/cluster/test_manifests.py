"""Everything under cluster/ that describes machines: valid, safe, and in step with the project."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
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
