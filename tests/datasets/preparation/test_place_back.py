"""Predictions on the grid of the patient's own files."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from branchpoint.config import DatasetConfig
from branchpoint.datasets.cohort import IGNORED, Cohort, Crop, MaskLabel, Patient
from branchpoint.datasets.preparation.kinds import preparation_from_plain, preparation_of
from branchpoint.datasets.preparation.placement import turned_back
from branchpoint.datasets.preparation.preparation import Preparation
from branchpoint.datasets.prepared import prepare
from tests.datasets.picture_builder import disc, picture
from tests.datasets.picture_builder import write as write_picture
from tests.datasets.scans import (
    DIRECTIONS,
    ball,
    scan,
    toy_dataset,
    volume_preparation,
    write,
    write_cohort,
    write_patient,
)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_mask_goes_out_and_comes_back(tmp_path: Path, direction: str) -> None:
    size, spacing_mm = (44, 40, 36), (1.5, 1.5, 2.5)
    turned = DIRECTIONS[direction]
    outline = scan(ball((5, -4, 3), 14), size=size, spacing_mm=spacing_mm, direction=turned, dtype=np.uint8)
    ct = scan(ball((0, 0, 0), 30, 40.0, -1000.0), size=(60, 60, 40), spacing_mm=(1.5, 1.5, 2.5))
    patient = Patient(
        id="A",
        images={"CT": write(ct, tmp_path / "ct.nii.gz")},
        labels={"tumour": MaskLabel(write(outline, tmp_path / "mask.nii.gz"))},
    )
    preparation = volume_preparation(toy_dataset(tmp_path, spacing_mm=1.0, size_voxels=(64, 64, 64)), ["CT"])
    prepared = preparation.prepare(patient, ["tumour"])
    native = prepared.native["tumour"]
    back = preparation.place_back(prepared.masks, prepared.placement, onto=native.grid)
    assert back.classes().shape == native.full().shape == (36, 40, 44)
    assert dice(back.classes() > 0, native.full() > 0) > 0.97
    assert native.full().sum() == pytest.approx(4 / 3 * np.pi * 14**3 / np.prod(native.spacing_mm), rel=0.05)


def test_interpolation_is_linear_in_physical_space(tmp_path: Path) -> None:
    """A field that is linear in millimetres is known exactly wherever the window reaches."""
    patient = write_patient(tmp_path, "A", 1)
    preparation = volume_preparation(toy_dataset(tmp_path))
    prepared = preparation.prepare(patient)
    window = prepared.placement.window  # type: ignore[union-attr]
    axes = [window.origin_mm[axis] + np.arange(16) * 5.0 for axis in range(3)]
    field = 0.5 + 0.004 * axes[0][None, None, :] + 0.002 * axes[1][None, :, None] + 0.003 * axes[2][:, None, None]
    for modality in ("CT", "PET"):
        grid = prepared.placement.grid(modality)  # type: ignore[union-attr]
        found = preparation.place_back(field[None], prepared.placement, onto=modality).probability(0)
        assert found.shape == grid.size[::-1]
        index = np.argwhere(np.ones(found.shape))
        points = grid.to_mm(index[:, ::-1])
        truth = 0.5 + points @ [0.004, 0.002, 0.003]
        inner = (np.abs(points) <= 37.5).all(axis=1)
        np.testing.assert_allclose(found.ravel()[inner], truth[inner], atol=1e-5)
        assert (found.ravel()[(np.abs(points) > 40.01).any(axis=1)] == 0).all()


def test_classes_are_decided_after_interpolation(tmp_path: Path) -> None:
    patient = write_patient(tmp_path, "A", 1)
    preparation = volume_preparation(toy_dataset(tmp_path))
    placement = preparation.prepare(patient).placement
    logits = np.random.default_rng(0).normal(0, 1, (3, 16, 16, 16))
    logits[0, :, :, :8] += 20  # only background in one half
    probabilities = np.exp(logits) / np.exp(logits).sum(0)
    back = preparation.place_back(probabilities, placement)
    stack = np.stack([back.probability(channel) for channel in range(3)])
    assert (back.classes() == stack.argmax(0)).all()
    np.testing.assert_allclose(stack.sum(0), 1, atol=1e-5)
    assert back.region[2].start > 10  # the half without foreground is not interpolated
    nothing = preparation.place_back(np.zeros((1, 16, 16, 16)), placement)
    assert not nothing.classes().any()
    assert back.classes().shape == (24, 40, 40)


def test_a_window_that_leaves_the_scan(tmp_path: Path) -> None:
    patient = replace(write_patient(tmp_path, "A", 1), box=None)
    wide = volume_preparation(toy_dataset(tmp_path, size_voxels=(40, 40, 40)))
    prepared = wide.prepare(patient)
    everywhere = wide.place_back(np.ones((1, 40, 40, 40)), prepared.placement)
    assert everywhere.classes().all()
    with pytest.raises(ValueError, match=r"shape \(1, 16, 16, 16\), the window \(40, 40, 40\)"):
        wide.place_back(np.ones((1, 16, 16, 16)), prepared.placement)
    with pytest.raises(ValueError, match="no 'MR' image; the images are CT, PET"):
        wide.place_back(np.ones((1, 40, 40, 40)), prepared.placement, onto="MR")


def test_labels_do_not_change_what_the_network_sees(tmp_path: Path) -> None:
    """Files alone, images in memory, and a patient with labels give the same bits."""
    import SimpleITK as sitk

    patient = write_patient(tmp_path, "A", 1)
    preparation = volume_preparation(toy_dataset(tmp_path))
    labelled = preparation.prepare(patient, ["tumour"])
    files = Patient(id="new", images=patient.images, box=patient.box)
    opened = {name: sitk.ReadImage(str(path)) for name, path in patient.images.items()}
    memory = preparation.prepare(Patient(id="new", images={}, box=patient.box), opened=opened)
    for other in (preparation.prepare(files), memory):
        assert (other.image == labelled.image).all()
        assert other.placement == labelled.placement
        assert other.masks.shape == (0, 16, 16, 16)


def toy_pictures(size: tuple[int, int], keep_aspect: bool = False, crop: Crop | None = None) -> Preparation:
    cohort = Cohort(
        name="toy",
        release="",
        root=Path("/"),
        modalities=("photo",),
        targets={"lesion": "segmentation"},
        patients=(),
        dimensions=2,
        channels={"photo": 3},
        crop=crop,
    )
    return preparation_of(cohort, DatasetConfig(name="toy", size_voxels=size, keep_aspect=keep_aspect))


@pytest.mark.parametrize("keep_aspect", [False, True])
def test_a_picture_s_mask_comes_back(tmp_path: Path, keep_aspect: bool) -> None:
    mask = disc(0, (120, 168))
    patient = Patient(
        id="A",
        images={"photo": write_picture(tmp_path / "a.png", picture(0, (120, 168)))},
        labels={"lesion": MaskLabel(write_picture(tmp_path / "m.png", mask), (255,))},
    )
    preparation = toy_pictures((128, 128), keep_aspect)
    prepared = preparation.prepare(patient, ["lesion"])
    back = preparation.place_back(prepared.masks.astype(np.float32), prepared.placement).classes()
    assert (prepared.native["lesion"].full() == (mask > 0)).all()
    assert back.shape == (120, 168)
    assert dice(back > 0, mask > 0) > 0.96


def test_what_lies_outside_the_used_part_has_the_class_that_is_asked_for(tmp_path: Path) -> None:
    patient = Patient(id="A", images={"photo": write_picture(tmp_path / "a.png", picture(0, (30, 40)))})
    preparation = toy_pictures((20, 28), crop=Crop(5, 6, 20, 28, of=(30, 40)))
    placement = preparation.prepare(patient).placement
    probabilities = np.stack([np.full((20, 28), 0.3), np.full((20, 28), 0.7)])
    back = preparation.place_back(probabilities, placement, outside=IGNORED)
    assert (back.classes()[5:25, 6:34] == 1).all()
    assert (back.classes()[:5] == IGNORED).all()
    assert (back.probability(0)[:5] == 0).all()
    assert (preparation.place_back(probabilities, placement).probability(0)[:5] == 1).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_pictures_come_back_as_they_are_stored(tmp_path: Path, orientation: int) -> None:
    stored = picture(3, (24, 36))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.png"
    Image.fromarray(stored).save(path, exif=exif)
    with Image.open(path) as opened:
        upright = np.asarray(ImageOps.exif_transpose(opened))
    assert (turned_back(upright, orientation) == stored).all()
    preparation = toy_pictures(upright.shape[:2])
    prepared = preparation.prepare(Patient(id="A", images={"photo": path}))
    assert (prepared.image == upright.transpose(2, 0, 1)).all()
    bright = (upright[None, :, :, 0] > 128).astype(np.float32)
    back = preparation.place_back(bright, prepared.placement)
    assert (back.classes() == (stored[..., 0] > 128)).all()
    assert (back.probability(0) == (stored[..., 0] > 128)).all()


def test_a_preparation_is_plain_values(tmp_path: Path) -> None:
    volumes = volume_preparation(toy_dataset(tmp_path), region="head_and_neck", cut_margins_mm=45.0)
    pictures = toy_pictures((20, 28), True, Crop(5, 6, 20, 28, of=(30, 40)))
    for preparation in (volumes, pictures):
        assert preparation_from_plain(json.loads(json.dumps(preparation.plain()))) == preparation
    assert volumes.plain()["intensities"] == [
        {"kind": "clip", "lower": -1024.0, "upper": 1024.0, "divisor": 1024.0, "background": -1024.0},
        {"kind": "standardize", "background": 0.0},
    ]
    with pytest.raises(ValueError, match=r"preparation.kind is 'video': it must be one of picture, volume"):
        preparation_from_plain({"kind": "video"})
    with pytest.raises(ValueError, match=r"preparation: unknown field 'colour'"):
        preparation_from_plain({**pictures.plain(), "colour": 1})


def test_a_prepared_cohort_knows_masks_and_grids(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "raw", 3)
    prepared = prepare(cohort, toy_dataset(tmp_path), tmp_path / "cache", progress=False)
    fresh = preparation_of(cohort, toy_dataset(tmp_path)).prepare(cohort.patients[1], ["tumour"])
    mask = prepared.native_mask(1, "tumour")
    assert (mask.full() == fresh.native["tumour"].full()).all()
    assert (mask.start, mask.shape, mask.grid) == (
        fresh.native["tumour"].start,
        (24, 40, 40),
        fresh.native["tumour"].grid,
    )
    assert mask.spacing_mm == pytest.approx((3.3, 2.0, 2.0))
    assert prepared.placement(1) == fresh.placement
    with pytest.raises(ValueError, match="patient P02 has no mask 'tumour'"):
        prepared.native_mask(2, "tumour")


def test_true_masks_of_real_patients_come_back(tmp_path: Path) -> None:
    from branchpoint.datasets.readers.registry import read_cohort

    root = Path(os.environ.get("BRANCHPOINT_DATA", "")) / "sts"
    if not os.environ.get("BRANCHPOINT_DATA") or not root.is_dir():
        pytest.skip("needs the STS release in the folder named by BRANCHPOINT_DATA")
    scores: dict[float, list[float]] = {}
    for spacing_mm, size in ((4.0, 96), (2.0, 160)):
        dataset = DatasetConfig(
            name="sts", root=str(root), spacing_mm=spacing_mm, size_voxels=(size,) * 3, cut_margins=False
        )
        cohort = read_cohort(dataset)
        preparation = preparation_of(cohort, dataset)
        for patient in cohort.patients[:4]:
            prepared = preparation.prepare(patient, ["tumour"])
            native = prepared.native["tumour"]
            back = preparation.place_back(prepared.masks, prepared.placement, onto=native.grid).classes()
            scores.setdefault(spacing_mm, []).append(dice(back > 0, native.full() > 0))
    assert np.mean(scores[4.0]) >= 0.96
    assert np.mean(scores[2.0]) >= 0.98
