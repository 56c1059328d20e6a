"""Segmentation on the files' own grids: scores against MONAI, lost tumours, images without a lesion."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from branchpoint.config import Config, SegmentationConfig
from branchpoint.datasets.cohort import Box, Cohort, MaskLabel, Patient
from branchpoint.datasets.prepared import PreparedCohort, prepare
from branchpoint.evaluation.bootstrap import intervals
from branchpoint.evaluation.evaluation import evaluate
from branchpoint.evaluation.measurements import measure
from branchpoint.evaluation.native_scores import TOLERANCE_MM, score_masks
from branchpoint.evaluation.references import ELLIPSOID, MEAN_MASK, references
from branchpoint.tasks import build_task
from tests.datasets.scans import scan, toy_dataset, write

TASK = build_task(SegmentationConfig(name="outline", target="tumour"))
HALF_LOST, WHOLLY_LOST, HELD, HEALTHY = range(4)
ENDS = {HALF_LOST: (4, 12), WHOLLY_LOST: (20, 28), HELD: (-4, 4), HEALTHY: (100, 101)}
"""Along x in mm; the window reaches from -8 to 8, the image from -32 to 32."""


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> PreparedCohort:
    """Four patients whose CT shows the tumour, in images four times as wide as the window."""
    root = tmp_path_factory.mktemp("native")
    patients = [_patient(root, f"P{number}", *ends) for number, ends in ENDS.items()]
    raw = Cohort(
        name="toy",
        release="1",
        root=root,
        modalities=("CT",),
        targets={"tumour": "segmentation"},
        patients=tuple(patients),
    )
    with pytest.warns(UserWarning, match="outlines lose volume"):
        return prepare(raw, toy_dataset(root, spacing_mm=1.0), root / "cache", workers=1, progress=False)


def _patient(root: Path, name: str, left: float, right: float) -> Patient:
    def tumour(points: np.ndarray) -> np.ndarray:
        inside = (points[..., 0] > left) & (points[..., 0] < right)
        return (inside & (np.abs(points[..., 1:]) < 4).all(-1)).astype(float)

    shape = {"size": (64, 16, 16), "spacing_mm": (1, 1, 1)}
    image = write(scan(lambda points: 2000 * tumour(points) - 1000, **shape), root / name / "CT.nii.gz")
    outline = write(scan(tumour, **shape, dtype=np.uint8), root / name / "mask.nii.gz")
    box = Box((-8.0, -8.0, -8.0), (8.0, 8.0, 8.0))
    return Patient(id=name, images={"CT": image}, labels={"tumour": MaskLabel(outline)}, box=box)


class Bright(nn.Module):
    """Calls bright voxels tumour: perfect within the window."""

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        image = inputs["image"].float()
        return {"outline": torch.where(image > (image.amax() + image.amin()) / 2, 50.0, -50.0)}


def outlined(cohort: PreparedCohort, base: Config, indices: list[int]) -> dict[str, np.ndarray]:
    from dataclasses import replace

    config = replace(base, tasks=(TASK.config,), network=replace(base.network, in_channels=1))
    return dict(evaluate(Bright(), config, cohort, indices, device="cpu")["outline"])


def test_a_tumour_outside_the_window_is_missed(cohort: PreparedCohort, base: Config) -> None:
    """One tumour half lost (Dice 2/3) and one wholly lost (0): 0.333, where the prepared grid says 1.0."""
    found = TASK.metrics(outlined(cohort, base, [HALF_LOST, WHOLLY_LOST]))
    assert found["dice"] == pytest.approx(1 / 3)
    assert found["ji"] == pytest.approx(0.25)
    assert found["lesion_f1"] == pytest.approx(2 / 3), "one of two found, nothing wrong: sensitivity 1/2, precision 1"
    assert found["volume_error_ml"] == pytest.approx((4 + 8) * 8 * 8 / 1000 / 2)
    held = TASK.metrics(outlined(cohort, base, [HELD]))
    assert (held["dice"], held["hd95"], held["surface_dice"], held["lesion_f1"]) == (1.0, 0.0, 1.0, 1.0)


def test_a_missed_tumour_is_as_far_as_the_image_allows(cohort: PreparedCohort, base: Config) -> None:
    summary = outlined(cohort, base, [WHOLLY_LOST])
    assert summary["hd95"][0, 0] == pytest.approx(math.hypot(64, 16, 16))
    assert summary["surface_dice"][0, 0] == 0


def test_an_image_without_a_lesion_counts_by_itself(cohort: PreparedCohort, base: Config) -> None:
    summary = outlined(cohort, base, [HELD, HEALTHY])
    assert TASK.metrics(summary)["dice"] == 1.0
    found = intervals(TASK, summary, resamples=20)
    assert {
        name: found[name].n for name in ("dice", "hd95", "false_positive_ml", "image_specificity", "lesion_f1")
    } == {
        "dice": 1,
        "hd95": 1,
        "false_positive_ml": 1,
        "image_specificity": 1,
        "lesion_f1": 2,
    }
    assert (TASK.metrics(summary)["image_specificity"], TASK.metrics(summary)["false_positive_ml"]) == (1.0, 0.0)
    summary["predicted"][1] = 300
    assert (TASK.metrics(summary)["image_specificity"], TASK.metrics(summary)["false_positive_ml"]) == (0.0, 0.3)


def test_references_are_scored_on_the_same_grid(cohort: PreparedCohort, base: Config) -> None:
    test = np.array([HALF_LOST, WHOLLY_LOST])
    found = references([TASK], cohort, measure(cohort), np.array([HELD, HEALTHY]), test)
    summaries = {reference.label: reference.summary for reference in found}
    assert set(summaries) == {MEAN_MASK, ELLIPSOID}
    ours = outlined(cohort, base, [HALF_LOST, WHOLLY_LOST])
    for summary in summaries.values():
        np.testing.assert_array_equal(summary["truth"], ours["truth"])
        assert set(summary) == set(ours)
    assert summaries[MEAN_MASK]["predicted"][:, 0].tolist() == [512, 512], "the mask of the one training tumour"
    assert summaries[MEAN_MASK]["overlap"][:, 0].tolist() == [0, 0]


@pytest.mark.parametrize("shape", [(20, 24, 18), (40, 48)])
def test_surface_scores_are_those_of_monai(shape: tuple[int, ...]) -> None:
    from monai.metrics import compute_hausdorff_distance, compute_surface_dice

    spacing = (3.0, 1.2, 0.8)[: len(shape)]
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1)
    for _ in range(4):
        masks = []
        for _ in range(2):
            centre, radius = rng.uniform(0.35, 0.65, len(shape)) * shape, rng.uniform(4, 7)
            masks.append((np.linalg.norm(grid - centre, axis=-1) < radius) ^ (rng.random(shape) < 0.003))
        found = score_masks(masks[0], masks[1], spacing)
        prediction, truth = (torch.from_numpy(mask)[None, None].float() for mask in masks)
        hd95 = compute_hausdorff_distance(prediction, truth, percentile=95, spacing=list(spacing))
        assert found["hd95"] == pytest.approx(float(hd95), abs=1e-4)
        dice = compute_surface_dice(prediction, truth, [TOLERANCE_MM], include_background=True, spacing=list(spacing))
        assert found["surface_dice"] == pytest.approx(float(dice), abs=1e-6)


def test_lesions_are_parts_that_touch_even_by_a_corner() -> None:
    truth = np.zeros((10, 10), bool)
    truth[1, 1] = truth[2, 2] = True  # one
    truth[5:7, 5:7] = truth[9, 0] = True  # two more
    predicted = np.zeros_like(truth)
    predicted[6, 6] = predicted[0, 9] = True
    found = score_masks(predicted, truth, (1.0, 1.0))
    assert [found[name] for name in ("lesions", "lesions_found", "lesions_predicted", "lesions_hit")] == [3, 1, 2, 1]


def test_resamples_are_what_the_metrics_of_the_resampled_samples_are() -> None:
    rng = np.random.default_rng(3)
    n = 12
    truth = rng.integers(0, 3, (n, 2)) * 40
    predicted, overlap = truth + rng.integers(0, 9, (n, 2)), truth // 2
    lesions = (truth > 0) * rng.integers(1, 4, (n, 2))
    summary = {
        "overlap": overlap,
        "predicted": predicted,
        "truth": truth,
        "hd95": rng.random((n, 2)),
        "surface_dice": rng.random((n, 2)),
        "lesions": lesions,
        "lesions_found": np.minimum(lesions, 1),
        "lesions_predicted": lesions + 1,
        "lesions_hit": np.minimum(lesions, 1),
        "voxel_ml": np.full(n, 0.5),
        "labelled": np.arange(n) != 3,
        "index": np.arange(n),
    }
    task = build_task(SegmentationConfig(name="t", target="t", foreground_classes=2))
    counts = rng.multinomial(n, np.full(n, 1 / n), size=8)
    at_once = task.resampled(summary, counts)
    for row, count in enumerate(counts):
        chosen = np.repeat(np.arange(n), count)
        values = task.metrics({name: array[chosen] for name, array in summary.items()})
        for name, draws in at_once.items():
            assert draws[row] == pytest.approx(values[name], nan_ok=True), name
    known = summary["labelled"]
    both = np.corrcoef(predicted[known, 0], truth[known, 0])[0, 1]
    first, second = predicted[known, 0], truth[known, 0]
    ccc = 2 * both * first.std() * second.std() / (first.var() + second.var() + (first.mean() - second.mean()) ** 2)
    only = {name: array[:, :1] if array.ndim == 2 else array for name, array in summary.items()}
    assert TASK.metrics(only)["size_ccc"] == pytest.approx(ccc)
