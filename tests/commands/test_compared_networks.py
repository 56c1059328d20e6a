"""Which networks a study trains for comparison."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from branchpoint.commands.choices import with_choices
from branchpoint.commands.references import reference_configs, training_shares
from branchpoint.commands.search_options import SearchOptions
from branchpoint.config import Config, DatasetConfig
from branchpoint.search.final import Finals
from branchpoint.search.space.parts import candidates_learn
from branchpoint.search.study import Candidate
from branchpoint.store import EpochRecord, Store
from search_spaces import busi, hecktor, ph2

ROOT = Path(__file__).resolve().parents[2]
SPACES: dict[str, Any] = {"busi": busi, "hecktor": hecktor, "ph2": ph2}


def base(name: str, **options: Any) -> Config:
    size = (48, 48, 48) if name == "hecktor" else (64, 64)
    dataset = DatasetConfig(name=name, release="2021" if name == "hecktor" else "", size_voxels=size)
    found: Config = with_choices(SPACES[name].base(dataset), SearchOptions(**options))
    return found


@pytest.mark.parametrize(
    ("name", "options", "labels"),
    [
        ("hecktor", {}, ["multi-task, all shared", "segmentation only", "survival only"]),
        ("busi", {}, ["multi-task, all shared", "lesion only", "diagnosis only"]),
        ("ph2", {}, ["multi-task, all shared", "lesion only", "diagnosis only", "asymmetry only"]),
        (
            "ph2",
            {"objective": "streaks=3,pigment_network=2,lesion=1"},
            ["multi-task, all shared", "lesion only", "pigment_network only", "streaks only"],
        ),
        ("hecktor", {"tasks": "survival"}, ["survival only"]),
    ],
)
def test_few_are_the_shared_network_and_the_tasks_that_count_most(
    name: str, options: dict[str, str], labels: list[str]
) -> None:
    config = base(name, **options)
    assert list(reference_configs(SPACES[name], config, "few")) == labels


def test_none_and_all() -> None:
    config = base("ph2")
    assert reference_configs(ph2, config, "none") == {}
    assert list(reference_configs(ph2, config, "all")) == list(ph2.published(config))
    with pytest.raises(ValueError, match="--references is 'some': must be one of none, few, all"):
        reference_configs(ph2, config, "some")


def test_candidates_learn_all_tasks_unless_one_does_not_count() -> None:
    assert candidates_learn(base("hecktor").tasks) == {"learn": "tumour+survival"}
    assert candidates_learn(base("hecktor", objective="survival").tasks) == {}
    assert candidates_learn(base("hecktor", tasks="tumour").tasks) == {}


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--references", "some", "--references is 'some': must be one of"),
        ("--sampler", "some", "sampler is 'some': must be one of"),
        ("--seeds", "0", "greater than or equal to 1"),
        ("--folds", "1", "greater than or equal to 2"),
    ],
)
def test_wrong_choices_are_said_before_the_data_are_read(option: str, value: str, message: str, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "jobs/nas_busi.py"), "--data-root", str(tmp_path), option, value]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert message in done.stderr
    assert "no-patients" not in done.stdout


def test_shares_of_training_time_follow_the_names_of_the_finalists_runs(tmp_path: Path) -> None:
    config = base("hecktor")
    study = SimpleNamespace(name="s", base=config, setup=None)
    reference = replace(config, optimizer=replace(config.optimizer, learning_rate=0.002))
    finals = Finals(study=study, epochs=config.training.epochs, published={"shared": reference}, seeds=2)
    found = [Candidate("0000", config, 0.5)]
    store = Store(str(tmp_path))
    names = {  # a trial of the search may have a name like those of folds
        "0000": 5.0,
        "odd-fold1": 5.0,
        f"{config.candidate}-fold0": 20.0,
        f"{config.candidate}-fold1-seed{config.seed + 1}": 10.0,
        f"{reference.candidate}-fold0": 10.0,
        "0001": None,
    }
    for trial, seconds in names.items():
        store.writer("s").epoch(EpochRecord(study="s", trial=trial, epoch=1, metrics={}, seconds=seconds))
    said = training_shares(store, finals, found)
    assert said == "training took 50 s: search 20%, finalists 60%, references 20%"
