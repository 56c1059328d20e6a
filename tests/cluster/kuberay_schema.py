"""What KubeRay 1.7.0's definitions (CRDs) of RayCluster and RayJob, ray.io/v1, allow, as JSON Schema; for tests.

Written anew, field by field, after the reference that KubeRay generates from its Go types (docs/reference/api.md of
v1.7.0, commit 97509c3a7216cf3440af381646560a1885afb53b) and after the types' own markers for what the reference leaves
out: int32, what is required, rules in CEL. All fields of KubeRay's own under ``spec`` are here and none besides; where
Kubernetes' own types begin, the schema published for Kubernetes goes on, as kubernetes-validate carries it. A field
that neither names is refused, as ``kubectl --validate=strict`` does.

``minReplicas`` and ``maxReplicas`` are required too, but have defaults, which the API server fills in first. That
``managedBy`` and ``backend`` never change is no matter of one file. What the operator refuses beyond its definitions
is in kuberay_rules.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import jsonschema
import kubernetes_validate
from kubernetes_validate.utils import schema_contents
from referencing import Registry, Resource

Schema = dict[str, Any]

DEFINITIONS = "https://kubernetes.io/api/_definitions.json"
# Kubernetes publishes quantities as any text or number; definitions are stricter: whole numbers, and text of this form.
NUMBER = r"(\d+(\.\d*)?|\.\d+)"
QUANTITY: Schema = {
    "type": ["integer", "string"],
    "pattern": rf"^[+-]?{NUMBER}([KMGTPE]i|[numkMGTPE]|[eE][+-]?{NUMBER})?$",
}

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
FLOAT: Schema = {"type": "number"}
INT32: Schema = {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}


def exactly(required: str = "", **fields: Schema) -> Schema:
    """An object with no other fields than these."""
    return {"type": "object", "properties": fields, "required": required.split(), "additionalProperties": False}


def several(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def one_of(values: str) -> Schema:
    return {"type": "string", "enum": values.split()}


def kubernetes(name: str) -> Schema:
    """A type of Kubernetes' own."""
    return {"$ref": f"{DEFINITIONS}#/$defs/io.k8s.api.{name}"}


def exactly_one(*fields: str) -> Schema:
    return {"oneOf": [{"required": [field]} for field in fields]}


# Within a definition, metadata has these five fields, and may be left empty.
METADATA = exactly(annotations=TEXTS, finalizers=several(TEXT), labels=TEXTS, name=TEXT, namespace=TEXT)
METADATA["type"] = ["object", "null"]
TEMPLATE = exactly(metadata=METADATA, spec=kubernetes("core.v1.PodSpec"))
SERVICE = exactly(
    apiVersion=TEXT,
    kind=TEXT,
    metadata=METADATA,
    spec=kubernetes("core.v1.ServiceSpec"),
    status=kubernetes("core.v1.ServiceStatus"),
)
RESOURCES = kubernetes("core.v1.ResourceRequirements")
ENV = several(kubernetes("core.v1.EnvVar"))
MANAGER = one_of("ray.io/kuberay-operator kueue.x-k8s.io/multikueue")

AUTH = exactly(enableK8sTokenAuth=FLAG, secretName=TEXT, mode=one_of("disabled token"))
AUTOSCALER = exactly(
    resources=RESOURCES,
    image=TEXT,
    imagePullPolicy=TEXT,
    securityContext=kubernetes("core.v1.SecurityContext"),
    idleTimeoutSeconds=INT32,
    upscalingMode=one_of("Default Aggressive Conservative"),
    version=one_of("v1 v2"),
    env=ENV,
    envFrom=several(kubernetes("core.v1.EnvFromSource")),
    volumeMounts=several(kubernetes("core.v1.VolumeMount")),
    command=several(TEXT),
    args=several(TEXT),
)
CREDENTIAL = exactly(valueFrom=kubernetes("core.v1.EnvVarSource"), value=TEXT)
STORAGE = exactly(
    claimName=TEXT,
    size=QUANTITY,
    storageClassName=TEXT,
    accessModes=several(TEXT),
    subPath=TEXT,
    deletionPolicy=one_of("DeleteWithCluster Retain"),
)
FAULT_TOLERANCE = exactly(
    backend=one_of("redis rocksdb"),
    redisUsername=CREDENTIAL,
    redisPassword=CREDENTIAL,
    externalStorageNamespace=TEXT,
    redisAddress=TEXT,
    storage=STORAGE,
)
COLLECTOR = exactly(image=TEXT, imagePullPolicy=TEXT, resources=RESOURCES, env=ENV)
TRAFFIC = {
    "ingressRules": several(kubernetes("networking.v1.NetworkPolicyIngressRule")),
    "egressRules": several(kubernetes("networking.v1.NetworkPolicyEgressRule")),
}
NETWORK_POLICY = exactly(
    mode=one_of("DenyAll DenyAllIngress DenyAllEgress"),
    head=exactly(**TRAFFIC),
    worker=exactly(**TRAFFIC),
    workerGroups=several(exactly("groupName", groupName=TEXT, **TRAFFIC)),
)
INGRESS = exactly(
    host=TEXT,
    path=TEXT,
    pathType=one_of("Exact Prefix ImplementationSpecific"),
    tls=several(kubernetes("networking.v1.IngressTLS")),
)
HEAD = exactly(
    "template",
    template=TEMPLATE,
    headService=SERVICE,
    enableIngress=FLAG,
    ingressOptions=INGRESS,
    resources=TEXTS,
    labels=TEXTS,
    rayStartParams=TEXTS,
    serviceType=TEXT,
)
WORKERS = exactly(
    "groupName template",
    suspend=FLAG,
    groupName=TEXT,
    replicas=INT32,
    minReplicas=INT32,
    maxReplicas=INT32,
    idleTimeoutSeconds=INT32,
    priority=INT32,
    resources=TEXTS,
    labels=TEXTS,
    rayStartParams=TEXTS,
    template=TEMPLATE,
    scaleStrategy=exactly(workersToDelete=several(TEXT)),
    numOfHosts=INT32,
)
CLUSTER_SPEC = exactly(
    "headGroupSpec",
    upgradeStrategy=exactly(type=one_of("Recreate None")),
    authOptions=AUTH,
    suspend=FLAG,
    managedBy=MANAGER,
    autoscalerOptions=AUTOSCALER,
    headServiceAnnotations=TEXTS,
    enableInTreeAutoscaling=FLAG,
    gcsFaultToleranceOptions=FAULT_TOLERANCE,
    historyServerOptions=exactly(collectorOptions=COLLECTOR),
    networkPolicy=NETWORK_POLICY,
    tlsOptions=exactly(enabled=FLAG),
    headGroupSpec=HEAD,
    rayVersion=TEXT,
    workerGroupSpecs=several(WORKERS),
)

POLICY = one_of("DeleteCluster DeleteWorkers DeleteSelf DeleteNone")
CONDITION = exactly(
    jobStatus=one_of("SUCCEEDED FAILED"), jobDeploymentStatus=one_of("Failed"), ttlSeconds={**INT32, "minimum": 0}
) | exactly_one("jobStatus", "jobDeploymentStatus")
DELETION = (
    exactly(
        onSuccess=exactly(policy=POLICY),
        onFailure=exactly(policy=POLICY),
        deletionRules={**several(exactly("policy condition", policy=POLICY, condition=CONDITION)), "minItems": 1},
    )
    | exactly_one("onSuccess", "deletionRules")
    | {"dependentRequired": {"onSuccess": ["onFailure"], "onFailure": ["onSuccess"]}}
)
JOB_SPEC = exactly(
    activeDeadlineSeconds=INT32,
    backoffLimit=INT32,
    rayClusterSpec=CLUSTER_SPEC,
    submitterPodTemplate=TEMPLATE,
    metadata=TEXTS,
    clusterSelector=TEXTS,
    submitterConfig=exactly(backoffLimit=INT32),
    managedBy=MANAGER,
    deletionStrategy=DELETION,
    entrypoint=TEXT,
    runtimeEnvYAML=TEXT,
    jobId=TEXT,
    submissionMode=TEXT,
    entrypointResources=TEXT,
    entrypointNumCpus=FLOAT,
    entrypointNumGpus=FLOAT,
    ttlSecondsAfterFinished=INT32,
    preRunningDeadlineSeconds={**INT32, "minimum": 1},
    shutdownAfterJobFinishes=FLAG,
    suspend=FLAG,
)


def _kind(kind: str, spec: Schema) -> Schema:
    metadata = {"$ref": f"{DEFINITIONS}#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
    head = {"apiVersion": {"const": "ray.io/v1"}, "kind": {"const": kind}}
    return exactly("apiVersion kind metadata", **head, metadata=metadata, spec=spec, status={"type": "object"})


SCHEMAS = {"RayCluster": _kind("RayCluster", CLUSTER_SPEC), "RayJob": _kind("RayJob", JOB_SPEC)}


@cache
def _kubernetes_types() -> Registry[Any]:
    newest = kubernetes_validate.latest_version()
    types = schema_contents(f"kubernetes-json-schema/v{newest}-local-strict/_definitions.json", newest)
    types["$defs"]["io.k8s.apimachinery.pkg.api.resource.Quantity"] = QUANTITY
    return Registry().with_resource(DEFINITIONS, Resource.from_contents(types))


def validate(manifest: dict[str, Any]) -> None:
    """A RayCluster or a RayJob, its pods included: ``jsonschema.ValidationError`` names the first mistake."""
    schema = SCHEMAS[manifest["kind"]]
    jsonschema.Draft202012Validator(schema, registry=_kubernetes_types()).validate(manifest)
