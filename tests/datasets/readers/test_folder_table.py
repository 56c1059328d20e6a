"""A user's own folder: the example of the documentation, its faults, and what declarations may say."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from branchpoint.config import DatasetConfig, SplitConfig
from branchpoint.datasets.cohort import IGNORED, Cohort, MaskLabel
from branchpoint.datasets.preparation.image_files import read_classes
from branchpoint.datasets.prepared import prepare
from branchpoint.datasets.readers.folder_declaration import read_declaration
from branchpoint.datasets.readers.folder_files import pattern
from branchpoint.datasets.readers.registry import read_cohort
from branchpoint.datasets.splits import split
from tests.datasets.picture_builder import change_cell, change_rows, check, disc, picture, rules, write

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "own-data.md"
IDS = tuple(f"M{number:03d}" for number in range(1, 7))


def block(language: str) -> str:
    """The first block of code in this language on the documentation's page."""
    match = re.search(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert match is not None
    return match[1]


@pytest.fixture
def moles(tmp_path: Path) -> Path:
    root = tmp_path / "moles"
    for seed, name in enumerate(IDS):
        write(root / "pictures" / f"{name}.png", picture(seed))
        write(root / "outlines" / f"{name}_a.png", disc(seed))
    write(root / "outlines" / "M001_b.png", np.roll(disc(0), 15, axis=1))
    (root / "labels.csv").write_text(block("csv"))
    (root / "dataset.toml").write_text(block("toml"))
    return root


def cohort_of(root: Path, release: str = "") -> Cohort:
    return read_cohort(DatasetConfig(name="folder", root=str(root), release=release))


def test_the_documented_example_reads_as_documented(moles: Path, tmp_path: Path) -> None:
    problems = check("folder", moles)
    assert rules(problems) == [("missing-label", "M003", "signs"), ("missing-label", "M004", "diameter")]
    cohort = cohort_of(moles)
    assert (cohort.name, cohort.modalities, cohort.channels) == ("moles", ("photo",), {"photo": 3})
    first, fourth = cohort.patients[0], cohort.patients[3]
    assert {name: label for name, label in first.labels.items() if name != "lesion"} == {
        "diagnosis": 0,
        "signs": (0, 0),
        "diameter": 4.5,
    }
    assert (first.group, first.center, first.covariates) == ("P01", "north", {"age": 54.0})
    assert fourth.covariates == {"age": None}
    label = first.labels["lesion"]
    assert isinstance(label, MaskLabel)
    assert ((read_classes(label) > 0) == ((disc(0) > 0) | (np.roll(disc(0), 15, axis=1) > 0))).all()
    config = DatasetConfig(name="folder", root=str(moles), size_voxels=(16, 16))
    prepared = prepare(cohort, config, tmp_path / "cache", workers=1, progress=False)
    parts = split(prepared, SplitConfig(folds=2))
    groups = [{prepared.groups[row] for row in part} for part in (parts.train, parts.validation, parts.test)]
    assert len(set.union(*groups)) == sum(map(len, groups))


FAULTS: dict[str, tuple[Callable[[Path], object], tuple[str, str, str]]] = {
    "text in a number": (
        lambda r: change_cell(r / "labels.csv", "M002", "diameter_mm", "wide"),
        ("bad-value", "M002", "diameter"),
    ),
    "text in a covariate": (
        lambda r: change_cell(r / "labels.csv", "M002", "age", "old"),
        ("bad-value", "M002", "age"),
    ),
    "unknown class": (
        lambda r: change_cell(r / "labels.csv", "M002", "diagnosis", "Melanom"),
        ("bad-class", "M002", "diagnosis"),
    ),
    "unknown flag": (lambda r: change_cell(r / "labels.csv", "M002", "veil", "2"), ("bad-class", "M002", "signs")),
    "row without image": (
        lambda r: change_rows(r / "labels.csv", lambda rows: [*rows, ["M999", *rows[1][1:]]]),
        ("row-without-images", "M999", ""),
    ),
    "image without row": (
        lambda r: change_rows(r / "labels.csv", lambda rows: rows[:-1]),
        ("images-without-row", "M006", ""),
    ),
    "a group in two spellings": (
        lambda r: change_cell(r / "labels.csv", "M002", "patient", "p01 "),
        ("similar-groups", "", ""),
    ),
    "a sample without the group that others have": (
        lambda r: change_cell(r / "labels.csv", "M002", "patient", ""),
        ("missing-group", "M002", ""),
    ),
    "no mask": (lambda r: (r / "outlines/M002_a.png").unlink(), ("missing-label", "M002", "lesion")),
    "mask without image": (
        lambda r: (r / "outlines/M002_a.png").rename(r / "outlines/M777_a.png"),
        ("missing-file", "M777", "photo"),
    ),
    "mask of another size": (
        lambda r: write(r / "outlines/M002_a.png", disc(1, (20, 20))),
        ("size-mismatch", "M002", "lesion"),
    ),
    "second mask of another size": (
        lambda r: write(r / "outlines/M001_b.png", disc(1, (20, 20))),
        ("size-mismatch", "M001", "lesion"),
    ),
    "unknown value": (
        lambda r: write(r / "outlines/M002_a.png", disc(1, value=7)),
        ("unknown-label", "M002", "lesion"),
    ),
    "empty mask": (
        lambda r: write(r / "outlines/M002_a.png", np.zeros((40, 56), np.uint8)),
        ("empty-mask", "M002", "lesion"),
    ),
    "photo for a mask": (lambda r: write(r / "outlines/M002_a.png", picture(9)), ("not-a-mask", "M002", "lesion")),
    "two copies of an image": (
        lambda r: write(r / "pictures/M003.png", picture(1)),
        ("duplicate-images", "M003", "photo"),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_gives_its_row(moles: Path, name: str) -> None:
    damage, row = FAULTS[name]
    damage(moles)
    found = rules(check("folder", moles))
    expected = {("missing-label", "M003", "signs"), ("missing-label", "M004", "diameter"), row}
    if name == "image without row":
        expected.add(("missing-group", "M006", ""))  # it may be of a patient whom the test sees
    if name == "mask without image":
        expected.add(("missing-label", "M002", "lesion"))
    assert set(found) == expected


def test_a_row_and_images_that_differ_in_case_alone_are_named_together(moles: Path) -> None:
    change_rows(moles / "labels.csv", lambda rows: [*rows[:-1], ["m006", *rows[-1][1:]]])
    found = {row.rule: row for row in check("folder", moles)}
    assert found["similar-ids"].severity == "error"
    assert found["similar-ids"].found == "'M006' and 'm006' may be one patient"
    assert found["images-without-row"].found == "no row in labels.csv; it has 'm006'"


def test_a_column_of_groups_that_is_empty(moles: Path) -> None:
    change_rows(moles / "labels.csv", lambda rows: [rows[0], *([row[0], "", *row[2:]] for row in rows[1:])])
    (row,) = [row for row in check("folder", moles) if row.severity == "error"]
    assert (row.rule, row.found) == ("missing-group", "column 'patient' is empty for all samples")


WRONG = {
    "no declaration": (None, "dataset.toml"),
    "no TOML": ("name = moles", "no TOML"),
    "unknown section": ('[pictures]\nphoto = "{id}.png"', "pictures: unknown"),
    "no targets": ('[images]\nphoto = "{id}.png"', "targets: name at least one"),
    "no id in the path": ('[images]\nphoto = "a.png"', "images.photo.files"),
    "unknown field": ('[images]\nphoto = { file = "{id}.png" }', "images.photo: unknown field 'file'"),
    "two channels": ('[images]\nphoto = { files = "{id}.png", channels = 2 }', "images.photo.channels"),
    "no kind": ('[images]\nphoto = "{id}.png"\n[targets.a]\nfiles = "{id}.png"', "targets.a: say its kind"),
    "unknown kind": ('[images]\nphoto = "{id}.png"\n[targets.a]\nkind = "detection"', "targets.a.kind"),
    "no table": (
        '[images]\nphoto = "{id}.png"\n[targets.a]\nkind = "regression"\ncolumn = "a"',
        "targets.a needs a table",
    ),
    "one class": (
        '[images]\nphoto = "{id}.png"\n[targets.a]\nkind = "classification"\ncolumn = "a"\nclasses = ["x"]',
        "targets.a.classes",
    ),
    "zero is background": (
        '[images]\nphoto = "{id}.png"\n[targets.a]\nkind = "segmentation"\nfiles = "{id}_m.png"\nvalues = [0, 1]',
        "targets.a.values: 0 is background",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_declarations_are_rows_that_name_the_place(moles: Path, name: str) -> None:
    text, place = WRONG[name]
    (moles / "dataset.toml").unlink()
    if text is not None:
        (moles / "dataset.toml").write_text(text)
    (row,) = check("folder", moles)
    assert (row.severity, row.rule) == ("error", "bad-declaration")
    assert place in row.found


def test_columns_and_tables_that_are_not_there(moles: Path) -> None:
    text = (moles / "dataset.toml").read_text()
    (moles / "dataset.toml").write_text(text.replace('"diameter_mm"', '"diameter_cm"'))
    assert ("bad-declaration", "", "") in rules(check("folder", moles))
    (moles / "dataset.toml").write_text(text.replace('"labels.csv"', '"table.csv"'))
    assert ("bad-declaration", "", "") in rules(check("folder", moles))


def test_parts_become_the_official_split(moles: Path, tmp_path: Path) -> None:
    parts = ["train", "train", "train", "validation", "Test", "test"]
    cells = ["part", *parts]
    change_rows(moles / "labels.csv", lambda rows: [[*row, part] for row, part in zip(rows, cells, strict=True)])
    text = (moles / "dataset.toml").read_text().replace('id = "picture"', 'id = "picture"\npart = "part"')
    (moles / "dataset.toml").write_text(text)
    cohort = cohort_of(moles)
    assert list(cohort.splits["official"].values()) == [part.lower() for part in parts]
    config = DatasetConfig(name="folder", root=str(moles), size_voxels=(16, 16))
    prepared = prepare(cohort, config, tmp_path / "cache", workers=1, progress=False)
    fixed = split(prepared, SplitConfig(scheme="official"))
    assert [part.tolist() for part in (fixed.train, fixed.validation, fixed.test)] == [[0, 1, 2], [3], [4, 5]]
    change_cell(moles / "labels.csv", "M005", "part", "train")
    change_cell(moles / "labels.csv", "M006", "part", "validation")
    (row,) = [row for row in check("folder", moles) if row.rule == "bad-part"]
    assert row.found == "no sample of column 'part' is in test"
    change_cell(moles / "labels.csv", "M006", "part", "test")
    change_cell(moles / "labels.csv", "M002", "part", "later")
    assert ("bad-part", "M002", "") in rules(check("folder", moles))
    change_cell(moles / "labels.csv", "M002", "part", "test")
    assert ("parted-group", "", "") in rules(check("folder", moles))


def test_masks_without_background_and_several_declarations(moles: Path) -> None:
    for seed, name in enumerate(IDS):
        write(moles / "maps" / name / f"{name}.png", disc(seed, value=3))
    (moles / "maps.toml").write_text(
        '[images]\nphoto = { files = "pictures/{id}.png", channels = 1 }\n[targets.map]\nkind = "segmentation"\n'
        'files = "maps/{id}/{id}.png"\nvalues = [0]\nignored = [3]\nbackground = false\nclasses = ["skin"]\n'
    )
    cohort = cohort_of(moles, "maps.toml")
    assert cohort.name == "moles"
    label = cohort.patients[0].labels["map"]
    assert isinstance(label, MaskLabel)
    assert set(np.unique(read_classes(label)).tolist()) == {0, IGNORED}
    assert label.outside == IGNORED
    config = DatasetConfig(name="folder", root=str(moles), release="maps.toml")
    assert rules(check("folder", moles, release=config.release)) == []


def test_volumes_work_the_same_way(tmp_path: Path) -> None:
    root = tmp_path / "scans"
    for number in range(4):
        voxels = np.random.default_rng(number).normal(40, 10, (12, 12, 12)).astype(np.float32)
        voxels[:, :2] = -1000
        mask = np.zeros((12, 12, 12), np.uint8)
        mask[4:8, 4:8, 4 : 7 + number % 2] = 1
        (root / f"P{number}").mkdir(parents=True)
        for name, array in (("ct", voxels), ("gtv", mask)):
            image = sitk.GetImageFromArray(array)
            image.SetSpacing((5.0, 5.0, 5.0))
            sitk.WriteImage(image, str(root / f"P{number}" / f"{name}.nii.gz"))
    (root / "t.csv").write_text("id;days;died\nP0;900;1\nP1;800;0\nP2;700;1\nP3;600;0\n")
    (root / "dataset.toml").write_text(
        '[images]\nCT = "{id}/ct.nii.gz"\n[table]\nfile = "t.csv"\nid = "id"\n'
        '[targets.tumour]\nkind = "segmentation"\nfiles = "{id}/gtv.nii.gz"\nvalues = [1]\n'
        '[targets.survival]\nkind = "survival"\ntime = "days"\nevent = "died"\n'
    )
    assert rules(check("folder", root)) == [("few-events", "", "survival"), ("few-pairs", "", "survival")]
    config = DatasetConfig(name="folder", root=str(root), size_voxels=(8, 8, 8), spacing_mm=5.0)
    prepared = prepare(read_cohort(config), config, tmp_path / "cache", workers=1, progress=False)
    batch = prepared.batch([0, 1])
    assert tuple(batch.inputs["image"].shape) == (2, 1, 8, 8, 8)
    assert int((batch.targets["tumour"][0] == 1).sum()) == 48
    assert batch.targets["survival"].tolist() == [[900, 1], [800, 0]]


def test_patterns_find_identifiers(moles: Path) -> None:
    assert pattern("a/{id}_*.png").fullmatch("a/M1_x_y.png")["id"] == "M1"  # type: ignore[index]
    assert pattern("{id}/{id}.png").fullmatch("M1/M2.png") is None
    assert pattern("{id}.(1).png").fullmatch("x.(1).png") is not None
    assert read_declaration(moles / "dataset.toml").name == "moles"


def test_columns_that_are_alike(moles: Path) -> None:
    change_rows(moles / "labels.csv", lambda rows: [[*rows[0], "Age"], *([*row, "99"] for row in rows[1:])])
    assert cohort_of(moles).patients[0].covariates == {"age": 54.0}
    text = (moles / "dataset.toml").read_text()
    (moles / "dataset.toml").write_text(text.replace('"age"', '"AGE"'))
    (row,) = [row for row in check("folder", moles) if row.rule == "doubled-column"]
    assert "'age' (column 4) and 'Age' (column 9)" in row.found
