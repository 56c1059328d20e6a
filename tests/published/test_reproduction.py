"""Weights of labels come from the training samples alone."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from branchpoint.config import SplitConfig
from branchpoint.published import find
from branchpoint.published.reproduction import HEAVIEST, with_label_weights


def cohort(values: np.ndarray, target: str) -> Any:
    """Ten samples: the first six for training, two each for validation and test; the sixth is unlabelled."""
    ids = tuple(f"S{i}" for i in range(10))
    parts = dict(zip(ids, ["train"] * 6 + ["validation"] * 2 + ["test"] * 2, strict=True))
    return SimpleNamespace(
        name="toy",
        patient_ids=ids,
        groups=[None] * 10,
        centers=[None] * 10,
        targets={},
        splits={"paper": parts},
        labels={target: values},
        labelled={target: np.arange(10) != 5},
    )


def weights_of(dataset: str, values: np.ndarray, target: str) -> tuple[float, ...]:
    config = find("resformer", dataset, "8").chosen(["sequential, both"]).rows[0].config
    assert config.split == SplitConfig(scheme="paper")
    found = with_label_weights(config, cohort(values, target))
    assert replace(found, tasks=config.tasks) == config
    return found.task(target).positive_weights  # type: ignore[attr-defined]


def test_negatives_by_positives_of_the_training_samples() -> None:
    diagnosis = np.array([0, 0, 0, 1, 2, 1, 1, 1, 2, 2])
    assert weights_of("isic2017", diagnosis, "diagnosis") == (0.666667, 4.0, 4.0)
    fluids = np.array([[1, 0, 1]] * 4 + [[0, 0, 1]] + [[1, 1, 0]] * 5, dtype=float)
    assert weights_of("retouch", fluids, "fluids_present") == (0.25, 5.0, 1 / HEAVIEST)
