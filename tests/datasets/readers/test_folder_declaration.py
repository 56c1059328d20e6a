"""What a declaration may hold, in which encodings, and how mistakes are said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from branchpoint.config import ClassificationConfig, Config, DatasetConfig, NetworkConfig, SegmentationConfig
from branchpoint.datasets.readers.folder_declaration import MAX_BYTES, read_declaration
from branchpoint.networks import build
from tests.datasets.folder_builder import DECLARATION, build_folder, declare, rows, write_table
from tests.datasets.picture_builder import check


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return build_folder(tmp_path / "data")


ENCODINGS = {
    "byte-order mark": DECLARATION.encode("utf-8-sig"),
    "UTF-16": DECLARATION.encode("utf-16"),
    "Windows' line ends": DECLARATION.replace("\n", "\r\n").encode(),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_encodings(root: Path, encoding: str) -> None:
    (root / "dataset.toml").write_bytes(ENCODINGS[encoding])
    assert check("folder", root) == []


BAD = {
    "UTF-16 without mark": (DECLARATION.encode("utf-16-le"), "save the file as UTF-8"),
    "Latin-1": (DECLARATION.replace("pictures", "b\u00fccher").encode("latin-1"), "no text in UTF-8"),
    "a backslash in quotes": (DECLARATION.replace("images/", "images\\").encode(), "write paths with /"),
    "too deep": (b"a=" + b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
    "too large": (b"#" * (MAX_BYTES + 1), "bytes; a declaration has at most"),
    "a date for a name": (DECLARATION.replace('"pictures"', "2024-01-01").encode(), "name is"),
    "a path for a name": (DECLARATION.replace('"pictures"', '"../../x"').encode(), "name is '../../x'"),
    "an inverted range": (DECLARATION.replace("[0, 50]", "[50, 0]").encode(), "targets.size.range"),
    "an empty range": (DECLARATION.replace("[0, 50]", "[5, 5]").encode(), "targets.size.range"),
    "time and event in one column": (DECLARATION.replace('"days"', '"died"').encode(), "targets.survival"),
    "an image called as a target": (DECLARATION.replace("photo =", "lesion =").encode(), "has the same name"),
    "a target without name": (DECLARATION.replace("targets.size", 'targets." "').encode(), "give images and targets"),
    "an unknown rule": ((DECLARATION + "[accept]\nx = 'y'\n").encode(), "accept.x: no rule"),
}


@pytest.mark.parametrize("mistake", BAD)
def test_mistakes_are_one_row(root: Path, mistake: str) -> None:
    content, words = BAD[mistake]
    (root / "dataset.toml").write_bytes(content)
    (row,) = check("folder", root)
    assert (row.rule, row.severity) == ("bad-declaration", "error")
    assert words in row.found


@pytest.mark.parametrize("kind", ["pipe", "device", "circle", "folder"])
def test_a_declaration_that_is_no_file_is_never_opened(root: Path, kind: str) -> None:
    path = root / "dataset.toml"
    path.unlink()
    {
        "pipe": lambda: os.mkfifo(path),
        "device": lambda: path.symlink_to("/dev/zero"),
        "circle": lambda: path.symlink_to(path.name),
        "folder": path.mkdir,
    }[kind]()
    assert "bad-declaration" in {row.rule for row in check("folder", root)}


@pytest.mark.parametrize("name", ["training", "forward", "a.b", "_parameters", "[red]x", "gr\u00f6\u00dfe"])
def test_any_target_can_be_learned_under_its_name(root: Path, name: str) -> None:
    declare(root, ("targets.diagnosis", f'targets."{name}"'))
    assert check("folder", root) == []
    assert name in read_declaration(root / "dataset.toml").targets
    config = Config(
        dataset=DatasetConfig(name="folder", root=str(root), size_voxels=(32, 32)),
        tasks=(
            ClassificationConfig(name=name, target=name, classes=2),
            SegmentationConfig(name="lesion", target="lesion"),
        ),
        network=NetworkConfig(in_channels=3, depth=3, width=4),
    )
    build(config)


def found(root: Path) -> dict[str, str]:
    return {row.rule: row.found for row in check("folder", root)}


def test_columns_are_those_that_are_declared(root: Path) -> None:
    """Brackets and signs are part of a name: what else is alike is another column."""
    for header, declared in (("age (years)", "age (months)"), ("Ki67-", "Ki67+"), ("age_months", "age (months)")):
        head = ("id", "patient", "clinic", header, "diagnosis", "size", "days", "died")
        write_table(root, rows(), head)
        declare(root, ('covariates = ["age"]', f'covariates = ["{declared}"]'))
        assert f"no column {declared}" in found(root)["bad-declaration"]
        assert f"may be its {header!r}" in found(root)["bad-declaration"]
    for header, declared in (("AGE ", "age"), ("Age_at_scan", "age at scan"), ("gro\u0308\u00dfe", "gr\u00f6\u00dfe")):
        write_table(root, rows(), ("id", "patient", "clinic", header, "diagnosis", "size", "days", "died"))
        declare(root, ('covariates = ["age"]', f'covariates = ["{declared}"]'))
        assert found(root) == {}


def test_targets_that_nothing_can_be_learned_from(root: Path) -> None:
    lines = rows()
    for line in lines:
        line[5] = 7
    write_table(root, lines)
    assert found(root) == {"constant-target": "7.0 for all"}
    for line in lines:
        line[5] = ""
    write_table(root, lines)
    assert found(root)["no-labels"] == "none of 12 samples has a label"
    write_table(root, rows())
    declare(root, ('"melanoma"', '"melanoma", "keratosis"'))
    assert found(root) == {"few-cases": "0 of class 2, for 2 folds"}


def test_centres_in_two_spellings_and_samples_without_part(root: Path) -> None:
    lines = rows()
    lines[2][2] = "North "
    write_table(
        root,
        [[*line, part] for line, part in zip(lines, ["train"] * 8 + ["test"] * 3 + [""], strict=True)],
        ("id", "patient", "clinic", "age", "diagnosis", "size", "days", "died", "part"),
    )
    declare(root, ('id = "id"', 'id = "id"\npart = "part"'))
    assert found(root) == {
        "similar-centers": "centres 'North' and 'north' may be one",
        "missing-part": "no part in column 'part'",
    }


def test_a_test_part_that_cannot_be_compared(root: Path) -> None:
    lines = rows()
    for line in lines[8:]:
        line[6] = 500
    write_table(
        root,
        [[*line, part] for line, part in zip(lines, ["train"] * 8 + ["test"] * 4, strict=True)],
        ("id", "patient", "clinic", "age", "diagnosis", "size", "days", "died", "part"),
    )
    declare(root, ('id = "id"', 'id = "id"\npart = "part"'))
    assert found(root) == {"no-comparable-pair": "none among the 4 test patients of the split 'official'"}
