"""A bundle in MONAI's layout: ``configs/metadata.json`` by its specification, and an inference that its ``run`` runs.

MONAI has no transforms for the window and the intensities that the networks were trained on: the configuration names
Branchpoint's own (:mod:`branchpoint.deploy.export.monai_parts`), so that both predict the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.bundle.files import as_json
from branchpoint.deploy.bundle.tasks import TaskInfo

SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
"""That MONAI's ``verify_metadata`` fetches."""
PARTS = "branchpoint.deploy.export.monai_parts"


def write_monai(bundle: Bundle, folder: Path, description: Mapping[str, Any]) -> None:
    """Write everything but the exported networks, which lie in ``models/`` already."""
    (folder / "configs").mkdir()
    (folder / "docs").mkdir()
    weights = {name: bundle.network(name).state_dict() for name in bundle.networks}
    torch.save(weights, folder / "models/model.pt")
    (folder / "configs/metadata.json").write_bytes(as_json(metadata(bundle, description)))
    (folder / "configs/inference.json").write_bytes(as_json(inference(bundle, description)))
    (folder / "configs/preprocessing.json").write_bytes(bundle.files.read("preprocessing.json"))
    (folder / "configs/export.json").write_bytes(as_json(description))
    (folder / "docs/README.md").write_bytes(bundle.files.read("card.md"))


def metadata(bundle: Bundle, description: Mapping[str, Any]) -> dict[str, Any]:
    """``metadata.json``."""
    import monai
    import numpy as np

    versions = description["versions"]
    size = list(bundle.preparation.size_voxels)
    image = {
        "type": "image",
        "format": "magnitude",
        "modality": ", ".join(bundle.preparation.modalities),
        "num_channels": len(description["channels"]),
        "spatial_shape": size,
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": True,
        "channel_def": {str(place): name for place, name in enumerate(description["channels"])},
    }
    return {
        "schema": SCHEMA,
        "version": "1.0.0",
        "changelog": {"1.0.0": f"exported from bundle {bundle.digest}"},
        "monai_version": monai.__version__,
        "pytorch_version": str(torch.__version__).split("+")[0],
        "numpy_version": np.__version__,
        "required_packages_version": {"branchpoint": versions["branchpoint"]},
        "optional_packages_version": {},
        "name": bundle.name,
        "task": ", ".join(task.name for task in bundle.tasks),
        "description": f"{len(bundle.networks)} networks of the study {bundle.name}; see docs/README.md",
        "authors": "see docs/README.md",
        "copyright": "see docs/README.md",
        "intended_use": "research only, not for clinical use",
        "network_data_format": {
            "inputs": {"image": image},
            "outputs": {task.name: _output(task, size) for task in bundle.tasks},
        },
    }


def _output(task: TaskInfo, size: list[int]) -> dict[str, Any]:
    dense = task.kind == "segmentation"
    channels = len(task.labels) + task.first_label if dense and len(task.labels) > 1 else max(1, len(task.labels))
    labels = ["background"] * (channels - len(task.labels)) + list(task.labels or (task.meaning or task.name,))
    return {
        "type": "image" if dense else "probabilities" if task.labels else "tuples",
        "format": "segmentation" if dense else "classes" if task.labels else "points",
        "modality": "n/a",
        "num_channels": channels,
        "spatial_shape": size if dense else [],
        "dtype": "float32",
        "value_range": [0, 1] if task.labels else [],
        "is_patch_data": dense,
        "channel_def": {str(place): label for place, label in enumerate(labels[-channels:])},
    }


def inference(bundle: Bundle, description: Mapping[str, Any]) -> dict[str, Any]:
    """``inference.json``: what ``python -m monai.bundle run`` does."""
    files = [one["file"] for one in description["networks"]]
    return {
        "bundle_root": ".",
        "output_dir": "$@bundle_root + '/eval'",
        "data": [{"id": "case", "images": dict.fromkeys(bundle.preparation.modalities, "FILE")}],
        "device": "cpu",
        "preprocessing": {"_target_": f"{PARTS}.PrepareCase", "folder": "$@bundle_root + '/configs'"},
        "dataset": {"_target_": "Dataset", "data": "@data", "transform": "@preprocessing"},
        "network": {
            "_target_": f"{PARTS}.ExportedNetworks",
            "paths": f"$[@bundle_root + '/models/' + name for name in {files}]",
            "device": "@device",
        },
        "postprocessing": {
            "_target_": f"{PARTS}.SaveCase",
            "folder": "$@bundle_root + '/configs'",
            "output_dir": "@output_dir",
        },
        "evaluator": {
            "_target_": f"{PARTS}.Evaluation",
            "dataset": "@dataset",
            "network": "@network",
            "postprocessing": "@postprocessing",
        },
        "run": ["$@evaluator.run()"],
    }
