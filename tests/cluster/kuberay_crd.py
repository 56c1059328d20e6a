"""KubeRay's own definitions of RayCluster and RayJob (CRDs) as strict JSON Schema, for tests.

They are not part of this repository. Tests read them from the folder ``kuberay_crds`` of ``BRANCHPOINT_DATA``;
``helm pull kuberay/kuberay-operator --untar`` brings them as ``kuberay-operator/crds``.

JSON Schema cannot express the definitions' rules in CEL (``x-kubernetes-validations``). Those and the rules of the
operator that concern these manifests are in kuberay_rules.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

CRDS = Path(os.environ.get("BRANCHPOINT_DATA", "")) / "kuberay_crds"
needs_crds = pytest.mark.skipif(
    not ("BRANCHPOINT_DATA" in os.environ and CRDS.is_dir()),
    reason="KubeRay's definitions are not here: set BRANCHPOINT_DATA to a folder that has kuberay_crds/",
)


def validate(manifest: dict[str, Any]) -> None:
    """Check a RayCluster or RayJob against KubeRay's definitions.

    Raises:
        jsonschema.ValidationError: the definition does not allow the manifest, or does not know one of its fields.
    """
    jsonschema.validate(manifest, schema_of(CRDS, manifest["kind"]))


@cache
def schema_of(folder: Path, kind: str) -> dict[str, Any]:
    """The schema of ``kind`` in version v1. It refuses unknown fields, as ``kubectl --validate=strict`` does."""
    for path in sorted(folder.glob("*.yaml")):
        for definition in yaml.safe_load_all(path.read_text()):
            spec = (definition or {}).get("spec", {})
            if spec.get("names", {}).get("kind") == kind:
                (version,) = [version for version in spec["versions"] if version["name"] == "v1"]
                closed: dict[str, Any] = _closed(version["schema"]["openAPIV3Schema"])
                closed["properties"]["apiVersion"] = {"const": f"{spec['group']}/{version['name']}"}
                return closed
    raise ValueError(f"{folder} holds no definition of {kind}: give the folder crds of KubeRay's Helm chart")


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(part) for name, part in schema.items()}
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not is_open:
        closed["additionalProperties"] = False
    if schema.get("format") == "int32":
        closed |= {"minimum": max(schema.get("minimum", -(2**31)), -(2**31)), "maximum": 2**31 - 1}
    return closed
