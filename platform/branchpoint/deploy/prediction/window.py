"""Where the networks look: the window of training, the whole scan tile by tile, or around what was found there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from branchpoint.datasets.cohort import Box
from branchpoint.datasets.preparation.grid import intersection
from branchpoint.datasets.preparation.placement import VolumePlacement
from branchpoint.datasets.preparation.preparation import Preparation, Prepared
from branchpoint.datasets.preparation.volume_files import Grid, grid_of
from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.errors import CaseError
from branchpoint.deploy.prediction.inputs import Inputs
from branchpoint.deploy.prediction.networks import Ensemble, Outputs, class_ids
from branchpoint.deploy.prediction.settings import Settings

TOO_LARGE = 1.1
"""A scan may exceed the window and the largest scan of the study by this factor before a centre must be given."""


def prepare_inputs(preparation: Preparation, inputs: Inputs, settings: Settings) -> Prepared:
    patient = inputs.patient
    if settings.center_mm is not None and patient.box is None:
        patient = replace(patient, box=_around(settings.center_mm))
    try:
        return preparation.prepare(patient, opened=inputs.opened)
    except ValueError as problem:
        text = str(problem).removeprefix(f"patient {patient.id}: ").removeprefix(f"patient {patient.id}, ")
        raise CaseError("not-prepared", text, "check the files and the place of the window (--center, --box)") from None


def _around(center_mm: Sequence[float]) -> Box:
    lower, upper = (tuple(value + step for value in center_mm) for step in (-0.5, 0.5))
    return Box(lower, upper)  # type: ignore[arg-type]


def choose_preparation(
    inputs: Inputs, ensemble: Ensemble, settings: Settings, notes: list[str]
) -> tuple[Preparation, bool]:
    """How the case is prepared, and whether tile by tile: a scan larger than the window of masks alone is."""
    preparation = ensemble.bundle.preparation
    if preparation.kind != "volume":
        return preparation, False
    placed = inputs.patient.box is not None or settings.center_mm is not None
    if placed or getattr(preparation, "region", "extent") != "extent":
        return preparation, False
    edges, window = shared_edges(inputs), _window_mm(preparation)
    if not exceeds(edges, preparation):
        return preparation, False
    if ensemble.dense_only:
        return whole_scan(preparation, edges), True
    largest = np.array(ensemble.bundle.preprocessing["largest_extent_mm"] or window)
    if (edges > np.maximum(window, largest) * TOO_LARGE).any():
        text = " x ".join(f"{edge:.0f}" for edge in edges)
        raise CaseError(
            "larger-than-window",
            f"the scan measures {text} mm, the window {' x '.join(f'{edge:.0f}' for edge in window)} mm",
            "say where to look: --center X,Y,Z or a box in the table (millimetres, LPS), or --locate tiles",
        )
    notes.append("the scan is larger than the window: its edges were not looked at")
    return preparation, False


def _window_mm(preparation: Preparation) -> np.ndarray:
    """Edges (x, y, z) of the window."""
    return np.array(preparation.size_voxels[::-1]) * preparation.spacing_mm


def exceeds(edges: np.ndarray, preparation: Preparation) -> bool:
    """Whether a scan with these edges reaches beyond the window by more than half a voxel."""
    return bool((edges > _window_mm(preparation) + preparation.spacing_mm / 2).any())


def whole_scan(preparation: Preparation, edges: np.ndarray) -> Preparation:
    """The same preparation with a window that holds the whole scan, whose statistics are then the scan's."""
    size = np.maximum(np.ceil(edges / preparation.spacing_mm).astype(int)[::-1], preparation.size_voxels)
    return replace(preparation, size_voxels=tuple(size.tolist()))  # type: ignore[type-var]


def largest_component(outputs: Outputs, prepared: Prepared) -> Box | None:
    """Bounds in mm of the largest connected part of what any mask calls foreground; ``None`` for nothing."""
    from scipy import ndimage

    found = np.any([class_ids(values) > 0 for values in outputs.dense.values()], axis=0)
    parts, count = ndimage.label(found)
    if not count:
        return None
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    place = ndimage.find_objects(parts)[sizes.argmax() - 1]
    placement = prepared.placement
    assert isinstance(placement, VolumePlacement)
    window = placement.window
    first = np.array([part.start for part in place][::-1]), np.array([part.stop - 1 for part in place][::-1])
    lower, upper = (
        np.array(window.origin_mm) + (ends + side) * window.spacing_mm
        for ends, side in zip(first, (-0.5, 0.5), strict=True)
    )
    return Box(tuple(lower.tolist()), tuple(upper.tolist()))


def shared_edges(inputs: Inputs) -> np.ndarray:
    """Edges (x, y, z) in mm of what all images share; only headers are read."""
    boxes = []
    for grid in _grids(inputs):
        lower, upper = grid.bounds_mm()
        boxes.append(Box(tuple(lower.tolist()), tuple(upper.tolist())))
    shared = intersection(boxes)
    edges = np.array(shared.upper_mm) - np.array(shared.lower_mm)
    if (edges <= 0).any():
        raise CaseError("images-apart", "the images do not overlap in space", "check that they belong to one patient")
    return edges


def _grids(inputs: Inputs) -> list[Grid]:
    if inputs.opened:
        return [grid_of(image) for image in inputs.opened.values()]
    import SimpleITK as sitk

    grids = []
    for path in inputs.patient.images.values():
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        grids.append(Grid(reader.GetSize(), reader.GetSpacing(), reader.GetOrigin(), reader.GetDirection()))
    return grids


def region_notes(bundle: Bundle, prepared: Prepared) -> list[str]:
    trained = [rule.split(",")[0] for rule in bundle.preprocessing["rules_in_training"]]
    notes = []
    if prepared.rule.split(",")[0] not in trained:
        notes.append(
            f"the window was placed by the rule {prepared.rule!r}; in training it was {', '.join(sorted(set(trained)))}"
        )
    cut = bundle.preprocessing["margins_cut_in_training_mm"]
    if cut:
        notes.append(f"training cut up to {cut:g} mm off each margin; here the full extent is used")
    return notes
