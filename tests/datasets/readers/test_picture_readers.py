"""Readers of picture datasets: real files, phantoms in the official layouts, codings and published parts."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from branchpoint.config import DatasetConfig
from branchpoint.datasets.cohort import IGNORED, Cohort, MaskLabel
from branchpoint.datasets.preparation.image_files import read_classes, read_values
from branchpoint.datasets.prepared import prepare
from branchpoint.datasets.readers import cadis, endovis2017, retouch
from branchpoint.datasets.readers.registry import read_cohort
from branchpoint.phantoms import make_phantom
from tests.datasets.picture_builder import build_busi, build_origa, build_ph2, check, picture, write


def real(name: str) -> Path:
    folder = os.environ.get("BRANCHPOINT_DATA")
    if not folder or not (Path(folder) / name).is_dir():
        pytest.skip(f"needs the real {name} files: set BRANCHPOINT_DATA to the folder that holds them")
    return Path(folder) / name


def cohort_of(name: str, root: Path, release: str = "") -> Cohort:
    return read_cohort(DatasetConfig(name=name, root=str(root), release=release))


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("phantoms")
    make_phantom("isic2017", top / "isic2017", patients=12, progress=False)
    make_phantom("retouch", top / "retouch", patients=6, slices=4, progress=False)
    make_phantom("cadis", top / "cadis", patients=40, size_scale=0.15, progress=False)
    make_phantom("endovis2017", top / "endovis2017", patients=36, size_scale=0.08, progress=False)
    return top


def test_real_ph2_is_sound() -> None:
    root = real("ph2")
    assert check("ph2", root, folds=5) == []
    cohort = cohort_of("ph2", root)
    counts = {name: Counter(patient.labels[name] for patient in cohort.patients) for name in ("diagnosis", "melanoma")}
    assert counts == {"diagnosis": {0: 18, 1: 18, 2: 12}, "melanoma": {0: 36, 1: 12}}
    assert Counter(patient.labels["asymmetry"] for patient in cohort.patients) == {0: 26, 1: 6, 2: 16}
    colours = np.array([patient.labels["colours"] for patient in cohort.patients])
    assert colours.sum(axis=0).tolist() == [4, 3, 38, 37, 9, 11]


def test_real_busi_has_its_one_fault() -> None:
    (row,) = check("busi", real("busi"), folds=5)
    assert (row.severity, row.rule, row.patient, row.task) == ("error", "size-mismatch", "benign (4)", "lesion")
    assert "555 x 465" in row.found
    assert "416 x 416" in row.expected


def test_real_origa_is_sound(tmp_path: Path) -> None:
    root = real("origa")
    assert check("origa", root, folds=5) == []
    cohort = cohort_of("origa", root)
    assert len(cohort.patients) == 20
    label = cohort.patients[0].labels["disc"]
    assert isinstance(label, MaskLabel)
    assert set(np.unique(read_classes(label)).tolist()) == {0, 1}


def test_real_cadis_label_maps_are_sound() -> None:
    (row,) = check("cadis", real("cadis_labels"), folds=5)
    assert (row.severity, row.rule) == ("warning", "no-images")


def test_real_cadis_label_maps_in_the_official_layout(tmp_path: Path) -> None:
    for path in sorted((real("cadis_labels") / "relabelled").iterdir()):
        video = tmp_path / f"Video{int(path.name.split('_')[0][5:]):02d}"
        (video / "Labels").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, video / "Labels" / path.name)
        write(video / "Images" / path.name, np.tile(picture(len(path.name)), (14, 18, 1))[:540, :960])
        pixels = np.asarray(Image.open(video / "Images" / path.name)).copy()
        pixels[:8, :8] = np.frombuffer(path.name.encode().ljust(64)[:64], np.uint8).reshape(8, 8, 1)
        write(video / "Images" / path.name, pixels)
    assert check("cadis", tmp_path, folds=5) == []


@pytest.mark.parametrize("name", ["isic2017", "retouch", "cadis", "endovis2017"])
def test_phantoms_are_sound_from_the_root_and_from_above(phantoms: Path, name: str) -> None:
    assert check(name, phantoms / name) == []
    if name != "cadis":
        assert len(cohort_of(name, phantoms).patients) == len(cohort_of(name, phantoms / name).patients)


def test_built_releases_are_sound(tmp_path: Path) -> None:
    assert check("ph2", build_ph2(tmp_path / "ph2")) == []
    assert check("ph2", tmp_path / "ph2" / "PH2 Dataset images") == []
    assert check("busi", build_busi(tmp_path / "busi")) == []
    assert check("origa", build_origa(tmp_path / "origa")) == []


def test_ph2_text_table(tmp_path: Path) -> None:
    root = build_ph2(tmp_path)
    (root / "ph2_labels.csv").unlink()
    columns = (
        "Name",
        "Histological Diagnosis",
        "Clinical Diagnosis",
        "Asymmetry",
        "Pigment Network",
        "Dots/Globules",
        "Streaks",
        "Regression Areas",
        "Blue-Whitish Veil",
        "Colors",
    )
    lines = ["|| " + "  ||  ".join(columns) + " ||"]
    lines += [f"|| IMD{n:03d} ||   ||  {n % 3} || {n % 3} || AT || A || P || A || A || 2  4 ||" for n in range(12)]
    (root / "PH2_dataset.txt").write_text("\n".join([*lines, "", "Legend: 1 - White; 2 - Red"]))
    patient = cohort_of("ph2", root).patients[5]
    expected = {
        "diagnosis": 2,
        "melanoma": 1,
        "asymmetry": 2,
        "pigment_network": 1,
        "dots_globules": 0,
        "streaks": 1,
        "regression_areas": 0,
        "blue_whitish_veil": 0,
        "colours": (0, 1, 0, 1, 0, 0),
    }
    assert {name: label for name, label in patient.labels.items() if name != "lesion"} == expected


def test_busi_lesion_is_the_union_of_its_masks(tmp_path: Path) -> None:
    cohort = cohort_of("busi", build_busi(tmp_path))
    (patient,) = (patient for patient in cohort.patients if patient.id == "benign (2)")
    label = patient.labels["lesion"]
    assert isinstance(label, MaskLabel)
    parts = [read_values(layer.path) > 0 for layer in label.files]
    assert len(parts) == 2
    assert ((read_classes(label) == 1) == (parts[0] | parts[1])).all()
    assert {patient.labels["diagnosis"] for patient in cohort.patients} == {0, 1, 2}


def test_isic_parts_and_diagnoses(phantoms: Path) -> None:
    cohort = cohort_of("isic2017", phantoms / "isic2017")
    assert Counter(cohort.splits["official"].values()) == {"train": 8, "validation": 1, "test": 3}
    assert cohort.splits["paper"] == cohort.splits["official"]
    for patient in cohort.patients:
        two = (patient.labels["melanoma"], patient.labels["seborrheic_keratosis"])
        assert patient.labels["diagnosis"] == {(0, 0): 0, (1, 0): 1, (0, 1): 2}[two]
    assert {patient.labels["diagnosis"] for patient in cohort.patients} == {0, 1, 2}
    ages = [patient.covariates["age"] for patient in cohort.patients]
    assert any(isinstance(age, float) for age in ages)


def test_isic_masks_may_be_absent_from_a_whole_part(phantoms: Path, tmp_path: Path) -> None:
    shutil.copytree(phantoms / "isic2017", tmp_path / "isic")
    shutil.rmtree(tmp_path / "isic" / "ISIC-2017_Test_v2_Part1_GroundTruth")
    (row,) = check("isic2017", tmp_path / "isic")
    assert (row.severity, row.rule, row.task) == ("warning", "missing-label", "lesion")


def test_retouch_slices_know_volume_vendor_and_fluids(phantoms: Path, tmp_path: Path) -> None:
    config = DatasetConfig(name="retouch", root=str(phantoms / "retouch"), size_voxels=(32, 32))
    cohort = read_cohort(config)
    assert {patient.center for patient in cohort.patients} == {"Cirrus", "Spectralis", "Topcon"}
    assert {patient.group for patient in cohort.patients if patient.center == "Spectralis"} == {
        "Spectralis-TRAIN025",
        "Spectralis-TRAIN026",
    }
    assert Counter(patient.group for patient in cohort.patients) == dict.fromkeys(
        {patient.group for patient in cohort.patients}, 4
    )
    prepared = prepare(cohort, config, tmp_path / "cache", workers=1, progress=False)
    for patient, present in zip(cohort.patients, prepared.labels["fluids_present"], strict=True):
        label = patient.labels["fluids"]
        assert isinstance(label, MaskLabel)
        classes = read_classes(label, patient.slice)
        assert present.tolist() == [float((classes == fluid).any()) for fluid in (1, 2, 3)]
    assert prepared.labels["fluids_present"].sum(axis=0).min() >= 1
    assert {p.center for p in cohort_of("retouch", phantoms / "retouch", "Topcon").patients} == {"Topcon"}
    with pytest.raises(ValueError, match="'Zeiss': retouch has the vendors"):
        cohort_of("retouch", phantoms / "retouch", "Zeiss")


def test_retouch_paper_split_has_the_published_proportions(phantoms: Path) -> None:
    make_phantom("retouch", phantoms / "large", patients=9, slices=24, size_scale=0.1, progress=False)
    cohort = cohort_of("retouch", phantoms / "large")
    parts = cohort.splits["paper"]
    assert parts.keys() == {patient.id for patient in cohort.patients}
    for vendor, share in retouch.PAPER_TEST_SHARE.items():
        of_vendor = [part for name, part in parts.items() if name.startswith(vendor)]
        assert of_vendor.count("test") == round(share * 72)
    test_volumes = {name[:-4] for name, part in parts.items() if part == "test"}
    train_volumes = {name[:-4] for name, part in parts.items() if part == "train"}
    assert test_volumes & train_volumes, "the paper's split parts the slices of volumes"


def test_cadis_tasks_merge_the_classes_as_published() -> None:
    one, two, three = (dict(cadis.TASKS[name]) for name in ("task_1", "task_2", "task_3"))
    assert set(one) == set(two) == set(three) == {*range(36), 255}
    assert [one[value] for value in (0, 6, 7, 21, 35, 255)] == [0, 6, 7, 7, 7, IGNORED]
    merged = {
        7: {7, 8, 10, 20, 27, 32},
        8: {9, 22},
        9: {11, 33},
        10: {12, 28},
        11: {13, 21},
        12: {14, 24},
        13: {15, 18},
        14: {16, 23},
        15: {17},
        16: {19},
    }
    assert {new: {old for old in two if two[old] == new} for new in range(7, 17)} == merged
    assert {value for value in two if two[value] == IGNORED} == {25, 26, 29, 30, 31, 34, 35, 255}
    assert [three[value] for value in (0, 24, 25, 35, 255)] == [0, 24, IGNORED, IGNORED, IGNORED]
    assert [len(cadis.CLASS_NAMES[name]) for name in cadis.TASKS] == [8, 17, 25]


def test_cadis_videos_and_parts(phantoms: Path) -> None:
    cohort = cohort_of("cadis", phantoms / "cadis")
    for patient in cohort.patients:
        video = int(str(patient.group).removeprefix("Video"))
        part = "validation" if video in (5, 7, 16) else "test" if video in (2, 12, 22) else "train"
        assert cohort.splits["official"][patient.id] == part
    present = set()
    for patient in cohort.patients:
        label = patient.labels["task_3"]
        assert isinstance(label, MaskLabel)
        present |= set(np.unique(read_values(label.path)).tolist())
        assert label.outside == IGNORED
    assert present == {*range(36), 255}


def test_cadis_corrections_replace_label_maps(phantoms: Path, tmp_path: Path) -> None:
    shutil.copytree(phantoms / "cadis", tmp_path / "cadis")
    name = next((tmp_path / "cadis" / "Video01" / "Labels").iterdir()).name
    corrected = write(tmp_path / "cadis" / "relabelled" / name, np.zeros((81, 144), np.uint8))
    (patient,) = (p for p in cohort_of("cadis", tmp_path / "cadis").patients if p.id == Path(name).stem)
    label = patient.labels["task_1"]
    assert isinstance(label, MaskLabel)
    assert label.path == corrected


def test_endovis_codings_mean_the_same(phantoms: Path) -> None:
    """Parts and types of training masks follow from the tools' folders, those of test masks from their own."""
    cohort = cohort_of("endovis2017", phantoms / "endovis2017")
    seen: dict[str, set[int]] = {"train": set(), "test": set()}
    for patient in cohort.patients:
        classes = {}
        for name in ("binary", "parts", "type"):
            label = patient.labels[name]
            assert isinstance(label, MaskLabel)
            classes[name] = read_classes(label)
        other = classes["type"] == 7
        assert ((classes["binary"] > 0) == ((classes["type"] > 0) & ~other)).all()
        assert ((classes["parts"] > 0) == (classes["binary"] > 0)).all()
        seen[cohort.splits["official"][patient.id]] |= set(np.unique(classes["type"]).tolist())
        assert set(np.unique(classes["parts"]).tolist()) <= {0, 1, 2, 3}
    assert seen == {"train": set(range(8)), "test": set(range(8))}


def test_endovis_parts_and_border(phantoms: Path, tmp_path: Path) -> None:
    cohort = cohort_of("endovis2017", phantoms / "endovis2017")
    paper, official = cohort.splits["paper"], cohort.splits["official"]
    assert {name[:8] for name, part in paper.items() if part == "test"} == {"video_09", "video_10"}
    assert {name for name, part in official.items() if part == "test"} - set(paper) == {
        patient.id for patient in cohort.patients if int(patient.id[-3:]) >= 225
    }
    make_phantom("endovis2017", tmp_path, patients=1, size_scale=1.0, progress=False)
    config = DatasetConfig(name="endovis2017", root=str(tmp_path), size_voxels=(64, 80))
    full = read_cohort(config)
    frame = np.asarray(Image.open(full.patients[0].images["left_frame"]))
    assert frame.shape == (1080, 1920, 3)
    prepared = prepare(full, config, tmp_path / "cache", workers=1, progress=False)
    placement = prepared.placement(0)
    assert placement is not None
    assert placement.crop == (28, 320, 1024, 1280)
    assert not np.delete(np.delete(frame, slice(320, 1600), 1), slice(28, 1052), 0).any()


def test_endovis_types_by_folder() -> None:
    names = (
        "Maryland_Bipolar_Forceps_labels",
        "Left_Prograsp_Forceps",
        "Large_Needle_Driver_Right_labels",
        "Right_Vessel_Sealer",
        "Grasping_Retractor_labels",
        "Monopolar_Curved_Scissors_labels",
        "Other_labels",
    )
    assert [endovis2017._type_of(f"tool:{name}") for name in names] == [1, 2, 3, 4, 5, 6, 7]
    assert endovis2017._type_of("tool:Suction_labels") == 0


def test_root_without_the_dataset_is_one_row(tmp_path: Path) -> None:
    write(tmp_path / "holiday.jpg", picture(0))
    for name in ("isic2017", "retouch", "cadis", "endovis2017", "ph2", "busi", "origa"):
        (row,) = check(name, tmp_path)
        assert (row.severity, row.rule) == ("error", "no-patients")
        assert "holiday.jpg" in row.found


def test_endovis_test_frames_may_lack_all_masks(phantoms: Path, tmp_path: Path) -> None:
    shutil.copytree(phantoms / "endovis2017", tmp_path / "endovis")
    for folder in list((tmp_path / "endovis" / "instrument_2017_test").rglob("*Segmentation")):
        shutil.rmtree(folder)
    (row,) = check("endovis2017", tmp_path / "endovis")
    assert (row.severity, row.rule, row.patient) == ("warning", "missing-label", "")
    cohort = cohort_of("endovis2017", tmp_path / "endovis")
    assert {bool(patient.labels) for patient in cohort.patients} == {True, False}
