"""The same computation in this process and in two real ones that work together through gloo."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

SIZE = 2
Computed = tuple[dict[str, Any], list[dict[str, Any]]]
"""What one process computed, and what each of two did."""


def alone_and_by_two(compute: Callable[[Path], dict[str, Any]], folder: Path, *imports: str) -> Computed:
    """``compute``, a function of a module, with a folder of its own for one process and for two.

    A server that has imported ``imports`` forks the two: half the time of importing them in each.
    """
    multiprocessing.set_forkserver_preload(["torch._dynamo", *imports, "branchpoint.training.loop"])
    context = mp.start_processes(_work, (compute, folder), nprocs=SIZE, join=False, start_method="forkserver")
    torch.set_num_threads(1)
    alone = compute(folder / "alone")
    while not context.join():
        pass
    return alone, [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(SIZE)]


def _work(rank: int, compute: Callable[[Path], dict[str, Any]], folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=SIZE)
    try:
        torch.save(compute(folder / "several"), folder / f"{rank}.pt")
    finally:
        dist.destroy_process_group()
