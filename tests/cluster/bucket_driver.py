"""A driver of a search that keeps all in a bucket: python bucket_driver.py STORE FOLDER ADDRESS_OF_ITS_NODE."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from branchpoint.execution.resources import Resources
from branchpoint.search.study import Study
from tests.search.search_toys import toy_space
from tests.training.flat_cohort import DISC, LARGE, FlatCohort, flat_config

STUDY, EPOCHS, TRIALS = "bucket", 12, 2


def slow_fit(config: Any, prepared: Any, *, report: Callable[[Any], bool], **options: Any) -> Any:
    """The training loop, a second longer in each epoch."""
    from branchpoint.training.loop import fit

    def slow(entry: Any) -> bool:
        go_on = report(entry)
        time.sleep(1.0)
        return go_on

    return fit(config, prepared, report=slow, **{**options, "checkpoint_seconds": 0.0})


def open_flat(path: Path) -> FlatCohort:
    return FlatCohort()


def bucket_study(store: str, folder: Path) -> Study:
    """Two networks at once, whose state is on no disk that two nodes see."""
    points = [{"width": width, "depth": 2} for width in (4, 5)]
    base = flat_config(DISC, LARGE, epochs=EPOCHS)
    return Study(
        name=STUDY,
        base=replace(base, network=replace(base.network, width=4)),
        space=toy_space,
        points=points,
        trials=TRIALS,
        halving=None,
        resources=Resources(concurrency=2),
        prepared=folder,
        store=store,
        state=folder / "state",
        hooks={"fit": slow_fit, "open_cohort": open_flat},
    )


if __name__ == "__main__":
    import ray

    study = bucket_study(sys.argv[1], Path(sys.argv[2]))
    ray.init(_node_ip_address=sys.argv[3], log_to_driver=False, logging_level="ERROR")
    study.run()
