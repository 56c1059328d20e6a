"""Probabilities brought back onto a case's own grids, and what is measured there."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from branchpoint.datasets.preparation.placement import VolumePlacement
from branchpoint.datasets.preparation.preparation import Preparation, Prepared
from branchpoint.datasets.preparation.volume_files import read_image
from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.bundle.tasks import TaskInfo
from branchpoint.deploy.prediction.inputs import Inputs
from branchpoint.deploy.prediction.networks import class_ids
from branchpoint.deploy.prediction.results import NativeMask, Result, mask_result
from branchpoint.deploy.prediction.settings import Predicted, Settings


def place_mask(
    task: TaskInfo, preparation: Preparation, predicted: Predicted, bundle: Bundle, settings: Settings
) -> Result:
    """Bring a task's probabilities onto the input's grids, keep the masks in ``predicted``, and measure them."""
    dense, prepared = predicted.outputs.dense[task.name], predicted.prepared
    outside = bundle.preprocessing["outside"].get(task.target, 0)
    names = []
    for name, modality in _files(task, prepared, bundle, settings).items():
        native = preparation.place_back(dense, prepared.placement, onto=modality, outside=outside)
        predicted.masks[name] = native.classes()
        placement = prepared.placement
        predicted.grids[name] = placement.grid(modality) if isinstance(placement, VolumePlacement) else None
        predicted.labels[name] = {i + task.first_label: label for i, label in enumerate(task.labels)}
        if settings.probabilities:
            stacked = [native.probability(channel).astype(np.float16) for channel in range(len(dense))]
            predicted.probabilities[name] = np.stack(stacked)
        names.append(name)
    predicted.ensemble[task.name] = class_ids(dense)
    grid = predicted.grids[names[0]]
    voxel_ml = float(np.prod(grid.spacing_mm)) / 1000 if grid else 0.0
    native_mask = NativeMask(
        predicted.masks[names[0]], voxel_ml, *_uptake(task, dense, preparation, prepared, predicted.inputs, outside)
    )
    return mask_result(task, predicted.outputs, native_mask, predicted.ensemble[task.name], names[0])


def _files(task: TaskInfo, prepared: Prepared, bundle: Bundle, settings: Settings) -> dict[str, str | None]:
    """Name of each mask of the task to the modality on whose grid it lies; ``None`` for a picture's own."""
    several = sum(one.kind == "segmentation" for one in bundle.tasks) > 1
    stem = "-".join(["mask", *([task.name] if several else [])])
    if not isinstance(prepared.placement, VolumePlacement):
        return {f"{stem}.png": None}
    if settings.grid == "each":
        return {f"{stem}-{modality}.nii.gz": modality for modality in prepared.placement.modalities}
    return {f"{stem}.nii.gz": settings.grid or prepared.placement.modalities[0]}


def _uptake(
    task: TaskInfo, dense: np.ndarray, preparation: Preparation, prepared: Prepared, inputs: Inputs, outside: int
) -> tuple[Mapping[int, np.ndarray], float]:
    """SUV in the mask on the PET's own grid, by class id."""
    placement = prepared.placement
    if not isinstance(placement, VolumePlacement) or "PET" not in placement.modalities:
        return {}, 0.0
    import SimpleITK as sitk

    image = inputs.opened["PET"] if "PET" in inputs.opened else read_image(inputs.patient.images["PET"])
    pet = sitk.GetArrayViewFromImage(image)
    classes = preparation.place_back(dense, placement, onto="PET", outside=outside).classes()
    numbers = [i + task.first_label for i in range(len(task.labels))]
    found = {number: np.asarray(pet[classes == number], np.float32) for number in numbers}
    return found, float(np.prod(image.GetSpacing())) / 1000
