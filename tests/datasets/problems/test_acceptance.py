"""Warnings that the declaration accepts with a reason: shown, recorded, and not counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from branchpoint.commands.cli import app
from branchpoint.config import DatasetConfig
from branchpoint.datasets.content import accepted_warnings, content_keys
from branchpoint.datasets.pipeline import checked_cohort
from branchpoint.datasets.problems.acceptance import acceptances
from branchpoint.datasets.problems.table import counted
from tests.datasets.folder_builder import COUNT, build_folder, ids
from tests.datasets.picture_builder import build_origa, check, picture, write

ACCEPT = '[accept]\nimage-is-mask = "fluorescence [8 levels]"\n'


@pytest.fixture
def few_levels(tmp_path: Path) -> Path:
    root = build_folder(tmp_path / "data")
    for seed, name in enumerate(ids()):
        write(root / f"images/{name}.png", picture(seed, (24, 32)) // 32 * 32)
    return root


def accept(root: Path, text: str = ACCEPT) -> None:
    (root / "dataset.toml").write_text((root / "dataset.toml").read_text() + text)


def check_data(root: Path, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(
        app, ["check-data", "folder", "--root", str(root), "--folds", "2", *options], env={"COLUMNS": "600"}
    )
    return result.exit_code, result.stdout


def test_accepted_warnings_are_shown_with_the_reason_and_pass_strict(few_levels: Path) -> None:
    assert check_data(few_levels, "--strict")[0] == 1
    accept(few_levels)
    code, said = check_data(few_levels, "--strict")
    assert code == 0
    assert "accepted: fluorescence [8 levels]" in said
    assert f"0 errors, 0 warnings, {COUNT} accepted" in said
    code, said = check_data(few_levels, "--json")
    rows = json.loads(said)
    assert code == 0
    assert {(row["severity"], row["rule"]) for row in rows} == {("accepted", "image-is-mask")}


def test_other_warnings_and_errors_still_count(few_levels: Path) -> None:
    accept(few_levels)
    write(few_levels / "images/M03.png", picture(3, (24, 32)) * 0)
    assert check_data(few_levels, "--strict")[0] == 1
    (few_levels / "images/M04.png").write_bytes(b"")
    assert check_data(few_levels)[0] == 2
    assert counted(check("folder", few_levels)) == f"1 error, 1 warning, {COUNT - 2} accepted"


def test_what_is_accepted_is_kept_with_the_prepared_cohort(few_levels: Path, tmp_path: Path) -> None:
    dataset = DatasetConfig(name="folder", root=str(few_levels), size_voxels=(16, 16))
    before, _ = checked_cohort(dataset, tmp_path / "cache", folds=2)
    accept(few_levels)
    after, _ = checked_cohort(dataset, tmp_path / "cache", folds=2)
    assert accepted_warnings(before.path) == {}
    assert accepted_warnings(after.path) == {"image-is-mask": "fluorescence [8 levels]"}
    assert content_keys(before.path) == content_keys(after.path), "accepting a warning changes no data"


def test_releases_take_a_table_of_acceptances_too(tmp_path: Path) -> None:
    root = build_origa(tmp_path)
    write(root / "images/002.png", picture(2, (48, 48)) // 32 * 32)
    assert [row.severity for row in check("origa", root)] == ["warning"]
    (root / "dataset.toml").write_text(ACCEPT)
    assert [row.severity for row in check("origa", root)] == ["accepted"]
    (root / "dataset.toml").write_text('[accept]\nimage-mask = "x"\n')
    assert {row.rule for row in check("origa", root)} == {"bad-declaration", "image-is-mask"}


WRONG = {
    "no rule": ({"image-mask": "x"}, "no rule of check-data; did you mean 'image-is-mask'"),
    "an error": ({"empty-mask": "x"}, "an error cannot be accepted"),
    "no reason": ({"image-is-mask": " "}, "give the reason"),
    "true": ({"image-is-mask": True}, "give the reason"),
    "no table": ("image-is-mask", "expected a table"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_acceptances(case: str) -> None:
    plain, words = WRONG[case]
    with pytest.raises(ValueError, match=words):
        acceptances(plain)
