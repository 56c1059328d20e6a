"""References that draw a mask without looking at the image: the mean mask, and an ellipsoid in its extent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from branchpoint.config import SegmentationConfig
from branchpoint.evaluation.measurements import covered_box, measure
from branchpoint.evaluation.references import ELLIPSOID, MEAN_MASK, references
from branchpoint.tasks import build_task
from tests.evaluation.tumour_cohort import VOXEL_ML, TumourCohort, by_label, cohort

TUMOUR_TASK = build_task(SegmentationConfig(name="outline", target="tumour"))
PATIENTS = cohort()
TRAIN, TEST = np.arange(25), np.arange(25, 40)
FOUND = references([TUMOUR_TASK], PATIENTS, measure(PATIENTS), TRAIN, TEST)


def best_dice(masks: np.ndarray, predictions: Sequence[np.ndarray]) -> int:
    """Position of the prediction with the best mean Dice, the first of equals."""
    dice = [np.mean([2 * (p & m).sum() / (p.sum() + m.sum()) for m in masks > 0]) for p in predictions]
    return int(np.argmax(dice))


def test_mean_mask_is_cut_where_training_dice_is_best() -> None:
    mean = PATIENTS.masks[TRAIN].sum(0)
    levels = [mean * 50 // mean.max() >= level for level in range(1, 51)]
    chosen = levels[best_dice(PATIENTS.masks[TRAIN], levels)]
    summary = by_label(FOUND, "outline")[MEAN_MASK].summary
    assert (summary["predicted"] == chosen.sum()).all()
    overlap = [(chosen & (PATIENTS.masks[i] > 0)).sum() for i in TEST]
    assert summary["overlap"][:, 0].tolist() == overlap
    assert summary["truth"][:, 0].tolist() == PATIENTS.masks[TEST].reshape(15, -1).sum(1).tolist()


def test_mean_mask_of_equal_masks_is_that_mask() -> None:
    patients = cohort(6)
    patients.masks[:] = patients.masks[0]
    found = by_label(references([TUMOUR_TASK], patients, measure(patients), [0, 1, 2], [3, 4, 5]), "outline")
    assert TUMOUR_TASK.metrics(found[MEAN_MASK].summary)["dice"] == 1.0


def padded(n: int, inset: float) -> TumourCohort:
    """Images of several extents in one grid; the tumour is the ellipsoid this far inside each."""
    patients, rng = cohort(n), np.random.default_rng(1)
    patients.masks[:] = 0
    for i in range(n):
        low, high = rng.integers(0, 4, 3), np.array(patients.suv.shape[1:]) - rng.integers(0, 4, 3)
        half = (high - low) / 2
        grid = np.stack(np.meshgrid(*map(np.arange, patients.suv.shape[1:]), indexing="ij")) + 0.5
        middle, axes = ((low + high) / 2)[:, None, None, None], (half - inset)[:, None, None, None]
        patients.masks[i] = ((((grid - middle) / axes) ** 2).sum(0) <= 1).astype(np.uint8)
        outside = np.ones(patients.suv.shape[1:], bool)
        outside[tuple(map(slice, low, high))] = False
        patients.ct[i][outside], patients.suv[i][outside] = -1024, 0
    return patients


def test_ellipsoid_follows_the_extent_of_each_image() -> None:
    patients = padded(8, inset=4.0)
    found = by_label(references([TUMOUR_TASK], patients, measure(patients), range(5), range(5, 8)), "outline")
    assert TUMOUR_TASK.metrics(found[ELLIPSOID].summary)["dice"] > 0.97


def test_covered_box_takes_constant_planes_off() -> None:
    image = np.zeros((2, 6, 7, 8))
    image[1, 1:5, 2:7, 3:4] = np.random.default_rng(0).random((4, 5, 1))
    assert covered_box(image).tolist() == [[1, 5], [2, 7], [3, 4]]
    assert covered_box(np.zeros((1, 4, 5))).tolist() == [[0, 4], [0, 5]]


def test_several_classes_are_drawn_each() -> None:
    patients = cohort(10)
    patients.masks[:, :, :, 10:] *= 2
    task = build_task(SegmentationConfig(name="outline", target="tumour", foreground_classes=2))
    for reference in references([task], patients, measure(patients), range(6), range(6, 10)):
        assert reference.summary["predicted"].shape == (4, 2)
        assert (reference.summary["overlap"] <= reference.summary["truth"]).all()
        assert 0 <= task.metrics(reference.summary)["dice"] <= 1


def test_voxels_without_a_class_count_in_no_reference() -> None:
    """Against a brute-force count: what is predicted on them is dropped, and volumes leave them out."""
    patients = cohort(10)
    outside = np.random.default_rng(2).random(patients.masks.shape) < 0.3
    patients.masks[outside] = 255
    measured = measure(patients)
    volumes = np.log((patients.masks == 1).reshape(10, -1).sum(1) * VOXEL_ML)
    np.testing.assert_allclose(measured.tumour[:, 0], volumes, atol=1e-6)
    train, test = range(6), range(6, 10)
    for label, summary in ((r.label, r.summary) for r in references([TUMOUR_TASK], patients, measured, train, test)):
        assert (summary["truth"][:, 0] == (patients.masks[6:] == 1).reshape(4, -1).sum(1)).all()
        assert (summary["overlap"] <= summary["truth"]).all()
        if label == MEAN_MASK:
            mean = (patients.masks[:6] == 1).sum(0)
            cuts = [mean * 50 // mean.max() >= level for level in range(1, 51)]
            counts = [[(cut & ~outside[i]).sum() for i in test] for cut in cuts]
            assert summary["predicted"][:, 0].tolist() in counts
            assert len(set(summary["predicted"][:, 0].tolist())) > 1
