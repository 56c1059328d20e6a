"""Rules of KubeRay's operator that its definitions do not express (validation.go of KubeRay 1.7), for tests.

The rules here concern the fields that this project's manifests use or could use. A field whose rules are not here, or
that works behind a feature gate only (``UNJUDGED``), counts as a fault. Two rules are not KubeRay's own: Kubernetes
restricts the type of a Service, and the definitions leave ``submissionMode`` open although only four values work.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from packaging.version import InvalidVersion, Version

Spec = dict[str, Any]

UNJUDGED = (
    "gcsFaultToleranceOptions",
    "historyServerOptions",
    "networkPolicy",
    "tlsOptions",
    "deletionStrategy",
    "managedBy",
)
NAME_LENGTH = {"RayCluster": 53, "RayJob": 47}  # the operator appends to them, up to 63
MODES = ("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode")
SERVICES = ("ClusterIP", "NodePort", "LoadBalancer")
V2_SWITCH = "RAY_enable_autoscaler_v2"


def faults(manifest: dict[str, Any]) -> list[str]:
    """List what the operator would refuse in a RayCluster or RayJob that its definition allows."""
    kind, name, spec = manifest["kind"], manifest["metadata"]["name"], manifest["spec"]
    found = []
    if len(name) > NAME_LENGTH[kind] or not re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", name):
        found.append(f"name {name!r}: a DNS-1035 label of at most {NAME_LENGTH[kind]} characters")
    if kind == "RayJob":
        return [*found, *_job(spec), *_cluster(spec.get("rayClusterSpec"))]
    return [*found, *_cluster(spec)]


def _ray_env(pods: Spec) -> set[str]:
    """Names of the environment variables of Ray's container, which is the first."""
    return {variable["name"] for variable in pods["template"]["spec"]["containers"][0].get("env", [])}


def _is_ray(spec: Spec, oldest: str) -> bool:
    try:
        return Version(spec.get("rayVersion", "")) >= Version(oldest)
    except InvalidVersion:
        return False


def _cluster(spec: Spec | None) -> Iterator[str]:
    if spec is None:
        return
    head, groups = spec["headGroupSpec"], spec.get("workerGroupSpecs", [])
    yield from (f"{field}: not judged here" for field in UNJUDGED if field in spec)
    empty = [pods.get("groupName", "head") for pods in (head, *groups) if not pods["template"]["spec"]["containers"]]
    if empty:
        yield f"no container in {empty}"
        return
    if head.get("serviceType", "ClusterIP") not in SERVICES:
        yield f"serviceType: one of {SERVICES}"
    if _ray_env(head) & {"RAY_REDIS_ADDRESS", "REDIS_USERNAME"} or "redis-username" in head.get("rayStartParams", {}):
        yield "Redis is set in gcsFaultToleranceOptions alone"
    for pods in (head, *groups):
        yield from _group(pods, pods.get("groupName", "head"))
    yield from _autoscaling(spec)
    yield from _authentication(spec)


def _group(pods: Spec, name: str) -> Iterator[str]:
    params = pods.get("rayStartParams", {})
    if pods.get("resources") and params.keys() & {"num-cpus", "num-gpus", "memory", "resources"}:
        yield f"{name}: resources twice, in rayStartParams too"
    if "labels" in params:
        yield f"{name}: labels belong beside rayStartParams"
    if not 0 <= pods.get("minReplicas", 0) <= pods.get("maxReplicas", 2**31 - 1):
        yield f"{name}: 0 <= minReplicas <= maxReplicas"
    if pods.get("idleTimeoutSeconds", 0) < 0:
        yield f"{name}: idleTimeoutSeconds is negative"
    if pods.get("suspend"):
        yield f"{name}: suspend is for the operator itself"


def _autoscaling(spec: Spec) -> Iterator[str]:
    head, groups, options = spec["headGroupSpec"], spec.get("workerGroupSpecs", []), spec.get("autoscalerOptions", {})
    switched = V2_SWITCH in _ray_env(head)
    is_v2 = options.get("version") == "v2"
    if switched and not spec.get("enableInTreeAutoscaling"):
        yield f"{V2_SWITCH} without enableInTreeAutoscaling"
    if switched and "version" in options:
        yield f"{V2_SWITCH} and autoscalerOptions.version: only the latter"
    restarts = {pods["template"]["spec"].get("restartPolicy", "Never") for pods in (head, *groups)}
    if is_v2 and spec.get("enableInTreeAutoscaling") and restarts != {"Never"}:
        yield "restartPolicy: Never, or unset, with autoscaler v2"
    if options.get("idleTimeoutSeconds", 0) < 0:
        yield "autoscalerOptions.idleTimeoutSeconds is negative"
    for group in groups:
        if "idleTimeoutSeconds" in group and not (is_v2 or switched):
            yield f"{group['groupName']}: idleTimeoutSeconds of a group needs autoscaler v2"
        if group.get("priority") and not (is_v2 and _is_ray(spec, "2.56")):
            yield f"{group['groupName']}: priority needs autoscaler v2 and rayVersion 2.56"


def _authentication(spec: Spec) -> Iterator[str]:
    options = spec.get("authOptions")
    if options is None:
        return
    by_kubernetes = options.get("enableK8sTokenAuth")
    needed = "2.55.0" if by_kubernetes else "2.52.0"
    if options.get("mode", "token") == "token" and not _is_ray(spec, needed):
        yield f"authOptions needs rayVersion {needed}"
    if by_kubernetes and (options.get("secretName") or options.get("mode", "token") != "token"):
        yield "enableK8sTokenAuth: in mode token, without secretName"


def _job(spec: Spec) -> Iterator[str]:
    mode, cluster = spec.get("submissionMode", MODES[0]), spec.get("rayClusterSpec")
    selector = bool(spec.get("clusterSelector"))
    yield from (f"{field}: not judged here" for field in UNJUDGED if field in spec)
    if mode not in MODES:
        yield f"submissionMode: one of {MODES}"
    if not selector and cluster is None:
        yield "rayClusterSpec or clusterSelector"
    if cluster and ("upgradeStrategy" in cluster or cluster.get("authOptions", {}).get("enableK8sTokenAuth")):
        yield "upgradeStrategy and enableK8sTokenAuth are not for a RayJob's cluster"
    if spec.get("ttlSecondsAfterFinished", 0) < 0 or spec.get("backoffLimit", 0) < 0:
        yield "ttlSecondsAfterFinished and backoffLimit are not negative"
    if spec.get("activeDeadlineSeconds", 1) <= 0:
        yield "activeDeadlineSeconds is positive"
    if not spec.get("shutdownAfterJobFinishes") and (spec.get("suspend") or spec.get("ttlSecondsAfterFinished", 0) > 0):
        yield "suspend and ttlSecondsAfterFinished need shutdownAfterJobFinishes"
    if selector and (spec.get("suspend") or mode == "SidecarMode"):
        yield "clusterSelector: neither suspend nor SidecarMode"
    if spec.get("backoffLimit", 0) > 0 and (selector or mode == "InteractiveMode"):
        yield "backoffLimit: neither with clusterSelector nor in InteractiveMode"
    if mode == "SidecarMode" and spec.keys() & {"submitterPodTemplate", "submitterConfig"}:
        yield "SidecarMode has no pod that submits"
    try:
        yaml.safe_load(spec.get("runtimeEnvYAML", ""))
    except yaml.YAMLError:
        yield "runtimeEnvYAML is no YAML"
