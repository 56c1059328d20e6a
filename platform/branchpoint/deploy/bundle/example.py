"""A phantom case inside the bundle, with what its networks said of it: ``bundle verify`` predicts it again."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from branchpoint.datasets.preparation.preparation import Preparation
from branchpoint.datasets.preparation.volume_files import Grid, image_on
from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.bundle.files import as_json
from branchpoint.deploy.prediction.cases import Case, parse_box

FOLDER = "example"
TOLERANCE = 1e-3
"""Largest difference of a number between the machine that made the bundle and this one."""
MOST_VOXELS = 0.01
"""Share by which the number of voxels of a class may differ: machines round differently at a mask's edge."""
_EDGE_VOXELS = 48


def example_files(preparation: Preparation) -> dict[str, bytes]:
    """``case.json`` and one small image for each modality: a body with one bright lesion, and some noise."""
    files: dict[str, bytes] = {}
    images = {}
    with tempfile.TemporaryDirectory() as scratch:
        for number, modality in enumerate(preparation.modalities):
            name = f"{modality}.nii.gz" if preparation.kind == "volume" else f"{modality}.png"
            path = Path(scratch) / name
            if preparation.kind == "volume":
                _write_volume(path, modality, preparation, number)
            else:
                _write_picture(path, preparation.channels[number], preparation.size_voxels, number)
            files[f"{FOLDER}/{name}"] = path.read_bytes()
            images[modality] = name
    files[f"{FOLDER}/case.json"] = as_json({"images": images, "box": _BOX if preparation.kind == "volume" else None})
    return files


_BOX = "-1 -1 -1 1 1 1"


def _write_volume(path: Path, modality: str, preparation: Preparation, seed: int) -> None:
    import SimpleITK as sitk

    edges_mm = np.array(preparation.size_voxels) * preparation.spacing_mm * 0.9
    spacing = max(float(preparation.spacing_mm), float(edges_mm.max()) / _EDGE_VOXELS)
    size = np.maximum(4, (edges_mm / spacing).astype(int))
    radius, lesion = _distances(size)
    noise = np.random.default_rng(seed).normal(size=tuple(size))
    if modality == "CT":
        values = np.where(radius < 1, 40.0, -1000.0) + 10 * noise
    else:
        values = np.where(radius < 1, 1.0, 0.05) + np.where(lesion < 1, 8.0, 0.0) + 0.02 * np.abs(noise)
    origin = tuple((-(size[::-1] - 1) * spacing / 2).tolist())
    grid = Grid(tuple(size[::-1].tolist()), (spacing,) * 3, origin, tuple(np.eye(3).ravel().tolist()))
    sitk.WriteImage(image_on(values.astype(np.float32), grid), str(path), useCompression=True)


def _write_picture(path: Path, channels: int, size: tuple[int, ...], seed: int) -> None:
    from PIL import Image

    radius, lesion = _distances(np.array(size))
    values = 60 + 90 * (radius < 1) - 70 * (lesion < 1) + np.random.default_rng(seed).normal(0, 3, tuple(size))
    grey = np.clip(values, 0, 255).astype(np.uint8)
    Image.fromarray(grey if channels == 1 else np.stack([grey, grey // 2, grey // 3], axis=2)).save(path)


def _distances(size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From the middle of the body and of the lesion: 1 at their surface."""
    axes = np.meshgrid(*[np.linspace(-1, 1, edge) for edge in size], indexing="ij")
    body = np.sqrt(sum((axis / 0.85) ** 2 for axis in axes))
    lesion = np.sqrt(sum(((axis - 0.15) / 0.25) ** 2 for axis in axes))
    return body, lesion


def predict_example(bundle: Bundle) -> dict[str, Any]:
    """What the networks say of the example, as plain numbers by name."""
    from branchpoint.deploy.prediction.networks import Ensemble
    from branchpoint.deploy.prediction.predict import predict_case
    from branchpoint.deploy.prediction.settings import Settings

    with tempfile.TemporaryDirectory() as scratch:
        for name in bundle.files.names():
            if name.startswith(f"{FOLDER}/"):
                (Path(scratch) / Path(name).name).write_bytes(bundle.files.read(name))
        case = json.loads((Path(scratch) / "case.json").read_text())
        images = {modality: Path(scratch) / name for modality, name in case["images"].items()}
        box = parse_box(case["box"]) if case["box"] else None
        predicted = predict_case(
            Case(id="example", images=images, box=box), Ensemble(bundle, bundle.networks), Settings(page=False)
        )
    return _numbers(predicted.result["tasks"])


def _numbers(tasks: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, one in tasks.items():
        if one["kind"] == "segmentation":
            found |= {f"{name}/{entry['label']}/voxels": entry["voxels"] for entry in one["classes"]}
        elif one["kind"] == "survival":
            found |= {f"{name}/{network}": value for network, value in one["log_hazards"].items()}
        elif one["kind"] == "regression":
            found[f"{name}/value"] = one["value"]
        else:
            found |= {f"{name}/{label}": value for label, value in one["probabilities"].items()}
    return found


def differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """One line for each number that is not what it was."""
    lines = [f"{name} is missing" for name in expected if name not in found]
    for name, before in expected.items():
        now = found.get(name, before)
        allowed = max(1, MOST_VOXELS * before) if name.endswith("/voxels") else TOLERANCE * max(1, abs(before))
        if abs(now - before) > allowed:
            lines.append(f"{name} was {before:g}, is {now:g}")
    return lines
