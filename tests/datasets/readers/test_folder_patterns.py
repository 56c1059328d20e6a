"""Which file belongs to which sample: identifiers with separators, endings, Windows' paths, masks beside images."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from branchpoint.config import DatasetConfig
from branchpoint.datasets.readers import folder_gaps
from branchpoint.datasets.readers.folder_files import match_files, possible_samples, relative_pattern
from branchpoint.datasets.readers.folder_gaps import hint_key
from branchpoint.datasets.readers.registry import read_cohort
from tests.datasets.folder_builder import COUNT, build_folder, declare, ids, rows, write_table
from tests.datasets.picture_builder import check


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return build_folder(tmp_path / "data")


def test_the_folder_is_sound(root: Path) -> None:
    assert check("folder", root) == []


def renamed(root: Path, name: Callable[[int], str], image: str, mask: str) -> None:
    """Give samples, their images and their masks other names; ``{}`` stands for the identifier."""
    lines = rows()
    for number, old in enumerate(ids()):
        os.rename(root / f"images/{old}.png", root / "images" / image.format(name(number)))
        os.rename(root / f"masks/{old}.png", root / "masks" / mask.format(name(number)))
        lines[number][0] = name(number)
    write_table(root, lines)


NAMES = {
    "a separator in the identifier of images": ("P_{}", "{}_photo.png", "{}.png", "{id}_*.png", "{id}.png"),
    "a separator in the identifier of masks": ("P_{}", "{}.png", "{}_a.png", "{id}.png", "{id}_*.png"),
    "M1 and M10": ("M{}", "{}.png", "{}a.png", "{id}.png", "{id}*.png"),
    "M1 and M10, nothing behind": ("M{}", "{}.png", "{}.png", "{id}*.png", "{id}*.png"),
    "dots": ("1.2.{}", "{}.png", "{}.png", "{id}.*", "{id}.*"),
    "brackets that are markup": ("[red]{}[#zz]", "{}.png", "{}.png", "{id}.png", "{id}.png"),
    "upper case endings": ("M{}", "{}.PNG", "{}.Png", "{id}.png", "{id}.png"),
    "copies in the name": ("M{} (1)", "{}.png", "{}.png", "{id}.png", "{id}.png"),
}


@pytest.mark.parametrize("case", NAMES)
def test_identifiers_are_found(root: Path, case: str) -> None:
    name, image, mask, image_pattern, mask_pattern = NAMES[case]
    renamed(root, lambda number: name.format(number), image, mask)
    declare(root, ("images/{id}.png", f"images/{image_pattern}"), ("masks/{id}.png", f"masks/{mask_pattern}"))
    assert check("folder", root) == []
    patients = read_cohort(DatasetConfig(name="folder", root=str(root))).patients
    assert {patient.id for patient in patients} == {name.format(number) for number in range(COUNT)}
    assert all("lesion" in patient.labels for patient in patients)


@pytest.mark.parametrize("with_table", [True, False])
def test_masks_beside_images_are_no_samples(root: Path, with_table: bool) -> None:
    for name in ids():
        shutil.move(root / f"masks/{name}.png", root / f"images/{name}_mask.png")
    declare(root, ("masks/{id}.png", "images/{id}_mask.png"))
    if not with_table:
        (root / "dataset.toml").write_text(
            '[images]\nphoto = "images/{id}.png"\n[targets.lesion]\nkind = "segmentation"\n'
            'files = "images/{id}_mask.png"\n'
        )
    assert check("folder", root) == []
    assert [p.id for p in read_cohort(DatasetConfig(name="folder", root=str(root))).patients] == ids()


WRITTEN = {
    "backslashes": "images\\{id}.png",
    "a dot": "./images/{id}.png",
    "two slashes": "images//{id}.png",
    "up and down": "masks/../images/{id}.png",
    "any folders": "**/images/{id}.png",
}


@pytest.mark.parametrize("how", WRITTEN)
def test_ways_to_write_a_path(root: Path, how: str) -> None:
    declare(root, ('"images/{id}.png"', f"'{WRITTEN[how]}'"))
    assert check("folder", root) == []


def test_absolute_paths(root: Path) -> None:
    declare(root, ("images/{id}.png", f"{root}/images/{{id}}.png"), ('"t.csv"', f'"{root}/t.csv"'))
    assert check("folder", root) == []
    for text, word in {
        "/elsewhere/{id}.png": "does not lie below",
        "C:\\scans\\{id}.png": "does not lie below",
        "../images/{id}.png": "leads out of",
        ".cache/{id}.png": "hidden",
        "images/a.png": "write {id}",
    }.items():
        with pytest.raises(ValueError, match=word):
            relative_pattern(text, root)


def test_folders_of_any_depth(root: Path) -> None:
    deep = "/".join("abcdefghijkl")
    shutil.move(root / "images", root / deep)
    declare(root, ("images/{id}.png", f"{deep}/{{id}}.png"))
    assert check("folder", root) == []


@pytest.mark.parametrize("ending", ["webp", "gif", "dcm", "npy", "jp2", "mgz", "img", "hdr", "svg"])
def test_files_of_other_formats_are_not_called_missing(root: Path, ending: str) -> None:
    for name in ids():
        (root / f"images/{name}.png").rename(root / f"images/{name}.{ending}")
    declare(root, ("images/{id}.png", f"images/{{id}}.{ending}"))
    rows = check("folder", root)
    assert {row.rule for row in rows} == {"unread-format"}
    assert len(rows) == COUNT
    assert f"M00.{ending}" in rows[0].found
    assert "NIfTI" in rows[0].expected


def test_another_format_beside_readable_files_is_passed_over(root: Path) -> None:
    (root / "images/M03.json").write_text("{}")
    (root / "images/notes.txt").write_text("x")
    declare(root, ("images/{id}.png", "images/{id}.*"))
    assert check("folder", root) == []


def test_hints_name_the_likely_spelling(root: Path) -> None:
    assert hint_key("M-3") == hint_key("m03.png") == hint_key("M 003") == hint_key("M_3")
    assert hint_key("M3") != hint_key("M30")
    lines = rows()
    lines[3][0] = "M-3"
    write_table(root, lines)
    found = {row.rule: row.found for row in check("folder", root)}
    assert found["images-without-row"] == "no row in t.csv; it has 'M-3'"
    assert found["row-without-images"] == "a table row, but no image; there are images of 'M03'"


def test_each_row_is_looked_at_a_fixed_number_of_times(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a loop over all rows for each sample, ten thousand took minutes."""
    lines = [[f"row {number}", *rows()[0][1:]] for number in range(2000)]
    write_table(root, lines)
    calls = []
    monkeypatch.setattr(folder_gaps, "hint_key", lambda text: calls.append(text) or hint_key(text))
    cohort = read_cohort(DatasetConfig(name="folder", root=str(root)))
    assert len(cohort.patients) == 2000 + COUNT
    assert len(calls) <= 3 * len(cohort.patients)


def test_possible_samples() -> None:
    assert possible_samples("{id}_*.png", "P_01_a.png") == ["P", "P_01"]
    assert possible_samples("{id}/{id}.png", "M1/M2.png") == []
    assert possible_samples("**/{id}.png", "a/b/M1.png") == possible_samples("**/{id}.png", "M1.png") == ["M1"]
    files = match_files(Path("/r"), {"a": "{id}_*.png"}, [Path("/r/P_01_a.png"), Path("/r/Q_b.png")], ["P_01"])
    assert {sample: len(paths) for sample, paths in files.found["a"].items()} == {"P_01": 1, "Q": 1}
