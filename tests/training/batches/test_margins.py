"""Crops cut out of larger batches: anatomy moves in, and margins around a tumour are cut anew each time."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from branchpoint.config import AugmentationConfig
from branchpoint.datasets.batch import Batch, CutLimits
from branchpoint.datasets.prepared import PreparedCohort, prepare
from branchpoint.training.batches.augmentation import AugmentationParams, apply_params, augment, still
from branchpoint.training.batches.margins import cropped, cut_margins, draw_cuts
from tests.datasets.scans import toy_dataset, write_cohort

SIZE, MARGIN = (6, 8, 10), (2, 3, 3)


def wide_batch(count: int = 2) -> Batch:
    generator = torch.Generator().manual_seed(0)
    shape = tuple(n + 2 * m for n, m in zip(SIZE, MARGIN, strict=True))
    image = torch.randn(count, 2, *shape, generator=generator)
    return Batch(
        inputs={
            "image": image,
            "intensity_offset": torch.tensor([[0.0, 2.0]] * count),
            "intensity_scale": torch.tensor([[1024.0, 3.0]] * count),
            "intensity_background": torch.tensor([[-1.0, -0.5]] * count),
        },
        targets={"tumour": (image[:, :1] > 0).byte(), "grade": torch.zeros(count, dtype=torch.int64)},
        labelled={"tumour": torch.ones(count, dtype=torch.bool)},
        index=torch.arange(count),
        margin_voxels=MARGIN,
    )


def window(tensor: torch.Tensor, shift: tuple[int, ...] = (0, 0, 0)) -> torch.Tensor:
    ends = zip(SIZE, MARGIN, shift, strict=True)
    return tensor[(..., *(slice(m - move, m - move + n) for n, m, move in ends))]


@pytest.mark.parametrize("shift", [(0, 0, 0), (2, -3, 1), (-2, 3, -3)])
def test_what_moves_in_is_what_lies_there(shift: tuple[int, int, int]) -> None:
    batch = wide_batch()
    moved = apply_params(batch, replace(still(2, 3), shift_voxels=torch.tensor([shift, shift])))
    torch.testing.assert_close(moved.inputs["image"], window(batch.inputs["image"], shift))
    assert (moved.targets["tumour"] == window(batch.targets["tumour"], shift)).all()
    assert (moved.margin_voxels, moved.cuts) == ((), None)


def test_beyond_the_margin_there_is_background() -> None:
    moved = apply_params(wide_batch(), replace(still(2, 3), shift_voxels=torch.tensor([[4, 0, 0], [-40, 0, 0]])))
    image = moved.inputs["image"]
    assert (image[0, 0, :2] == -1).all()
    assert (image[0, 1, :2] == -0.5).all()
    assert (image[0, 0, 2:] != -1).all()
    assert (image[1, 0] == -1).all()
    assert not moved.targets["tumour"][1].any()


def test_turning_with_a_margin_agrees_with_turning_the_whole() -> None:
    batch = wide_batch()
    params = AugmentationParams(
        torch.tensor([[1, 0, 0], [0, 1, -1]]), torch.tensor([True, False]), torch.tensor([0.2, -0.3])
    )
    whole = apply_params(replace(batch, margin_voxels=()), params)
    parts = apply_params(batch, params)
    torch.testing.assert_close(parts.inputs["image"], window(whole.inputs["image"]))
    assert (parts.targets["tumour"] == window(whole.targets["tumour"])).all()


def test_without_movement_the_crop_is_the_middle() -> None:
    batch = wide_batch()
    middle = cropped(batch)
    assert (middle.inputs["image"] == window(batch.inputs["image"])).all()
    assert (middle.targets["tumour"] == window(batch.targets["tumour"])).all()
    assert middle.margin_voxels == ()


def cut_batch() -> Batch:
    shown = torch.tensor([[[1, 9], [2, 12], [0, 16]]] * 2)
    limits = CutLimits(shown, torch.full((2, 3, 2), 4.0), torch.tensor([False, True]))
    return replace(wide_batch(), cuts=limits)


def test_margins_are_cut_and_the_rest_is_centred_and_standardised_anew() -> None:
    batch = cut_batch()
    shares = torch.zeros(2, 3, 2)
    shares[0, 0] = torch.tensor([0.5, 0.0])  # two slices off the lower end
    shares[0, 2] = torch.tensor([0.0, 1.0])
    cut, shifts = cut_margins(batch, shares)
    assert shifts.tolist() == [[-1, 0, 2], [0, 0, 0]]
    image, before = cut.inputs["image"], batch.inputs["image"]
    assert (image[0, 0, :3] == -1).all()
    assert (image[0, 0, 3:9, 2:12, :12] == before[0, 0, 3:9, 2:12, :12]).all()
    assert (image[0, 0, ..., 12:] == -1).all()
    assert not cut.targets["tumour"][0, 0, :3].any()
    assert (image[1] == before[1]).all()  # nothing was cut there
    visible = image[0, 1, 3:9, 3:11, 1:11]  # of the crop, what the shifted window shows
    assert float(visible.mean()) == pytest.approx(0, abs=1e-5)
    assert float(visible.std(correction=0)) == pytest.approx(1, abs=1e-5)
    units = image[0, 1] * cut.inputs["intensity_scale"][0, 1] + cut.inputs["intensity_offset"][0, 1]
    torch.testing.assert_close(units[3:9, 2:12, :12], before[0, 1, 3:9, 2:12, :12] * 3 + 2)
    zero = cut.inputs["intensity_background"][0, 1] * cut.inputs["intensity_scale"][0, 1]
    assert float(zero + cut.inputs["intensity_offset"][0, 1]) == pytest.approx(0.5, abs=1e-5)
    assert (batch.inputs["image"] == before).all()


def test_shares_are_uniform_and_repeatable() -> None:
    shares = draw_cuts(4000, 3, torch.Generator().manual_seed(1))
    assert (shares == draw_cuts(4000, 3, torch.Generator().manual_seed(1))).all()
    np.testing.assert_allclose(shares.mean(0), 0.5, atol=0.02)
    assert np.abs(np.corrcoef(shares.flatten(1).T) - np.eye(6)).max() < 0.06


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedCohort:
    root = tmp_path_factory.mktemp("toy")
    cohort = write_cohort(root / "raw", 3, cut_margins_mm=20.0)
    unboxed = replace(cohort, patients=tuple(replace(patient, box=None) for patient in cohort.patients[:2]))
    boxed = replace(unboxed, patients=(*unboxed.patients, cohort.patients[2]))
    return prepare(boxed, toy_dataset(root, margin_mm=10.0), root / "cache", progress=False)


def test_a_prepared_cohort_gives_batches_with_and_without_margin(prepared: PreparedCohort) -> None:
    wide, narrow = prepared.training_batch([0, 2]), prepared.batch([0, 2])
    assert wide.margin_voxels == (4, 4, 4)
    assert wide.inputs["image"].shape == (2, 2, 24, 24, 24)
    middle = cropped(wide)
    assert (middle.inputs["image"] == narrow.inputs["image"]).all()
    assert (middle.targets["tumour"] == narrow.targets["tumour"]).all()
    assert prepared.cuts_margins
    assert wide.cuts is not None
    assert wide.cuts.largest_voxels[0].max() == 4
    assert not wide.cuts.largest_voxels[1].any()  # a published box is no crop around the tumour
    assert wide.cuts.standardized.tolist() == [False, True]
    moved = augment(wide, AugmentationConfig(shift_mm=10.0), 5.0, torch.Generator().manual_seed(0))
    assert moved.inputs["image"].shape == (2, 2, 16, 16, 16)


def test_cuts_of_real_crops_hide_where_the_tumour_lies(tmp_path: Path) -> None:
    """The crops of STS end 50 mm beyond the tumour: after cuts, its distance from the edge says nothing."""
    from branchpoint.config import DatasetConfig
    from branchpoint.datasets.readers.registry import read_cohort

    root = Path(os.environ.get("BRANCHPOINT_DATA", "")) / "sts"
    if not os.environ.get("BRANCHPOINT_DATA") or not root.is_dir():
        pytest.skip("needs the STS release in the folder named by BRANCHPOINT_DATA")
    dataset = DatasetConfig(name="sts", root=str(root), spacing_mm=8.0, size_voxels=(32, 32, 32), margin_mm=16.0)
    cohort = read_cohort(dataset)
    prepared = prepare(replace(cohort, patients=cohort.patients[:4]), dataset, tmp_path, progress=False)
    batch = prepared.training_batch(range(4))
    generator = torch.Generator().manual_seed(0)
    heads = []
    for _ in range(20):
        cut, shifts = cut_margins(batch, draw_cuts(4, 3, generator))
        moved = apply_params(cut, replace(still(4, 3), shift_voxels=shifts))
        before, after = (int(part.targets["tumour"].sum()) for part in (cropped(batch), moved))
        assert after >= 0.97 * before  # no cut enters a tumour; windows are a little small for two of them
        shown = (moved.inputs["image"][:, 0] > -0.99).flatten(2).any(2)
        heads.append([int(torch.nonzero(row)[0]) for row in shown])
    assert np.std(heads, axis=0).max() > 0.5
