"""Each rule of pictures broken once in a valid release of each dataset: the rows that come, and no others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from branchpoint.config import DatasetConfig
from branchpoint.datasets.check import check_cohort, skip_faulty
from branchpoint.datasets.problems.rulebook import PICTURE_RULES
from branchpoint.datasets.readers.registry import read_cohort
from branchpoint.phantoms import make_phantom
from tests.datasets.picture_builder import (
    build_busi,
    build_origa,
    build_ph2,
    change_cell,
    change_mask,
    change_rows,
    check,
    disc,
    picture,
    rules,
    swap,
    write,
)

BUILD: dict[str, Callable[[Path], Path]] = {
    "ph2": build_ph2,
    "busi": build_busi,
    "origa": build_origa,
    "isic2017": lambda root: make_phantom("isic2017", root, patients=12, progress=False),
    "retouch": lambda root: make_phantom("retouch", root, patients=4, slices=3, progress=False),
    "cadis": lambda root: make_phantom("cadis", root, patients=30, size_scale=0.15, progress=False),
    "endovis2017": lambda root: make_phantom("endovis2017", root, patients=36, size_scale=0.08, progress=False),
}


@dataclass(frozen=True)
class Damage:
    """A fault: what is done to a release, and the rows (rule, patient, task) that it must give."""

    dataset: str
    name: str
    do: Callable[[Path], object]
    rows: tuple[tuple[str, str, str], ...]


def lesion(root: Path, number: int) -> Path:
    return root / "PH2 Dataset images" / f"IMD{number:03d}" / f"IMD{number:03d}_lesion" / f"IMD{number:03d}_lesion.bmp"


def photo(root: Path, number: int) -> Path:
    name = f"IMD{number:03d}"
    return root / "PH2 Dataset images" / name / f"{name}_Dermoscopic_Image" / f"{name}.bmp"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def move(path: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.move(path, folder / path.name)


TRAIN, ISIC = "ISIC-2017_Training", "ISIC_0000002"
TRAIN_MASK = f"{TRAIN}_Part1_GroundTruth/{ISIC}_segmentation.png"
VIDEO_1 = "instrument_1_4_training/instrument_dataset_1"
CIRRUS = "RETOUCH-TrainingSet-Cirrus/TRAIN001"
C1, C5 = "Video1_frame000100", "Video5_frame000500"

DAMAGES = [
    # Sizes, values, contents
    Damage(
        "ph2",
        "smaller mask",
        lambda r: write(lesion(r, 3), disc(3, (30, 40))),
        (("size-mismatch", "IMD003", "lesion"),),
    ),
    Damage(
        "ph2",
        "unknown value",
        lambda r: change_mask(lesion(r, 3), lambda m: np.where(m > 0, 200, 0)),
        (("unknown-label", "IMD003", "lesion"),),
    ),
    Damage(
        "ph2", "empty mask", lambda r: change_mask(lesion(r, 3), np.zeros_like), (("empty-mask", "IMD003", "lesion"),)
    ),
    Damage(
        "ph2",
        "inverted mask",
        lambda r: change_mask(lesion(r, 3), lambda m: 255 - m),
        (("inverted-mask", "IMD003", "lesion"),),
    ),
    Damage(
        "ph2",
        "mask and image exchanged",
        lambda r: swap(photo(r, 3), lesion(r, 3)),
        (("image-is-mask", "IMD003", "dermoscopy"), ("not-a-mask", "IMD003", "lesion")),
    ),
    Damage("ph2", "a photo as mask", lambda r: write(lesion(r, 3), picture(77)), (("not-a-mask", "IMD003", "lesion"),)),
    Damage(
        "ph2",
        "a grey photo as mask",
        lambda r: write(lesion(r, 3), picture(77, channels=1)),
        (("not-a-mask", "IMD003", "lesion"),),
    ),
    Damage(
        "ph2",
        "masks exchanged with copies",
        lambda r: shutil.copy(lesion(r, 4), lesion(r, 3)),
        (("duplicate-masks", "IMD004", "lesion"),),
    ),
    Damage(
        "ph2",
        "a mask for an image",
        lambda r: write(photo(r, 3), disc(3), "RGB"),
        (("image-is-mask", "IMD003", "dermoscopy"),),
    ),
    Damage(
        "ph2",
        "one colour",
        lambda r: write(photo(r, 3), np.full((40, 56, 3), 9, np.uint8)),
        (("constant-image", "IMD003", "dermoscopy"),),
    ),
    Damage(
        "ph2",
        "two copies of an image",
        lambda r: shutil.copy(photo(r, 4), photo(r, 3)),
        (("duplicate-images", "IMD004", "dermoscopy"),),
    ),
    # Files
    Damage("ph2", "no mask", lambda r: lesion(r, 3).unlink(), (("missing-file", "IMD003", "lesion"),)),
    Damage("ph2", "no image", lambda r: photo(r, 3).unlink(), (("missing-file", "IMD003", "dermoscopy"),)),
    Damage("ph2", "half an image", lambda r: cut(photo(r, 3)), (("truncated-file", "IMD003", "dermoscopy"),)),
    Damage(
        "ph2", "an empty file", lambda r: photo(r, 3).write_bytes(b""), (("truncated-file", "IMD003", "dermoscopy"),)
    ),
    Damage(
        "ph2",
        "text for a picture",
        lambda r: photo(r, 3).write_text("moved to the archive"),
        (("unreadable-file", "IMD003", "dermoscopy"),),
    ),
    Damage(
        "ph2",
        "another's folder",
        lambda r: move(lesion(r, 3), lesion(r, 4).parent),
        (("wrong-folder", "IMD003", "lesion"),),
    ),
    Damage(
        "ph2",
        "two files of one image",
        lambda r: shutil.copy(photo(r, 3), photo(r, 3).with_suffix(".png")),
        (("duplicate-patient", "IMD003", "dermoscopy"),),
    ),
    # Tables
    Damage(
        "ph2",
        "text in a number",
        lambda r: change_cell(r / "ph2_labels.csv", "IMD003", "Asymmetry (0/1/2)", "two"),
        (("bad-class", "IMD003", "asymmetry"),),
    ),
    Damage(
        "ph2",
        "unknown letter",
        lambda r: change_cell(r / "ph2_labels.csv", "IMD003", "Streaks (A/P)", "X"),
        (("bad-class", "IMD003", "streaks"),),
    ),
    Damage(
        "ph2",
        "a colour that is text",
        lambda r: change_cell(r / "ph2_labels.csv", "IMD003", "Red", "yes"),
        (("bad-class", "IMD003", "colours"),),
    ),
    Damage(
        "ph2",
        "name against code",
        lambda r: change_cell(r / "ph2_labels.csv", "IMD003", "diagnosis", "melanoma"),
        (("bad-class", "IMD003", "diagnosis"),),
    ),
    Damage(
        "ph2",
        "empty cell",
        lambda r: change_cell(r / "ph2_labels.csv", "IMD003", "Streaks (A/P)", ""),
        (("missing-label", "IMD003", "streaks"),),
    ),
    Damage(
        "ph2",
        "row without files",
        lambda r: shutil.rmtree(r / "PH2 Dataset images" / "IMD003"),
        (("row-without-images", "IMD003", ""),),
    ),
    Damage(
        "ph2",
        "files without row",
        lambda r: change_rows(r / "ph2_labels.csv", lambda rows: rows[:4] + rows[5:]),
        (("images-without-row", "IMD003", ""),),
    ),
    Damage("ph2", "no table", lambda r: (r / "ph2_labels.csv").unlink(), (("missing-table", "", ""),)),
    Damage(
        "ph2",
        "no column",
        lambda r: change_rows(
            r / "ph2_labels.csv", lambda rows: [[c for n, c in enumerate(row) if n != 14] for row in rows]
        ),
        (("missing-column", "", ""),),
    ),
    # Ultrasound
    Damage(
        "busi",
        "second mask of another size",
        lambda r: write(r / "benign" / "benign (2)_mask_1.png", disc(1, (30, 30)), "RGBA"),
        (("size-mismatch", "benign (2)", "lesion"),),
    ),
    Damage(
        "busi",
        "lesion in a normal picture",
        lambda r: write(r / "normal" / "normal (3)_mask.png", disc(3)),
        (("unexpected-lesion", "normal (3)", "lesion"),),
    ),
    Damage(
        "busi",
        "no lesion in a benign picture",
        lambda r: change_mask(r / "benign" / "benign (1)_mask.png", np.zeros_like),
        (("empty-mask", "benign (1)", "lesion"),),
    ),
    Damage(
        "busi",
        "wrong class folder",
        lambda r: [move(path, r / "malignant") for path in list((r / "benign").glob("benign (3)*"))],
        (("wrong-folder", "benign (3)", "diagnosis"),),
    ),
    Damage(
        "busi",
        "mask and image exchanged",
        lambda r: swap(r / "malignant" / "malignant (2).png", r / "malignant" / "malignant (2)_mask.png"),
        (("image-is-mask", "malignant (2)", "ultrasound"), ("not-a-mask", "malignant (2)", "lesion")),
    ),
    Damage(
        "busi",
        "unknown value",
        lambda r: change_mask(r / "benign" / "benign (1)_mask.png", lambda m: np.where(m > 0, 128, 0)),
        (("unknown-label", "benign (1)", "lesion"),),
    ),
    Damage(
        "busi",
        "masks exchanged",
        lambda r: swap(r / "benign" / "benign (1)_mask.png", r / "normal" / "normal (3)_mask.png"),
        (("empty-mask", "benign (1)", "lesion"), ("unexpected-lesion", "normal (3)", "lesion")),
    ),
    Damage(
        "busi",
        "no mask",
        lambda r: (r / "malignant" / "malignant (2)_mask.png").unlink(),
        (("missing-file", "malignant (2)", "_mask"),),
    ),
    # Optic discs
    Damage(
        "origa",
        "masks exchanged",
        lambda r: swap(r / "masks" / "001.png", r / "masks" / "005.png"),
        (("ratio-mismatch", "001", "disc_cup"), ("ratio-mismatch", "005", "disc_cup")),
    ),
    Damage(
        "origa",
        "text in a number",
        lambda r: change_cell(r / "origa_info.csv", "3", "CDR", "large"),
        (("bad-value", "003", "cup_to_disc_ratio"),),
    ),
    Damage(
        "origa",
        "text for a class",
        lambda r: change_cell(r / "origa_info.csv", "3", "Label", "glaucoma"),
        (("bad-class", "003", "glaucoma"),),
    ),
    Damage(
        "origa",
        "unknown value",
        lambda r: change_mask(r / "masks" / "003.png", lambda m: m * 100),
        (("unknown-label", "003", "disc_cup"),),
    ),
    Damage("origa", "no mask", lambda r: (r / "masks" / "003.png").unlink(), (("missing-file", "003", "masks"),)),
    # ISIC
    Damage(
        "isic2017",
        "both diagnoses",
        lambda r: [
            change_cell(r / f"{TRAIN}_Part3_GroundTruth.csv", ISIC, name, "1.0")
            for name in ("melanoma", "seborrheic_keratosis")
        ],
        (("bad-class", ISIC, "diagnosis"),),
    ),
    Damage(
        "isic2017",
        "text in a number",
        lambda r: change_cell(r / f"{TRAIN}_Part3_GroundTruth.csv", ISIC, "melanoma", "maybe"),
        (("bad-class", ISIC, "melanoma"),),
    ),
    Damage(
        "isic2017",
        "impossible age",
        lambda r: change_cell(r / f"{TRAIN}_Data" / f"{TRAIN}_Data_metadata.csv", ISIC, "age_approximate", "old"),
        (("bad-value", ISIC, "age"),),
    ),
    Damage("isic2017", "no mask", lambda r: (r / TRAIN_MASK).unlink(), (("missing-file", ISIC, "lesion"),)),
    Damage(
        "isic2017",
        "unknown value",
        lambda r: change_mask(r / TRAIN_MASK, lambda m: np.where(m > 0, 1, 0)),
        (("unknown-label", ISIC, "lesion"),),
    ),
    Damage(
        "isic2017",
        "superpixels for a mask",
        lambda r: shutil.copy(r / f"{TRAIN}_Data/{ISIC}_superpixels.png", r / TRAIN_MASK),
        (("not-a-mask", ISIC, "lesion"),),
    ),
    Damage(
        "isic2017",
        "masks exchanged",
        lambda r: swap(*((r / f"{TRAIN}_Part1_GroundTruth" / f"ISIC_{n:07d}_segmentation.png") for n in (1, 2))),
        (("size-mismatch", "ISIC_0000001", "lesion"), ("size-mismatch", ISIC, "lesion")),
    ),
    Damage(
        "isic2017",
        "row twice",
        lambda r: change_rows(r / f"{TRAIN}_Part3_GroundTruth.csv", lambda rows: [*rows, rows[3]]),
        (("duplicate-row", ISIC, ""),),
    ),
    # OCT
    Damage(
        "retouch",
        "half a volume",
        lambda r: cut(r / CIRRUS / "oct.raw"),
        (("truncated-file", "Cirrus-TRAIN001", "OCT"),),
    ),
    Damage(
        "retouch",
        "no voxels",
        lambda r: (r / CIRRUS / "reference.raw").unlink(),
        (("missing-file", "Cirrus-TRAIN001", "fluids"),),
    ),
    Damage(
        "retouch",
        "unknown value",
        lambda r: (r / CIRRUS / "reference.raw").write_bytes((r / CIRRUS / "reference.raw").read_bytes()[:-1] + b"\7"),
        (("unknown-label", "Cirrus-TRAIN001", "fluids"),),
    ),
    Damage(
        "retouch",
        "references exchanged",
        lambda r: [
            shutil.copy(r / "RETOUCH-TrainingSet-Topcon/TRAIN049" / f"reference.{end}", r / CIRRUS / f"reference.{end}")
            for end in ("mhd", "raw")
        ],
        (("size-mismatch", "Cirrus-TRAIN001", "fluids"),),
    ),
    Damage(
        "retouch",
        "text in a number",
        lambda r: (r / CIRRUS / "oct.mhd").write_text(
            (r / CIRRUS / "oct.mhd").read_text().replace("DimSize = ", "DimSize = wide ")
        ),
        (("unreadable-file", "Cirrus-TRAIN001", "OCT"),),
    ),
    Damage(
        "retouch",
        "no reference",
        lambda r: (r / CIRRUS / "reference.mhd").unlink(),
        (("missing-file", "Cirrus-TRAIN001", "fluids"),),
    ),
    Damage(
        "retouch",
        "scan for the reference",
        lambda r: [
            shutil.copy(r / CIRRUS / "oct.mhd", r / CIRRUS / "reference.mhd"),
            (r / CIRRUS / "reference.mhd").write_text((r / CIRRUS / "oct.mhd").read_text()),
        ],
        (("not-a-mask", "Cirrus-TRAIN001", "fluids"),),
    ),
    # Cataract
    Damage(
        "cadis",
        "unknown value",
        lambda r: change_mask(r / f"Video01/Labels/{C1}.png", lambda m: m + 50 * (m == 5)),
        (("unknown-label", C1, "task_1"),),
    ),
    Damage(
        "cadis",
        "label and frame exchanged",
        lambda r: swap(r / f"Video01/Labels/{C1}.png", r / f"Video01/Images/{C1}.png"),
        (("image-is-mask", C1, "frame"), ("not-a-mask", C1, "task_1")),
    ),
    Damage("cadis", "no label", lambda r: (r / f"Video05/Labels/{C5}.png").unlink(), (("missing-file", C5, "labels"),)),
    Damage(
        "cadis",
        "another video's folder",
        lambda r: move(r / f"Video05/Images/{C5}.png", r / "Video01/Images"),
        (("wrong-folder", C5, "frame"),),
    ),
    Damage(
        "cadis",
        "label of another size",
        lambda r: write(r / f"Video05/Labels/{C5}.png", np.full((50, 60), 5, np.uint8)),
        (("size-mismatch", C5, "task_1"),),
    ),
    Damage(
        "cadis",
        "frame in two videos",
        lambda r: shutil.copy(r / f"Video05/Images/{C5}.png", r / f"Video01/Images/{C1}.png"),
        (("duplicate-images", C5, "frame"),),
    ),
    # Robots
    Damage(
        "endovis2017",
        "a tool's mask is missing",
        lambda r: (r / VIDEO_1 / "ground_truth/Other_labels/frame000.png").unlink(),
        (("missing-file", "video_01_frame000", "tool:Other_labels"),),
    ),
    Damage(
        "endovis2017",
        "test coding in training",
        lambda r: change_mask(
            r / VIDEO_1 / "ground_truth/Maryland_Bipolar_Forceps_labels/frame001.png",
            lambda m: np.where(np.arange(m.size).reshape(m.shape) % 2, 255, 100),
        ),
        (("unknown-label", "video_01_frame001", "binary"),),
    ),
    Damage(
        "endovis2017",
        "mask and frame exchanged",
        lambda r: swap(
            r / "instrument_2017_test/instrument_dataset_10/left_frames/frame000.png",
            r / "instrument_2017_test/instrument_dataset_10/PartsSegmentation/frame000.png",
        ),
        (("image-is-mask", "video_10_frame000", "left_frame"), ("not-a-mask", "video_10_frame000", "parts")),
    ),
    Damage(
        "endovis2017",
        "no frame",
        lambda r: (r / VIDEO_1 / "left_frames/frame001.png").unlink(),
        (("missing-file", "video_01_frame001", "left_frame"),),
    ),
    Damage(
        "endovis2017",
        "unknown tool",
        lambda r: shutil.copytree(
            r / VIDEO_1 / "ground_truth/Other_labels", r / VIDEO_1 / "ground_truth/Suction_labels"
        ),
        (("wrong-folder", "", "type"),),
    ),
    Damage(
        "endovis2017",
        "types for parts",
        lambda r: shutil.copy(
            r / "instrument_2017_test/instrument_dataset_10/TypeSegmentation/frame000.png",
            r / "instrument_2017_test/instrument_dataset_10/PartsSegmentation/frame000.png",
        ),
        (("unknown-label", "video_10_frame000", "parts"),),
    ),
]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("sound")
    for name, build in BUILD.items():
        build(top / name)
    return top


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: f"{damage.dataset}: {damage.name}")
def test_each_fault_gives_its_rows(sound: Path, tmp_path: Path, damage: Damage) -> None:
    root = tmp_path / damage.dataset
    shutil.copytree(sound / damage.dataset, root)
    damage.do(root)
    problems = check(damage.dataset, root)
    assert sorted(rules(problems)) == sorted(damage.rows)
    assert all(row.found and row.expected and row.fix for row in problems)


def test_every_rule_of_pictures_is_damaged() -> None:
    elsewhere = {
        "turned-image",
        "narrow-range",
        "pixel-type",
        "no-images",
        "too-few-groups",
        "bad-declaration",
        "bad-part",
        "parted-group",
        "similar-ids",
        "similar-groups",
        "missing-group",
        "no-comparable-pair",
        "one-event-time",
    }
    assert set(PICTURE_RULES) - elsewhere <= {rule for damage in DAMAGES for rule, _, _ in damage.rows}


def test_jpeg_masks_get_their_own_advice(tmp_path: Path) -> None:
    root = build_origa(tmp_path)
    Image.open(root / "masks" / "002.png").point(lambda v: v * 100).save(root / "masks" / "002.jpg", quality=40)
    (root / "masks" / "002.png").unlink()
    (row,) = check("origa", root)
    assert row.rule == "unknown-label"
    assert "JPEG" in row.fix


def test_deep_pictures_with_sign_are_refused(sound: Path, tmp_path: Path) -> None:
    root = tmp_path / "retouch"
    shutil.copytree(sound / "retouch", root)
    header = root / CIRRUS / "oct.mhd"
    header.write_text(header.read_text().replace("MET_UCHAR", "MET_CHAR"))
    assert rules(check("retouch", root)) == [("pixel-type", "Cirrus-TRAIN001", "OCT")]


def test_more_folds_than_volumes(sound: Path) -> None:
    assert rules(check("retouch", sound / "retouch", folds=5)) == [("too-few-groups", "", "")]


def test_a_faulty_volume_takes_its_slices_along(sound: Path, tmp_path: Path) -> None:
    root = tmp_path / "retouch"
    shutil.copytree(sound / "retouch", root)
    cut(root / CIRRUS / "oct.raw")
    config = DatasetConfig(name="retouch", root=str(root), release="")
    cohort = read_cohort(config)
    smaller, left_out = skip_faulty(cohort, check_cohort(cohort, config, workers=1, folds=2), folds=2)
    assert len(cohort.patients) - len(smaller.patients) == 3
    assert {"Cirrus-TRAIN001-000", "Cirrus-TRAIN001-001", "Cirrus-TRAIN001-002"} <= set(left_out)
    assert all(patient.group != "Cirrus-TRAIN001" for patient in smaller.patients)


def test_processes_find_what_one_process_finds(sound: Path) -> None:
    config = DatasetConfig(name="ph2", root=str(sound / "ph2"))
    cohort = read_cohort(config)
    assert check_cohort(cohort, config, workers=2, folds=2) == []
