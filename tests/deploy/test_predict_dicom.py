"""A DICOM study from end to end: series to SUV, the same result as from NIfTI, and a DICOM segmentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner, Result

from branchpoint.commands import cli
from tests.deploy.conftest import Finished
from tests.deploy.dicom_builder import pydicom, write_series


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, ["predict", *map(str, arguments)])


@pytest.fixture(scope="module")
def study(strangers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The second stranger as a scanner would write it: PET in Bq/ml with a slope of its own for each slice."""
    folder = tmp_path_factory.mktemp("dicom") / "B7"
    ct_file = sorted(strangers.glob("*_ct.nii.gz"))[1]
    ct, pet = (sitk.ReadImage(str(ct_file).replace("_ct.", f"_{kind}."), sitk.sitkFloat32) for kind in ("ct", "pt"))
    write(folder / "CT", "CT", ct, 1, np.ones(ct.GetSize()[2]), -1024.0)
    factor = 1000 * 70 / (3.5e8 * 2 ** (-3600 / 6586.2))
    suv = sitk.GetArrayFromImage(pet)
    slopes = np.maximum(suv.max(axis=(1, 2)), 0.1) / factor / 32000
    slopes = np.array([float(f"{slope:.8g}") for slope in slopes])
    write(folder / "PET", "PT", pet / factor, 2, slopes, 0.0)
    return folder


def write(folder: Path, modality: str, image: sitk.Image, number: int, slopes: np.ndarray, intercept: float) -> None:
    values = sitk.GetArrayFromImage(image)
    stored = np.round((values - intercept) / slopes[:, None, None]).astype(np.int16)
    grid = {"spacing_mm": image.GetSpacing(), "origin_mm": image.GetOrigin()}
    write_series(folder, modality, stored, number=number, slopes=slopes, intercept=intercept, **grid)


def test_same_as_from_nifti_and_segmentation_by_instance(
    finished: Finished, strangers: Path, study: Path, tmp_path: Path
) -> None:
    ct = sorted(strangers.glob("*_ct.nii.gz"))[1]
    pet = str(ct).replace("_ct.", "_pt.")
    plain = run(finished.bundle, "--input", f"CT={ct},PET={pet}", "--id", "B7", "--out", tmp_path / "nifti")
    dicom = run(finished.bundle, "--input", study, "--out", tmp_path / "dicom", "--dicom-seg", "--identify")
    assert plain.exit_code == dicom.exit_code == 0, dicom.output
    before, after = (json.loads((tmp_path / kind / "B7/result.json").read_text()) for kind in ("nifti", "dicom"))
    risks = [result["tasks"]["survival"]["log_hazards"] for result in (before, after)]
    assert risks[1] == pytest.approx(risks[0], abs=1e-2)
    assert after["suv"]["PET"]["weight_kg"] == 70
    assert after["identity"]["patient_name"] == "Doe^Jane"
    check_segmentation(tmp_path / "dicom/B7", study)


def check_segmentation(folder: Path, study: Path) -> None:
    """Each frame refers to a CT slice by SOPInstanceUID, and is that slice of the mask."""
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "mask.nii.gz")))
    heights = {}
    for path in (study / "CT").iterdir():
        header = pydicom.dcmread(path, stop_before_pixels=True)
        heights[header.SOPInstanceUID] = float(header.ImagePositionPatient[2])
    order = {uid: place for place, (_, uid) in enumerate(sorted((z, uid) for uid, z in heights.items()))}
    found = pydicom.dcmread(folder / "mask.dcm")
    frames = np.atleast_3d(found.pixel_array).reshape(-1, *mask.shape[1:])
    rebuilt = np.zeros_like(mask)
    for frame, group in zip(frames, found.PerFrameFunctionalGroupsSequence, strict=True):
        source = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        rebuilt[order[source]] = frame
    assert np.array_equal(rebuilt, mask)
    assert found.SegmentSequence[0].SegmentLabel == "tumour"


def test_what_a_prediction_from_dicom_rests_on(finished: Finished, study: Path, tmp_path: Path) -> None:
    """Maps lie on the grid of the series, slice upon slice."""
    command = ["explain", finished.bundle, "--input", study, "--out", tmp_path, "--task", "survival"]
    done = CliRunner().invoke(cli.app, [str(part) for part in [*command, "--method", "gradcam"]])
    assert done.exit_code == 0, done.output
    written = sitk.ReadImage(str(tmp_path / "B7/gradcam-survival.nii.gz"))
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in (study / "CT").iterdir()]
    lowest = min(headers, key=lambda header: float(header.ImagePositionPatient[2]))
    assert written.GetSize() == (lowest.Columns, lowest.Rows, len(headers))
    assert written.GetOrigin() == pytest.approx([float(value) for value in lowest.ImagePositionPatient], abs=1e-3)
    assert sitk.GetArrayFromImage(written).any()
    assert "What the prediction rests on" in (tmp_path / "B7/page.html").read_text()


def test_no_names_without_being_asked(finished: Finished, study: Path, tmp_path: Path) -> None:
    done = run(finished.bundle, "--input", study, "--out", tmp_path)
    assert done.exit_code == 0, done.output
    for file in (tmp_path / "B7").iterdir():
        assert b"Doe^Jane" not in file.read_bytes(), file


def test_dry_run_lists_series_and_writes_nothing(finished: Finished, study: Path, tmp_path: Path) -> None:
    done = run(finished.bundle, "--input", study, "--out", tmp_path / "out", "--dry-run")
    assert "B7: PET PT of a phantom" in done.output
    assert "SUV factor" in done.output
    assert "2 networks" in done.output
    assert not (tmp_path / "out").exists()


def test_weight_from_the_command_line(finished: Finished, study: Path, tmp_path: Path) -> None:
    done = run(finished.bundle, "--input", study, "--out", tmp_path, "--weight-kg", "80", "--no-page")
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "B7/result.json").read_text())
    assert result["suv"]["PET"]["weight_kg"] == 80
    assert any("80 kg was given by the user" in text for text in result["warnings"])


@pytest.mark.parametrize("harm", ["slice", "truncated", "frame", "units"])
def test_damaged_study_is_a_failed_case(finished: Finished, study: Path, tmp_path: Path, harm: str) -> None:
    import shutil

    copy = Path(shutil.copytree(study, tmp_path / "C1"))
    files: list[Any] = sorted((copy / "CT").iterdir())
    middle = next(path for path in files if path.name.endswith("-5.dcm"))
    if harm == "slice":
        middle.unlink()
    elif harm == "truncated":
        middle.write_bytes(middle.read_bytes()[:-100])
    else:
        keyword, value = ("FrameOfReferenceUID", "1.2.3") if harm == "frame" else ("Units", "GML")
        for path in files if harm == "frame" else (copy / "PET").iterdir():
            header = pydicom.dcmread(path)
            setattr(header, keyword, value)
            header.save_as(path)
    done = run(finished.bundle, "--input", copy, "--out", tmp_path / "out")
    assert done.exit_code == 3
    rule = json.loads((tmp_path / "out/failed/C1.json").read_text())["rule"]
    rules = {"slice": "missing-slice", "truncated": "truncated-file", "frame": "frame-of-reference"}
    assert rule == {**rules, "units": "pet-not-suv"}[harm]
