"""Trains every configuration of the space on every fold and writes what its networks predict, epoch by epoch."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from branchpoint.config import Config
from branchpoint.datasets.prepared import PreparedCohort
from tabular.space import EPOCHS, FOLDS, base, configurations
from tabular.table import KEPT

PICTURES, SEED = 600, 5


def prepare(folder: Path) -> tuple[Config, PreparedCohort]:
    """The base of all configurations and the prepared cohort, made where they are missing."""
    from branchpoint.datasets.pipeline import checked_cohort
    from tabular.cohort import make_cohort

    root = folder / "cohort"
    if not (root / "dataset.toml").exists():
        make_cohort(root, PICTURES, SEED)
    common = base(root)
    return common, checked_cohort(common.dataset, folder / "cache", folds=FOLDS, without_faulty=True)[0]


def train_run(config: Config, prepared: PreparedCohort) -> dict[str, Any]:
    """Predictions for the held-out pictures of the Config's fold after each of ``KEPT`` epochs, and what it cost."""
    import torch

    from branchpoint.evaluation.evaluation import evaluate
    from branchpoint.training.devices.randomness import TRAINING, derived_seed
    from branchpoint.training.epoch import train_epoch
    from branchpoint.training.run import build_run

    run = build_run(config, prepared, torch.device("cpu"))
    seconds, found = [], []
    for epoch in range(1, EPOCHS + 1):
        begun = time.process_time()
        torch.manual_seed(derived_seed(config.seed, TRAINING, epoch))
        train_epoch(run, epoch)
        seconds.append(time.process_time() - begun)
        if epoch in KEPT:
            seen = evaluate(run.average.network, config, prepared, run.folds.test, "cpu", 200, native=False)
            found.append(_predictions(seen))
    return {
        "positions": run.folds.test,
        "seconds": np.array(seconds, np.float32),
        **{name: np.stack([each[name] for each in found]) for name in found[0]},
    }


def _predictions(summaries: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Dice, log-odds of malignancy and log-hazard of each picture, float16 (N,)."""
    mask, malignant, relapse = summaries["lesion"], summaries["malignant"], summaries["relapse"]
    dice = 2 * mask["overlap"][:, 0] / np.maximum(mask["predicted"] + mask["truth"], 1)[:, 0]
    odds = np.diff(np.log(np.maximum(malignant["probability"], 1e-30)), axis=1)[:, 0]
    return {
        "dice": dice.astype(np.float16),
        "log_odds": np.clip(odds, -60, 60).astype(np.float16),
        "log_hazard": np.clip(relapse["log_hazard"], -60000, 60000).astype(np.float16),
    }


def _one(folder: Path, manifest: Path, number: int) -> int:
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    file = folder / "runs" / f"{number:04d}.npz"
    if file.exists():
        return number
    prepared = PreparedCohort.open(manifest)
    _, config = list(configurations(base(folder / "cohort")))[number]
    runs = [train_run(replace(config, split=replace(config.split, fold=fold)), prepared) for fold in range(FOLDS)]
    whole = {f"{name}_{fold}": values for fold, run in enumerate(runs) for name, values in run.items()}
    file.parent.mkdir(exist_ok=True)
    unfinished = file.with_suffix(".part.npz")
    np.savez(unfinished, **whole)
    unfinished.rename(file)
    return number


def train_all(folder: Path, processes: int) -> None:
    """Train what is missing, in a random order; started again, it goes on."""
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from multiprocessing import get_context

    common, prepared = prepare(folder)
    points = list(configurations(common))
    (folder / "points.json").write_text(json.dumps([values for values, _ in points]))
    order = np.random.default_rng(0).permutation(len(points)).tolist()
    begun = time.monotonic()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        runs = [pool.submit(_one, folder, prepared.path, number) for number in order]
        for done, run in enumerate(as_completed(runs), start=1):
            run.result()
            if done % 20 == 0:
                print(f"{done} of {len(order)} configurations, {time.monotonic() - begun:.0f} s", flush=True)
