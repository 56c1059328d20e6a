"""Samples per second of one device in each precision, memory layout and way of running; a part of ``scaling.py``."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from training_loop import NoiseCohort, config_of

from branchpoint import networks
from branchpoint.datasets.batch import Batch
from branchpoint.tasks import build_task
from branchpoint.training.devices.memory import peak_memory_bytes, reset_peak_memory


@contextmanager
def compiled_or_not(network: torch.nn.Module, wanted: bool) -> Iterator[Callable[..., Any]]:
    yield torch.compile(network) if wanted else network
    torch._dynamo.reset()


@dataclass(frozen=True)
class Kernels:
    """How the kernels of one device are chosen. ``fp32`` convolves in TensorFloat-32 on a GPU unless ``ieee``."""

    precision: Literal["fp32", "bf16"]
    layout: torch.memory_format
    compiled: bool = False
    ieee: bool = False


def device_rate(options: argparse.Namespace, device: torch.device, kernels: Kernels) -> tuple[float, int]:
    """Samples per second of forward, backward and step on one batch that lies on the device, and peak memory."""
    config = config_of(options)
    torch.backends.cudnn.allow_tf32 = not kernels.ieee
    reset_peak_memory(device)
    cohort = NoiseCohort(options.batch, options.size)
    batch: Batch = cohort.batch(range(options.batch)).to(device)
    network = networks.build(config).to(device).to(memory_format=kernels.layout).train()
    tasks = [build_task(task) for task in config.tasks]
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    image = batch.inputs["image"].contiguous(memory_format=kernels.layout)
    best = float("inf")
    with compiled_or_not(network, kernels.compiled) as forward:
        for number in range(options.rounds + 3):
            started = time.perf_counter()
            with torch.autocast(device.type, torch.bfloat16, enabled=kernels.precision == "bf16"):
                outputs = forward({**batch.inputs, "image": image})
            losses = [task.loss(outputs[task.name].float(), *task.target(batch)) for task in tasks]
            optimizer.zero_grad()
            torch.stack(losses).sum().backward()
            optimizer.step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - started if number > 2 else best)
    return options.batch / best, peak_memory_bytes(device)


def on_device(options: argparse.Namespace) -> None:
    """Samples per second of one device in each precision, layout and way of running."""
    device = torch.device(options.device)
    gpu = device.type == "cuda"
    if gpu and not torch.cuda.is_available():
        raise SystemExit("--part device: no CUDA here; run it where a GPU is, or see its table with --device cpu")
    name = torch.cuda.get_device_name(device) if gpu else "CPU"
    print(f"\n{name}, {options.size} cubed, width {options.width}, batch {options.batch}, torch {torch.__version__}")
    print(f"{'precision':>10} {'layout':>14} {'compiled':>9} {'samples/s':>10} {'ratio':>6} {'peak GB':>8}")
    torch.backends.cudnn.benchmark = True
    first = 0.0
    for kernels in _all_kernels(options, gpu):
        rate, memory = device_rate(options, device, kernels)
        first = first or rate
        named = "tf32" if gpu and kernels.precision == "fp32" and not kernels.ieee else kernels.precision
        layout = str(kernels.layout).removeprefix("torch.").removesuffix("_format")
        print(
            f"{named:>10} {layout:>14} {'yes' if kernels.compiled else 'no':>9} {rate:10.2f} {rate / first:6.2f} "
            f"{memory / 1e9:8.2f}",
            flush=True,
        )


def _all_kernels(options: argparse.Namespace, gpu: bool) -> list[Kernels]:
    """IEEE arithmetic comes first and is not compiled: nobody trains so on a GPU."""
    layouts = (torch.contiguous_format, torch.channels_last_3d)
    ieee = [Kernels("fp32", layout, ieee=True) for layout in layouts] if gpu else []
    return ieee + [
        Kernels(precision, layout, compiled)
        for precision in ("fp32", "bf16")
        for layout in layouts
        for compiled in ((False, True) if options.compile else (False,))
    ]
