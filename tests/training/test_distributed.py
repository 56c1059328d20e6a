"""Two real gloo processes do what one does on the same global batches."""

import itertools
import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from global_batch import CPU, gradients, history, in_bf16, one_labelled_mask
from spheres import MemoryCohort, small_config

from branchpoint.config import Config
from branchpoint.training.distributed import Workers
from branchpoint.training.loop import fit
from branchpoint.training.run import build_run

SIZE = 2


def batchnorm_error(config: Config, cohort: MemoryCohort) -> str:
    with pytest.raises(ValueError, match="batchnorm") as caught:
        build_run(replace(config, network=replace(config.network, unit="batchnorm")), cohort, CPU)
    return str(caught.value)


def refusal_of_another_run(config: Config, cohort: MemoryCohort, folder: Path) -> str:
    """Only the first worker sees the checkpoints; all must hear of the refusal."""
    with pytest.raises(ValueError, match="belongs to run") as caught:
        fit(replace(config, seed=9), cohort, checkpoint_dir=folder, device="cpu")
    return str(caught.value)


def scenarios(folder: Path) -> dict[str, Callable[[], Any]]:
    """Name to what both one process and several compute."""
    config = small_config()
    instancenorm = replace(config, network=replace(config.network, unit="instancenorm"))
    efron = replace(config, tasks=(*config.tasks[:1], replace(config.tasks[1], ties="efron"), *config.tasks[2:]))
    return {
        "senorm": lambda: gradients(config, MemoryCohort(), (8, 5, 1)),
        "instancenorm": lambda: gradients(instancenorm, MemoryCohort(), (6,)),
        "few masks": lambda: gradients(efron, one_labelled_mask(), (4, 7)),
        "bf16": lambda: history(in_bf16(config), MemoryCohort(), folder / "bf16"),
        "run": lambda: history(config, MemoryCohort(), folder / "run"),
        "resumed": lambda: history(config, MemoryCohort(), folder / "resumed", stop_rank=SIZE - 1),
    }


def _worker(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=SIZE)
    try:
        results = {name: compute() for name, compute in scenarios(folder / "several").items()}
        results["batchnorm"] = batchnorm_error(small_config(), MemoryCohort())
        results["refusal"] = refusal_of_another_run(small_config(), MemoryCohort(), folder / "several" / "run")
        torch.save(results, folder / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What one process computed, and what each of two did."""
    folder = tmp_path_factory.mktemp("workers")
    # A server that has imported everything forks the workers: half the time of importing it in each of them.
    multiprocessing.set_forkserver_preload(["torch._dynamo", "sksurv.metrics", "branchpoint.training.loop"])
    context = mp.start_processes(_worker, (folder,), nprocs=SIZE, join=False, start_method="forkserver")
    torch.set_num_threads(1)
    alone = {name: compute() for name, compute in scenarios(folder / "alone").items()}
    while not context.join():
        pass
    return alone, [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(SIZE)]


@pytest.mark.parametrize("name", ["senorm", "instancenorm", "few masks"])
def test_gradient_of_the_global_batch(computed: tuple[dict[str, Any], list[dict[str, Any]]], name: str) -> None:
    """Also for uneven shares, for a batch smaller than the workers, and where one worker or all lack a label."""
    alone, several = computed
    for step, expected in enumerate(alone[name]):
        assert len(expected["gradient"]) == expected["parameters"], "a zero gradient where there is none"
        for worker in several:
            found = worker[name][step]
            assert found["losses"] == pytest.approx(expected["losses"], rel=1e-5)
            for parameter, gradient in expected["gradient"].items():
                torch.testing.assert_close(found["gradient"][parameter], gradient, rtol=1e-4, atol=2e-6)


def test_workers_hold_the_same_bits(computed: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    _, (first, second) = computed
    for name, weight in first["run"]["weights"].items():
        assert torch.equal(weight, second["run"]["weights"][name]), name
    assert repr(first["run"]["history"]) == repr(second["run"]["history"])


@pytest.mark.parametrize("name", ["run", "resumed"])
def test_whole_run_equals_one_process(computed: tuple[dict[str, Any], list[dict[str, Any]]], name: str) -> None:
    """Three epochs with augmentation, dropout and event-balanced batches."""
    alone, several = computed
    for worker in several:
        assert len(worker[name]["history"]) == len(alone[name]["history"]) == 3
        for found, expected in zip(worker[name]["history"], alone["run"]["history"], strict=True):
            assert found.keys() == expected.keys()
            for metric, value in expected.items():
                assert found[metric] == pytest.approx(value, rel=2e-4, abs=2e-5, nan_ok=True), metric


def test_reduced_precision_and_clipping(computed: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    """Both see the global batch; sums in another order differ by a unit in the last of bfloat16's 8 bits."""
    alone, several = computed
    assert repr(several[0]["bf16"]["history"]) == repr(several[1]["bf16"]["history"])
    assert alone["bf16"]["history"][-1] != alone["run"]["history"][-1]
    for found, expected in zip(several[0]["bf16"]["history"], alone["bf16"]["history"], strict=True):
        for metric in ("train/loss", "validation/loss"):
            assert found[metric] == pytest.approx(expected[metric], rel=2e-2), metric


def test_one_worker_stops_all_and_all_resume(computed: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    _, several = computed
    for worker in several:
        assert worker["resumed"]["stopped"]
        assert worker["resumed"]["reported"] == [2, 3], "the last one again: its report may have been lost"
        assert repr(worker["resumed"]["history"]) == repr(worker["run"]["history"])


def test_batch_norm_on_cpu_workers_is_refused(computed: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    _, several = computed
    assert "over 2 CPU workers" in several[0]["batchnorm"]


def test_every_worker_hears_of_a_refused_checkpoint(
    computed: tuple[dict[str, Any], list[dict[str, Any]]],
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
