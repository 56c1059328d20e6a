"""Runs on two workers of Ray Train, as real processes: killed, sharing a GPU, refused where they could never start."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray as ray_package

from branchpoint.config import Config
from branchpoint.execution.attempt import execute
from branchpoint.execution.resources import Resources, preflight
from branchpoint.execution.run_spec import Outcome, RunSpec, Setup
from branchpoint.on_ray.session import living_nodes
from branchpoint.on_ray.train_workers import with_workers
from branchpoint.search.study import Study
from branchpoint.store import Store
from branchpoint.training.loop import fit
from tests.on_ray.workers_toys import (
    Mishaps,
    NotingFit,
    noted,
    open_spheres,
    require_free,
    rows_of,
    spheres_config,
    two_cores,
)
from tests.search.search_toys import toy_space

TWO = Resources(workers=2)


@pytest.fixture(scope="module", autouse=True)
def ray() -> Iterator[None]:
    with two_cores():
        yield


def run(tmp_path: Path, config: Config, **mishaps: Any) -> Outcome:
    setup = Setup(
        study="two",
        store=str(tmp_path / "results"),
        folder=tmp_path / "state",
        prepared=tmp_path,
        open_cohort=open_spheres,
        fit=Mishaps(tmp_path, **mishaps),
    )
    return execute(RunSpec("0000", config), with_workers(setup, TWO), lambda *_: None)


@pytest.mark.timeout(600)
def test_killed_in_epoch_3_of_6_ends_as_unbroken(tmp_path: Path) -> None:
    config = spheres_config(6)
    unbroken = fit(config, open_spheres(tmp_path), device="cpu")
    outcome = run(tmp_path, config, kill=(1, 3))
    assert (outcome.state, outcome.reason) == ("COMPLETE", "")
    epochs = Store(str(tmp_path / "results")).epochs("two").to_pylist(maps_as_pydicts="strict")
    assert [row["epoch"] for row in epochs] == [1, 2, 3, 4, 5, 6]
    for row, expected in zip(epochs, unbroken.history, strict=True):
        assert row["metrics"] == pytest.approx(dict(expected.metrics), rel=5e-4, abs=5e-5, nan_ok=True)
    killed = int((tmp_path / "killed").read_text())
    for rank in (0, 1):
        ran = noted(tmp_path, rank)
        assert [epoch for epoch, _ in ran] in ([1, 2, 2, 3, 4, 5, 6], [1, 2, 1, 2, 3, 4, 5, 6]), "from a checkpoint"
        assert len({process for _, process in ran}) == 2, "both workers were started anew"
    assert noted(tmp_path, 1)[0][1] == killed
    (row,) = rows_of(tmp_path / "results")
    assert (row["state"], row["attempt"]) == ("COMPLETE", 1), "the driver lived on"
    assert not list((tmp_path / "state").glob("ray/*"))
    require_free()


def test_two_trials_share_a_gpu(tmp_path: Path, base: Config) -> None:
    resources = Resources(gpus=0.5)
    assert preflight(resources, living_nodes()) == 2
    study = Study(
        name="two",
        base=base,
        space=toy_space,
        points=[{"width": 1, "depth": 2}, {"width": 2, "depth": 2}],
        prepared=tmp_path,
        store=str(tmp_path / "results"),
        state=tmp_path / "state",
        trials=2,
        halving=None,
        resources=resources,
        hooks={"fit": NotingFit(seconds=0.5), "open_cohort": str},
    )
    study.run()
    (one_began, one_ended, one), (other_began, other_ended, other) = (
        (tmp_path / "state" / "runs" / name / "ran.txt").read_text().split() for name in ("0000", "0001")
    )
    assert one == other == "0"
    assert max(float(one_began), float(other_began)) < min(float(one_ended), float(other_ended)), "at the same time"


@ray_package.remote(num_cpus=1)
def driver_that_holds_a_core() -> str:
    try:
        preflight(TWO, living_nodes())
    except ValueError as refusal:
        return str(refusal)
    return "it was let through"


def test_a_driver_that_takes_a_core_its_workers_need_is_refused_at_once() -> None:
    """It would hold its core until they have ended, and they would never start."""
    assert preflight(TWO, living_nodes()) == 1
    started = time.monotonic()
    refusal = ray_package.get(driver_that_holds_a_core.remote())
    assert "a run asks for 2 workers with 1 CPU each, but 1 node(s), the largest with 1 CPU, hold 1 of them" in refusal
    assert "ask for 1 worker(s), for less per worker, or add nodes" in refusal
    assert time.monotonic() - started < 30
