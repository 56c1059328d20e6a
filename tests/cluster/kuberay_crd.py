"""KubeRay's own definitions (CRDs), read from a folder of them, as strict JSON Schema; for tests.

``helm pull kuberay/kuberay-operator --untar`` brings them as ``kuberay-operator/crds``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def schema_of(folder: Path, kind: str) -> dict[str, Any]:
    """Of ``kind`` in version v1; a field that it does not name is refused, as ``kubectl --validate=strict`` does."""
    for path in sorted(folder.glob("*.yaml")):
        for definition in yaml.safe_load_all(path.read_text()):
            spec = (definition or {}).get("spec", {})
            if spec.get("names", {}).get("kind") == kind:
                (version,) = [version for version in spec["versions"] if version["name"] == "v1"]
                closed: dict[str, Any] = _closed(version["schema"]["openAPIV3Schema"])
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
    return closed
