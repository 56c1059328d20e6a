"""From what the networks say to what a person reads: volumes, uptake, probabilities, risk, survival, uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.bundle.reference import HORIZONS_DAYS, percentile, survival_at
from branchpoint.deploy.bundle.tasks import TaskInfo
from branchpoint.deploy.prediction.networks import Outputs
from branchpoint.deploy.prediction.regions import regions
from branchpoint.evaluation.calibration import scale

Result = dict[str, Any]


@dataclass(frozen=True)
class NativeMask:
    """A mask on the grid of an input.

    Attributes:
        classes: uint8 ([D,] H, W).
        voxel_ml: volume of a voxel; 0 for pictures.
        uptake: SUV in the mask's voxels on the PET's own grid, class id to values; empty without PET.
        pet_voxel_ml: volume of a voxel of the PET.
    """

    classes: np.ndarray
    voxel_ml: float
    uptake: Mapping[int, np.ndarray]
    pet_voxel_ml: float = 0.0


def mask_result(task: TaskInfo, outputs: Outputs, native: NativeMask, prepared: np.ndarray, file: str) -> Result:
    """A segmentation: each class's volume with the range over the networks, its regions and uptake, and how sure it is.

    Args:
        task: of the bundle.
        outputs: of the networks.
        native: the mask as it is written.
        prepared: class ids of the ensemble on the prepared grid, on which the networks are compared.
        file: the mask's name.
    """
    networks = outputs.classes[task.name]
    classes = []
    for place, label in enumerate(task.labels):
        number = place + task.first_label
        voxels, kept = int((native.classes == number).sum()), int((prepared == number).sum())
        counts = [int((ids == number).sum()) for ids in networks]
        entry: Result = {"id": number, "label": label, "voxels": voxels, "share": voxels / native.classes.size}
        if native.voxel_ml:
            # The networks' volumes are counted on the prepared grid; the ensemble's tells how much one voxel is there.
            per_voxel = voxels * native.voxel_ml / kept if kept else native.voxel_ml
            entry["volume_ml"] = voxels * native.voxel_ml
            several = len(counts) > 1
            entry["low"], entry["high"] = (f(counts) * per_voxel if several else None for f in (min, max))
        if number in native.uptake:
            entry |= _uptake(native.uptake[number], native.pet_voxel_ml)
        if number > 0:
            entry["regions"] = regions(native.classes == number, native.voxel_ml)
        entry["truncated"] = bool(number > 0 and _touches_edge(prepared == number))
        classes.append(entry)
    return {
        "kind": task.kind,
        "mask": file,
        "classes": classes,
        "dice_between_networks": mean_pairwise_dice(networks),
        "probability_sd": outputs.spread[task.name],
        "entropy": _entropy(outputs.dense[task.name], prepared > 0),
    }


def _uptake(values: np.ndarray, voxel_ml: float) -> Result:
    if not len(values):
        return {"suv_max": None, "suv_mean": None, "tlg": None}
    mean = float(values.mean(dtype=np.float64))
    return {"suv_max": float(values.max()), "suv_mean": mean, "tlg": mean * len(values) * voxel_ml}


def _touches_edge(mask: np.ndarray) -> bool:
    return any(mask.take(end, axis).any() for axis in range(mask.ndim) for end in (0, -1))


def mean_pairwise_dice(masks: Sequence[np.ndarray]) -> float | None:
    """Mean Dice of the foreground over all pairs; 1 where both are empty, ``None`` for a single mask."""
    if len(masks) < 2:
        return None
    found = []
    for one, other in combinations([ids > 0 for ids in masks], 2):
        total = int(one.sum()) + int(other.sum())
        found.append(2 * int((one & other).sum()) / total if total else 1.0)
    return float(np.mean(found))


def _entropy(probabilities: np.ndarray, found: np.ndarray) -> float | None:
    """Mean entropy (bits) of the class probabilities in the voxels called foreground."""
    if not found.any():
        return None
    inside = probabilities[:, found].astype(np.float64)
    if len(inside) == 1:
        inside = np.concatenate([inside, 1 - inside])
    return float(-(inside * np.log2(np.clip(inside, 1e-12, None))).sum(axis=0).mean())


def value_result(task: TaskInfo, values: Mapping[str, np.ndarray], bundle: Bundle) -> Result:
    """An image-level result, from each network's numbers."""
    if task.kind == "survival":
        return survival_result(task, {name: float(v[0]) for name, v in values.items()}, bundle.reference.get(task.name))
    stacked = np.stack(list(values.values()))
    mean = stacked.mean(axis=0)
    temperature = (bundle.reference.get(task.name) or {}).get("temperature", 1.0)
    if temperature != 1.0:  # fitted to the mean over the networks
        stacked, mean = scale(stacked, temperature), scale(mean[None], temperature)[0]
    low, high = (stacked.min(axis=0), stacked.max(axis=0)) if len(stacked) > 1 else (None, None)

    def by_label(row: np.ndarray | None) -> dict[str, float] | None:
        return None if row is None else dict(zip(task.labels, map(float, row), strict=True))

    if task.kind == "regression":
        lowest, highest = (None if end is None else float(end[0]) for end in (low, high))
        return {"kind": task.kind, "value": float(mean[0]), "unit": task.unit, "low": lowest, "high": highest}
    result = {"kind": task.kind, "probabilities": by_label(mean), "low": by_label(low), "high": by_label(high)}
    if task.kind == "multilabel":
        return {**result, "present": [label for label, value in zip(task.labels, mean, strict=True) if value > 0.5]}
    return {**result, "class": task.labels[int(mean.argmax())]}


def survival_result(task: TaskInfo, log_hazards: Mapping[str, float], reference: Mapping[str, Any] | None) -> Result:
    """Risk among held-out patients: median percentile over the networks, group, survival at fixed times.

    Raw log-hazards of different networks are not comparable and are never averaged.
    """
    result: Result = {"kind": task.kind, "event": task.meaning, "log_hazards": dict(log_hazards)}
    if not reference:
        blank = dict.fromkeys(("percentile", "low", "high", "group", "z"))
        reason = "the bundle was made without reference distributions"
        return {**result, **blank, "survival": {when: _unknown(reason) for when in HORIZONS_DAYS}, "reason": reason}
    known = reference["networks"]
    ranks = [percentile(value, known[name]["log_hazards"]) for name, value in log_hazards.items()]
    z = {
        name: (value - known[name]["mean"]) / known[name]["sd"] if known[name]["sd"] > 0 else 0.0
        for name, value in log_hazards.items()
    }
    mean_z = float(np.mean(list(z.values())))
    several = len(ranks) > 1
    return {
        **result,
        "z": z,
        "percentile": float(np.median(ranks)),
        "low": min(ranks) if several else None,
        "high": max(ranks) if several else None,
        "group": "high risk" if mean_z > reference["median_z"] else "low risk",
        "survival": {when: _survival(reference["calibrator"], z, days) for when, days in HORIZONS_DAYS.items()},
    }


NOT_ORDERED = "a higher risk did not go with earlier events among held-out patients"


def not_ordered(reference: Mapping[str, Any] | None) -> bool:
    """Whether the risks of a task are no risks: the Cox model on those out of fold has no positive coefficient."""
    return reference is not None and reference.get("calibrator", {}).get("coefficient", 1.0) <= 0


def _survival(calibrated: Mapping[str, Any], z: Mapping[str, float], days: float) -> Result:
    if "reason" in calibrated:
        return _unknown(calibrated["reason"])
    if calibrated["coefficient"] <= 0:
        return _unknown(NOT_ORDERED)
    value = survival_at(calibrated, list(z.values()), days)
    if value is None:
        return _unknown("beyond the last follow-up of the study")
    of_each = [found for one in z.values() if (found := survival_at(calibrated, [one], days)) is not None]
    low, high = (min(of_each), max(of_each)) if len(of_each) > 1 else (None, None)
    return {"value": value, "low": low, "high": high, "reason": None}


def _unknown(reason: str) -> Result:
    return {"value": None, "low": None, "high": None, "reason": reason}
