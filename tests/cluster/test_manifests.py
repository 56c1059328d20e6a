"""The files under cluster/ fit the project. Those of KubeRay are tested in test_kuberay."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from tests.cluster.cluster_files import CLUSTER, ROOT, documents


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
    assert "--env=BRANCHPOINT_HOME=/shared/branchpoint" in config["docker"]["run_options"], "seen by all nodes"
    for kind in config["available_node_types"].values():
        assert kind["node_config"]["ImageId"].startswith("ami-"), "Ray's own choice is too old for the image's CUDA"


def test_launcher_passes_ray_s_own_validation() -> None:
    """As `ray up` checks it first, with the provider's defaults filled in."""
    util = pytest.importorskip("ray.autoscaler._private.util")
    (config,) = documents("launcher.yaml")
    filled = util.fillout_defaults(config)
    util.fill_node_type_min_max_workers(filled)
    util.validate_config(filled)


def test_rayjob_runs_a_job_of_the_image() -> None:
    command = documents("rayjob.yaml")[0]["spec"]["entrypoint"].split()
    script = command[1].removeprefix("/opt/branchpoint/")
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    shown = subprocess.run(
        [sys.executable, ROOT / script, "--help"], capture_output=True, text=True, check=True, env=environment
    ).stdout
    assert [option for option in command[2:] if option.startswith("--") and option not in shown] == []


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
    assert '" boto3' in text, "the launcher's head starts machines with it"


@pytest.mark.parametrize("path", sorted(CLUSTER.iterdir()), ids=lambda path: path.name)
def test_no_secret_in_any_file(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"(?i)(secret_access_key|auth_token|password)\s*[:=]\s*[\"']?[A-Za-z0-9+/]{8}", text)
    assert "RAY_AUTH_TOKEN=" not in text
    assert "0.0.0.0" not in text or path.name in ("raycluster.yaml", "rayjob.yaml"), "a pod's address, behind a policy"
