"""The jobs on pictures: one as a user starts it, the others as far as the first network's first epoch."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from branchpoint.commands.search_options import edges
from branchpoint.config import Config
from branchpoint.datasets.check import check_cohort, refuse_if_faulty
from branchpoint.datasets.check import skip_faulty as without_faulty
from branchpoint.datasets.prepared import prepare
from branchpoint.datasets.readers.registry import read_cohort
from branchpoint.phantoms import make_phantom
from branchpoint.search.space.points import config_at
from branchpoint.store import Store
from branchpoint.training.loop import fit

JOBS = Path(__file__).resolve().parents[2] / "jobs"


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.syspath_prepend(str(JOBS))


def job_of(name: str) -> Any:
    return importlib.import_module(f"nas_{name}").JOB


def first_epoch(name: str, root: Path, cache: Path) -> dict[str, float]:
    """Metrics of the last published configuration (auxiliary tasks learned beside) after one epoch."""
    common, job = importlib.import_module("branchpoint.commands.job"), job_of(name)
    base: Config = common.base_config(job, job.scales["smoke"], root, release=job.release)
    cohort = read_cohort(base.dataset)
    problems = check_cohort(cohort, base.dataset, workers=1, folds=base.split.folds)
    if name == "busi":
        cohort, left_out = without_faulty(cohort, problems, folds=base.split.folds)
        assert left_out == ("benign (4)",)
    else:
        refuse_if_faulty(problems)
    prepared = prepare(cohort, base.dataset, cache, workers=1, progress=False)
    point = list(job.space.published(base).values())[-1 if base.tasks[-1].auxiliary else 0]
    config = config_at(job.space.space, base, point)
    assert all(task.weight > 0 for task in config.tasks)
    return dict(fit(config, prepared).metrics)


@pytest.mark.parametrize("name", ["retouch", "cadis", "endovis2017"])
def test_a_phantom_is_learned_at_the_smallest_scale(name: str, tmp_path: Path) -> None:
    job = job_of(name)
    scale = job.scales["smoke"]
    root = make_phantom(name, tmp_path / name, patients=scale.patients, progress=False, **job.phantom(scale))
    metrics = first_epoch(name, root, tmp_path / "cache")
    assert 0 <= metrics["validation/score"] <= 1
    assert metrics["train/loss"] > 0


@pytest.mark.parametrize("name", ["ph2", "busi", "origa"])
def test_real_pictures_are_learned_at_the_smallest_scale(name: str, tmp_path: Path) -> None:
    folder = os.environ.get("BRANCHPOINT_DATA")
    if not folder or not (Path(folder) / name).is_dir():
        pytest.skip(f"needs the real {name} files: set BRANCHPOINT_DATA to the folder that holds {name}/")
    metrics = first_epoch(name, Path(folder) / name, tmp_path / "cache")
    assert metrics["train/loss"] > 0


@pytest.mark.timeout(1000)
def test_from_a_phantom_to_figures(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "BRANCHPOINT_HOME")}
    done = subprocess.run(
        [sys.executable, str(JOBS / "nas_isic2017.py"), "--smoke"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    store = Store(str(tmp_path / "results"))
    figures = store.figures("isic2017").to_pylist()
    assert {"best found", "multi-task, all shared", "lesion only", "diagnosis only"} <= {
        row["label"] for row in figures
    }
    primary = {row["n"] for row in figures if row["fold"] == -1 and row["metric"] in ("ji", "auc", "balanced_accuracy")}
    assert primary == {7}, "the official test part"
    (study,) = store.studies().to_pylist()
    assert '"scheme":"official"' in study["config"]


def test_wrong_sizes_and_schemes_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    common, job = importlib.import_module("branchpoint.commands.job"), job_of("cadis")
    assert edges("270x480") == (270, 480)
    assert edges("96") == 96
    with pytest.raises(ValueError, match="'96,96'"):
        edges("96,96")
    with pytest.raises(ValueError, match="3 edges; samples of cadis have 2"):
        job.grid(common.Scale(size=(4, 4, 4)))
    with pytest.raises(ValueError, match="'offical': choose cross_validation"):  # codespell:ignore offical
        common.base_config(job, common.Scale(size=64), tmp_path, scheme="offical")  # codespell:ignore offical
