"""What the platform costs beside training: N trials through it against the same N Configs in a bare process pool.

    python benchmarks/overhead.py            # 8 trials of about 25 s on 2 cores: some 5 minutes
    python benchmarks/overhead.py --quick    # 4 trials of about 5 s

Both sides train the same Configs on the same phantom with the same number of processes and one thread each. The
platform's time contains starting Ray, asking Optuna, checkpoints and every write to the store; the pool's contains
starting its processes. Printed: the ratio of wall times, with and without the start of Ray, and the start-up of a
trial (median time from the end of an empty trial to the end of the next, one at a time).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import numpy as np
import optuna
import typer

from branchpoint.config import Config, DatasetConfig, SegmentationConfig, SurvivalConfig
from branchpoint.execution.resources import Resources
from branchpoint.on_ray.session import session
from branchpoint.search.study import Study
from branchpoint.search.suggest.feasibility import load_ahead
from branchpoint.store import Store


def seed_space(trial: optuna.trial.BaseTrial, base: Config) -> Config:
    """Trials that differ in their seed alone, so that all take the same time."""
    return replace(base, seed=trial.suggest_int("seed", 0, 10_000))


def prepare_phantom(folder: Path) -> tuple[Path, Config]:
    """A small prepared cohort and a Config for it."""
    from branchpoint.datasets.prepared import prepare
    from branchpoint.datasets.readers.registry import read_cohort
    from branchpoint.phantoms import make_phantom

    root = make_phantom("hecktor", folder / "phantom", patients=20, spacing_scale=2.0, progress=False)
    dataset = DatasetConfig(root=str(root), spacing_mm=6.0, size_voxels=(24, 24, 24))
    manifest = prepare(read_cohort(dataset), dataset, folder / "cache", progress=False).path
    tasks = (SegmentationConfig(name="tumour", target="tumour"), SurvivalConfig(name="survival", target="survival"))
    base = Config(dataset=dataset, tasks=tasks)
    return manifest, replace(base, split=replace(base.split, folds=3))


def bare_fit(text: str, manifest: Path) -> float:
    """One training run as a script would do it."""
    import torch

    from branchpoint.datasets.prepared import PreparedCohort
    from branchpoint.training.loop import fit

    torch.set_num_threads(1)
    started = time.perf_counter()
    fit(Config.from_json(text), PreparedCohort.open(manifest), device="cpu")
    return time.perf_counter() - started


def empty_fit(config: Config, prepared: Any, *, report: Callable[[Any], bool], **_: Any) -> Any:
    """One epoch of nothing."""
    metrics = {"validation/score": 0.5}
    report(SimpleNamespace(epoch=1, metrics=metrics, seconds=0.0))
    cost = SimpleNamespace(parameters=0, macs=0, peak_memory_bytes=0, epoch_seconds=0.0, gpu_seconds=0.0)
    return SimpleNamespace(
        best_epoch=1, metrics=metrics, history=[metrics], network=None, stopped=False, cost=cost, notes=(), by_rule={}
    )


def in_a_pool(configs: list[Config], manifest: Path, cores: int) -> tuple[float, float]:
    """Wall time of all runs, and mean time of one."""
    started = time.perf_counter()
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        each = list(pool.map(partial(bare_fit, manifest=manifest), [config.to_json() for config in configs]))
    return time.perf_counter() - started, float(np.mean(each))


def study_of(folder: Path, name: str, manifest: Path, base: Config, seeds: range, **changes: Any) -> Study:
    """A study that runs ``base`` with each of ``seeds``."""
    return Study(
        name=name,
        base=base,
        space=seed_space,
        points=[{"seed": seed} for seed in seeds],
        trials=len(seeds),
        prepared=manifest,
        store=str(folder / "results"),
        state=folder / "state" / name,
        halving=None,
        **changes,
    )


def start_up(folder: Path, manifest: Path, base: Config, count: int) -> float:
    """Median seconds from the end of an empty trial to the end of the next."""
    study = study_of(
        folder, "empty", manifest, base, range(count), resources=Resources(concurrency=1), hooks={"fit": empty_fit}
    )
    study.run()
    ends = sorted(row["finished"] for row in Store(study.store).trials("empty", columns=["finished"]).to_pylist())
    gaps = [(after - before).total_seconds() for before, after in pairwise(ends)]
    return float(np.median(gaps))


def _with_epochs(config: Config, epochs: int) -> Config:
    return replace(config, training=replace(config.training, epochs=epochs))


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer and shorter trials.")] = False,
    trials: Annotated[int | None, typer.Option(help="Trials on each side.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Length of a trial.")] = None,
    cores: Annotated[int, typer.Option(help="Trials at once, on one core each.")] = 2,
) -> None:
    trials, seconds = trials or (4 if quick else 8), seconds or (5.0 if quick else 25.0)
    with tempfile.TemporaryDirectory(prefix="bp") as name:
        folder = Path(name)
        manifest, base = prepare_phantom(folder)
        _, short, longer = (bare_fit(_with_epochs(base, epochs).to_json(), manifest) for epochs in (2, 2, 10))
        base = _with_epochs(base, max(2, round(8 * seconds / (longer - short))))
        configs = [replace(base, seed=seed) for seed in range(trials)]

        bare, mean = in_a_pool(configs, manifest, cores)
        print(f"bare pool      {bare:7.1f} s for {trials} trials of {mean:.1f} s, {cores} at once", flush=True)
        started = time.perf_counter()
        load_ahead()  # as a study does that starts Ray itself
        with session("local", cpus=cores, temp_dir=folder / "ray"):
            ready = time.perf_counter() - started
            study_of(folder, "full", manifest, base, range(trials), resources=Resources(concurrency=cores)).run()
            whole = time.perf_counter() - started
            print(f"platform       {whole:7.1f} s, of which {ready:.1f} s to start Ray")
            print(f"ratio          {whole / bare:7.2f} (without the start of Ray {(whole - ready) / bare:.2f})")
            print(f"start-up       {start_up(folder, manifest, base, 12):7.2f} s per trial")


if __name__ == "__main__":
    typer.run(main)
