"""A driver of a search of many short trials, to be killed: python kills_driver.py FOLDER WIDTHS EPOCH_SECONDS."""

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna

from branchpoint.commands.running import interruptible
from branchpoint.config import Config
from branchpoint.search.study import Study
from tests.search.search_driver import toy_study
from tests.search.search_toys import ToyFit, ToyResult

DEPTHS = (2, 3, 4, 5)


@dataclass
class NotingFit(ToyFit):
    """Notes which processes began a run, for a test that kills them."""

    def __call__(self, config: Config, prepared: Any, *, checkpoint_dir: Path, **how: Any) -> ToyResult:
        with (checkpoint_dir.parent / "processes.txt").open("a") as file:
            file.write(f"{os.getpid()}\n")
        return super().__call__(config, prepared, checkpoint_dir=checkpoint_dir, **how)


def grid(trial: optuna.trial.BaseTrial, base: Config) -> Config:
    width, depth = trial.suggest_int("width", 1, 50), trial.suggest_int("depth", *DEPTHS[:: len(DEPTHS) - 1])
    return replace(base, network=replace(base.network, width=width, depth=depth))


def every_point(folder: Path, widths: int, seconds: float) -> Study:
    """All of a space, each point once."""
    points = [{"width": width, "depth": depth} for width in range(1, widths + 1) for depth in DEPTHS]
    hooks = {"fit": NotingFit(seconds=seconds), "open_cohort": str}
    return replace(toy_study(folder), space=grid, points=points, trials=len(points), hooks=hooks)


if __name__ == "__main__":
    with interruptible():
        every_point(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])).run()
