"""A Config from what a cohort looks like, with reasons, and a training that begins with it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from branchpoint.commands import cli
from branchpoint.commands.planning import memory_of, plan_training
from branchpoint.config import ClassificationConfig, Config, DatasetConfig
from branchpoint.config.file import read_config
from branchpoint.datasets.fingerprint import CohortFingerprint, TargetFingerprint, fingerprint_cohort
from branchpoint.datasets.readers.registry import read_cohort
from branchpoint.phantoms import make_phantom
from search_spaces import busi, sts

DIAGNOSES = {0: 30, 1: 20, 2: 6}


def pictures(sizes: Sequence[tuple[int, int]], counts: dict[int, int], groups: int = 0) -> CohortFingerprint:
    targets = {
        "lesion": TargetFingerprint("segmentation", sum(counts.values()), {}),
        "diagnosis": TargetFingerprint("classification", sum(counts.values()), counts),
    }
    count = sum(counts.values())
    return CohortFingerprint(2, count, groups or count, np.array(sizes), np.empty((0, 3)), (), targets)


def planned(found: CohortFingerprint, memory_gb: float = 8.0, steps: int = 100) -> Config:
    plan = plan_training(
        found, DatasetConfig(name="busi"), busi.base, region="extent", memory_gb=memory_gb, steps=steps
    )
    return plan.config


def balanced(config: Config) -> bool:
    (diagnosis,) = (task for task in config.tasks if isinstance(task, ClassificationConfig))
    return diagnosis.balanced


def test_pictures_keep_their_proportions_up_to_the_largest_edge() -> None:
    assert planned(pictures([(500, 1000)], DIAGNOSES)).dataset.size_voxels == (128, 256)
    assert planned(pictures([(96, 96)], DIAGNOSES)).dataset.size_voxels == (96, 96)


def test_epochs_are_as_many_as_the_steps_ask_for() -> None:
    config = planned(pictures([(96, 96)], DIAGNOSES), steps=100)
    training = 56 * (1 - 1 / config.split.folds) * (1 - config.split.validation_fraction)
    each = int(np.ceil(training / config.training.batch_size))
    assert (config.training.epochs - 1) * each < 100 <= config.training.epochs * each


def test_rare_classes_are_balanced_and_decide_the_folds() -> None:
    even, rare = (planned(pictures([(96, 96)], counts)) for counts in ({0: 20, 1: 20, 2: 20}, DIAGNOSES))
    assert (balanced(even), balanced(rare)) == (False, True)
    assert (even.split.folds, rare.split.folds) == (5, 3)


def test_few_groups_leave_few_folds() -> None:
    assert planned(pictures([(96, 96)], {0: 20, 1: 20, 2: 20}, groups=7)).split.folds == 3


def test_little_memory_makes_the_batch_smaller_then_the_grid_coarser() -> None:
    found = pictures([(256, 256)], DIAGNOSES)
    whole = planned(found)
    need = [memory_of(whole, batch) for batch in (2, 8)]
    smaller, coarser = planned(found, memory_gb=need[0]), planned(found, memory_gb=0.9 * need[0])
    assert (smaller.training.batch_size, smaller.dataset.size_voxels) == (2, (256, 256))
    assert max(coarser.dataset.size_voxels) < 256
    assert memory_of(coarser, coarser.training.batch_size) <= 0.9 * need[0]


def test_no_grid_at_all_is_an_error_that_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match=r"--memory-gb is 0.001: a batch of 2 on a grid of .* needs [\d.]+ GB"):
        planned(pictures([(256, 256)], DIAGNOSES), memory_gb=0.001)


def test_volumes_are_spanned_at_their_median_spacing(tmp_path: Path) -> None:
    spacings = np.array([[3.0, 2.0, 2.0], [3.0, 2.0, 2.0]])
    targets = {"recurrence": TargetFingerprint("survival", 40, {0: 30, 1: 10})}
    found = CohortFingerprint(3, 40, 40, np.array([[40, 64, 64], [40, 64, 64]]), spacings, (), targets)
    plan = plan_training(found, DatasetConfig(name="sts"), sts.base, region="extent", memory_gb=64, steps=50)
    assert plan.config.dataset.spacing_mm == 2.0
    assert plan.config.dataset.size_voxels == (64, 64, 64), "120 mm at 2 mm are 60 voxels; edges are multiples of 16"


def test_the_fingerprint_is_that_of_the_files(tmp_path: Path) -> None:
    root = make_phantom("isic2017", tmp_path, patients=8, seed=1, size_scale=0.1)
    cohort = read_cohort(DatasetConfig(name="isic2017", root=str(root), release=""))
    found = fingerprint_cohort(cohort)
    paths = [patient.images[cohort.modalities[0]] for patient in cohort.patients]
    expected = sorted(Image.open(path).size[::-1] for path in paths)
    assert sorted(map(tuple, found.sizes.tolist())) == expected
    labels: list[Any] = [patient.labels["diagnosis"] for patient in cohort.patients if "diagnosis" in patient.labels]
    assert found.targets["diagnosis"].counts == {k: labels.count(k) for k in sorted(set(labels))}
    paths[0].write_bytes(b"no picture")
    paths[1].unlink()
    os.mkfifo(paths[1])
    assert fingerprint_cohort(cohort).unreadable == tuple(sorted(paths[:2])), "and does not wait for a named pipe"
    done = run("plan", "isic2017", "--root", root)
    assert "faults in files and tables: `branchpoint check-data isic2017` names them" in done.output


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def test_the_command_writes_a_config_that_can_be_trained(tmp_path: Path) -> None:
    root = make_phantom("isic2017", tmp_path / "phantom", patients=8, seed=1, size_scale=0.1)
    out = tmp_path / "plan.json"
    done = run("plan", "isic2017", "--root", root, "--steps", 7, "--out", out)
    assert done.exit_code == 0, done.output
    config = read_config(out)
    assert config == Config.from_json(run("plan", "isic2017", "--root", root, "--steps", 7, "--json").output)
    assert config.dataset.root == str(root)
    assert "python jobs/nas_isic2017.py" in done.output
    assert json.loads(out.read_text())["training"]["epochs"] == config.training.epochs
    assert replace(config, seed=3).fingerprint != config.fingerprint


def test_wrong_calls_say_what_is_missing(tmp_path: Path) -> None:
    assert "there is no search space search_spaces.nothing" in str(run("plan", "nothing", "--root", tmp_path).exception)
    done = run("plan", "ph2", "--root", tmp_path)
    assert "no patients of ph2" in str(done.exception)
    assert "check-data" in str(done.exception)
