"""KubeRay's manifests under cluster/ are valid for KubeRay, its operator and Kubernetes, and they are safe."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from tests.cluster.cluster_files import MANIFESTS, changed, documents
from tests.cluster.kuberay_crd import needs_crds, validate
from tests.cluster.kuberay_rules import faults


def ray_spec(name: str) -> dict[str, Any]:
    spec = documents(name)[0]["spec"]
    return spec.get("rayClusterSpec", spec)


@needs_crds
@pytest.mark.parametrize("name", MANIFESTS)
def test_kuberay_definitions_allow_the_manifests(name: str) -> None:
    validate(documents(name)[0])


@pytest.mark.parametrize("name", MANIFESTS)
def test_operator_and_kubernetes_allow_the_manifests(name: str) -> None:
    manifest, *others = documents(name)
    assert faults(manifest) == []
    for other in others:
        kubernetes_validate.validate(other, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("name", MANIFESTS)
def test_clusters_are_of_this_project_and_closed(name: str) -> None:
    spec = ray_spec(name)
    assert spec["rayVersion"] == version("ray")
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["enableInTreeAutoscaling"] is True
    assert spec["autoscalerOptions"]["version"] == "v2", "KubeRay sets restartPolicy: Never only where it is said"
    head = spec["headGroupSpec"]
    assert head["rayStartParams"]["num-cpus"] == "0", "no trials on the head"
    assert head["serviceType"] == "ClusterIP", "nothing listens outside of the cluster"
    assert any("nodeSelector" in group["template"]["spec"] for group in spec["workerGroupSpecs"]), "spot machines"
    for group in spec["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        (container,) = group["template"]["spec"]["containers"]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    for pod in (head["template"]["spec"], *(group["template"]["spec"] for group in spec["workerGroupSpecs"])):
        assert pod["securityContext"]["runAsNonRoot"]
        assert {volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]} == {"branchpoint-shared"}
        (container,) = pod["containers"]
        assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/shared"}
        assert {"name": "BRANCHPOINT_HOME", "value": "/shared/branchpoint"} in container["env"]


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_network_policy_covers_every_pod(name: str) -> None:
    manifest, *others = documents(name)
    (policy,) = [other["spec"] for other in others if other["kind"] == "NetworkPolicy"]
    assert policy["policyTypes"] == ["Ingress"]
    assert all(source for rule in policy["ingress"] for source in rule["from"]), "no rule lets everybody in"
    covered = policy["podSelector"]["matchLabels"]
    assert {"podSelector": {"matchLabels": covered}} in policy["ingress"][0]["from"], "pods reach each other"
    own = manifest["metadata"]["name"]
    if manifest["kind"] == "RayCluster":
        assert covered == {"ray.io/cluster": own}, "KubeRay's label of a cluster's pods"
        return
    spec = ray_spec(name)
    for pods in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert pods["template"]["metadata"]["labels"] == covered, "the cluster's own name is not known before"
    (submitter,) = policy["ingress"][1]["from"]
    assert submitter["podSelector"]["matchLabels"] == {"batch.kubernetes.io/job-name": own}
    assert [port["port"] for port in policy["ingress"][1]["ports"]] == [8265]


def test_the_disk_is_shared_and_outlives_clusters() -> None:
    (claim,) = documents("shared-disk.yaml")
    kubernetes_validate.validate(claim, kubernetes_validate.latest_version(), strict=True)
    assert claim["metadata"]["name"] == "branchpoint-shared"
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    kinds = {manifest["kind"] for name in MANIFESTS for manifest in documents(name)}
    assert claim["kind"] not in kinds, "deleting a cluster would delete cohorts and results"


POD = "spec.headGroupSpec.template.spec"


@needs_crds
@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("spce", {}),
        ("apiVersion", "ray.io/v1alpha1"),
        ("spec.enableAutoscaling", True),
        ("spec.rayVersion", 2.6),
        ("spec.suspend", "no"),
        ("spec.headGroupSpec", {}),
        ("spec.authOptions.mode", "password"),
        ("spec.authOptions.secret", "token"),
        ("spec.upgradeStrategy.type", "Rolling"),
        ("spec.autoscalerOptions.upscalingMode", "Fast"),
        ("spec.autoscalerOptions.version", "v3"),
        ("spec.autoscalerOptions.resources.limit", {}),
        ("spec.autoscalerOptions.env", [{"value": "1"}]),
        ("spec.gcsFaultToleranceOptions.backend", "sqlite"),
        ("spec.gcsFaultToleranceOptions.storage.size", "1 Gi"),
        ("spec.networkPolicy.mode", "Deny"),
        ("spec.networkPolicy.workerGroups", [{"ingressRules": []}]),
        ("spec.networkPolicy.head.ingressRules", [{"form": []}]),
        ("spec.headGroupSpec.rayStartParams.num-cpus", 0),
        ("spec.headGroupSpec.headService.spec.port", 1),
        ("spec.headGroupSpec.ingressOptions.pathType", "Regex"),
        ("spec.headGroupSpec.template.metadata.creationTimestamp", None),
        (f"{POD}.container", []),
        (f"{POD}.containers.0.name", None),
        (f"{POD}.containers.0.volumeMount", []),
        (f"{POD}.containers.0.image", 3),
        (f"{POD}.containers.0.ports.0.containerPort", "http"),
        (f"{POD}.containers.0.resources.limits.memory", "16 GB"),
        (f"{POD}.containers.0.resources.limits.cpu", 0.5),
        (f"{POD}.volumes.0.persistentVolumeClaim.claim", "x"),
        ("spec.workerGroupSpecs.0.minReplica", 0),
        ("spec.workerGroupSpecs.0.replicas", "none"),
        ("spec.workerGroupSpecs.0.maxReplicas", 2**31),
        ("spec.workerGroupSpecs.0.scaleStrategy.workersToDelete", "all"),
        ("spec.workerGroupSpecs.0", {"groupName": "x"}),
    ],
)
def test_a_cluster_s_mistake_is_found(where: str, value: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validate(changed("raycluster.yaml", where, value))


RULE = {"policy": "DeleteSelf", "condition": {"jobStatus": "FAILED", "ttlSeconds": 5}}


@needs_crds
@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("spec.entryPoint", "python x.py"),
        ("spec.backoffLimit", "3"),
        ("spec.entrypointNumGpus", "1"),
        ("spec.preRunningDeadlineSeconds", 0),
        ("spec.submitterConfig.backoff", 2),
        ("spec.submitterPodTemplate.spec.containers", [{"image": "x"}]),
        ("spec.deletionStrategy.deletionRules", []),
        ("spec.deletionStrategy.deletionRules", [{**RULE, "policy": "DeleteAll"}]),
        ("spec.deletionStrategy.deletionRules", [{**RULE, "condition": {"jobStatus": "FAILED", "ttlSeconds": -1}}]),
        ("spec.rayClusterSpec.authOptions.mode", "none"),
        (f"spec.rayClusterSpec.{POD.removeprefix('spec.')}.restart", "Never"),
    ],
)
def test_a_job_s_mistake_is_found(where: str, value: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validate(changed("rayjob.yaml", where, value))


@needs_crds
def test_rarer_fields_are_allowed() -> None:
    validate(changed("rayjob.yaml", "spec.deletionStrategy.deletionRules", [RULE]))
    validate(changed("rayjob.yaml", "spec.deletionStrategy", {"onSuccess": {}, "onFailure": {"policy": "DeleteSelf"}}))
    validate(changed("raycluster.yaml", "spec.headGroupSpec.headService.spec.type", "LoadBalancer"))
    validate(changed("raycluster.yaml", "spec.gcsFaultToleranceOptions.redisPassword.valueFrom.secretKeyRef.key", "x"))
