"""Faults of pictures' releases that the check must name: dermoscopy (PH2), ultrasound (BUSI), optic discs (ORIGA)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.datasets.picture_builder import change_cell, change_mask, change_rows, disc, picture, swap, write


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


DERMOSCOPY = [
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
]

ULTRASOUND = [
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
]

OPTIC_DISCS = [
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
]
