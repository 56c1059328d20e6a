"""A run that does not fit into memory: recorded with the size that failed, and tried once more in smaller parts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from branchpoint.config import ClassificationConfig, Config
from branchpoint.execution.attempt import execute
from branchpoint.execution.run_spec import RunSpec, Setup
from branchpoint.store import Store
from branchpoint.training.errors import memory_errors_named
from tests.search.search_toys import ToyFit, epochs_run, toy_value


@dataclass
class SmallDevice(ToyFit):
    """A device that runs out of memory from the second epoch on where more than ``most`` samples pass at once."""

    most: int = 4

    def __call__(self, config: Config, prepared: Any, **rest: Any) -> Any:
        size = min(config.training.micro_batch or 10, config.training.batch_size)
        report = rest.pop("report")

        def allocate(entry: Any) -> bool:
            if entry.epoch >= 2 and size > self.most:
                raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size}.00 GiB.")
            return bool(report(entry))

        with memory_errors_named((size, 2, 16, 16, 16), config.training.precision, torch.device("cpu")):
            return super().__call__(config, prepared, report=allocate, **rest)


@pytest.fixture
def sums(base: Config) -> Config:
    """A Config whose losses are means over samples."""
    return replace(base, tasks=(base.tasks[0], ClassificationConfig(name="stage", target="stage")))


def run(tmp_path: Path, config: Config, most: int) -> tuple[Any, list[dict[str, Any]]]:
    setup = Setup(
        study="toy",
        store=str(tmp_path / "results"),
        folder=tmp_path / "state",
        prepared=tmp_path,
        fit=SmallDevice(most=most),
        open_cohort=str,
    )
    outcome = execute(RunSpec("0000", config), setup, lambda *_: None)
    rows = Store(setup.store).trials("toy", attempts="all").to_pylist(maps_as_pydicts="strict")
    return outcome, sorted(rows, key=lambda row: row["attempt"])


def test_once_more_in_halves_from_the_checkpoint(tmp_path: Path, sums: Config) -> None:
    outcome, (failed, complete) = run(tmp_path, sums, most=5)
    assert (outcome.state, outcome.value) == ("COMPLETE", toy_value(sums))
    assert failed["state"] == "FAILED"
    assert "a batch of 10 x 2 x 16 x 16 x 16 in fp32 does not fit" in failed["reason"]
    assert "Tried to allocate 10.00 GiB" in failed["reason"]
    assert failed["reason"].endswith("; tried again with training.micro_batch 5")
    assert (complete["state"], complete["attempt"]) == ("COMPLETE", 2)
    assert complete["fingerprint"] == failed["fingerprint"] == sums.fingerprint
    assert Config.from_json(complete["config"]).training.micro_batch == 5
    assert epochs_run(tmp_path / "state", "0000") == [1, 2, 3, 4, 5, 6], "nothing is trained twice"
    assert not (tmp_path / "state/runs/0000/checkpoints").exists()


def test_only_once(tmp_path: Path, sums: Config) -> None:
    outcome, (_, failed) = run(tmp_path, sums, most=2)
    assert outcome.state == failed["state"] == "FAILED"
    assert "a batch of 5 x 2" in outcome.reason
    assert "tried again" not in outcome.reason


def test_not_where_parts_would_give_another_result(tmp_path: Path, base: Config) -> None:
    outcome, (failed,) = run(tmp_path, base, most=5)
    assert (outcome.state, outcome.reason) == ("FAILED", failed["reason"])
    assert "a batch of 10 x 2" in outcome.reason, "Cox compares the samples of a batch"


def test_a_single_sample_cannot_be_halved(tmp_path: Path, sums: Config) -> None:
    single = replace(sums, training=replace(sums.training, batch_size=1))
    outcome, rows = run(tmp_path, single, most=0)
    assert outcome.state == "FAILED"
    assert len(rows) == 1
