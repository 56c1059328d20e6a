"""Which volumes a DICOM study holds, and which files are none: grouped, listed, chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from filecmp import cmp
from pathlib import Path

import numpy as np

from branchpoint.deploy.dicom.instances import IMAGE_CLASSES, MULTIFRAME_CLASSES, Instance, read_instances
from branchpoint.deploy.errors import CaseError

MODALITY_CODES = {"CT": "CT", "PET": "PT", "MR": "MR", "MRI": "MR"}
"""Name of a modality in a dataset to its code in (0008,0060)."""

_LOCALIZER_WORDS = {"LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW"}
_SAME_ORIENTATION = 1e-3
_SAME_SPACING_MM = 1e-3


@dataclass(frozen=True)
class Series:
    """Slices with one SeriesInstanceUID, orientation, matrix and pixel spacing, in no particular order."""

    instances: tuple[Instance, ...]

    @property
    def first(self) -> Instance:
        """Any one of them stands for what all share."""
        return self.instances[0]

    @property
    def uid(self) -> str:
        """SeriesInstanceUID."""
        return self.first.text("SeriesInstanceUID")

    @property
    def modality(self) -> str:
        """DICOM's code: CT, PT or MR."""
        return IMAGE_CLASSES.get(self.first.text("SOPClassUID"), "") or MULTIFRAME_CLASSES.get(
            self.first.text("SOPClassUID"), ""
        )

    def describe(self) -> str:
        """One line without names of persons: number, description, slices, matrix, UID."""
        number, about = self.first.text("SeriesNumber") or "?", self.first.text("SeriesDescription") or "no description"
        matrix = f"{self.first.text('Columns')} x {self.first.text('Rows')}"
        return f"series {number} ({self.modality}, {about}, {len(self.instances)} images of {matrix}, {self.uid})"


@dataclass(frozen=True)
class Listing:
    """What a folder holds.

    Attributes:
        volumes: what may be chosen.
        dropped: one line for each file or group that may not, with the reason.
        multiframe: modality code to one line for each multi-frame object: they are refused when one is needed.
    """

    volumes: tuple[Series, ...]
    dropped: tuple[str, ...]
    multiframe: Mapping[str, Sequence[str]] = field(default_factory=dict)


def list_series(folder: Path) -> Listing:
    """Group the DICOM files below ``folder`` into volumes.

    Raises:
        CaseError: it holds none, or files of several patients.
    """
    instances, others = read_instances(folder)
    patients = {instance.text("PatientID") for instance in instances}
    if len(patients) > 1:
        raise CaseError(
            "several-patients",
            f"{folder} holds files of {len(patients)} patients",
            "give one folder for each patient's study",
        )
    instances, copies = _without_copies(instances)
    slices, dropped, multiframe = _sorted_out(instances)
    dropped += copies
    volumes = []
    for series in _grouped(slices):
        if len(series.instances) < 2:
            dropped.append(f"{series.describe()}: a single image, not a volume")
        else:
            volumes.append(series)
    return Listing(tuple(volumes), (*dropped, *others), multiframe)


def choose(listing: Listing, modality: str, wanted: str | None = None) -> Series:
    """The one series of ``modality``, or the one that ``wanted`` names.

    Args:
        modality: as in the dataset, such as ``PET``.
        wanted: SeriesInstanceUID, SeriesNumber or SeriesDescription.

    Raises:
        CaseError: none, several, or only unsuitable ones; the message lists them.
    """
    code = MODALITY_CODES.get(modality.upper(), modality.upper())
    found = [series for series in listing.volumes if series.modality == code]
    if wanted is not None:
        found = [series for series in found if wanted in _names(series)]
    usable = [series for series in found if code != "PT" or not _uncorrected(series)]
    if len(usable) == 1:
        return usable[0]
    if usable:
        raise CaseError(
            "several-series",
            f"{len(usable)} {modality} series: " + "; ".join(series.describe() for series in usable),
            f"name one: --series {modality}=UID (or its number)",
        )
    if found:
        raise CaseError(
            "pet-not-corrected",
            "; ".join(f"{series.describe()} lacks {_uncorrected(series)} in (0028,0051)" for series in found),
            "give the attenuation- and decay-corrected series",
        )
    raise _no_series(listing, modality, code, wanted)


def _no_series(listing: Listing, modality: str, code: str, wanted: str | None) -> CaseError:
    if listing.multiframe.get(code):
        return CaseError(
            "multiframe",
            f"{modality} is a multi-frame object: {'; '.join(listing.multiframe[code])}",
            "export it as single-frame slices (classic CT, MR or PET image storage)",
        )
    held = "; ".join([series.describe() for series in listing.volumes]) or "no volume"
    dropped = f"; left out: {'; '.join(listing.dropped[:5])}" if listing.dropped else ""
    asked = f" named {wanted!r}" if wanted is not None else ""
    return CaseError(
        "no-series", f"no {modality} series{asked} among {held}{dropped}", "give the folder of the whole study"
    )


def _sorted_out(instances: Sequence[Instance]) -> tuple[list[Instance], list[str], dict[str, list[str]]]:
    """Slices; a line for each series of what is none; modality to lines of multi-frame objects."""
    slices: list[Instance] = []
    lines: dict[str, int] = {}
    multiframe: dict[str, list[str]] = {}
    for instance in instances:
        kind = instance.text("SOPClassUID")
        if kind in MULTIFRAME_CLASSES or (kind in IMAGE_CLASSES and instance.frames > 1):
            code = MULTIFRAME_CLASSES.get(kind) or IMAGE_CLASSES[kind]
            multiframe.setdefault(code, []).append(f"{instance.path.name} with {instance.frames} frames")
        elif reason := _unsuitable(instance, kind):
            line = f"series {instance.text('SeriesNumber') or '?'} ({instance.text('Modality') or '?'}): {reason}"
            lines[line] = lines.get(line, 0) + 1
        else:
            slices.append(instance)
    dropped = [f"{line} ({count} file{'s' * (count != 1)})" for line, count in lines.items()]
    return slices, dropped, multiframe


def _without_copies(instances: Sequence[Instance]) -> tuple[list[Instance], list[str]]:
    """Without further files of an instance that hold the same bytes, as where a folder was exported twice."""
    kept: dict[str, list[Instance]] = {}
    for instance in instances:
        same = kept.setdefault(instance.text("SOPInstanceUID"), [])
        if not any(cmp(instance.path, other.path, shallow=False) for other in same):
            same.append(instance)
    found = [instance for same in kept.values() for instance in same]
    lost = len(instances) - len(found)
    return found, [f"{lost} files are copies of others"] if lost else []


def _unsuitable(instance: Instance, kind: str) -> str:
    if kind not in IMAGE_CLASSES:
        return "not a CT, MR or PET image"
    if _LOCALIZER_WORDS & set(instance.words("ImageType")):
        return "a localizer"
    if instance.header.get("SamplesPerPixel", 1) != 1:
        return "a colour picture"
    return ""


def _grouped(slices: Sequence[Instance]) -> list[Series]:
    groups: list[list[Instance]] = []
    for instance in slices:
        group = next((group for group in groups if _belong_together(group[0], instance)), None)
        if group is None:
            groups.append([instance])
        else:
            group.append(instance)
    return [Series(tuple(group)) for group in groups]


def _belong_together(one: Instance, other: Instance) -> bool:
    exact = ("SeriesInstanceUID", "SOPClassUID", "Rows", "Columns")
    if any(one.text(key) != other.text(key) for key in exact):
        return False
    for keyword, count, tolerance in (
        ("ImageOrientationPatient", 6, _SAME_ORIENTATION),
        ("PixelSpacing", 2, _SAME_SPACING_MM),
    ):
        first, second = one.numbers(keyword, count), other.numbers(keyword, count)
        if (first is None) != (second is None):
            return False
        if first is not None and second is not None and not np.allclose(first, second, rtol=0, atol=tolerance):
            return False
    return True


def _names(series: Series) -> set[str]:
    keywords = ("SeriesInstanceUID", "SeriesNumber", "SeriesDescription")
    return {text for keyword in keywords if (text := series.first.text(keyword))}


def _uncorrected(series: Series) -> str:
    """Which of ATTN and DECY the PET series lacks, ``""`` for none."""
    present = series.first.words("CorrectedImage")
    return " and ".join(word for word in ("ATTN", "DECY") if word not in present)
