"""RETOUCH: slices of OCT volumes from three vendors, with three fluids and which of them a slice shows.

A sample is one slice (B-scan). Neighbouring slices are nearly alike, so folds keep volumes together. Paper 001 does
not: it parts the slices of all volumes at random, so that its test slices have neighbours in training. That split has
the name ``paper``; which slices it drew is not published, only how many, so these are drawn anew.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from branchpoint.config import DatasetConfig
from branchpoint.datasets.cohort import Cohort, Label, MaskLabel, Part, Patient, PresenceLabel, TargetKind
from branchpoint.datasets.files import list_files
from branchpoint.datasets.readers.shared import collect, missing_parts, nothing_found

MODALITY = "OCT"
VENDORS = ("Cirrus", "Spectralis", "Topcon")
FLUIDS = ("IRF", "SRF", "PED")
"""Intraretinal fluid 1, subretinal fluid 2, pigment epithelial detachment 3."""
TARGETS: dict[str, TargetKind] = {"fluids": "segmentation", "fluids_present": "multilabel"}
LAYOUT = "RETOUCH-TrainingSet-{Cirrus,Spectralis,Topcon}/TRAINnnn/{oct,reference}.{mhd,raw}"
PAPER_TEST_SHARE = {"Cirrus": 512 / 3072, "Spectralis": 198 / 1178, "Topcon": 512 / 2688}
"""Slices in the test set, of all (Bui et al. 2024, table 1)."""

_WHOLE = ("", "all", DatasetConfig().release)
_DEPTH = 5


def read(dataset: DatasetConfig) -> Cohort:
    """The slices under ``dataset.root``; ``dataset.release`` chooses a vendor (``Cirrus``), ``all`` takes all.

    Headers are opened, to know the numbers of slices. Test volumes have no published labels and are left out.

    Targets: ``fluids`` (mask: 1 IRF, 2 SRF, 3 PED), ``fluids_present`` (multilabel, in this order, from the mask).

    Raises:
        ValueError: the release is no vendor.
    """
    if dataset.release not in (*_WHOLE, *VENDORS):
        raise ValueError(
            f"dataset.release is {dataset.release!r}: retouch has the vendors {', '.join(VENDORS)}, or all"
        )
    vendor = dataset.release if dataset.release in VENDORS else ""
    root = Path(dataset.root)
    files, problems = collect(list_files(root, _DEPTH), _part)
    files = {name: parts for name, parts in files.items() if not vendor or name.startswith(f"{vendor}-")}
    if not files:
        problems = [nothing_found(root, LAYOUT)]
    patients: list[Patient] = []
    for volume in sorted(files):
        patients += _slices(volume, files[volume])
        where = f"RETOUCH-TrainingSet-{volume.replace('-', '/', 1)}"
        expected = {MODALITY: f"{where}/oct.mhd", "fluids": f"{where}/reference.mhd"}
        problems += missing_parts(volume, files[volume], expected)
    return Cohort(
        name="retouch",
        release=vendor,
        root=root,
        modalities=(MODALITY,),
        targets=TARGETS,
        patients=tuple(patients),
        problems=tuple(problems),
        dimensions=2,
        class_names={"fluids": FLUIDS, "fluids_present": FLUIDS},
        splits={"paper": paper_split(patients)},
    )


def paper_split(patients: Sequence[Patient]) -> dict[str, Part]:
    """Slices of each vendor parted at random into training and test, in the paper's proportions: it leaks."""
    slices: dict[str, list[str]] = defaultdict(list)
    for patient in patients:
        slices[patient.center or ""].append(patient.id)
    parts: dict[str, Part] = {}
    for vendor, names in slices.items():
        shuffled = sorted(names, key=lambda name: hashlib.sha256(f"paper/{name}".encode()).digest())
        count = round(PAPER_TEST_SHARE[vendor] * len(names))
        parts |= {name: "test" if place < count else "train" for place, name in enumerate(shuffled)}
    return parts


def _vendor_of(folder: str) -> str:
    match = re.fullmatch(r"RETOUCH-TrainingSet-(\w+)", folder, re.IGNORECASE)
    return next((vendor for vendor in VENDORS if match and match[1].lower() == vendor.lower()), "")


def _part(path: Path) -> tuple[str, str] | None:
    part = {"oct.mhd": MODALITY, "reference.mhd": "fluids"}.get(path.name.lower())
    vendor = next(filter(None, map(_vendor_of, (folder.name for folder in path.parents))), "")
    return (f"{vendor}-{path.parent.name}", part) if part and vendor else None


def _slices(volume: str, files: Mapping[str, Path]) -> Iterable[Patient]:
    images = {MODALITY: files[MODALITY]} if MODALITY in files else {}
    labels: dict[str, Label] = {}
    if "fluids" in files:
        labels = {
            "fluids": MaskLabel(files["fluids"], (1, 2, 3), content="optional"),
            "fluids_present": PresenceLabel("fluids", len(FLUIDS)),
        }
    for number in range(_slice_count(next(iter(files.values())))):
        yield Patient(
            id=f"{volume}-{number:03d}",
            images=images,
            labels=labels,
            center=volume.split("-")[0],
            group=volume,
            slice=number,
        )


def _slice_count(path: Path) -> int:
    """Slices that a MetaImage header tells; 1 where it cannot be read, so that the check reads the file and says so."""
    match = re.search(r"^DimSize\s*=\s*\d+\s+\d+\s+(\d+)", path.read_text(encoding="latin-1"), re.MULTILINE)
    return int(match[1]) if match else 1
