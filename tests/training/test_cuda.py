"""The training loop on a GPU gives what the CPU gives, alone and by two workers that share it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from branchpoint import networks
from branchpoint.config import Config, DatasetConfig, NetworkConfig, TrainingConfig, balancing_config
from branchpoint.config.balancing import GRADIENT_METHODS, LOSS_METHODS
from branchpoint.training.errors import TrainingOutOfMemory
from branchpoint.training.loop import fit
from tests.training.global_batch import CPU, gradients, history, in_bf16
from tests.training.spheres import MemoryCohort, small_config
from tests.training.two_processes import Computed, alone_and_by_two

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")

GPU = torch.device("cuda", 0)
OURS = (
    "radiomics_unet",
    "senorm_unet",
    "unet",
    "transformer_unet",
    "resformer_sequential",
    "resformer_parallel",
    "u2net",
    "u2net_small",
)


@pytest.fixture(autouse=True)
def _full_precision() -> Iterator[None]:
    """TensorFloat-32, which cuDNN takes for fp32 by default, keeps 10 bits: too few to compare with."""
    _without_tf32()
    yield
    torch.backends.cudnn.allow_tf32 = True


def _without_tf32() -> None:
    torch.backends.cudnn.allow_tf32 = False
    torch.set_num_threads(1)


def undropped(**network: Any) -> Config:
    """Dropout draws on the device: without it CPU and GPU do the same."""
    config = small_config()
    return replace(config, network=replace(config.network, dropout=0.0, **network))


@pytest.mark.parametrize("unit", ["senorm", "instancenorm", "batchnorm"])
def test_a_run_gives_what_the_cpu_gives(tmp_path: Path, unit: str) -> None:
    config = undropped(unit=unit)
    here, there = (history(config, MemoryCohort(), tmp_path / device.type, device=device) for device in (GPU, CPU))
    for found, expected in zip(here["history"], there["history"], strict=True):
        for metric, value in expected.items():
            assert found[metric] == pytest.approx(value, rel=1e-2, abs=1e-3, nan_ok=True), metric


def test_bfloat16_stays_near_and_differs(tmp_path: Path) -> None:
    found = history(in_bf16(undropped()), MemoryCohort(), tmp_path / "gpu", device=GPU)["history"][-1]
    expected = history(in_bf16(undropped()), MemoryCohort(), tmp_path / "cpu")["history"][-1]
    assert found["train/loss"] == pytest.approx(expected["train/loss"], rel=3e-2)
    assert found != expected


def test_a_run_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    whole = history(small_config(), MemoryCohort(), tmp_path / "whole", device=GPU)
    resumed = history(small_config(), MemoryCohort(), tmp_path / "resumed", stop_rank=0, device=GPU)
    assert resumed["stopped"]
    assert resumed["reported"] == [2, 3]
    for metric, value in whole["history"][-1].items():
        assert resumed["history"][-1][metric] == pytest.approx(value, rel=1e-2, abs=1e-3, nan_ok=True), metric


def test_cost_is_that_of_the_gpu() -> None:
    cost = fit(small_config(), MemoryCohort()).cost
    assert cost.gpu_seconds > 0
    assert 0 < cost.peak_memory_bytes < 10**9, "not the memory of the process"


def test_out_of_memory_names_the_batch_and_half_of_it_gives_the_same() -> None:
    """The allocator's own refusal: the GPU is made smaller than what the run took."""
    config = undropped(width=16)
    config = replace(
        config,
        tasks=config.tasks[:1],
        dataset=DatasetConfig(size_voxels=(48, 48, 48), spacing_mm=4.0),
        training=TrainingConfig(epochs=1, batch_size=12, event_fraction=None),
    )
    whole = fit(config, MemoryCohort(size=48))
    torch.cuda.empty_cache()
    enough = 0.75 * whole.cost.peak_memory_bytes
    torch.cuda.set_per_process_memory_fraction(enough / torch.cuda.get_device_properties(GPU).total_memory)
    try:
        assert _refused_shape(config) == (12, 2, 48, 48, 48)
        smaller = replace(config, training=replace(config.training, micro_batch=6))
        gc.collect()
        torch.cuda.empty_cache()
        halves = fit(smaller, MemoryCohort(size=48))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
    assert halves.metrics["train/loss"] == pytest.approx(whole.metrics["train/loss"], rel=1e-4)


def _refused_shape(config: Config) -> tuple[int, ...]:
    """Of the batch that does not fit; the error goes, and with it its frames, which hold the batch's features."""
    with pytest.raises(TrainingOutOfMemory, match="12 x 2 x 48 x 48 x 48 in fp32 does not fit") as caught:
        fit(config, MemoryCohort(size=48))
    return caught.value.shape


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("encoder", OURS)
def test_every_encoder_gives_the_cpu_s_logits(encoder: str, dimensions: int) -> None:
    depth = 6 if encoder.startswith("u2net") else 3
    config = replace(
        small_config(),
        dataset=DatasetConfig(size_voxels=(32,) * dimensions),
        network=NetworkConfig(encoder=encoder, width=4, depth=depth, window=4, hidden_features=4, dropout=0.0),
    )
    network = networks.build(config).eval()
    image = torch.randn(2, 2, *config.dataset.size_voxels)
    with torch.no_grad():
        expected = network({"image": image})
        found = network.to(GPU)({"image": image.to(GPU)})
    for task, logits in expected.items():
        torch.testing.assert_close(found[task].cpu(), logits, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", [*LOSS_METHODS, *GRADIENT_METHODS])
def test_every_balancer_trains(tmp_path: Path, method: str) -> None:
    if method in GRADIENT_METHODS:
        pytest.importorskip("torchjd", reason="the extra 'balancing' is not installed")
        pytest.importorskip("cvxpy", reason="the extra 'balancing' is not installed")
    config = replace(undropped(), balancing=balancing_config(method))
    here, there = (history(config, MemoryCohort(), tmp_path / device.type, device=device) for device in (GPU, CPU))
    assert here["history"][0]["train/loss"] == pytest.approx(there["history"][0]["train/loss"], rel=1e-2)
    assert here["history"][-1]["train/loss"] == pytest.approx(there["history"][-1]["train/loss"], rel=5e-2)


def results(folder: Path) -> dict[str, Any]:
    _without_tf32()
    config = small_config()
    batchnorm = replace(config, network=replace(config.network, unit="batchnorm"))
    return {
        "senorm": gradients(config, MemoryCohort(), (8, 5, 1), GPU),
        "batchnorm": gradients(batchnorm, MemoryCohort(), (8, 6), GPU),
        "run": history(config, MemoryCohort(), folder / "run", device=GPU),
    }


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Computed:
    return alone_and_by_two(results, tmp_path_factory.mktemp("workers"))


@pytest.mark.parametrize("unit", ["senorm", "batchnorm"])
def test_two_workers_on_one_gpu_give_the_gradient_of_one(computed: Computed, unit: str) -> None:
    """Batch norm becomes SyncBatchNorm."""
    alone, several = computed
    for step, expected in enumerate(alone[unit]):
        for worker in several:
            found = worker[unit][step]
            assert found["losses"] == pytest.approx(expected["losses"], rel=1e-4)
            assert found["gradient"].keys() == expected["gradient"].keys()
            for parameter, gradient in expected["gradient"].items():
                torch.testing.assert_close(found["gradient"][parameter], gradient, rtol=1e-3, atol=2e-5)


def test_two_workers_on_one_gpu_give_the_run_of_one(
    computed: Computed,
) -> None:
    alone, (first, second) = computed
    assert repr(first["run"]["history"]) == repr(second["run"]["history"])
    for metric, value in alone["run"]["history"][-1].items():
        assert first["run"]["history"][-1][metric] == pytest.approx(value, rel=1e-2, abs=1e-3, nan_ok=True), metric
