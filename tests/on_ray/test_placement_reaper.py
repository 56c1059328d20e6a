"""What two workers of Ray Train held is free when their trial ends: stopped, killed, or out of memory on one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import ray as ray_package

from branchpoint.config import Config
from branchpoint.execution.attempt import execute
from branchpoint.execution.halving import HalvingConfig
from branchpoint.execution.resources import Resources
from branchpoint.execution.run_spec import RunSpec, Setup
from branchpoint.on_ray.placement_reaper import start_reaper
from branchpoint.on_ray.train_workers import with_workers
from branchpoint.search.study import Study
from branchpoint.store import Store
from branchpoint.training.loop import fit
from tests.on_ray.workers_toys import (
    Mishaps,
    noted_times,
    open_spheres,
    require_free,
    rows_of,
    spheres_config,
    two_cores,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
TWO = Resources(workers=2)
SECONDS = 90.0
"""From the end of a trial to the first epoch of the next one, at most: a start of Ray Train on a busy machine."""


@pytest.fixture(scope="module", autouse=True)
def ray() -> Iterator[None]:
    with two_cores():
        yield


def sums(epochs: int) -> Config:
    """Segmentation alone, whose loss is a mean over samples."""
    config = spheres_config(epochs)
    return replace(config, tasks=config.tasks[:1])


def rates(trial: optuna.trial.BaseTrial, base: Config) -> Config:
    rate = trial.suggest_float("rate", 1e-9, 1e-2, log=True)
    return replace(base, optimizer=replace(base.optimizer, learning_rate=rate))


def setup_of(tmp_path: Path, mishaps: Mishaps) -> Setup:
    setup = Setup(
        study="two",
        store=str(tmp_path / "results"),
        folder=tmp_path / "state",
        prepared=tmp_path,
        open_cohort=open_spheres,
        fit=mishaps,
    )
    return with_workers(setup, TWO, start_reaper())


def test_a_trial_that_halving_stops_frees_its_workers_for_the_next(tmp_path: Path) -> None:
    """Three trials of a search, each on both cores: one learns, the next does not and is stopped, a third follows."""
    study = Study(
        name="two",
        base=sums(4),
        space=rates,
        points=[{"rate": 3e-3}, {"rate": 1e-9}, {"rate": 5e-3}],
        prepared=tmp_path,
        store=str(tmp_path / "results"),
        state=tmp_path / "state",
        trials=3,
        objective="validation/loss",
        maximize=False,
        resources=TWO,
        halving=HalvingConfig(grace=1, reduction=4.0, least=2),
        hooks={"open_cohort": open_spheres, "fit": Mishaps(tmp_path)},
    )
    study.run(top=1)
    first, stopped, last = rows_of(tmp_path / "results")
    assert (first["trial"], first["state"]) == ("0000", "COMPLETE")
    assert (stopped["trial"], stopped["state"]) == ("0001", "PRUNED")
    assert stopped["reason"].startswith("stopped early after epoch 1")
    assert (last["trial"], last["attempt"]) == ("0002", 1)
    (begun,) = [ended for epoch, _, ended in noted_times(tmp_path, 0)[5:6]]
    assert begun - stopped["finished"].timestamp() < SECONDS, "the next trial does not wait for what this one held"
    require_free()


@ray_package.remote(num_cpus=0)
class Trial:
    """A driver, as Tune holds one."""

    def run(self, spec: RunSpec, setup: Setup) -> None:
        execute(spec, setup, lambda *_: None)


def test_a_trial_that_tune_kills_frees_its_workers(tmp_path: Path) -> None:
    spec, setup = RunSpec("0000", sums(10_000)), setup_of(tmp_path, Mishaps(tmp_path))
    trial: Any = Trial.remote()  # type: ignore[attr-defined]
    ended = trial.run.remote(spec, setup)
    while not (tmp_path / "rank1.txt").exists():
        ready, _ = ray_package.wait([ended], timeout=0.2)
        assert not ready, ray_package.get(ended)
    assert ray_package.available_resources().get("CPU", 0) == 0
    ray_package.kill(trial)
    require_free()  # by the reaper of this process, which goes on like that of a search
    assert [row["state"] for row in rows_of(tmp_path / "results")] == ["RUNNING"], "it goes on when it is started again"


def test_memory_runs_out_on_one_worker(tmp_path: Path) -> None:
    """In epoch 2, while the other one waits for it in a reduction: both end, and halves of a batch go on."""
    began = time.monotonic()
    config = sums(3)
    outcome = execute(RunSpec("0000", config), setup_of(tmp_path, Mishaps(tmp_path, most=(2, 2))), lambda *_: None)
    assert time.monotonic() - began < 4 * SECONDS
    failed, complete = rows_of(tmp_path / "results")
    assert failed["state"] == "FAILED"
    assert "out of memory on cpu: a batch of 3 x 2 x 8 x 8 x 8 in fp32 does not fit" in failed["reason"]
    assert "DefaultCPUAllocator" in failed["reason"], "in the words of the allocator"
    assert failed["reason"].endswith("; tried again with training.micro_batch 1")
    assert (outcome.state, complete["state"], complete["attempt"]) == ("COMPLETE", "COMPLETE", 2)
    begun_small = replace(config, training=replace(config.training, micro_batch=1))
    expected = fit(begun_small, open_spheres(tmp_path), device="cpu")
    epochs = Store(str(tmp_path / "results")).epochs("two").to_pylist(maps_as_pydicts="strict")
    assert [(row["attempt"], row["epoch"]) for row in epochs] == [(1, 1), (2, 2), (2, 3)], "nothing is trained twice"
    for row, entry in zip(epochs, expected.history, strict=True):
        assert row["metrics"] == pytest.approx(dict(entry.metrics), rel=5e-4, abs=5e-5, nan_ok=True)
    require_free()
