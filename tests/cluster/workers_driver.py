"""A driver of one run by two workers on a cluster: python workers_driver.py FOLDER STORE ADDRESS_OF_ITS_NODE."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from branchpoint.config import Config
from branchpoint.execution.attempt import execute
from branchpoint.execution.resources import Resources
from branchpoint.execution.run_spec import RunSpec, Setup
from branchpoint.on_ray.session import session
from branchpoint.on_ray.train_workers import with_workers
from branchpoint.training.loop import EpochReport, FitResult, fit
from tests.on_ray.workers_toys import open_spheres, spheres_config

STUDY, EPOCHS = "two", 6
CONFIG = spheres_config(EPOCHS)


@dataclass(frozen=True)
class SlowFit:
    """The training loop; each rank notes its node's address and each epoch, and takes a second for it."""

    folder: Path

    def __call__(self, config: Config, prepared: Any, *, report: Any, **rest: Any) -> FitResult:
        import os
        import time

        import ray

        address, rank = ray.util.get_node_ip_address(), os.environ["RANK"]

        def note(entry: EpochReport) -> bool:
            with (self.folder / f"rank{rank}.txt").open("a") as file:
                file.write(f"{entry.epoch} {address}\n")
            time.sleep(1)
            return bool(report(entry))

        return fit(config, prepared, report=note, device="cpu", **rest)


def main(folder: Path, store: str, address: str) -> None:
    import ray

    ray.init(_node_ip_address=address, log_to_driver=False, logging_level="ERROR")
    setup = Setup(
        study=STUDY,
        store=store,
        folder=folder / "state",
        prepared=folder,
        open_cohort=open_spheres,
        fit=SlowFit(folder),
    )
    with session("auto"):
        outcome = execute(RunSpec("0000", CONFIG), with_workers(setup, Resources(workers=2)), lambda *_: None)
    print(outcome.state, outcome.reason)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
