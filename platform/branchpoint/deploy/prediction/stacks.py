"""Stacks of pictures: pages of a TIFF file, or slices of a volume, predicted one by one and put together again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from branchpoint.datasets.preparation.image_files import is_volume, read_volume
from branchpoint.datasets.preparation.volume_files import Grid, grid_of, read_image
from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.errors import CaseError
from branchpoint.deploy.prediction.inputs import Inputs
from branchpoint.deploy.prediction.regions import regions
from branchpoint.deploy.prediction.settings import Predicted


def stack_of(inputs: Inputs, bundle: Bundle) -> list[np.ndarray] | None:
    """The pictures (H, W[, 3]) of a case that is a stack; ``None`` for a single picture, and where volumes are meant.

    Raises:
        CaseError: the file cannot be read.
    """
    if bundle.preparation.kind == "volume" or len(inputs.patient.images) != 1:
        return None
    path = next(iter(inputs.patient.images.values()))
    try:
        if is_volume(path):
            return list(read_volume(path))
        from PIL import Image, ImageSequence

        with Image.open(path) as picture:
            if getattr(picture, "n_frames", 1) == 1:
                return None
            return [_pixels(page) for page in ImageSequence.Iterator(picture)]
    except (OSError, SyntaxError, ValueError, EOFError) as problem:
        raise CaseError("unreadable-file", f"{path}: {problem}", "export the file again") from None


def _pixels(page: Any) -> np.ndarray:
    if page.mode.startswith("I"):
        return np.asarray(page).astype(np.uint16)
    return np.array(page if page.mode in ("L", "RGB") else page.convert("RGB"))


def predict_stack(
    stack: list[np.ndarray], inputs: Inputs, predict: Callable[[Inputs], Predicted], channels: int, probabilities: bool
) -> Predicted:
    """Each picture by itself; masks are stacked, numbers averaged, and ``slices`` holds those of each picture.

    Args:
        stack: the pictures, (H, W[, 3]).
        inputs: the case that they make up.
        predict: predicts one picture.
        channels: that the networks take.
        probabilities: whether the probabilities of the pictures are stacked too.
    """
    modality, path = next(iter(inputs.patient.images.items()))
    patient = replace(inputs.patient, images={})
    found = []
    for page in stack:
        opened = {modality: _with_channels(page, channels)}
        found.append(predict(replace(inputs, patient=patient, opened=opened)))
    shown = max(found, key=lambda one: sum(int((ids > 0).sum()) for ids in one.ensemble.values()))
    grid = grid_of(read_image(path)) if is_volume(path) else None
    joined = replace(shown, inputs=inputs, masks={}, grids={}, labels={}, probabilities={})
    for name in shown.masks:
        stacked = name.removesuffix(".png") + (".nii.gz" if grid else ".tif")
        joined.masks[stacked] = np.stack([one.masks[name] for one in found])
        joined.grids[stacked] = grid
        joined.labels[stacked] = shown.labels[name]
        if probabilities:
            joined.probabilities[stacked] = np.stack([one.probabilities[name] for one in found], axis=1)
    tasks = {
        name: _joined([one.result["tasks"][name] for one in found], joined, grid) for name in shown.result["tasks"]
    }
    notes = [*shown.result["warnings"], f"a stack of {len(found)} pictures: numbers of the whole are means over them"]
    slices = [one.result["tasks"] for one in found]
    joined.result = {**shown.result, "warnings": notes, "tasks": tasks, "slices": slices}
    return joined


def _with_channels(page: np.ndarray, channels: int) -> np.ndarray:
    """Grey becomes colour by repetition, colour becomes grey by its luma, as where single pictures are read."""
    if page.ndim == 3 and channels == 1:
        from PIL import Image

        return np.asarray(Image.fromarray(page).convert("L"))
    return page


def _joined(parts: list[dict[str, Any]], joined: Predicted, grid: Grid | None) -> dict[str, Any]:
    """The results of one task on all pictures, as one."""
    first = parts[0]
    if first["kind"] == "segmentation":
        file = next(name for name in joined.masks if name.split(".")[0] == first["mask"].split(".")[0])
        return {**first, "mask": file, "classes": _joined_classes(parts, joined.masks[file], grid)}
    if first["kind"] == "regression":
        return {**first, **{key: _mean([one[key] for one in parts]) for key in ("value", "low", "high")}}
    if first["kind"] == "survival":
        raise CaseError("stack", "a stack of pictures has no survival time of its own", "give the pictures one by one")
    whole = dict(first)
    for key in ("probabilities", "low", "high"):
        if first[key] is not None:
            whole[key] = {label: _mean([one[key][label] for one in parts]) for label in first[key]}
    if first["kind"] == "multilabel":
        return {**whole, "present": [label for label, value in whole["probabilities"].items() if value > 0.5]}
    return {**whole, "class": max(whole["probabilities"], key=whole["probabilities"].get)}


def _joined_classes(parts: list[dict[str, Any]], mask: np.ndarray, grid: Grid | None) -> list[dict[str, Any]]:
    classes = []
    for place, entry in enumerate(parts[0]["classes"]):
        voxels = int((mask == entry["id"]).sum())
        truncated = any(one["classes"][place]["truncated"] for one in parts)
        joined = {**entry, "voxels": voxels, "share": voxels / mask.size, "truncated": truncated}
        voxel_ml = 0.0 if grid is None else float(np.prod(grid.spacing_mm)) / 1000
        if entry["id"]:
            joined["regions"] = regions(mask == entry["id"], voxel_ml)
        if grid is not None:
            joined |= {"volume_ml": voxels * voxel_ml, "low": None, "high": None}
        classes.append(joined)
    return classes


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def write_tiff(path: Path, pages: np.ndarray) -> None:
    """Class ids (N, H, W) as pages of a TIFF file."""
    from PIL import Image

    first, *rest = [Image.fromarray(page) for page in pages]
    first.save(path, save_all=True, append_images=rest, compression="tiff_deflate")
