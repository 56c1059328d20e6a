"""A driver of a small search on a cluster: python two_nodes_driver.py FOLDER ADDRESS_OF_ITS_NODE."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from branchpoint.config import Config, DatasetConfig, SurvivalConfig, TrainingConfig
from branchpoint.execution.halving import HalvingConfig
from branchpoint.execution.resources import Resources
from branchpoint.search.study import Study
from tests.search.search_toys import ToyFit, ToyResult, toy_space

STUDY = "two-nodes"


@dataclass
class NotingFit(ToyFit):
    """Notes the address of the node that ran each epoch."""

    def __call__(
        self, config: Config, prepared: Any, *, checkpoint_dir: Path, report: Callable[[Any], bool], **options: Any
    ) -> ToyResult:
        import ray

        address = ray.util.get_node_ip_address()

        def noting(epoch: Any) -> bool:
            with (checkpoint_dir.parent / "addresses.txt").open("a") as file:
                file.write(f"{address}\n")
            return report(epoch)

        return super().__call__(config, prepared, checkpoint_dir=checkpoint_dir, report=noting, **options)


def two_nodes_study(folder: Path, trials: int = 8) -> Study:
    """Different points; a trial takes 1.5 s. Ray spreads two runs over two nodes, and one node can hold both."""
    base = Config(
        dataset=DatasetConfig(size_voxels=(16, 16, 16)),
        tasks=(SurvivalConfig(name="survival", target="survival"),),
        training=TrainingConfig(epochs=6),
    )
    points = [{"width": width, "depth": depth} for width in range(1, 7) for depth in (2, 3)]
    return Study(
        name=STUDY,
        base=base,
        space=toy_space,
        trials=trials,
        resources=Resources(concurrency=2),
        # The rule is asked, in a process that may lie on either node, but is too patient to stop a trial.
        halving=HalvingConfig(grace=3, least=1000),
        points=points[:trials],
        prepared=folder,
        store=str(folder / "results"),
        state=folder / "state",
        hooks={"fit": NotingFit(seconds=0.25), "open_cohort": str},
    )


if __name__ == "__main__":
    import ray

    # Without its address Ray takes the head for the driver's node: here all nodes' sockets lie on one disk.
    ray.init(_node_ip_address=sys.argv[2], log_to_driver=False, logging_level="ERROR")
    two_nodes_study(Path(sys.argv[1])).run()
