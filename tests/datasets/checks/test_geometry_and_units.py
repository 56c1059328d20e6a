"""Geometry that nobody wrote, spacings of every format, axes that were exchanged, and units under other names."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from branchpoint.datasets.checks.files import inspect_files
from branchpoint.datasets.checks.volume_files import inspect_volume
from branchpoint.datasets.file_report import FileJob
from branchpoint.datasets.preparation.modalities import unit_of
from tests.datasets.checks.test_hostile_files import volume
from tests.datasets.checks.test_places_and_pictures import check
from tests.datasets.scans import write_patient


def rows(path: Path, kind: str = "MR") -> list[tuple[str, str]]:
    return [(row.rule, row.found) for row in inspect_volume(FileJob("P", kind, path, kind)).problems]


def image(spacing: float = 2.0, origin: float = 5.0) -> sitk.Image:
    made = sitk.GetImageFromArray(np.random.default_rng(0).normal(1, 1, (6, 7, 8)).astype(np.float32))
    made.SetSpacing((spacing,) * 3)
    made.SetOrigin((origin,) * 3)
    return made


@pytest.mark.parametrize("ending", ["mha", "mhd", "nrrd", "nii.gz"])
@pytest.mark.parametrize(
    ("spacing", "rule"),
    [
        (2.0, None),
        (0.05, "unusual-spacing"),
        (20.0, "unusual-spacing"),
        (0.002, "bad-spacing"),
        (2000.0, "bad-spacing"),
    ],
)
def test_spacings_of_every_format(tmp_path: Path, ending: str, spacing: float, rule: str | None) -> None:
    """Metres and micrometres in the place of millimetres."""
    path = tmp_path / f"a.{ending}"
    sitk.WriteImage(image(spacing), str(path))
    assert [name for name, _ in rows(path)] == ([rule] if rule else [])


@pytest.mark.parametrize("ending", ["mha", "nrrd", "nii.gz"])
def test_a_geometry_that_nobody_wrote(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    sitk.WriteImage(image(1.0, 0.0), str(path))
    assert [name for name, _ in rows(path)] == ["default-geometry"]
    sitk.WriteImage(image(1.0, -3.0), str(path))
    assert rows(path) == []


def test_images_whose_axes_were_exchanged(tmp_path: Path) -> None:
    patient = write_patient(tmp_path, "P1", 1)
    assert check(patient) == []
    pet = sitk.ReadImage(str(patient.images["CT"]))
    values = sitk.GetArrayFromImage(pet)
    turned = sitk.GetImageFromArray(np.abs(values.reshape(values.shape[::-1])) / 100)
    turned.SetSpacing(pet.GetSpacing())
    turned.SetOrigin(pet.GetOrigin())
    sitk.WriteImage(turned, str(tmp_path / "turned.nii.gz"))
    images = {"T1": patient.images["CT"], "T2": tmp_path / "turned.nii.gz"}
    found = check(replace(patient, images=images), modalities=("T1", "T2"))
    assert ("grid-mismatch", "T2") in {(row.rule, row.task) for row in found}


def test_one_patient_in_another_unit_of_pet(tmp_path: Path) -> None:
    patients = [write_patient(tmp_path, f"P{n}", n) for n in range(4)]
    path = patients[2].images["PET"]
    sitk.WriteImage(sitk.ReadImage(str(path)) * 5.0, str(path))
    (row,) = [row for row in check(*patients) if row.rule == "pet-units"]
    assert row.patient == "P2"


@pytest.mark.parametrize(
    ("name", "unit"),
    [("CTres", "HU"), ("ctimage", "HU"), ("Computertomographie", "HU"), ("SUVbw", "SUV"), ("petimage", "SUV")]
    + [(name, "") for name in ("CTPET", "low_dose", "uptake", "0000", "petal", "ctrl", "suvival")],
)
def test_names_without_a_space(name: str, unit: str) -> None:
    assert unit_of(name) == unit


def test_ct_under_a_name_that_does_not_say_so(tmp_path: Path) -> None:
    patient = write_patient(tmp_path, "P1", 1)
    assert [name for name, _ in rows(patient.images["CT"], "low_dose")] == ["unnamed-ct"]
    assert rows(patient.images["PET"], "uptake") == []
    assert rows(volume(tmp_path / "mr.nii")) == []


OTHER = {
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 3\n",
    "DICOM": b"\0" * 128 + b"DICM" + b"\0" * 1000,
    "a web page": b"<html>404</html>" * 50,
}


@pytest.mark.parametrize("kind", OTHER)
def test_what_stands_in_the_place_of_a_volume_is_named(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.nii.gz").write_bytes(OTHER[kind])
    ((_, found),) = rows(tmp_path / "a.nii.gz")
    assert kind in found


def test_headers_of_nifti_that_cannot_be_used(tmp_path: Path) -> None:
    assert [name for name, _ in rows(volume(tmp_path / "a.nii", srow_x=[0, 0, 0, 0]))] == ["bad-spacing"]
    assert "knows no code" in rows(volume(tmp_path / "b.nii", dim=[8, 8, 9, 7, 1, 1, 1, 1]))[0][1]
    cut = volume(tmp_path / "c.nii", bitpix=8)  # a size that would hide that voxels are missing
    cut.write_bytes(cut.read_bytes()[:-100])
    assert [name for name, _ in rows(cut)] == ["truncated-file"]


def meta(path: Path, data_file: str, **fields: str) -> Path:
    header = {"ObjectType": "Image", "NDims": "3", "DimSize": "8 8 8", "ElementType": "MET_SHORT"} | fields
    path.write_text("".join(f"{a} = {b}\n" for a, b in {**header, "ElementDataFile": data_file}.items()))
    return path


def device(folder: Path) -> None:
    (folder / "a.raw").symlink_to("/dev/zero")
    meta(folder / "a.mhd", "a.raw")


def half(folder: Path) -> None:
    (folder / "a.raw").write_bytes(bytes(500))
    meta(folder / "a.mhd", "a.raw")


META: dict[str, tuple[Callable[[Path], object], str]] = {
    "voxels in a named pipe": (lambda p: (os.mkfifo(p / "a.raw"), meta(p / "a.mhd", "a.raw")), "missing-file"),
    "voxels in a device": (device, "missing-file"),
    "no voxels": (lambda p: meta(p / "a.mhd", "a.raw"), "missing-file"),
    "half the voxels": (half, "truncated-file"),
    "half the voxels behind": (lambda p: meta(p / "a.mha", "LOCAL"), "truncated-file"),
    "sizes in words": (lambda p: meta(p / "a.mha", "LOCAL", DimSize="8 8 many"), "unreadable-file"),
    "no kind": (lambda p: meta(p / "a.mha", "LOCAL", ElementType="MET_OTHER"), "unreadable-file"),
    "no MetaImage": (lambda p: (p / "a.mha").write_text("hello"), "unreadable-file"),
}


@pytest.mark.parametrize("fault", META)
def test_faults_of_metaimage(tmp_path: Path, fault: str) -> None:
    make, rule = META[fault]
    make(tmp_path)
    path = next(path for path in tmp_path.iterdir() if path.suffix in (".mha", ".mhd"))
    assert [name for name, _ in rows(path)] == [rule]


def test_a_single_file_is_read_in_a_process_of_its_own(tmp_path: Path) -> None:
    """Where one core or one file is all there is, a crash must not end the check either."""
    job = FileJob("P", "MR", volume(tmp_path / "a.nii"), "MR")
    (report,) = inspect_files([job], die)
    assert [row.rule for row in report.problems] == ["reader-crashed"]


def die(job: FileJob) -> None:
    os._exit(11)


def test_nifti_that_is_compressed_twice_or_not_at_all(tmp_path: Path) -> None:
    path = volume(tmp_path / "a.nii.gz")
    path.write_bytes(gzip.decompress(path.read_bytes()))
    assert rows(path) == []
    path.write_bytes(gzip.compress(gzip.compress(path.read_bytes())))
    assert [name for name, _ in rows(path)] == ["unreadable-file"]
