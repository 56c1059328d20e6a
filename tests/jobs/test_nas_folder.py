"""The job for a user's own folder: it says what the data are, and the job follows."""

from __future__ import annotations

import importlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from branchpoint.datasets.pipeline import checked_cohort
from branchpoint.phantoms import make_phantom
from branchpoint.search.space.points import config_at
from branchpoint.training.loop import fit

JOBS = Path(__file__).resolve().parents[2] / "jobs"
VOLUMES = """
[images]
MR = "{id}/mr.nii.gz"
[table]
file = "labels.csv"
id = "patient"
[targets.tumour]
kind = "segmentation"
files = "{id}/mask.nii.gz"
values = [1]
[targets.grade]
kind = "classification"
column = "grade"
classes = ["low", "high"]
"""


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.syspath_prepend(str(JOBS))


def volumes(root: Path, patients: int = 8) -> Path:
    """Cubes that are larger and brighter in patients of high grade."""
    rows = ["patient,grade"]
    for number in range(patients):
        high = number % 2
        voxels = np.random.default_rng(number).normal(100, 5, (16, 16, 16))
        mask = np.zeros((16, 16, 16), np.uint8)
        mask[4 : 8 + 4 * high, 4 : 8 + 4 * high, 4 : 8 + 4 * high] = 1
        place = root / f"P{number}"
        place.mkdir(parents=True)
        for name, array in (("mr", (voxels + 80 * mask).astype(np.float32)), ("mask", mask)):
            image = sitk.GetImageFromArray(array)
            image.SetSpacing((12.0, 12.0, 12.0))
            sitk.WriteImage(image, str(place / f"{name}.nii.gz"))
        rows.append(f"P{number},{'high' if high else 'low'}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    (root / "dataset.toml").write_text(VOLUMES)
    return root


def first_epoch(root: Path, cache: Path) -> dict[str, float]:
    """Metrics of the network of all tasks after one epoch at the smallest scale."""
    common: Any = importlib.import_module("branchpoint.commands.job")
    job = importlib.import_module("nas_folder").JOB.at(root, "")
    base = common.base_config(job, job.scales["smoke"], root)
    prepared, _ = checked_cohort(base.dataset, cache, folds=base.split.folds)
    config = config_at(job.space.space, base, next(iter(job.space.published(base).values())))
    assert all(task.weight > 0 for task in config.tasks)
    return dict(fit(replace(config, seed=1), prepared).metrics)


def test_pictures_are_learned_at_the_smallest_scale(tmp_path: Path) -> None:
    metrics = first_epoch(make_phantom("relations", tmp_path / "own", patients=24, progress=False), tmp_path / "cache")
    assert {"validation/columns/r2", "validation/rows_squared/r2"} <= metrics.keys()
    assert metrics["train/loss"] > 0


def test_volumes_are_learned_at_the_smallest_scale(tmp_path: Path) -> None:
    metrics = first_epoch(volumes(tmp_path / "own"), tmp_path / "cache")
    assert {"validation/tumour/dice", "validation/grade/balanced_accuracy"} <= metrics.keys()


def test_a_folder_without_declaration_is_one_message(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(JOBS / "nas_folder.py"), "--data-root", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 2
    assert "dataset.toml" in done.stderr
    assert "docs/how-to/own-data.md" in done.stderr
    assert "Traceback" not in done.stderr
