"""The files under cluster/, as tests read and break them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "cluster"
MANIFESTS = ("raycluster.yaml", "rayjob.yaml")


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((CLUSTER / name).read_text()))


def changed(name: str, where: str, value: Any) -> dict[str, Any]:
    """The manifest with one value at a path such as ``spec.workerGroupSpecs.0.replicas``."""
    manifest = json.loads(json.dumps(documents(name)[0]))  # what an anchor of YAML shares is apart then
    *path, last = [int(key) if key.isdigit() else key for key in where.split(".")]
    place: Any = manifest
    for key in path:
        place = place.setdefault(key, {}) if isinstance(place, dict) else place[key]
    place[last] = value
    return manifest
