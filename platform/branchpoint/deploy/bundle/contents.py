"""What a bundle says of the cohort: how it was prepared, from which centres, and which images were learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from branchpoint.config import Config
from branchpoint.deploy.bundle.seen import image_digest, keyed, new_key

if TYPE_CHECKING:
    from branchpoint.datasets.prepared import PreparedCohort


def preprocessing(config: Config, cohort: PreparedCohort) -> dict[str, Any]:
    """``preprocessing.json``: how files are brought to the networks, without the margins cut in training."""
    plain = cohort.preparation.plain()
    cut = plain.get("cut_margins_mm", 0.0)
    if cut:
        plain = {**plain, "cut_margins_mm": 0.0}
    return {
        "preparation": plain,
        "margins_cut_in_training_mm": cut,
        "rules_in_training": sorted({cohort.rule(index) for index in range(len(cohort))}),
        "largest_extent_mm": _largest_extent(cohort),
        "outside": cohort.outside,
        "covariates": [
            {"name": name, "coding": "number, stage, grade, sex or yes/no; empty where missing"}
            for name in config.network.clinical
        ],
        "precision": config.training.precision,
    }


def _largest_extent(cohort: PreparedCohort) -> list[float] | None:
    """Largest edges (x, y, z) of what all images of a patient share, in the cohort; ``None`` for pictures."""
    from branchpoint.datasets.preparation.placement import VolumePlacement

    edges = []
    for index in range(len(cohort)):
        placement = cohort.placement(index)
        if isinstance(placement, VolumePlacement):
            bounds = np.stack([grid.bounds_mm() for grid in placement.grids])
            edges.append(bounds[:, 1].min(axis=0) - bounds[:, 0].max(axis=0))
    return np.max(edges, axis=0).tolist() if edges else None


def seen(
    names: Sequence[str],
    configs: Sequence[Config],
    cohort: PreparedCohort,
    file_digests: Mapping[str, Sequence[str]],
    *,
    prepared: bool,
) -> dict[str, Any]:
    """``seen.json``: for each network the keyed hashes of its training images.

    Args:
        names: of the networks.
        configs: theirs.
        cohort: prepared.
        file_digests: patient to the content hash of each of the image files.
        prepared: whether prepared images are there to be hashed too.
    """
    from branchpoint.datasets.splits import split

    key = new_key()
    hashes = []
    for index, patient in enumerate(cohort.patient_ids):
        digests = list(file_digests.get(patient, ()))
        if prepared:
            digests.append(image_digest(cohort.stored_image(index)))
        hashes.append([keyed(key, digest) for digest in digests])
    networks = {
        name: sorted(code for index in split(cohort, config.split).train for code in hashes[index])
        for name, config in zip(names, configs, strict=True)
    }
    return {"key": key, "networks": networks}


def centers(cohort: PreparedCohort) -> dict[str, int]:
    """Center to its number of patients."""
    names = [center or "unknown" for center in cohort.centers]
    return {name: names.count(name) for name in sorted(set(names))}
