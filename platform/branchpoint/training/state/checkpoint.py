"""Checkpoints of a run: one file for each epoch, on a disk or in a bucket, never half-visible, checked when read.

The name of a file carries the CRC-32 of its bytes, so a truncated or damaged file is recognised, and the one before it
is used.
"""

from __future__ import annotations

import io
import re
import warnings
import zlib
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from branchpoint.io.storage import Disk, Place, place_of

_NAME = re.compile(r"epoch-(\d{5})-([0-9a-f]{8})\.pt")


class Checkpoints:
    """The checkpoints in one folder, of one run.

    Args:
        folder: path, or place in a bucket; of one process at a time.
        run: names the run (Config and data); a checkpoint of another run is refused.
        keep: newest epochs kept; two, so that a damaged one costs one epoch.
    """

    def __init__(self, folder: Path | Place, run: str, keep: int = 2) -> None:
        self.place, self.run, self.keep = place_of(folder), run, keep
        if isinstance(self.place, Disk):
            self.place.path.mkdir(parents=True, exist_ok=True)
            for path in self.place.path.glob(".epoch-*.tmp"):
                path.unlink(missing_ok=True)  # what a killed process was writing

    def save(self, epoch: int, state: Mapping[str, Any]) -> None:
        """Write ``state`` (tensors, numbers, strings and containers of them); on return it is there."""
        buffer = io.BytesIO()
        torch.save({"run": self.run, "epoch": epoch, **state}, buffer)
        content = buffer.getbuffer()
        name = f"epoch-{epoch:05d}-{zlib.crc32(content):08x}.pt"
        self.place.write(name, content)
        self._drop_others(name, epoch)

    def newest(self) -> dict[str, Any] | None:
        """State of the newest readable checkpoint on the CPU, or ``None``; a damaged one gives a warning.

        Raises:
            ValueError: the folder holds a checkpoint of another run.
        """
        for name in reversed(_names(self.place)):
            state = _read(self.place, name)
            if state is None:
                warnings.warn(
                    f"checkpoint {self.place / name} is damaged; going on from the one before it", stacklevel=2
                )
            elif state["run"] != self.run:
                raise ValueError(
                    f"checkpoint {self.place / name} belongs to run {state['run']}, not to {self.run}: the Config or "
                    "the data changed; give another checkpoint folder or remove this one"
                )
            else:
                return state
        return None

    def _drop_others(self, written: str, epoch: int) -> None:
        """Remove old epochs, and what an earlier, damaged course left of this epoch and later ones."""
        names = _names(self.place)
        older = [name for name in names if _epoch(name) < epoch]
        superseded = [name for name in names if _epoch(name) >= epoch and name != written]
        for name in [*older[: 1 - self.keep or None], *superseded]:
            self.place.remove(name)


def newest_in(place: Place) -> str | None:
    """The newest undamaged checkpoint in ``place``, whichever run wrote it; ``None`` where there is none."""
    return next((name for name in reversed(_names(place)) if _read(place, name) is not None), None)


class BackgroundWriter:
    """Writes checkpoints beside the training: at most one is under way, and the next waits for it.

    A context: on leaving, what was begun is on disk, or the error that kept it from it is raised.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

    def save(self, epoch: int, state: Mapping[str, Any]) -> None:
        """Begin to write ``state`` as it is now; raises what went wrong with the checkpoint before."""
        self._wait()
        self._writing = self._thread.submit(self._checkpoints.save, epoch, _held(state))

    def _wait(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def __enter__(self) -> BackgroundWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown(wait=True)
        if kind is None:
            self._wait()


def _held(state: Any) -> Any:
    """``state`` with tensors copied to the CPU, which the training will not change any more."""
    if isinstance(state, torch.Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, Mapping):
        return {key: _held(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(_held(value) for value in state)
    return state


def _names(place: Place) -> list[str]:
    """Checkpoints, the newest last."""
    return sorted(name for name in place.names() if _NAME.fullmatch(name))


def _epoch(name: str) -> int:
    return int(name.split("-")[1])


def _read(place: Place, name: str) -> dict[str, Any] | None:
    content = place.read(name)
    if name[-len("00000000.pt") : -len(".pt")] != f"{zlib.crc32(content):08x}":
        return None
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
