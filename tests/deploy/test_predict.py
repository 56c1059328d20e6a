"""``branchpoint predict`` on raw files: parity with the study, grids, tables, failures, resumption."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner, Result

from branchpoint.commands import cli
from branchpoint.datasets.prepared import PreparedCohort
from branchpoint.datasets.readers.registry import read_cohort
from branchpoint.datasets.splits import split
from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.prediction.cases import Case
from branchpoint.deploy.prediction.networks import Ensemble
from branchpoint.deploy.prediction.predict import predict_case
from branchpoint.deploy.prediction.settings import Predicted, Settings
from branchpoint.execution.held_out import load_summaries
from tests.deploy.conftest import Finished


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, ["predict", *map(str, arguments)])


def pair(folder: Path, place: int = 0) -> tuple[Path, Path]:
    ct = sorted(folder.glob("*_ct.nii.gz"))[place]
    return ct, Path(str(ct).replace("_ct.", "_pt."))


def given(folder: Path, place: int = 0) -> str:
    ct, pet = pair(folder, place)
    return f"CT={ct},PET={pet}"


@pytest.fixture(scope="session")
def ensemble(finished: Finished) -> Ensemble:
    bundle = Bundle.open(finished.bundle)
    return Ensemble(bundle, bundle.networks)


def test_parity_with_the_study_from_raw_files_alone(finished: Finished) -> None:
    """Every test patient, by the network of its own fold, without labels: the store's figures come out again."""
    bundle = Bundle.open(finished.bundle)
    config = bundle.config("fold0").dataset
    from dataclasses import replace

    raw = {patient.id: patient for patient in read_cohort(replace(config, root=str(finished.data))).patients}
    cohort = PreparedCohort.open(next((finished.home / "cache/cohorts").glob("*.json")))
    compared = 0
    for fold, name in enumerate(bundle.networks):
        kept = load_summaries(next((finished.home / "results/.state/s/runs").glob(f"*-{name}/test.npz")).read_bytes())
        own = Ensemble(bundle, [name])
        for place, index in enumerate(split(cohort, bundle.config(name).split).test):
            patient = raw[cohort.patient_ids[index]]
            age = patient.covariates["age"]
            case = Case(
                id=patient.id,
                images=patient.images,
                covariates={"age": None if age is None else str(age)},
                box=patient.box,
            )
            predicted = predict_case(case, own, Settings(folds=(fold,)))
            found = predicted.result["tasks"]["survival"]["log_hazards"][name]
            assert found == pytest.approx(float(kept["survival"]["log_hazard"][place]), abs=1e-5)
            assert kept["survival"]["index"][place] == index
            mask = predicted.masks["mask.nii.gz"] == 1
            truth = sitk.GetArrayFromImage(sitk.ReadImage(str(patient.labels["tumour"].path))) == 1
            assert mask.sum() == kept["tumour"]["predicted"][place].sum()
            assert (mask & truth).sum() == kept["tumour"]["overlap"][place].sum()
            compared += 1
    assert compared == 12


def test_seen_patients_are_left_to_other_folds_or_refused(finished: Finished, tmp_path: Path) -> None:
    cohort = PreparedCohort.open(next((finished.home / "cache/cohorts").glob("*.json")))
    bundle = Bundle.open(finished.bundle)
    trained = split(cohort, bundle.config("fold0").split).train[0]
    name = cohort.patient_ids[trained]
    files = {kind: finished.data / f"hecktor_nii/{name}_{kind}.nii.gz" for kind in ("ct", "pt")}
    text = f"CT={files['ct']},PET={files['pt']}"
    done = run(finished.bundle, "--input", text, "--id", "again", "--out", tmp_path / "a")
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "a/again/result.json").read_text())
    assert result["networks"] == ["fold1"]
    assert result["left_out"] == {"fold0": "learned from this image"}
    assert result["tasks"]["survival"]["low"] is None, "one network has no range"
    refused = run(finished.bundle, "--input", text, "--id", "again", "--out", tmp_path / "b", "--folds", "0")
    assert refused.exit_code == 3
    failure = json.loads((tmp_path / "b/failed/again.json").read_text())
    assert failure["rule"] == "seen-in-training"


def test_outputs_of_a_new_patient(finished: Finished, strangers: Path, tmp_path: Path) -> None:
    done = run(finished.bundle, "--input", given(strangers), "--id", "A12", "--out", tmp_path, "--probabilities")
    assert done.exit_code == 0, done.output
    assert "A12  tumour" in done.output
    assert "percentile" in done.output
    folder = tmp_path / "A12"
    written = {"mask.nii.gz", "labels.json", "probabilities.npz", "result.json", "page.html"}
    assert {path.name for path in folder.iterdir()} == written
    result = json.loads((folder / "result.json").read_text())
    assert result["networks"] == ["fold0", "fold1"]
    assert any("placed by the rule" in text for text in result["warnings"]), "trained with boxes, predicted without"
    assert any(text.startswith("age is missing") for text in result["warnings"])
    tumour = result["tasks"]["tumour"]["classes"][0]
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "mask.nii.gz")))
    assert tumour["voxels"] == int(mask.sum())
    survival = result["tasks"]["survival"]
    assert survival["low"] <= survival["percentile"] <= survival["high"]
    assert survival["group"] in ("low risk", "high risk")
    rows = list(csv.DictReader((tmp_path / "predictions.csv").open()))
    assert {row["quantity"] for row in rows} >= {"tumour volume", "percentile", "log-hazard", "tumour suv_max"}
    import pyarrow.parquet as pq

    assert pq.read_table(tmp_path / "predictions.parquet").num_rows == len(rows)
    page = (folder / "page.html").read_text()
    assert "Not for clinical use" in page
    assert len(page) < 5 * 2**20
    assert not any(mark in page for mark in ("http://", "https://", 'src="/')), "nothing is fetched"


def test_mask_has_the_header_of_its_input(finished: Finished, strangers: Path, tmp_path: Path) -> None:
    """An oblique, flipped CT with different sform and qform codes: both come back as they were."""
    import nibabel

    ct, pet = pair(strangers)
    source: Any = nibabel.load(ct)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]
    image = nibabel.Nifti1Image(source.get_fdata().astype(np.int16), turn @ source.affine)
    image.set_sform(turn @ source.affine, 2)
    image.set_qform(turn @ source.affine, 1)
    nibabel.save(image, tmp_path / "ct.nii.gz")
    done = run(finished.bundle, "--input", f"CT={tmp_path / 'ct.nii.gz'},PET={pet}", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    mask: Any = nibabel.load(tmp_path / "out/ct/mask.nii.gz")
    assert mask.shape == image.shape
    assert np.array_equal(mask.get_sform(), image.get_sform())
    assert np.allclose(mask.get_qform(), image.get_qform(), atol=1e-6)
    assert (mask.header["sform_code"], mask.header["qform_code"]) == (2, 1)


def reoriented(path: Path, out: Path, axes: str) -> Path:
    image = sitk.DICOMOrient(sitk.ReadImage(str(path)), axes)
    sitk.WriteImage(image, str(out))
    return out


def test_axes_of_the_input_do_not_matter(ensemble: Ensemble, strangers: Path, tmp_path: Path) -> None:
    """The same scan with permuted and flipped axes, in NRRD and MetaImage: the same risk and the same mask in space."""
    ct, pet = pair(strangers)
    plain = predict_case(Case(id="plain", images={"CT": ct, "PET": pet}), ensemble, Settings())
    turned_images = {
        "CT": reoriented(ct, tmp_path / "ct.nrrd", "SAR"),
        "PET": reoriented(pet, tmp_path / "pet.mha", "RPI"),
    }
    turned = predict_case(Case(id="turned", images=turned_images), ensemble, Settings())
    before, after = (one.result["tasks"]["survival"]["log_hazards"] for one in (plain, turned))
    assert after == pytest.approx(before, abs=1e-3)
    there = back_to(mask_image(turned), sitk.ReadImage(str(ct)))
    here = plain.masks["mask.nii.gz"]
    assert (there != here).mean() < 1e-3


def test_oblique_input_agrees(ensemble: Ensemble, strangers: Path, tmp_path: Path) -> None:
    """A scan on a grid turned by 12 degrees about two axes: interpolated twice, the same risk and mask but for that."""
    ct, pet = pair(strangers)
    plain = predict_case(Case(id="plain", images={"CT": ct, "PET": pet}), ensemble, Settings())
    oblique = {}
    for name, path in (("CT", ct), ("PET", pet)):
        oblique[name] = tmp_path / f"{name}.nii.gz"
        sitk.WriteImage(turned_by(sitk.ReadImage(str(path), sitk.sitkFloat32), 12.0), str(oblique[name]))
    turned = predict_case(Case(id="turned", images=oblique), ensemble, Settings())
    before, after = (np.array(list(one.result["tasks"]["survival"]["log_hazards"].values())) for one in (plain, turned))
    assert np.abs(after - before).max() < 0.1 * max(one["sd"] for one in networks_of(ensemble).values())
    (volume, centre), (other_volume, other_centre) = (volume_and_centre(mask_image(one)) for one in (plain, turned))
    assert other_volume == pytest.approx(volume, rel=0.2), "a few voxels of the window's 9 mm"
    assert np.abs(other_centre - centre).max() < 4.5, "half a voxel of the window"


def volume_and_centre(mask: sitk.Image) -> tuple[float, np.ndarray]:
    """In ml and mm."""
    measured = sitk.LabelShapeStatisticsImageFilter()
    measured.Execute(mask)
    return measured.GetPhysicalSize(1) / 1000, np.array(measured.GetCentroid(1))


def networks_of(ensemble: Ensemble) -> dict[str, Any]:
    found: dict[str, Any] = ensemble.bundle.reference["survival"]["networks"]
    return found


def turned_by(image: sitk.Image, degrees: float) -> sitk.Image:
    """The same scan on a turned grid that holds all of it; air beyond its edges."""
    centre = image.TransformContinuousIndexToPhysicalPoint([(edge - 1) / 2 for edge in image.GetSize()])
    turn = sitk.Euler3DTransform(centre, np.radians(degrees), 0.0, np.radians(degrees))
    size = [int(edge * 1.5) for edge in image.GetSize()]
    direction = np.array(turn.GetMatrix()).reshape(3, 3) @ np.array(image.GetDirection()).reshape(3, 3)
    half = [(edge - 1) / 2 * step for edge, step in zip(size, image.GetSpacing(), strict=True)]
    origin = np.array(centre) - direction @ np.array(half)
    lowest = float(sitk.GetArrayViewFromImage(image).min())
    return sitk.Resample(
        image,
        size,
        sitk.Transform(),
        sitk.sitkLinear,
        origin.tolist(),
        image.GetSpacing(),
        direction.ravel().tolist(),
        lowest,
    )


def mask_image(predicted: Predicted) -> sitk.Image:
    from branchpoint.datasets.preparation.volume_files import image_on

    grid = predicted.grids["mask.nii.gz"]
    assert grid is not None
    return image_on(predicted.masks["mask.nii.gz"], grid)


def back_to(image: sitk.Image, like: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.Resample(image, like, sitk.Transform(), sitk.sitkNearestNeighbor))


def test_table_with_a_bad_case_resumed(finished: Finished, strangers: Path, tmp_path: Path) -> None:
    good, (ct, pet) = pair(strangers, 0), pair(strangers, 1)
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(pet.read_bytes()[:-3000])
    table = tmp_path / "cases.csv"
    rows: list[list[Any]] = [
        ["id", "CT", "PET", "age"],
        ["A", *good, 61],
        ["B", ct, cut, 70],
        ["C", ct, pet, ""],
        ["D", ct, "gone.nii", 50],
        ["E", ct, "", 50],
        ["F", ct, pet, "old"],
    ]
    table.write_text("\n".join(",".join(map(str, row)) for row in rows))
    out = tmp_path / "out"
    done = run(finished.bundle, "--table", table, "--out", out)
    assert done.exit_code == 3, done.output
    assert "6 cases: 2 done, 4 failed" in done.output
    rules = {path.stem: json.loads(path.read_text())["rule"] for path in (out / "failed").iterdir()}
    assert rules == {"B": "truncated-file", "D": "missing-file", "E": "missing-image", "F": "bad-covariate"}
    kept = (out / "A/result.json").stat().st_mtime_ns
    shutil.copy(pet, cut)
    again = run(finished.bundle, "--table", table, "--out", out)
    assert "6 cases: 1 done, 2 kept, 3 failed" in again.output
    assert (out / "A/result.json").stat().st_mtime_ns == kept
    assert not (out / "failed/B.json").exists()
    refused = run(finished.bundle, "--table", table, "--out", out, "--folds", "0")
    assert "results made with other settings" in str(refused.exception)


def test_changed_file_is_predicted_again(finished: Finished, strangers: Path, tmp_path: Path) -> None:
    ct, pet = (Path(shutil.copy(path, tmp_path)) for path in pair(strangers))
    command = (finished.bundle, "--input", f"CT={ct},PET={pet}", "--id", "A", "--out", tmp_path / "out", "--no-page")
    assert "1 done" in run(*command).output
    assert "1 kept" in run(*command).output
    image = sitk.ReadImage(str(pet))
    sitk.WriteImage(image * 1.1, str(pet))
    assert "1 done" in run(*command).output


def test_mistakes_before_anything_starts(finished: Finished, strangers: Path, tmp_path: Path) -> None:
    text = given(strangers)
    for arguments, message in [
        ((), "either --input"),
        (("--input", "CT=a.nii.gz"), "has no PET"),
        (("--input", "MR=a.nii.gz"), "not MODALITY=FILE"),
        (("--input", text, "--folds", "7"), "no fold 7"),
        (("--input", text, "--grid", "MR"), "--grid is 'MR'"),
        (("--input", text, "--center", "1,2"), "--center"),
        (("--input", text, "--id", "../up"), "names a folder"),
        (("--input", text, "--box", "1 2 3 0 0 0"), "box"),
        (("--input", text, "--series", "US=1"), "--series"),
    ]:
        done = run(finished.bundle, "--out", tmp_path / "out", *arguments)
        assert message in str(done.exception), arguments
        assert not (tmp_path / "out").exists()
    table = tmp_path / "t.csv"
    table.write_text("id,CT,PET,colour\nA,a,b,c\n")
    assert "unknown column 'colour'" in str(run(finished.bundle, "--out", tmp_path / "o", "--table", table).exception)


def test_not_suv_and_not_hu(finished: Finished, strangers: Path, tmp_path: Path) -> None:
    ct, pet = pair(strangers)
    sitk.WriteImage(sitk.ReadImage(str(pet), sitk.sitkFloat32) * 900, str(tmp_path / "bq.nii.gz"))
    sitk.WriteImage(sitk.ReadImage(str(ct), sitk.sitkFloat32) + 1024, str(tmp_path / "raw.nii.gz"))
    for images, rule in (
        (f"CT={ct},PET={tmp_path / 'bq.nii.gz'}", "pet-not-suv"),
        (f"CT={tmp_path / 'raw.nii.gz'},PET={pet}", "ct-not-hu"),
    ):
        done = run(finished.bundle, "--input", images, "--id", "x", "--out", tmp_path / "out")
        assert done.exit_code == 3
        assert json.loads((tmp_path / "out/failed/x.json").read_text())["rule"] == rule


def test_prediction_does_not_import_ray(finished: Finished, strangers: Path, tmp_path: Path) -> None:
    import subprocess
    import sys

    script = (
        "import sys; sys.modules['ray'] = None; sys.modules['optuna'] = None\n"
        "from branchpoint.commands.cli import app; app(sys.argv[1:])"
    )
    command = ["predict", finished.bundle, "--input", given(strangers), "--out", tmp_path, "--no-page"]
    done = subprocess.run([sys.executable, "-c", script, *map(str, command)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
