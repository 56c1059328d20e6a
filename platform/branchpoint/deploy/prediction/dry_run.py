"""``--dry-run``: what would be predicted from which files and series, and the memory it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.dicom.study import open_study
from branchpoint.deploy.errors import CaseError
from branchpoint.deploy.prediction.cases import Case
from branchpoint.deploy.prediction.settings import Settings


def explain(bundle: Bundle, cases: Sequence[Case], settings: Settings) -> Iterator[str]:
    """Lines on each case, the series that would be taken, and memory; no pixel is read."""
    for case in cases:
        yield from _files(case, bundle, settings)
    networks = bundle.chosen(settings.folds)
    size = sum(len(bundle.files.read(f"{name}/weights.safetensors")) for name in networks)
    window = bundle.preparation.size_voxels
    yield (
        f"{len(cases)} case{'s' * (len(cases) != 1)}, {len(networks)} networks of {size / 2**20:.0f} MiB in memory on "
        f"{settings.device}, a window of {' x '.join(map(str, window))} "
        f"({prod(window) * 4 * sum(bundle.preparation.channels) / 2**20:.0f} MiB)"
    )


def _files(case: Case, bundle: Bundle, settings: Settings) -> Iterator[str]:
    if case.study is None:
        yield f"{case.id}: " + ", ".join(f"{name} {path}" for name, path in case.images.items())
        return
    reading = settings.reading
    try:
        study = open_study(case.study, bundle.preparation.modalities, reading.series, reading.weight_kg)
    except CaseError as problem:
        yield f"{case.id}: {problem}"
        return
    for name, volume in study.volumes.items():
        suv = f", SUV factor {volume.suv.factor:.4g} ({volume.suv.rule})" if volume.suv else ""
        yield f"{case.id}: {name} {volume.description or volume.series_uid}, {len(volume.slices)} slices{suv}"
    for line in (*study.warnings, *(f"left out: {text}" for text in study.dropped)):
        yield f"{case.id}:   {line}"
