"""Masks saved without their image's geometry, units of PET, and pictures that would come out black or turned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from branchpoint.config import DatasetConfig
from branchpoint.datasets.checks.picture_files import inspect_picture
from branchpoint.datasets.checks.volume_cohort import check_volumes
from branchpoint.datasets.cohort import Cohort, MaskLabel, Patient
from branchpoint.datasets.file_report import FileJob
from branchpoint.datasets.preparation.modalities import unit_of
from branchpoint.datasets.preparation.pictures import PicturePreparation
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.reader import Reader
from tests.datasets.picture_builder import disc, one_picture, picture
from tests.datasets.picture_builder import write as write_picture
from tests.datasets.scans import ball, scan, volume_preparation, write, write_patient


def nobody(dataset: DatasetConfig) -> Cohort:
    pytest.fail(f"the check read {dataset.name} again: it is given the cohort")


READER = Reader(read=nobody)


def check(*patients: Patient, modalities: tuple[str, ...] = ("CT", "PET")) -> list[Problem]:
    cohort = Cohort(
        name="toy",
        release="",
        root=Path("/"),
        modalities=modalities,
        targets={"tumour": "segmentation"},
        patients=patients,
    )
    return check_volumes(cohort, READER, workers=1)


def without_geometry(mask: sitk.Image) -> sitk.Image:
    """As ``nibabel.Nifti1Image(mask, numpy.eye(4))`` or a bare array gives it."""
    return sitk.GetImageFromArray(sitk.GetArrayFromImage(mask))


def moved(mask: sitk.Image) -> sitk.Image:
    mask.SetOrigin((0.0, 0.0, 0.0))
    return mask


def mirrored(mask: sitk.Image) -> sitk.Image:
    mask.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    return mask


def permuted(mask: sitk.Image) -> sitk.Image:
    """As numpy's axes in the wrong order give it."""
    return sitk.GetImageFromArray(np.ascontiguousarray(sitk.GetArrayFromImage(mask).T))


@pytest.mark.parametrize("change", [without_geometry, moved, mirrored, permuted])
def test_a_mask_with_its_image_s_voxels_and_another_geometry(
    tmp_path: Path, change: Callable[[sitk.Image], sitk.Image]
) -> None:
    patient = write_patient(tmp_path, "P1", 1)
    label = patient.labels["tumour"]
    assert isinstance(label, MaskLabel)
    assert not [row for row in check(patient) if row.task == "tumour"]
    write(change(sitk.ReadImage(str(label.path))), label.path)
    (row,) = [row for row in check(patient) if row.task == "tumour"]
    assert (row.rule, row.severity) == ("grid-mismatch", "error")
    assert "geometry" in row.fix


def test_a_mask_on_a_grid_of_its_own_is_fine(tmp_path: Path) -> None:
    patient = write_patient(tmp_path, "P1", 1)
    centre = np.random.default_rng(1).uniform(-8, 8, 3)
    outline = scan(ball(centre, 9), size=(30, 34, 38), spacing_mm=(2, 2, 2), dtype=np.uint8)
    own = replace(patient, labels={"tumour": MaskLabel(write(outline, tmp_path / "own.nii.gz"))})
    assert not [row for row in check(own) if row.task == "tumour"]


@pytest.mark.parametrize(
    ("factor", "rule"), [(1.0, ""), (5.0, "pet-units"), (5000.0, "pet-not-suv"), (0.1, "pet-not-suv")]
)
def test_units_of_pet(tmp_path: Path, factor: float, rule: str) -> None:
    """SUV, kBq/ml, Bq/ml and MBq/ml-like values."""
    patients = [write_patient(tmp_path, f"P{n}", n) for n in range(3)]
    for patient in patients:
        image = sitk.ReadImage(str(patient.images["PET"]))
        sitk.WriteImage(image * factor, str(patient.images["PET"]))
    found = {row.rule for row in check(*patients) if row.rule.startswith("pet")}
    assert found == ({rule} if rule else set())


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        *((name, "HU") for name in ("CT", "ct", "Ct", "CT_venous", "low-dose CT", "planningCT", "CBCT")),
        *((name, "SUV") for name in ("PET", "pet", "PT", "FDG-PET", "pet_suv", "SUV", "FdgPet")),
        *((name, "") for name in ("MR", "T1", "T1ct1", "photo", "octet", "PET_CT", "actual", "picture", "repeat")),
    ],
)
def test_units_follow_from_names(name: str, unit: str) -> None:
    assert unit_of(name) == unit


def test_ct_and_pet_are_known_under_other_names(tmp_path: Path) -> None:
    patient = write_patient(tmp_path, "P1", 1)
    renamed = replace(patient, images={"ct_venous": patient.images["CT"], "pt": patient.images["PET"]})
    assert not [row for row in check(renamed, modalities=("ct_venous", "pt")) if row.severity == "error"]
    swapped = replace(patient, images={"ct_venous": patient.images["PET"], "pt": patient.images["CT"]})
    assert {row.rule for row in check(swapped, modalities=("ct_venous", "pt"))} >= {"ct-not-hu", "pet-not-suv"}
    from tests.datasets.scans import toy_dataset

    named = volume_preparation(toy_dataset(tmp_path), ("ct_venous", "pt"))
    plain = volume_preparation(toy_dataset(tmp_path), ("CT", "PET"))
    assert (named.prepare(renamed).image == plain.prepare(patient).image).all()


def save(pixels: np.ndarray, path: Path, mode: str | None = None, **options: object) -> Path:
    Image.fromarray(pixels, mode).save(path, **options)
    return path


def picture_rules(path: Path, kind: str = "picture", values: tuple[int, ...] = ()) -> list[str]:
    return [row.rule for row in inspect_picture(FileJob("P", "photo", path, kind, values)).problems]


RAMP = np.linspace(0, 1, 40 * 56).reshape(40, 56)
DEPTHS = {
    "12 bits in 16": ((RAMP * 4095).astype(np.uint16), ["narrow-range"]),
    "16-bit offset": ((32768 + RAMP * 2000).astype(np.uint16), ["narrow-range"]),
    "16 bits": ((RAMP * 65535).astype(np.uint16), []),
    "8 bits": ((RAMP * 255).astype(np.uint8), []),
    "float": (RAMP.astype(np.float32), ["pixel-type"]),
    "float, large": ((RAMP * 60_000).astype(np.float32), ["pixel-type"]),
    "32-bit integers": ((RAMP * 1e6).astype(np.int32), ["pixel-type"]),
    "signed": ((RAMP * 4000 - 1000).astype(np.int32), ["pixel-type"]),
}


@pytest.mark.parametrize("depth", DEPTHS)
def test_depths_of_tiff_files(tmp_path: Path, depth: str) -> None:
    pixels, rules = DEPTHS[depth]
    path = save(pixels, tmp_path / "a.tif")
    assert picture_rules(path) == rules
    preparation = PicturePreparation(modalities=("photo",), channels=(1,), size_voxels=(40, 56))
    patient = Patient(id="P", images={"photo": path})
    if "pixel-type" in rules:
        with pytest.raises(ValueError, match="export 8 or 16 bits"):
            preparation.prepare(patient)
    else:
        preparation.prepare(patient)


def test_pages_of_a_tiff_are_not_lost_in_silence(tmp_path: Path) -> None:
    pages = [Image.fromarray(picture(n)) for n in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    report = inspect_picture(FileJob("P", "photo", tmp_path / "a.tif", "picture"))
    (row,) = report.problems
    assert (row.rule, "3 pages" in row.found) == ("unreadable-file", True)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_a_shape_in_the_alpha_channel(tmp_path: Path, mode: str) -> None:
    shape = disc(0)
    grey = np.full_like(shape, 255)
    planes = [grey, grey, grey, shape] if mode == "RGBA" else [grey, shape]
    path = save(np.stack(planes, axis=2), tmp_path / "a.png")
    (row,) = inspect_picture(FileJob("P", "lesion", path, "mask", (0, 255))).problems
    assert (row.rule, "transparent" in row.found) == ("not-a-mask", True)
    planes = [shape, shape, shape, grey] if mode == "RGBA" else [shape, grey]
    assert picture_rules(save(np.stack(planes, axis=2), tmp_path / "b.png"), "mask", (0, 255)) == []


def test_an_antialiased_mask_is_refused(tmp_path: Path) -> None:
    smooth = np.asarray(Image.fromarray(disc(0, (400, 560))).resize((56, 40), Image.Resampling.BILINEAR))
    assert picture_rules(write_picture(tmp_path / "a.png", smooth), "mask", (0, 255))[0] in (
        "unknown-label",
        "not-a-mask",
    )


@pytest.mark.parametrize("orientation", [2, 3, 4, 6, 8])
def test_a_mask_drawn_on_the_stored_pixels_of_a_turned_picture(tmp_path: Path, orientation: int) -> None:
    from branchpoint.datasets.checks.picture_cohort import check_pictures

    exif = Image.Exif()
    exif[0x0112] = orientation
    size = (48, 48)
    save(picture(0, size), tmp_path / "a.jpg", exif=exif)
    cohort = one_picture(tmp_path, tmp_path / "a.jpg", write_picture(tmp_path / "m.png", disc(0, size)))
    (row,) = check_pictures(cohort, READER, workers=1)
    assert (row.rule, row.severity) == ("turned-image", "error")
    save(picture(0, size), tmp_path / "a.jpg")
    assert check_pictures(cohort, READER, workers=1) == []
