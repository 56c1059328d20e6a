"""Files of a phantom: the same bytes, the official layouts, and the readers' judgement."""

import csv
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from branchpoint.config import DatasetConfig
from branchpoint.datasets.readers.registry import read_cohort
from branchpoint.phantoms import PHANTOMS, attainable_c_index, make_hecktor_phantom, make_phantom, read_truth

RELEASES = ("2020", "2021", "2022", "2025")
SMALL = {"patients": 6, "seed": 2, "spacing_scale": 3.0, "progress": False}
HEADERS = {
    "hecktor2021_bbox_training.csv": "PatientID,x1,x2,y1,y2,z1,z2",
    "hecktor2021_patient_endpoint_training.csv": "PatientID,Progression,Progression free survival",
    "hecktor2021_patient_info_training.csv": 'PatientID,CenterID,"Gender (1=M,0=F)",Age,Tobacco,Alcohol,'
    'Performance status,TNM edition,T-stage,N-stage,M-stage,TNM group,"HPV status (0=-, 1=+)",Chemotherapy,'
    "Estimated weight (kg) for SUV",
    "hecktor2022_endpoint_training.csv": "PatientID,Relapse,RFS",
    "hecktor2022_clinical_info_training.csv": "PatientID,Task 1,Task 2,CenterID,Gender,Age,Weight,Tobacco,Alcohol,"
    'Performance status,"HPV status (0=-, 1=+)",Surgery,Chemotherapy',
}


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory) -> dict[str, Path]:
    top = tmp_path_factory.mktemp("phantoms")
    return {release: make_hecktor_phantom(top / release, release=release, **SMALL) for release in RELEASES}


def test_same_seed_same_bytes_whatever_the_workers(phantoms, tmp_path: Path) -> None:
    again = make_hecktor_phantom(tmp_path / "again", release="2021", workers=1, **SMALL)
    assert digests(again) == digests(phantoms["2021"])
    other = make_hecktor_phantom(tmp_path / "other", release="2021", **(SMALL | {"seed": 3}))
    assert not set(digests(other).values()) & set(digests(again).values())


def test_images_do_not_depend_on_the_number_of_patients(phantoms, tmp_path: Path) -> None:
    few = digests(make_hecktor_phantom(tmp_path / "few", release="2021", **(SMALL | {"patients": 3})))
    many = digests(phantoms["2021"])
    images = [name for name in few if name.endswith(".nii.gz")]
    assert len(images) == 9
    assert all(few[name] == many[name] for name in images)


@pytest.mark.parametrize("release", RELEASES)
def test_layout_is_the_official_one(phantoms, release: str) -> None:
    held = set(digests(phantoms[release]))
    name = "CHUS001" if release in ("2020", "2021") else "CHUS-001"
    expected = {
        "2020": {f"hecktor_nii/{name}/{name}_{part}.nii.gz" for part in ("ct", "pt", "ct_gtvt")},
        "2021": {f"hecktor_nii/{name}_{part}.nii.gz" for part in ("ct", "pt", "gtvt")},
        "2022": {f"hecktor2022_training/imagesTr/{name}__{part}.nii.gz" for part in ("CT", "PT")}
        | {f"hecktor2022_training/labelsTr/{name}.nii.gz"},
        "2025": {f"Task {task}/{name}/{name}__{part}.nii.gz" for task in (1, 2) for part in ("CT", "PT")}
        | {f"Task 1/{name}/{name}.nii.gz", *(f"Task {i}/HECKTOR_2025_Training_Task_{i}.csv" for i in (1, 2, 3))},
    }[release]
    assert expected <= held
    assert {"phantom_truth.csv", "phantom_settings.json"} <= held
    assert not any(Path(path).name.startswith(".") for path in held)
    volumes = sum(path.endswith(".nii.gz") and "Task 2" not in path and "Task 3" not in path for path in held)
    assert volumes == 3 * SMALL["patients"]


@pytest.mark.parametrize("release", ["2021", "2022"])
def test_tables_have_the_official_columns_and_literals(phantoms, release: str) -> None:
    tables = {path.name: path.read_bytes().decode() for path in phantoms[release].rglob("hecktor*.csv")}
    assert set(tables) == {name for name in HEADERS if release in name}
    for name, text in tables.items():
        lines = text.split("\r\n")
        assert lines[0] == HEADERS[name]
        assert lines[-1] == ""
        assert lines[1:-1] == sorted(lines[1:-1])
    clinical = next(text for name, text in tables.items() if "info" in name)
    assert ("NaN" in clinical) == (release == "2022")
    assert (",," in clinical) == (release == "2021")


@pytest.mark.parametrize("name", [name for name in HEADERS if "bbox" not in name])
def test_columns_are_those_of_the_real_tables(name: str) -> None:
    data = os.environ.get("BRANCHPOINT_DATA")
    if not data:
        pytest.skip("the real HECKTOR tables are not here: set BRANCHPOINT_DATA")
    real = Path(data) / "hecktor_tables" / name
    if not real.is_file():
        pytest.skip(f"{real} is missing")
    assert real.read_bytes().decode().split("\r\n")[0] == HEADERS[name]


@pytest.mark.parametrize("release", RELEASES)
def test_volumes_have_identity_direction_and_the_release_s_codes(phantoms, release: str) -> None:
    import SimpleITK

    cohort = read_cohort(DatasetConfig(root=str(phantoms[release]), release=release))
    values: set[int] = set()
    for patient in cohort.patients:
        mask = SimpleITK.ReadImage(str(patient.labels["tumour"].path))
        ct, pet = (SimpleITK.ReadImage(str(patient.images[modality])) for modality in ("CT", "PET"))
        assert all(image.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1) for image in (mask, ct, pet))
        shares_ct = mask.GetSize() == ct.GetSize() and mask.GetOrigin() == ct.GetOrigin()
        assert shares_ct == (release != "2022")
        assert pet.GetSpacing() != ct.GetSpacing()
        found = set(np.unique(SimpleITK.GetArrayViewFromImage(mask)).tolist())
        assert {0, 1} <= found
        values |= found
    assert values == ({0, 1} if release in ("2020", "2021") else {0, 1, 2})


@pytest.mark.parametrize("release", RELEASES)
def test_reader_takes_the_phantom_for_the_real_thing(phantoms, release: str) -> None:
    from branchpoint.datasets.check import check_cohort

    config = DatasetConfig(root=str(phantoms[release]), release=release)
    cohort = read_cohort(config)
    assert len(cohort.patients) == SMALL["patients"]
    assert all(set(patient.images) == {"CT", "PET"} and "tumour" in patient.labels for patient in cohort.patients)
    assert all((patient.box is not None) == (release in ("2020", "2021")) for patient in cohort.patients)
    too_small = {"too-few-events", "few-events", "few-cases"}
    found = [p for p in check_cohort(cohort, config, workers=1, progress=False) if p.rule not in too_small]
    assert not [p for p in found if p.severity == "error"]
    assert {p.rule for p in found} <= ({"images-without-row"} if release == "2025" else set())


@pytest.mark.parametrize("release", ["2021", "2022", "2025"])
def test_outcomes_are_those_of_the_truth(phantoms, release: str) -> None:
    cohort = read_cohort(DatasetConfig(root=str(phantoms[release]), release=release))
    truth = {row["PatientID"]: row for row in read_truth(phantoms[release])}
    assert set(truth) == {patient.id for patient in cohort.patients}
    labelled = [patient for patient in cohort.patients if "survival" in patient.labels]
    assert labelled
    for patient in labelled:
        label, row = patient.labels["survival"], truth[patient.id]
        assert (label.time_days, int(label.event)) == (float(row["time_days"]), int(row["event"]))
    assert attainable_c_index(phantoms[release]) >= 0.5


def test_finished_phantom_is_left_alone_and_an_unfinished_one_made_good(phantoms, tmp_path: Path) -> None:
    def times(folder: Path) -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}

    root, before = phantoms["2021"], times(phantoms["2021"])
    assert make_hecktor_phantom(root, release="2021", **SMALL) == root
    assert times(root) == before
    broken = make_hecktor_phantom(tmp_path / "broken", release="2021", **(SMALL | {"patients": 2}))
    whole = digests(broken)
    (broken / "phantom_truth.csv").unlink()
    next(broken.rglob("*_ct.nii.gz")).write_bytes(b"half")
    with pytest.raises(ValueError, match="not a complete phantom"):
        read_truth(broken)
    assert digests(make_hecktor_phantom(broken, release="2021", **(SMALL | {"patients": 2}))) == whole


def test_folders_with_other_content_are_refused(phantoms, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds other files"):
        make_hecktor_phantom(tmp_path, **SMALL)
    with pytest.raises(ValueError, match="seed 2"):
        make_hecktor_phantom(phantoms["2021"], release="2021", **(SMALL | {"seed": 9}))


@pytest.mark.parametrize("wrong", [{"release": "2023"}, {"spacing_scale": 9.0}, {"patients": 0}])
def test_wrong_settings_are_named(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make_hecktor_phantom(tmp_path / "new", **(SMALL | wrong))
    assert not (tmp_path / "new").exists()


def test_registry_makes_the_phantom_of_a_dataset(phantoms) -> None:
    assert {"hecktor", "isic2017", "retouch", "cadis", "endovis2017"} <= set(PHANTOMS)
    assert make_phantom("hecktor", phantoms["2021"], release="2021", **SMALL) == phantoms["2021"]
    with pytest.raises(ValueError, match="sts"):
        make_phantom("sts", phantoms["2021"])


def test_truth_and_settings_can_be_read_by_anyone(phantoms) -> None:
    settings = json.loads((phantoms["2021"] / "phantom_settings.json").read_text())
    assert settings["patients"] == SMALL["patients"]
    with (phantoms["2021"] / "phantom_truth.csv").open(newline="") as stream:
        columns = csv.DictReader(stream).fieldnames
    assert columns is not None
    assert {"PatientID", "volume_ml", "suv_max", "heterogeneity", "log_hazard", "time_days", "event"} <= set(columns)
