"""What a prepared picture is named by in the cache."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from branchpoint.config import DatasetConfig
from branchpoint.datasets.cache.store import InputHashes, fingerprint
from branchpoint.datasets.cohort import MaskLabel, Patient
from branchpoint.datasets.preparation.images_2d import VERSION


def picture_key(
    patient: Patient,
    dataset: DatasetConfig,
    modalities: Sequence[str],
    channels: Mapping[str, int],
    targets: Sequence[str],
    hashes: InputHashes,
) -> str:
    """Names everything that :func:`branchpoint.datasets.preparation.images_2d.preprocess_picture` works from."""
    masks = {name: _mask(label, hashes) for name in targets if isinstance(label := patient.labels.get(name), MaskLabel)}
    images = [
        [name, channels.get(name, 1), *_contents(patient.images[name], hashes)]
        for name in modalities
        if name in patient.images
    ]
    return fingerprint(
        {
            "picture_version": VERSION,
            "size": dataset.size_voxels,
            "spacing": dataset.spacing_mm,
            "keep_aspect": dataset.keep_aspect,
            "intensities": dataset.intensities,
            "slice": patient.slice,
            "crop": astuple(patient.crop) if patient.crop else None,
            "images": images,
            "targets": list(targets),
            "masks": masks,
        }
    )


def _mask(label: MaskLabel, hashes: InputHashes) -> list[Any]:
    layers = [[*_contents(layer.path, hashes), layer.codes, layer.through] for layer in label.files]
    return [layers, label.outside]


def _contents(path: Path, hashes: InputHashes) -> list[str]:
    """Hashes of the file, and of the one that holds the voxels of a MetaImage header."""
    return [hashes.of(part) for part in (path, data_file(path)) if part]


def data_file(path: Path) -> Path | None:
    """The file that a ``.mhd`` header names as its voxels, if ``path`` is such a header and names one."""
    if path.suffix.lower() != ".mhd" or not path.is_file():
        return None
    named = re.search(r"^ElementDataFile\s*=\s*(\S.*?)\s*$", path.read_text(encoding="latin-1")[:10_000], re.MULTILINE)
    return path.with_name(named[1]) if named and named[1] not in ("LOCAL", "LIST") else None
