"""Each rule of pictures broken once in a valid release of each dataset: the rows that come, and no others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from branchpoint.config import DatasetConfig
from branchpoint.datasets.check import check_cohort, skip_faulty
from branchpoint.datasets.problems.rulebook import PICTURE_RULES
from branchpoint.datasets.readers.registry import read_cohort
from branchpoint.phantoms import make_phantom
from tests.datasets.challenge_damages import CATARACTS, CIRRUS, OCT, ROBOTS, SKIN
from tests.datasets.picture_builder import (
    build_busi,
    build_origa,
    build_ph2,
    check,
    rules,
)
from tests.datasets.picture_damages import DERMOSCOPY, OPTIC_DISCS, ULTRASOUND, Damage, cut

BUILD: dict[str, Callable[[Path], Path]] = {
    "ph2": build_ph2,
    "busi": build_busi,
    "origa": build_origa,
    "isic2017": lambda root: make_phantom("isic2017", root, patients=12, progress=False),
    "retouch": lambda root: make_phantom("retouch", root, patients=4, slices=3, progress=False),
    "cadis": lambda root: make_phantom("cadis", root, patients=30, size_scale=0.15, progress=False),
    "endovis2017": lambda root: make_phantom("endovis2017", root, patients=36, size_scale=0.08, progress=False),
}


DAMAGES = [*DERMOSCOPY, *ULTRASOUND, *OPTIC_DISCS, *SKIN, *OCT, *CATARACTS, *ROBOTS]


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
        "few-pairs",
        "unread-format",
        "similar-centers",
        "no-labels",
        "missing-part",
        "constant-target",
        "transparent-image",
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
