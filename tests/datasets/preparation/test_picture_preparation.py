"""Pictures on their grid: sizes, intensities, masks, labels, and the way back to the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from branchpoint.config import AugmentationConfig, DatasetConfig
from branchpoint.datasets.cohort import (
    IGNORED,
    Cohort,
    Crop,
    Label,
    MaskLabel,
    MaskLayer,
    Patient,
    PresenceLabel,
    TargetKind,
)
from branchpoint.datasets.preparation.placement import PicturePlacement, nearest
from branchpoint.datasets.prepared import PreparedCohort, prepare
from branchpoint.phantoms.retouch import write_metaimage
from branchpoint.training.batches.augmentation import AugmentationParams, apply_params, augment
from tests.datasets.picture_builder import disc, picture, write

TARGETS: dict[str, TargetKind] = {
    "lesion": "segmentation",
    "kind": "classification",
    "signs": "multilabel",
    "size": "regression",
    "seen": "multilabel",
}


def cohort(patients: list[Patient], channels: int = 3, **changes: Any) -> Cohort:
    base = Cohort(
        name="toy",
        release="",
        root=Path("/"),
        modalities=("photo",),
        targets=TARGETS,
        patients=tuple(patients),
        dimensions=2,
        channels={"photo": channels},
    )
    return replace(base, **changes)


def settings(size: tuple[int, int] = (20, 28), **changes: Any) -> DatasetConfig:
    return DatasetConfig(name="toy", size_voxels=size, **changes)


def one(
    tmp_path: Path,
    pixels: np.ndarray,
    config: DatasetConfig,
    label: Label | None = None,
    channels: int = 3,
    **changes: Any,
) -> PreparedCohort:
    path = write(tmp_path / "picture.png", pixels)
    patient = Patient(id="A", images={"photo": path}, labels={"lesion": label} if label else {})
    return prepare(cohort([patient], channels, **changes), config, tmp_path / "cache", workers=1, progress=False)


def grey_levels(prepared: PreparedCohort) -> np.ndarray:
    """(C, H, W) from 0 to 1, as ``image * scale + offset`` gives them back."""
    inputs = prepared.batch([0]).inputs
    image, scale, offset = (inputs[name][0] for name in ("image", "intensity_scale", "intensity_offset"))
    return (image * scale[:, None, None] + offset[:, None, None]).numpy()


def test_a_picture_of_the_right_size_stays_as_it_is(tmp_path: Path) -> None:
    prepared = one(tmp_path, picture(0, (20, 28)), settings())
    assert np.allclose(grey_levels(prepared), picture(0, (20, 28)).transpose(2, 0, 1) / 255, atol=1e-6)
    batch = prepared.batch([0])
    assert batch.inputs["image"].dtype == torch.float32
    assert batch.inputs["image"].min() >= -2
    assert batch.inputs["image"].max() <= 2
    assert batch.inputs["intensity_background"].tolist() == [[-2.0, -2.0, -2.0]]


def test_resizing_keeps_means_and_edges(tmp_path: Path) -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, 30:] = 200
    levels = grey_levels(one(tmp_path, pixels, settings((20, 30))))
    assert np.allclose(levels[:, :, :14], 0, atol=2 / 255)
    assert np.allclose(levels[:, :, 16:], 200 / 255, atol=2 / 255)
    assert levels.mean() == pytest.approx(100 / 255, abs=1e-3)


def test_images_are_standardised_where_asked(tmp_path: Path) -> None:
    image = one(tmp_path, picture(1), settings(intensities="image")).batch([0]).inputs["image"]
    assert float(image.mean()) == pytest.approx(0, abs=1e-4)
    assert float(image.std(correction=0)) == pytest.approx(1, abs=1e-4)
    with pytest.raises(ValueError, match=r"patient A.*every pixel is 7"):
        one(tmp_path / "flat", np.full((20, 28, 3), 7, np.uint8), settings(intensities="image"))


def test_sixteen_bits_are_not_cut_to_eight(tmp_path: Path) -> None:
    deep = (np.arange(20 * 28).reshape(20, 28) * 100).astype(np.uint16)
    levels = grey_levels(one(tmp_path, deep, settings(), channels=1))
    assert np.abs(levels[0] - deep / 65535).max() < 1 / 4000
    assert len(np.unique(levels)) > 500


def test_proportions_are_kept_where_asked(tmp_path: Path) -> None:
    pixels = np.full((20, 40, 3), 100, np.uint8)
    mask = write(tmp_path / "mask.png", np.full((20, 40), 255, np.uint8))
    prepared = one(tmp_path, pixels, settings((32, 32), keep_aspect=True), MaskLabel(mask, (255,)))
    levels, classes = grey_levels(prepared), prepared.batch([0]).targets["lesion"][0, 0]
    assert np.allclose(levels[:, 8:24], 100 / 255)
    assert np.allclose(levels[:, :8], 0, atol=1e-6)
    assert np.allclose(levels[:, 24:], 0, atol=1e-6)
    assert (classes[8:24] == 1).all()
    assert (classes[:8] == 0).all()
    assert prepared.placement(0) == PicturePlacement((20, 40), (0, 0, 20, 40), (8, 0, 16, 32), (32, 32))


def test_what_lies_outside_has_no_class_where_there_is_no_background(tmp_path: Path) -> None:
    mask = write(tmp_path / "mask.png", np.zeros((20, 40), np.uint8))
    label = MaskLabel.of(MaskLayer(mask, ((0, 0), (1, 1)), ()), outside=IGNORED, content="optional")
    prepared = one(tmp_path, picture(2, (20, 40)), settings((32, 32), keep_aspect=True), label)
    batch = prepared.batch([0])
    assert (batch.targets["lesion"][0, 0, :8] == IGNORED).all()
    assert (batch.targets["lesion"][0, 0, 8:24] == 0).all()
    assert batch.outside == {"lesion": IGNORED}
    shift = AugmentationParams(torch.tensor([[0, 10]]), torch.tensor([False]), torch.zeros(1))
    moved = apply_params(batch, shift).targets["lesion"][0, 0]
    assert (moved[8:24, :10] == IGNORED).all()
    assert (moved[8:24, 10:] == 0).all()


def test_augmentation_moves_pictures_and_masks_together(tmp_path: Path) -> None:
    mask = disc(0)
    pixels = np.repeat(mask[..., None], 3, axis=2)
    path = write(tmp_path / "mask.png", mask)
    batch = one(tmp_path, pixels, settings((40, 56)), MaskLabel(path, (255,))).batch([0])
    moved = augment(
        batch, AugmentationConfig(shift_mm=6.0, rotation_degrees=30.0), 1.0, torch.Generator().manual_seed(3)
    )
    bright, inside = moved.inputs["image"][0, 0] > 0, moved.targets["lesion"][0, 0] > 0
    assert not torch.equal(inside, batch.targets["lesion"][0, 0] > 0)
    assert (bright != inside).float().mean() < 0.02
    assert moved.inputs["image"].shape == batch.inputs["image"].shape


def test_the_border_is_cut_off_pictures_that_have_it(tmp_path: Path) -> None:
    inner = picture(3, (20, 28))
    framed = np.zeros((30, 40, 3), np.uint8)
    framed[5:25, 6:34] = inner
    mask = np.zeros((30, 40), np.uint8)
    mask[0:15, 6:20] = 255
    path = write(tmp_path / "mask.png", mask)
    crop = Crop(5, 6, 20, 28, of=(30, 40))
    prepared = one(tmp_path, framed, settings(), MaskLabel(path, (255,)), crop=crop)
    assert np.allclose(grey_levels(prepared), inner.transpose(2, 0, 1) / 255, atol=1e-6)
    assert prepared.lost_mask["lesion"][0] == pytest.approx(5 / 15)
    predicted = prepared.batch([0]).targets["lesion"][0].numpy().astype(np.float32)
    restored = prepared.preparation.place_back(predicted, prepared.placement(0)).classes()
    assert (restored[5:25, 6:34] == mask[5:25, 6:34] // 255).all()
    assert not restored[:5].any()
    whole = one(tmp_path / "whole", inner, settings(), crop=crop)
    assert np.allclose(grey_levels(whole), inner.transpose(2, 0, 1) / 255, atol=1e-6)


def test_nearest_takes_the_value_under_the_centre() -> None:
    assert nearest(np.arange(4).reshape(1, 4), (1, 2)).tolist() == [[1, 3]]
    assert nearest(np.arange(2).reshape(1, 2), (2, 4)).tolist() == [[0, 0, 1, 1]] * 2


def test_labels_of_every_kind(tmp_path: Path) -> None:
    path = write(tmp_path / "p.png", picture(4, (20, 28)))
    mask = np.zeros((20, 28), np.uint8)
    mask[3:9, 3:9] = 2
    label = MaskLabel(write(tmp_path / "mask.png", mask), (1, 2, 3))
    full = Patient(
        id="A",
        images={"photo": path},
        labels={"lesion": label, "kind": 2, "signs": (1, 0), "size": 4.5, "seen": PresenceLabel("lesion", 3)},
    )
    bare = Patient(id="B", images={"photo": path}, group="G", center="north")
    prepared = prepare(cohort([full, bare]), settings(), tmp_path / "cache", workers=1, progress=False)
    batch = prepared.batch([1, 0])
    assert batch.targets["kind"].tolist() == [0, 2]
    assert batch.targets["signs"].tolist() == [[0, 0], [1, 0]]
    assert batch.targets["seen"].tolist() == [[0, 0, 0], [0, 1, 0]]
    assert batch.targets["signs"].dtype == torch.float32
    assert batch.targets["size"].tolist() == [0, 4.5]
    assert all(batch.labelled[name].tolist() == [False, True] for name in TARGETS)
    assert prepared.groups == [None, "G"]
    assert prepared.centers == [None, "north"]


def test_slices_of_one_volume(tmp_path: Path) -> None:
    voxels = np.random.default_rng(5).integers(0, 60_000, (3, 20, 28)).astype(np.uint16)
    write_metaimage(tmp_path / "oct.mhd", voxels, (0.01, 0.004, 0.1))
    patients = [Patient(id=f"V-{n}", images={"photo": tmp_path / "oct.mhd"}, slice=n, group="V") for n in range(3)]
    prepared = prepare(cohort(patients, 1), settings(), tmp_path / "cache", workers=1, progress=False)
    images = prepared.batch([0, 1, 2]).inputs["image"] * 0.25 + 0.5
    assert np.abs(images[:, 0].numpy() - voxels / 65535).max() < 1e-3


def test_the_cache_notices_what_changes_a_picture(tmp_path: Path) -> None:
    mask = write(tmp_path / "mask.png", disc(0))
    path = write(tmp_path / "p.png", picture(6))

    def volumes(label: MaskLabel, config: DatasetConfig, **changes: Any) -> int:
        patient = Patient(id="A", images={"photo": path}, labels={"lesion": label})
        prepare(cohort([patient], **changes), config, tmp_path / "cache", workers=1, progress=False)
        return len(list((tmp_path / "cache" / "volumes").glob("*/*")))

    label = MaskLabel(mask, (255,))
    assert volumes(label, settings()) == 1
    assert volumes(label, settings()) == 1
    assert volumes(replace(label, content="optional"), settings()) == 1
    changed = [settings(intensities="image"), settings(keep_aspect=True), settings((20, 20))]
    assert [volumes(label, config) for config in changed] == [2, 3, 4]
    assert volumes(MaskLabel.of(MaskLayer(mask, ((255, 2),))), settings()) == 5
    assert volumes(replace(label, outside=IGNORED), settings()) == 6
    assert volumes(label, settings(), crop=Crop(0, 0, 20, 20, of=(40, 56))) == 7
    write(path, picture(7))
    assert volumes(label, settings()) == 8


def test_faults_name_sample_and_file(tmp_path: Path) -> None:
    wrong = MaskLabel(write(tmp_path / "mask.png", disc(0, (30, 30))), (255,))
    with pytest.raises(ValueError, match=r"patient A.*mask\.png has 30 x 30 pixels, its image 56 x 40"):
        one(tmp_path, picture(8), settings(), wrong)
    with pytest.raises(ValueError, match=r"pictures, give \(H, W\)"):
        one(tmp_path, picture(8), DatasetConfig(name="toy", size_voxels=(8, 8, 8)))
    with pytest.raises(ValueError, match="patient B has no photo image"):
        prepare(cohort([Patient(id="B", images={})]), settings(), tmp_path / "cache", workers=1, progress=False)
