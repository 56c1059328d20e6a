"""A phantom of the HECKTOR challenge: PET/CT of the head and neck whose survival follows from the tumour."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from branchpoint.phantoms import survival
from branchpoint.phantoms.completion import TRUTH, begin
from branchpoint.phantoms.grid import Point
from branchpoint.phantoms.patients import PhantomPatient, sample_patients
from branchpoint.phantoms.releases import RELEASES, Release, Rows
from branchpoint.phantoms.rendering import Scan, scan
from branchpoint.phantoms.writing import same_file, shown, write_text, write_volume


def make_hecktor_phantom(
    out: Path,
    *,
    release: str = "2021",
    patients: int = 60,
    seed: int = 0,
    censoring: float = 0.8,
    spacing_scale: float = 1.0,
    workers: int = 0,
    progress: bool = True,
) -> Path:
    """Write a phantom cohort in the layout of a HECKTOR release, and the truth beside it.

    ``phantom_truth.csv`` holds, for each patient, the centre, the tumour's volume, SUVmax and heterogeneity, the
    log-hazard of the Cox model, and time and event. It is written last: where it is there, the cohort is complete,
    and a second call with the same settings returns at once. A call that was killed is made good by the next one.

    Args:
        out: folder of the release; created, or empty, or holding a phantom with the same settings.
        release: 2020, 2021, 2022 or 2025.
        patients: how many; the images of one patient do not depend on it.
        seed: same seed, same bytes, whatever the number of workers.
        censoring: share of patients without an event, met as closely as whole patients allow.
        spacing_scale: voxel size against that of the scanners; above 1 coarser, below 1 finer.
        workers: threads; 0 for one on each core.
        progress: show a bar.

    Returns:
        ``out``, absolute.

    Raises:
        ValueError: an unknown release, a value out of range, or a folder that holds something else.
    """
    if release not in RELEASES:
        raise ValueError(f"release is {release!r}: must be one of {', '.join(RELEASES)}")
    if not 0.2 <= spacing_scale <= 4.0:
        raise ValueError(f"spacing_scale is {spacing_scale}: must lie from 0.2 to 4, or small tumours get lost")
    out, layout = Path(out).resolve(), RELEASES[release]
    cohort = sample_patients(patients, seed=seed, censoring=censoring)
    settings = {
        "phantom": "hecktor",
        "version": 1,
        "release": release,
        "patients": patients,
        "seed": seed,
        "censoring": censoring,
        "spacing_scale": spacing_scale,
    }
    if begin(out, settings):
        return out

    def make(patient: PhantomPatient) -> tuple[Point, Point]:
        images = scan(patient, seed, layout.mask_grid, spacing_scale)
        _write_scan(out, layout, patient, images)
        return images.box

    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        boxes = list(shown(pool.map(make, cohort), len(cohort), f"Phantom of HECKTOR {release}", progress))
    _write_tables(out, layout, cohort, boxes)
    return out


def attainable_c_index(source: Path | Sequence[PhantomPatient]) -> float:
    """C-index of the true log-hazard: what no model can beat except by luck.

    Args:
        source: folder of a phantom, or patients of :func:`sample_patients`.
    """
    if isinstance(source, Path):
        names = ("log_hazard", "time_days", "event")
        rows = read_truth(source)
        eta, days, event = (np.array([float(row[name]) for row in rows]) for name in names)
    else:
        eta, days, event = (
            np.array([getattr(p, name) for p in source], dtype=float) for name in ("log_hazard", "time_days", "event")
        )
    return survival.c_index(eta, days, event)


def read_truth(root: Path) -> list[dict[str, str]]:
    """Rows of ``phantom_truth.csv``, as text.

    Raises:
        ValueError: there is none: not a phantom, or not a complete one.
    """
    import csv

    path = Path(root) / TRUTH
    if not path.is_file():
        raise ValueError(f"{path} is missing: {root} is not a complete phantom; write it with make_hecktor_phantom")
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def _write_scan(out: Path, layout: Release, patient: PhantomPatient, images: Scan) -> None:
    mask = images.mask if layout.nodes else (images.mask == 1).astype(np.uint8)
    ct, pet = (out / layout.image(template, patient) for template in (layout.ct, layout.pet))
    write_volume(ct, images.ct, images.ct_grid)
    write_volume(pet, images.pet, images.pet_grid)
    write_volume(out / layout.image(layout.mask, patient), mask, images.mask_grid)
    for folder, holds in layout.copies.items():
        if holds(patient):
            for path in (ct, pet):
                same_file(path, out / folder / layout.patient_id(patient) / path.name)


def _write_tables(
    out: Path, layout: Release, cohort: Sequence[PhantomPatient], boxes: Sequence[tuple[Point, Point]]
) -> None:
    """The release's own tables, and the truth last: it says that the cohort is complete."""
    named = {layout.patient_id(patient): box for patient, box in zip(cohort, boxes, strict=True)}
    listed = sorted(cohort, key=layout.patient_id)
    for path, rows in layout.tables.items():
        write_text(out / path, layout.text(rows(layout, listed, named)))
    write_text(out / TRUTH, layout.text(_truth(layout, listed)))


def _truth(layout: Release, cohort: Sequence[PhantomPatient]) -> Rows:
    return [
        {
            "PatientID": layout.patient_id(p),
            "scanner": p.center,
            "volume_ml": round(p.volume_ml, 4),
            "suv_max": round(p.suv_max, 4),
            "heterogeneity": round(p.heterogeneity, 4),
            "nodes": len(p.node_ml),
            "node_volume_ml": round(sum(p.node_ml), 4),
            "log_hazard": round(p.log_hazard, 6),
            "time_days": p.time_days,
            "event": p.event,
        }
        for p in cohort
    ]
