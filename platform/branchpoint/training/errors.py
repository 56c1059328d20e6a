"""What ends a training run, said so that a trial can be marked FAILED with the reason."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class TrainingDiverged(RuntimeError):  # noqa: N818 - says what happened
    """A loss or gradient is no longer finite.

    Attributes:
        epoch: from 1.
        step: from 1 within the epoch; ``None`` in validation.
        task: task whose loss it is, or ``"gradient"``.
        value: what it is instead of a finite number.
        patients: identifiers of the samples in the global batch.
    """

    def __init__(self, epoch: int, step: int | None, task: str, value: float, patients: Sequence[str]) -> None:
        self.epoch, self.step, self.task, self.value, self.patients = epoch, step, task, value, tuple(patients)
        place = "validation" if step is None else f"step {step}"
        what = "the gradient's norm" if task == "gradient" else f"the loss of task {task!r}"
        super().__init__(
            f"training diverged: {what} is {value} in epoch {epoch}, {place} (patients {', '.join(self.patients)}); "
            "lower optimizer.learning_rate, set optimizer.clip_norm, or check these patients' data"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles, to reach the driver from another machine."""
        return type(self), (self.epoch, self.step, self.task, self.value, self.patients)


class FiniteCheck:
    """Raises :class:`TrainingDiverged` where a loss or the gradient is not finite.

    It looks one step late: a check at once would stall a GPU.

    Args:
        epoch: from 1.
        patient_ids: of all samples of the cohort.
    """

    def __init__(self, epoch: int, patient_ids: Sequence[str]) -> None:
        self._epoch, self._patient_ids = epoch, patient_ids
        self._last: tuple[int, Sequence[int], list[str], Tensor] | None = None

    def watch(self, step: int, indices: Sequence[int], losses: Mapping[str, Tensor], norm: Tensor) -> None:
        """Check the step before, and keep this one's losses and norm of the gradient for the next call."""
        values = torch.stack([*losses.values(), norm])
        self.check()
        self._last = step, indices, [*losses, "gradient"], values

    def check(self) -> None:
        """Check the last step that was given to :meth:`watch`."""
        if self._last is None:
            return
        step, indices, names, values = self._last
        for name, value in zip(names, values.tolist(), strict=True):
            if not math.isfinite(value):
                patients = [self._patient_ids[index] for index in indices]
                raise TrainingDiverged(self._epoch, step, name, value, patients)


class TrainingOutOfMemory(RuntimeError):  # noqa: N818
    """A batch did not fit.

    Attributes:
        shape: (B, C, [D,] H, W) of one worker's batch.
        precision: of the forward pass.
        device: where.
        reason: in the words of the allocator.
    """

    def __init__(self, shape: Sequence[int], precision: str, device: torch.device, reason: str) -> None:
        self.shape, self.precision, self.device, self.reason = tuple(shape), precision, device, reason
        super().__init__(
            f"out of memory on {device}: a batch of {' x '.join(map(str, self.shape))} in {precision} does not fit; "
            f"lower training.batch_size, network.width or dataset.size_voxels ({reason})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles, to reach the driver from another machine."""
        return type(self), (self.shape, self.precision, self.device, self.reason)


class WorkerLost(RuntimeError):  # noqa: N818
    """Another worker of this training is gone, or cannot be reached: what it knew is in the last checkpoint."""


@contextmanager
def losses_of_workers_named() -> Iterator[None]:
    """Turn what a collective operation raises when another worker is gone into :class:`WorkerLost`."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # gloo and NCCL have no narrower class in common
        raise WorkerLost(f"another worker of this training is gone: {_first_line(error)}") from error


@contextmanager
def memory_errors_named(shape: Sequence[int], precision: str, device: torch.device) -> Iterator[None]:
    """Turn any out-of-memory error inside into :class:`TrainingOutOfMemory`."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise TrainingOutOfMemory(shape, precision, device, _first_line(error)) from error
    except RuntimeError as error:
        if "DefaultCPUAllocator" not in str(error):  # the CPU allocator has no error class of its own
            raise
        raise TrainingOutOfMemory(shape, precision, device, _first_line(error)) from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
