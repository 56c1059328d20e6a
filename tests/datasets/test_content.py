"""What changed in the data between two starts of a study is named, whichever part it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from branchpoint.config import DatasetConfig
from branchpoint.datasets.content import content_keys
from branchpoint.datasets.prepared import prepare
from branchpoint.datasets.readers.registry import read_cohort
from branchpoint.execution.state import StudyFolder
from tests.datasets.picture_builder import change_cell, change_rows, disc, picture, write

TOML = """
[images]
photo = "{id}.png"
[table]
file = "t.csv"
id = "id"
group = "patient"
center = "clinic"
part = "part"
covariates = ["age"]
[targets.spot]
kind = "segmentation"
files = "masks/{id}.png"
[targets.diagnosis]
kind = "classification"
column = "diagnosis"
classes = ["nevus", "melanoma"]
"""


def build(root: Path) -> None:
    rows = ["id,patient,clinic,part,age,diagnosis"]
    for number in range(6):
        write(root / f"M{number}.png", picture(number))
        write(root / "masks" / f"M{number}.png", disc(number))
        part = ["train", "validation", "test"][number % 3]
        rows.append(f"M{number},P{number},north,{part},{50 + number},{['nevus', 'melanoma'][number % 2]}")
    (root / "t.csv").write_text("\n".join(rows))
    (root / "dataset.toml").write_text(TOML)


def manifest(root: Path, cache: Path) -> Path:
    config = DatasetConfig(name="folder", root=str(root), size_voxels=(16, 16))
    return prepare(read_cohort(config), config, cache, workers=1, progress=False).path


def added(root: Path) -> None:
    write(root / "M9.png", picture(9))
    write(root / "masks" / "M9.png", disc(2))
    change_rows(root / "t.csv", lambda rows: [*rows, ["M9", "P9", "north", "train", "40", "nevus"]])


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a label": (lambda r: change_cell(r / "t.csv", "M2", "diagnosis", "melanoma"), "other labels of M2"),
    "a mask": (lambda r: write(r / "masks/M1.png", np.roll(disc(1), 3, axis=1)), "other images or masks of M1"),
    "an image": (lambda r: write(r / "M3.png", picture(77)), "other images or masks of M3"),
    "a clinical value": (lambda r: change_cell(r / "t.csv", "M4", "age", "99"), "other clinical values of M4"),
    "a group": (lambda r: change_cell(r / "t.csv", "M4", "patient", "P1"), "other centre or group of M4"),
    "a centre": (lambda r: change_cell(r / "t.csv", "M4", "clinic", "south"), "other centre or group of M4"),
    "a part": (lambda r: change_cell(r / "t.csv", "M4", "part", "train"), "other parts of the official split"),
    "a patient more": (added, "added M9"),
    "a patient less": (lambda r: change_rows(r / "t.csv", lambda rows: rows[:-1]), "M5"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_study_does_not_mix_data(tmp_path: Path, change: str) -> None:
    damage, said = CHANGES[change]
    root, cache = tmp_path / "moles", tmp_path / "cache"
    build(root)
    study = StudyFolder(tmp_path / "study")
    study.remember_data(content_keys(manifest(root, cache)))
    study.remember_data(content_keys(manifest(root, tmp_path / "another cache")))  # the same data
    damage(root)
    with pytest.raises(ValueError, match=said) as refused:
        study.remember_data(content_keys(manifest(root, cache)))
    assert "another --study name" in str(refused.value)
    StudyFolder(tmp_path / "second").remember_data(content_keys(manifest(root, cache)))
