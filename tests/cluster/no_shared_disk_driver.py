"""A driver of a small search whose cohort lies on one node: python no_shared_disk_driver.py NAME TRIALS FOLDER ADDRESS.

FOLDER holds ``shared``, which all nodes see, and ``head``, which only the first node sees.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from branchpoint.config import Config
from branchpoint.execution.resources import Resources
from branchpoint.search.study import Study
from tests.cluster.two_nodes_driver import NotingFit, two_nodes_study
from tests.search.search_toys import ToyResult


@dataclass
class ReadingFit(NotingFit):
    """Notes where the cohort that it was given lies, and what is in it."""

    def __call__(
        self, config: Config, prepared: Any, *, checkpoint_dir: Path, report: Callable[[Any], bool], **options: Any
    ) -> ToyResult:
        result = super().__call__(config, prepared, checkpoint_dir=checkpoint_dir, report=report, **options)
        total = float(prepared.batch(range(len(prepared))).inputs["image"].sum())
        (checkpoint_dir.parent / "cohort.txt").write_text(f"{prepared.path}\n{total!r}\n")
        return result


def no_shared_disk_study(folder: Path, name: str, trials: int) -> Study:
    """Trials of three short epochs, four at once."""
    (manifest,) = (folder / "manifest.txt").read_text().split()
    study = two_nodes_study(folder / "shared" / name, trials=trials)
    training = replace(study.base.training, epochs=3)
    return replace(
        study,
        name=name,
        base=replace(study.base, training=training),
        prepared=Path(manifest),
        store=str(folder / "shared" / "results"),
        state=folder / "shared" / name,
        resources=Resources(concurrency=4),
        hooks={"fit": ReadingFit(seconds=0.3)},
    )


if __name__ == "__main__":
    import ray

    study = no_shared_disk_study(Path(sys.argv[3]), sys.argv[1], int(sys.argv[2]))
    ray.init(_node_ip_address=sys.argv[4], log_to_driver=False, logging_level="ERROR")
    study.run()
