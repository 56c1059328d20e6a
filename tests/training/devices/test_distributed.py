"""Two real gloo processes do what one does on the same global batches."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from branchpoint.config import Config
from branchpoint.training.devices.distributed import Workers
from branchpoint.training.loop import fit
from branchpoint.training.run import build_run
from tests.training.global_batch import CPU, gradients, history, in_bf16, one_labelled_mask
from tests.training.spheres import MemoryCohort, small_config
from tests.training.two_processes import SIZE, Computed, alone_and_by_two


def batchnorm_error(config: Config, cohort: MemoryCohort) -> str:
    with pytest.raises(ValueError, match="batchnorm") as caught:
        build_run(replace(config, network=replace(config.network, unit="batchnorm")), cohort, CPU)
    return str(caught.value)


def refusal_of_another_run(config: Config, cohort: MemoryCohort, folder: Path) -> str:
    """Only the first worker sees the checkpoints; all must hear of the refusal."""
    with pytest.raises(ValueError, match="belongs to run") as caught:
        fit(replace(config, seed=9), cohort, checkpoint_dir=folder, device="cpu")
    return str(caught.value)


def results(folder: Path) -> dict[str, Any]:
    """What both one process and several compute, and what only several can."""
    config = small_config()
    instancenorm = replace(config, network=replace(config.network, unit="instancenorm"))
    efron = replace(config, tasks=(*config.tasks[:1], replace(config.tasks[1], ties="efron"), *config.tasks[2:]))  # type: ignore[call-arg]
    averaged = replace(config, training=replace(config.training, select_by="average"))
    found: dict[str, Any] = {
        "senorm": gradients(config, MemoryCohort(), (8, 5, 1)),
        "instancenorm": gradients(instancenorm, MemoryCohort(), (6,)),
        "few masks": gradients(efron, one_labelled_mask(), (4, 7)),
        "bf16": history(in_bf16(config), MemoryCohort(), folder / "bf16"),
        "averaged": history(averaged, MemoryCohort(), folder / "averaged"),
        "run": history(config, MemoryCohort(), folder / "run"),
        "resumed": history(config, MemoryCohort(), folder / "resumed", stop_rank=SIZE - 1),
    }
    if dist.is_initialized():
        found["batchnorm"] = batchnorm_error(config, MemoryCohort())
        found["refusal"] = refusal_of_another_run(config, MemoryCohort(), folder / "run")
    return found


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Computed:
    return alone_and_by_two(results, tmp_path_factory.mktemp("workers"), "sksurv.metrics")


@pytest.mark.parametrize("name", ["senorm", "instancenorm", "few masks"])
def test_gradient_of_the_global_batch(computed: Computed, name: str) -> None:
    """Also for uneven shares, for a batch smaller than the workers, and where one worker or all lack a label."""
    alone, several = computed
    for step, expected in enumerate(alone[name]):
        assert len(expected["gradient"]) == expected["parameters"], "a zero gradient where there is none"
        for worker in several:
            found = worker[name][step]
            assert found["losses"] == pytest.approx(expected["losses"], rel=1e-5)
            for parameter, gradient in expected["gradient"].items():
                torch.testing.assert_close(found["gradient"][parameter], gradient, rtol=1e-4, atol=2e-6)


def test_workers_hold_the_same_bits(computed: Computed) -> None:
    _, (first, second) = computed
    for name, weight in first["run"]["weights"].items():
        assert torch.equal(weight, second["run"]["weights"][name]), name
    assert repr(first["run"]["history"]) == repr(second["run"]["history"])


@pytest.mark.parametrize("name", ["run", "resumed", "averaged"])
def test_whole_run_equals_one_process(computed: Computed, name: str) -> None:
    """Three epochs with augmentation, dropout and event-balanced batches."""
    alone, several = computed
    unbroken = alone["averaged" if name == "averaged" else "run"]
    for worker in several:
        assert len(worker[name]["history"]) == len(alone[name]["history"]) == 3
        for found, expected in zip(worker[name]["history"], unbroken["history"], strict=True):
            assert found.keys() == expected.keys()
            for metric, value in expected.items():
                assert found[metric] == pytest.approx(value, rel=2e-4, abs=2e-5, nan_ok=True), metric


def test_reduced_precision_and_clipping(computed: Computed) -> None:
    """Both see the global batch; sums in another order differ by a unit in the last of bfloat16's 8 bits."""
    alone, several = computed
    assert repr(several[0]["bf16"]["history"]) == repr(several[1]["bf16"]["history"])
    assert alone["bf16"]["history"][-1] != alone["run"]["history"][-1]
    for found, expected in zip(several[0]["bf16"]["history"], alone["bf16"]["history"], strict=True):
        for metric in ("train/loss", "validation/loss"):
            assert found[metric] == pytest.approx(expected[metric], rel=2e-2), metric


def test_one_worker_stops_all_and_all_resume(computed: Computed) -> None:
    _, several = computed
    for worker in several:
        assert worker["resumed"]["stopped"]
        assert worker["resumed"]["reported"] == [2, 3], "the last one again: its report may have been lost"
        assert repr(worker["resumed"]["history"]) == repr(worker["run"]["history"])


def test_batch_norm_on_cpu_workers_is_refused(computed: Computed) -> None:
    _, several = computed
    assert "over 2 CPU workers" in several[0]["batchnorm"]


def test_every_worker_hears_of_a_refused_checkpoint(
    computed: Computed,
) -> None:
    _, (first, second) = computed
    assert first["refusal"] == second["refusal"]


def test_parts_are_contiguous_and_even() -> None:
    workers = Workers()
    for size in (1, 2, 3, 7):
        workers.size = size
        for count in range(20):
            parts = [list(range(count))[workers.part(count, rank)] for rank in range(size)]
            assert list(itertools.chain(*parts)) == list(range(count))
            assert max(map(len, parts)) - min(map(len, parts)) <= 1
    workers.size, workers.rank = 3, 0
    assert workers.rows(2) == slice(0, 1), "never an empty batch"


def test_alone_without_a_process_group() -> None:
    workers = Workers()
    assert (workers.rank, workers.size, workers.together) == (0, 1, False)
    assert workers.gather_objects({"a": 1}) == [{"a": 1}]
