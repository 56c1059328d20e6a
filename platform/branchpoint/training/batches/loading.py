"""Batches loaded by a thread of their own while the network works on the one before."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from branchpoint.datasets.batch import Batch


def prefetch(
    load: Callable[[np.ndarray], Batch], batches: Sequence[np.ndarray], device: torch.device
) -> Generator[Batch, None, None]:
    """``load(indices)`` on ``device`` for each of ``batches``, in order, one loaded ahead."""

    def fetch(indices: np.ndarray) -> Batch:
        batch = load(indices)
        return _pin(batch) if device.type == "cuda" else batch

    with ThreadPoolExecutor(1, thread_name_prefix="load") as thread:
        ahead = thread.submit(fetch, batches[0]) if batches else None
        for following in [*batches[1:], None]:
            if ahead is None:
                return
            batch = ahead.result()
            ahead = thread.submit(fetch, following) if following is not None else None
            yield batch.to(device)


def _pin(batch: Batch) -> Batch:
    """Page-locked copies, so that the transfer to the device runs beside the computation."""

    def pin(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor.pin_memory() for name, tensor in tensors.items()}

    return replace(
        batch,
        inputs=pin(batch.inputs),
        targets=pin(batch.targets),
        labelled=pin(batch.labelled),
        index=batch.index.pin_memory(),
    )
