"""What KubeRay's RayCluster and RayJob (ray.io/v1, KubeRay 1.5 to 1.7) allow, as JSON Schema; for tests.

Written anew after KubeRay's and Kubernetes' API references, and reduced: of Kubernetes' own objects (pods, volumes,
tolerations) only the fields that a Ray cluster commonly has. A field that is not here is refused, so that a misspelt
one is found.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NAME: Schema = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
QUANTITY: Schema = {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": r"^[0-9.]+(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"}]}
QUANTITIES: Schema = {"type": "object", "additionalProperties": QUANTITY}


def exactly(required: str = "", **fields: Schema) -> Schema:
    """An object with no other fields than these."""
    return {"type": "object", "properties": fields, "required": required.split(), "additionalProperties": False}


def several(item: Schema) -> Schema:
    return {"type": "array", "items": item}


RESOURCES = exactly(requests=QUANTITIES, limits=QUANTITIES)
ENV = exactly(
    "name", name=TEXT, value=TEXT,
    valueFrom=exactly(secretKeyRef=exactly("name key", name=NAME, key=TEXT, optional=FLAG)),
)  # fmt: skip
ENV_FROM = exactly(secretRef=exactly("name", name=NAME, optional=FLAG), configMapRef=exactly("name", name=NAME))
CONTAINER = exactly(
    "name image", name=NAME, image=TEXT, imagePullPolicy={"enum": ["Always", "IfNotPresent", "Never"]},
    command=several(TEXT), args=several(TEXT), env=several(ENV), envFrom=several(ENV_FROM), resources=RESOURCES,
    ports=several(exactly("containerPort", name={**NAME, "maxLength": 15}, containerPort=COUNT)),
    volumeMounts=several(exactly("name mountPath", name=NAME, mountPath=TEXT, subPath=TEXT, readOnly=FLAG)),
)  # fmt: skip
TOLERATION = exactly(
    key=TEXT, operator={"enum": ["Exists", "Equal"]}, value=TEXT,
    effect={"enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]}, tolerationSeconds=COUNT,
)  # fmt: skip
VOLUME = exactly(
    "name", name=NAME, persistentVolumeClaim=exactly("claimName", claimName=NAME, readOnly=FLAG),
    emptyDir=exactly(medium=TEXT, sizeLimit=QUANTITY), secret=exactly("secretName", secretName=NAME),
)  # fmt: skip
POD = exactly(
    "containers", containers={**several(CONTAINER), "minItems": 1}, volumes=several(VOLUME), nodeSelector=TEXTS,
    tolerations=several(TOLERATION), serviceAccountName=NAME, terminationGracePeriodSeconds=COUNT,
    restartPolicy={"enum": ["Always", "OnFailure", "Never"]},
    securityContext=exactly(runAsNonRoot=FLAG, runAsUser=COUNT, runAsGroup=COUNT, fsGroup=COUNT),
)  # fmt: skip
TEMPLATE = exactly("spec", metadata=exactly(labels=TEXTS, annotations=TEXTS), spec=POD)
HEAD = exactly(
    "template", serviceType={"enum": ["ClusterIP", "NodePort", "LoadBalancer"]}, enableIngress=FLAG,
    rayStartParams=TEXTS, resources=QUANTITIES, labels=TEXTS, template=TEMPLATE,
)  # fmt: skip
WORKERS = exactly(
    "groupName template", groupName=NAME, replicas=COUNT, minReplicas=COUNT, maxReplicas=COUNT, numOfHosts=COUNT,
    suspend=FLAG, idleTimeoutSeconds=COUNT, rayStartParams=TEXTS, resources=QUANTITIES, labels=TEXTS,
    template=TEMPLATE,
)  # fmt: skip
AUTOSCALER = exactly(
    version={"enum": ["v1", "v2"]}, upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
    idleTimeoutSeconds=COUNT, image=TEXT, imagePullPolicy=TEXT, env=several(ENV), envFrom=several(ENV_FROM),
    resources=RESOURCES,
)  # fmt: skip
CLUSTER_SPEC = exactly(
    "headGroupSpec", rayVersion=TEXT, authOptions=exactly(mode={"enum": ["disabled", "token"]}, secretName=NAME),
    enableInTreeAutoscaling=FLAG, autoscalerOptions=AUTOSCALER, suspend=FLAG, headServiceAnnotations=TEXTS,
    headGroupSpec=HEAD, workerGroupSpecs=several(WORKERS),
)  # fmt: skip
JOB_SPEC = exactly(
    entrypoint=TEXT, runtimeEnvYAML=TEXT, jobId=TEXT, metadata=TEXTS, clusterSelector=TEXTS, suspend=FLAG,
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]}, backoffLimit=COUNT,
    shutdownAfterJobFinishes=FLAG, ttlSecondsAfterFinished=COUNT, activeDeadlineSeconds=COUNT,
    entrypointNumCpus={"type": "number"}, entrypointNumGpus={"type": "number"}, entrypointResources=TEXT,
    submitterPodTemplate=TEMPLATE, rayClusterSpec=CLUSTER_SPEC,
)  # fmt: skip


def _kind(kind: str, spec: Schema) -> Schema:
    head = {"apiVersion": {"const": "ray.io/v1"}, "kind": {"const": kind}}
    metadata = exactly("name", name=NAME, namespace=NAME, labels=TEXTS, annotations=TEXTS)
    return exactly("apiVersion kind metadata spec", **head, metadata=metadata, spec=spec)


SCHEMAS = {"RayCluster": _kind("RayCluster", CLUSTER_SPEC), "RayJob": _kind("RayJob", JOB_SPEC)}
