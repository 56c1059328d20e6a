"""Prepared volumes on disk: named by what they were made from, complete or absent, shared by every job.

``volumes/<key>/`` holds one patient: ``image.npy`` (float16, C D H W; pictures of 8 bits uint8), ``masks.npy`` (uint8,
T D H W) and ``record.json``. The key is a hash of settings and of the contents of the input files, so a changed input
or setting gives another folder, and two jobs can only ever write the same thing. A folder is filled under
``partial/``, synced and renamed: whoever comes second finds it there and uses it.

Half precision rounds by at most 0.25 HU and, on the 32 scans of STS, by 0.021 SUV (in the hottest voxel, 39 standard
deviations above the mean). It halves disk and page cache and is read a third faster than single precision (0.33 ms
against 0.51 ms for two channels of 96 cubed, mapping and conversion included).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from branchpoint.config import DatasetConfig
from branchpoint.datasets.cohort import MaskLabel, Patient
from branchpoint.datasets.preparation.regions import CUT_MM
from branchpoint.datasets.preparation.volumes import VERSION, PreparedPatient
from branchpoint.io.storage import sync_folder, write_atomically

STORAGE = np.float16
_STALE_SECONDS = 3600.0
"""A folder under ``partial/`` that nobody touched for an hour was left by a job that died."""
_RACY_NS = 2_000_000_000
"""A file changed this shortly before it was hashed could change again within one tick of its clock."""


def fingerprint(plain: Any) -> str:
    """32 hex digits of the canonical JSON of ``plain``."""
    canonical = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


class InputHashes:
    """Content hashes of input files, kept between jobs so that unchanged files need not be read again.

    A file counts as unchanged while its size, inode, modification and status-change times stay; any write to it
    moves the last.
    """

    def __init__(self, cache_dir: Path, root: Path) -> None:
        self._path = cache_dir / "inputs" / f"{fingerprint(str(root))}.json"
        self._known: dict[str, list[Any]] = json.loads(self._path.read_text()) if self._path.exists() else {}
        self._changed = False

    def of(self, path: Path) -> str:
        """Hash of the file's bytes.

        Raises:
            ValueError: there is no such file, or it cannot be read.
        """
        try:
            status = os.stat(path)
            stamp = [status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns]
            known = self._known.get(str(path))
            if known and known[0] == stamp and known[1] - max(stamp[2:]) > _RACY_NS:
                return known[2]
            now = time.time_ns()
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "blake2b").hexdigest()[:32]
        except OSError as problem:
            raise ValueError(f"{path}: {problem.strerror}; restore it or leave the patient out") from problem
        self._known[str(path)] = [stamp, now, digest]
        self._changed = True
        return digest

    def save(self) -> None:
        """Keep what was learned for the next job."""
        if self._changed:
            write_atomically(self._path, json.dumps(self._known))


def volume_key(
    patient: Patient, dataset: DatasetConfig, modalities: Sequence[str], targets: Sequence[str], hashes: InputHashes
) -> str:
    """Names everything that :func:`branchpoint.datasets.preparation.volumes.preprocess` makes the volume from."""
    masks = {
        name: [hashes.of(label.path), label.values]
        for name in targets
        if isinstance(label := patient.labels.get(name), MaskLabel)
    }
    boxed = patient.box is not None
    drawn = not boxed and dataset.cut_margins and dataset.name in CUT_MM
    return fingerprint(
        {
            "version": VERSION,
            "storage": np.dtype(STORAGE).str,
            "spacing_mm": dataset.spacing_mm,
            "size_voxels": dataset.size_voxels,
            "region": [patient.box.lower_mm, patient.box.upper_mm] if patient.box else dataset.name,
            "cut_margins": [dataset.seed, patient.id, CUT_MM[dataset.name]] if drawn else None,
            "images": [[name, hashes.of(patient.images[name])] for name in modalities if name in patient.images],
            "targets": list(targets),
            "masks": masks,
        }
    )


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
        """What is known of the volume besides its voxels."""
        return json.loads((self.folder(key) / "record.json").read_text())

    def add(self, key: str, prepared: PreparedPatient) -> None:
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

    def _fill(self, folder: Path, prepared: PreparedPatient) -> None:
        image = prepared.image
        arrays = {"image.npy": image if image.dtype == np.uint8 else image.astype(STORAGE)}
        if len(prepared.masks):
            arrays["masks.npy"] = prepared.masks
        for name, array in arrays.items():
            with (folder / name).open("wb") as file:
                np.save(file, array)
                _sync(file)
        sizes = {name: (folder / name).stat().st_size for name in arrays}
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


def _record(prepared: PreparedPatient) -> dict[str, Any]:
    return {
        "offset": prepared.offset.tolist(),
        "scale": prepared.scale.tolist(),
        "background": prepared.background.tolist(),
        "origin_mm": list(prepared.window.origin_mm),
        "rule": prepared.rule,
        "mask_ml": dict(prepared.mask_ml),
        "kept_ml": dict(prepared.kept_ml),
        "lost_mask": dict(prepared.lost_mask),
        "placement": asdict(prepared.placement) if prepared.placement else None,
        "present": dict(prepared.present),
    }


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())
