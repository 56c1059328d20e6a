"""Checkpoints of a run: one file for each epoch, never half-visible, checked when read.

A file is written beside its place, synced and renamed. Its name carries the CRC-32 of its bytes, so a truncated or
damaged file is recognised, and the one before it is used.
"""

from __future__ import annotations

import io
import os
import re
import tempfile
import warnings
import zlib
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

_NAME = re.compile(r"epoch-(\d{5})-([0-9a-f]{8})\.pt")


class Checkpoints:
    """The checkpoints in one folder, of one run.

    Args:
        folder: made where it is missing; of one process at a time.
        run: names the run (Config and data); a checkpoint of another run is refused.
        keep: newest epochs kept; two, so that a damaged one costs one epoch.
    """

    def __init__(self, folder: Path, run: str, keep: int = 2) -> None:
        self.folder, self.run, self.keep = folder, run, keep
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob(".epoch-*.tmp"):
            path.unlink(missing_ok=True)  # what a killed process was writing

    def save(self, epoch: int, state: Mapping[str, Any]) -> Path:
        """Write ``state`` (tensors, numbers, strings and containers of them); on return it is on disk."""
        buffer = io.BytesIO()
        torch.save({"run": self.run, "epoch": epoch, **state}, buffer)
        content = buffer.getbuffer()
        path = self.folder / f"epoch-{epoch:05d}-{zlib.crc32(content):08x}.pt"
        write_atomically(path, content)
        self._drop_others(path, epoch)
        return path

    def newest(self) -> dict[str, Any] | None:
        """State of the newest readable checkpoint on the CPU, or ``None``; a damaged one gives a warning.

        Raises:
            ValueError: the folder holds a checkpoint of another run.
        """
        for _, path in sorted(self._files(), reverse=True):
            state = _read(path)
            if state is None:
                warnings.warn(f"checkpoint {path} is damaged; going on from the one before it", stacklevel=2)
            elif state["run"] != self.run:
                raise ValueError(
                    f"checkpoint {path} belongs to run {state['run']}, not to {self.run}: the Config or the data "
                    "changed; give another checkpoint folder or remove this one"
                )
            else:
                return state
        return None

    def _files(self) -> list[tuple[int, Path]]:
        matches = ((_NAME.fullmatch(path.name), path) for path in self.folder.iterdir())
        return [(int(match[1]), path) for match, path in matches if match]

    def _drop_others(self, written: Path, epoch: int) -> None:
        """Remove old epochs, and what an earlier, damaged course left of this epoch and later ones."""
        files = sorted(self._files(), reverse=True)
        older = [path for number, path in files if number < epoch]
        superseded = [path for number, path in files if number >= epoch and path != written]
        for path in [*older[self.keep - 1 :], *superseded]:
            path.unlink(missing_ok=True)


def newest_in(folder: Path) -> Path | None:
    """The newest undamaged checkpoint in ``folder``, whichever run wrote it; ``None`` where there is none."""
    found = sorted(path for path in folder.glob("epoch-*.pt") if _NAME.fullmatch(path.name))
    return next((path for path in reversed(found) if _read(path) is not None), None)


class BackgroundWriter:
    """Writes checkpoints beside the training: at most one is under way, and the next waits for it.

    A context: on leaving, what was begun is on disk, or the error that kept it from it is raised.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[Path] | None = None

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


def _read(path: Path) -> dict[str, Any] | None:
    content = path.read_bytes()
    match = _NAME.fullmatch(path.name)
    if not match or f"{zlib.crc32(content):08x}" != match[2]:
        return None
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Write ``path`` so that, whatever dies when, it holds either all of ``content`` or what it held before."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
