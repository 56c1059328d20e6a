"""A small space and a training loop that only counts, for tests of the search; importable by Ray workers."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna

from branchpoint.config import Config


def toy_space(trial: optuna.trial.BaseTrial, base: Config) -> Config:
    """Width in 1..8 and depth in 2..5; width 7 does not fit depth 4."""
    width = trial.suggest_int("width", 1, 8)
    depth = trial.suggest_int("depth", 2, 5)
    if width == 7 and depth == 4:
        raise ValueError(f"network.width is {width}: does not fit depth {depth}")
    return replace(base, network=replace(base.network, width=width, depth=depth))


def narrow_space(trial: optuna.trial.BaseTrial, base: Config) -> Config:
    """Width 7 and depth 3 or 4, of which 4 does not fit."""
    return toy_space(optuna.trial.FixedTrial({"width": 7, "depth": trial.suggest_int("depth", 3, 4)}), base)


def toy_value(config: Config) -> float:
    """Objective of the best epoch: greatest at width 6, depth 3."""
    return 1.0 - 0.02 * (config.network.width - 6) ** 2 - 0.05 * (config.network.depth - 3) ** 2


@dataclass
class ToyResult:
    best_epoch: int
    metrics: dict[str, float]
    history: list[dict[str, float]]
    stopped: bool = False
    network: Any = None
    notes: tuple[str, ...] = ()
    by_rule: dict[str, float] = field(default_factory=dict)
    cost: Any = field(
        default_factory=lambda: SimpleNamespace(
            parameters=10, macs=20, peak_memory_bytes=30, epoch_seconds=0.1, gpu_seconds=0.0
        )
    )


@dataclass
class ToyFit:
    """Grows towards :func:`toy_value`, with a checkpoint and a note (epoch, process) for each epoch it runs.

    Attributes:
        seconds: of an epoch.
        raises: widths whose second epoch raises.
        diverges: widths whose objective is NaN.
        dies: widths whose process is killed in the second epoch of the first attempt (or of each, see ``always``).
    """

    seconds: float = 0.0
    raises: tuple[int, ...] = ()
    diverges: tuple[int, ...] = ()
    dies: tuple[int, ...] = ()
    always: bool = False

    def __call__(
        self, config: Config, prepared: Any, *, checkpoint_dir: Path, report: Callable[[Any], bool], **_: Any
    ) -> ToyResult:
        checkpoint_dir.mkdir(parents=True, exist_ok=True)
        saved = checkpoint_dir / "history.json"
        history: list[dict[str, float]] = json.loads(saved.read_text()) if saved.exists() else []
        notes = checkpoint_dir.parent / "epochs-run.txt"
        resumed = bool(history)
        while len(history) < config.training.epochs:
            epoch = len(history) + 1
            time.sleep(self.seconds)
            self._misbehave(config.network.width, epoch, resumed)
            share = epoch / config.training.epochs
            value = math.nan if config.network.width in self.diverges else toy_value(config) * share
            history.append({"train/loss": 1 - share, "validation/score": value})
            with notes.open("a") as file:
                file.write(f"{epoch} {os.getpid()}\n")
            saved.write_text(json.dumps(history))
            if not report(SimpleNamespace(epoch=epoch, metrics=history[-1], seconds=self.seconds)):
                return ToyResult(epoch, history[-1], history, stopped=True)
        return ToyResult(len(history), history[-1], history)

    def _misbehave(self, width: int, epoch: int, resumed: bool) -> None:
        if epoch == 2 and width in self.raises:
            raise ValueError(f"CHGJ007: the mask of width {width} is empty")
        if epoch == 2 and width in self.dies and (self.always or not resumed):
            os.kill(os.getpid(), signal.SIGKILL)


def epochs_run(state: Path, trial: str) -> list[int]:
    """The epochs that :class:`ToyFit` ran of ``trial``, in order, over all attempts."""
    lines = (state / "runs" / trial / "epochs-run.txt").read_text().splitlines()
    return [int(line.split()[0]) for line in lines]
