"""Prepared volumes on disk: named by what they were made from, complete or absent, shared by every job.

``volumes/<key>/`` holds one patient: ``image.npy`` (float16, C D H W; pictures of 8 bits uint8), ``masks.npy`` (uint8,
T D H W), ``native.npz`` (the masks on their files' own grids, cropped and compressed) and ``record.json``. The key is a
hash of settings and of the contents of the input files, so a changed input or setting gives another folder, and two
jobs can only ever write the same thing. A folder is filled under ``partial/``, synced and renamed: whoever comes second
finds it there and uses it.

Half precision rounds by at most 0.25 HU and, on the 32 scans of STS, by 0.021 SUV (in the hottest voxel, 39 standard
deviations above the mean). It halves disk and page cache and is read a third faster than single precision (0.33 ms
against 0.51 ms for two channels of 96 cubed, mapping and conversion included).
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from branchpoint.config.serialization import from_plain, to_plain
from branchpoint.datasets.preparation.native import NativeMask
from branchpoint.datasets.preparation.preparation import Prepared
from branchpoint.datasets.preparation.volume_files import Grid
from branchpoint.io.storage import sync_folder

NATIVE = "native.npz"
_STALE_SECONDS = 3600.0
"""A folder under ``partial/`` that nobody touched for an hour was left by a job that died."""


class VolumeCache:
    """The volumes under ``cache_dir``."""

    def __init__(self, cache_dir: Path) -> None:
        self._volumes = cache_dir / "volumes"
        self._partial = cache_dir / "partial"

    def folder(self, key: str) -> Path:
        """Where the volume ``key`` is, or would be."""
        return self._volumes / key[:2] / key

    def holds(self, key: str) -> bool:
        """Whether the volume is there, all of it."""
        folder = self.folder(key)
        try:
            sizes = json.loads((folder / "record.json").read_text())["bytes"]
            return all((folder / name).stat().st_size == size for name, size in sizes.items())
        except (OSError, ValueError):
            return False

    def record(self, key: str) -> dict[str, Any]:
        """Everything that is known of the volume besides its voxels."""
        return json.loads((self.folder(key) / "record.json").read_text())

    def add(self, key: str, prepared: Prepared) -> None:
        """Write the volume, unless another job was faster."""
        partial = self._partial / uuid.uuid4().hex
        partial.mkdir(parents=True)
        try:
            self._fill(partial, prepared)
            self._publish(partial, key)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def copy(self, key: str, read: Callable[[str], Iterable[bytes]]) -> None:
        """Write the volume from another cache; ``read`` gives the content of one of its files, in pieces.

        Raises:
            OSError: what came is not whole.
        """
        partial = self._partial / uuid.uuid4().hex
        partial.mkdir(parents=True)
        try:
            record = b"".join(read("record.json"))
            for name, size in json.loads(record)["bytes"].items():
                with (partial / name).open("wb") as file:
                    file.writelines(read(name))
                    _sync(file)
                if (partial / name).stat().st_size != size:
                    raise OSError(f"volume {key}: {(partial / name).stat().st_size} of {size} bytes of {name} came")
            with (partial / "record.json").open("wb") as file:
                file.write(record)
                _sync(file)
            sync_folder(partial)
            self._publish(partial, key)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what jobs that died left half-written."""
        for folder in self._partial.glob("*"):
            try:
                stale = time.time() - folder.stat().st_mtime > _STALE_SECONDS
            except FileNotFoundError:
                continue  # its job finished just now
            if stale:
                shutil.rmtree(folder, ignore_errors=True)

    def _fill(self, folder: Path, prepared: Prepared) -> None:
        arrays = {"image.npy": prepared.image}
        if len(prepared.masks):
            arrays["masks.npy"] = prepared.masks
        for name, array in arrays.items():
            with (folder / name).open("wb") as file:
                np.save(file, array)
                _sync(file)
        if prepared.native:
            with (folder / NATIVE).open("wb") as file:
                np.savez_compressed(file, *(mask.classes for mask in prepared.native.values()))
                _sync(file)
        sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
        with (folder / "record.json").open("w") as text:
            json.dump({"bytes": sizes, **_record(prepared)}, text)
            _sync(text)
        sync_folder(folder)

    def _publish(self, partial: Path, key: str) -> None:
        final = self.folder(key)
        final.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(2):
            try:
                partial.rename(final)
                sync_folder(final.parent)
                return
            except OSError:
                if self.holds(key):
                    return
                if not final.exists():
                    raise
                final.rename(self._partial / uuid.uuid4().hex)  # damaged: out of the way, swept later
        raise OSError(f"{final} cannot be replaced; delete it and prepare again")


def _record(prepared: Prepared) -> dict[str, Any]:
    return {
        "offset": prepared.offset.tolist(),
        "scale": prepared.scale.tolist(),
        "background": prepared.background.tolist(),
        "placement": to_plain(prepared.placement),
        "rule": prepared.rule,
        "mask_ml": dict(prepared.mask_ml),
        "kept_ml": dict(prepared.kept_ml),
        "lost_mask": dict(prepared.lost_mask),
        "present": dict(prepared.present),
        "cuts": to_plain(prepared.cuts),
        "native": {
            name: {"start": mask.start, "shape": mask.shape, "grid": to_plain(mask.grid)}
            for name, mask in prepared.native.items()
        },
    }


def read_native(folder: Path, record: Mapping[str, Any], target: str) -> NativeMask:
    """The mask of ``target`` on its file's own grid, from the volume in ``folder`` that ``record`` describes."""
    known = record["native"]
    with np.load(folder / NATIVE) as arrays:
        classes = arrays[f"arr_{list(known).index(target)}"]
    plain = known[target]
    grid = from_plain(Grid, plain["grid"]) if plain["grid"] else None
    return NativeMask(classes, tuple(plain["start"]), tuple(plain["shape"]), grid)


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())
