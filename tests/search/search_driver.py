"""A driver of a small search, to be killed: python search_driver.py FOLDER."""

import sys
from pathlib import Path

from branchpoint.config import Config, DatasetConfig, SurvivalConfig, TrainingConfig
from branchpoint.execution.resources import Resources
from branchpoint.on_ray.session import session
from branchpoint.search.study import Study
from tests.search.search_toys import ToyFit, toy_space


def toy_study(folder: Path) -> Study:
    base = Config(
        dataset=DatasetConfig(size_voxels=(16, 16, 16)),
        tasks=(SurvivalConfig(name="survival", target="survival"),),
        training=TrainingConfig(epochs=6),
    )
    return Study(
        name="killed",
        base=base,
        space=toy_space,
        trials=6,
        halving=None,
        resources=Resources(concurrency=2),
        points=[{"width": width, "depth": 2} for width in range(1, 7)],
        prepared=folder,
        store=str(folder / "results"),
        state=folder / "state",
        hooks={"fit": ToyFit(seconds=0.4), "open_cohort": str},
    )


if __name__ == "__main__":
    with session("local", cpus=2):
        toy_study(Path(sys.argv[1])).run()
