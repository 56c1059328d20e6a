"""KubeRay's operator refuses more than its definitions do; and how definitions are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.cluster.cluster_files import changed, documents
from tests.cluster.kuberay_crd import needs_crds, schema_of, validate
from tests.cluster.kuberay_rules import faults

GROUP = "spec.workerGroupSpecs.0"


CLUSTER_FAULTS = [
    ("metadata.name", "x" * 54, "53"),
    ("metadata.name", "1st", "DNS-1035"),
    ("spec.rayVersion", "2.51.0", "2.52.0"),
    ("spec.rayVersion", "newest", "2.52.0"),
    ("spec.authOptions", {"mode": "token", "enableK8sTokenAuth": True, "secretName": "x"}, "without secretName"),
    ("spec.networkPolicy", {"mode": "DenyAll"}, "not judged"),
    ("spec.managedBy", "somebody", "not judged"),
    ("spec.headGroupSpec.serviceType", "Public", "serviceType"),
    ("spec.headGroupSpec.resources", {"CPU": "0"}, "resources twice"),
    ("spec.headGroupSpec.rayStartParams.labels", "a=b", "labels"),
    ("spec.headGroupSpec.rayStartParams.redis-username", "x", "Redis"),
    ("spec.headGroupSpec.template.spec.containers", [], "no container"),
    ("spec.headGroupSpec.template.spec.restartPolicy", "Always", "restartPolicy"),
    (f"{GROUP}.template.spec.restartPolicy", "OnFailure", "restartPolicy"),
    (f"{GROUP}.minReplicas", -1, "minReplicas"),
    (f"{GROUP}.minReplicas", 17, "minReplicas"),
    (f"{GROUP}.suspend", True, "suspend"),
    ("spec.autoscalerOptions.idleTimeoutSeconds", -1, "negative"),
    ("spec.autoscalerOptions", {"version": "v1", "idleTimeoutSeconds": -1}, "negative"),
]


@pytest.mark.parametrize(("where", "value", "fault"), CLUSTER_FAULTS)
def test_the_operator_s_rules_of_a_cluster(where: str, value: Any, fault: str) -> None:
    (found,) = faults(changed("raycluster.yaml", where, value))
    assert fault in found


def test_what_needs_autoscaler_v2() -> None:
    manifest = changed("raycluster.yaml", f"{GROUP}.idleTimeoutSeconds", 60)
    assert faults(manifest) == []
    manifest["spec"]["autoscalerOptions"]["version"] = "v1"
    assert len(faults(manifest)) == 1
    head = manifest["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    head["env"] = [*head["env"], {"name": "RAY_enable_autoscaler_v2", "value": "1"}]
    assert "only the latter" in faults(manifest)[0]
    prior = changed("raycluster.yaml", f"{GROUP}.priority", 5)
    assert faults(prior) == []
    prior["spec"]["rayVersion"] = "2.55.0"
    assert "2.56" in faults(prior)[0]


JOB_FAULTS = [
    ("metadata.name", "x" * 48, "47"),
    ("spec.submissionMode", "Cron", "submissionMode"),
    ("spec.submissionMode", "InteractiveMode", "backoffLimit"),
    ("spec.backoffLimit", -1, "negative"),
    ("spec.activeDeadlineSeconds", 0, "positive"),
    ("spec.shutdownAfterJobFinishes", False, "shutdownAfterJobFinishes"),
    ("spec.runtimeEnvYAML", "a: [", "YAML"),
    ("spec.clusterSelector", {"ray.io/cluster": "branchpoint"}, "backoffLimit"),
    ("spec.rayClusterSpec.upgradeStrategy", {"type": "None"}, "upgradeStrategy"),
    ("spec.rayClusterSpec.rayVersion", "2.9.0", "2.52.0"),
]


@pytest.mark.parametrize(("where", "value", "fault"), JOB_FAULTS)
def test_the_operator_s_rules_of_a_job(where: str, value: Any, fault: str) -> None:
    (found,) = faults(changed("rayjob.yaml", where, value))
    assert fault in found


def test_a_job_has_a_cluster() -> None:
    manifest = documents("rayjob.yaml")[0]
    del manifest["spec"]["rayClusterSpec"]
    assert faults(manifest) == ["rayClusterSpec or clusterSelector"]


@needs_crds
@pytest.mark.parametrize(
    ("name", "where", "value"),
    [("raycluster.yaml", where, value) for where, value, _ in CLUSTER_FAULTS]
    + [("rayjob.yaml", where, value) for where, value, _ in JOB_FAULTS],
)
def test_the_definitions_allow_what_the_operator_refuses(name: str, where: str, value: Any) -> None:
    """Otherwise the rule would be one of the definitions' own, and kuberay_rules need not repeat it."""
    validate(changed(name, where, value))


SMALL_DEFINITION = """
spec:
  group: ray.io
  names: {kind: RayCluster}
  versions:
    - name: v1alpha1
      schema: {openAPIV3Schema: {type: object}}
    - name: v1
      schema:
        openAPIV3Schema:
          type: object
          properties:
            apiVersion: {type: string}
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
    good["apiVersion"] = "ray.io/v1"
    jsonschema.validate(good, schema)
    for wrong in ({"rayVersions": "2"}, {"rayVersion": 2}, {"headGroupSpec": {"rayStartParams": {"num-cpus": 0}}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**good, "spec": {**good["spec"], **wrong}}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**good, "apiVersion": "ray.io/v1alpha1"}, schema)
    with pytest.raises(ValueError, match="no definition of RayJob"):
        schema_of(tmp_path, "RayJob")
