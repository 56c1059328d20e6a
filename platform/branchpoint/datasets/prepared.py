"""A cohort brought to one grid, once per machine, and opened by every trial.

``prepare`` builds what the cache lacks and writes a manifest, ``cohorts/<name>-<release>-<key>.json``, that holds all
but the voxels. ``PreparedCohort.open`` reads the manifest; volumes are memory-mapped when a batch asks for them, so
all trials of a machine share one copy in the page cache and none keeps files open.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from branchpoint.config import DatasetConfig
from branchpoint.datasets.batch import Batch, CutLimits
from branchpoint.datasets.build import build_missing
from branchpoint.datasets.cache.store import NATIVE, VolumeCache, read_native
from branchpoint.datasets.cohort import (
    Cohort,
    Label,
    MaskLabel,
    Part,
    Patient,
    PresenceLabel,
    SurvivalLabel,
    TargetKind,
)
from branchpoint.datasets.input_hashes import InputHashes, fingerprint
from branchpoint.datasets.preparation.kinds import preparation_from_plain, preparation_of
from branchpoint.datasets.preparation.native import NativeMask
from branchpoint.datasets.preparation.preparation import (
    Placement,
    Preparation,
    normalized,
    placement_from_plain,
    without_margin,
)
from branchpoint.io.storage import write_atomically

LOST_WARNING = 0.01
"""Share of an outline outside the window from which on a patient is named in a warning."""
_DTYPES: dict[str, type] = {
    "survival": np.float64,
    "classification": np.int64,
    "multilabel": np.float64,
    "regression": np.float64,
}


def prepare(
    cohort: Cohort,
    dataset: DatasetConfig,
    cache_dir: Path,
    *,
    workers: int = 0,
    progress: bool = True,
    excluded: Sequence[str] = (),
) -> PreparedCohort:
    """Bring the cohort to the grid of ``dataset``, building only the volumes that ``cache_dir`` lacks.

    Any number of jobs may do so at once. Files are trusted as :func:`branchpoint.datasets.check.check_cohort` found
    them.

    Args:
        workers: patients prepared at the same time; 0 means one for each core.
        progress: show a bar, or one line where the output is not a terminal.
        excluded: identifiers of patients to leave out (``--skip-faulty``).

    Raises:
        ValueError: the cohort is empty, or patients cannot be prepared: the message names each, with its file.
    """
    patients = [patient for patient in cohort.patients if patient.id not in set(excluded)]
    if not patients:
        raise ValueError(f"cohort {cohort.name} under {cohort.root} has no patients left to prepare")
    preparation = preparation_of(cohort, dataset)
    masks = [name for name, kind in cohort.targets.items() if kind == "segmentation"]
    cache_dir = Path(cache_dir).absolute()  # workers open the manifest from other folders
    cache, hashes = VolumeCache(cache_dir), InputHashes(cache_dir, cohort.root)
    cache.sweep()
    keys = [preparation.key(patient, masks, hashes) for patient in patients]
    hashes.save()
    by_key = dict(zip(keys, patients, strict=True))
    build_missing(cache, by_key, preparation, masks, workers=workers, progress=progress)
    manifest = {
        "name": cohort.name,
        "release": cohort.release,
        "targets": dict(cohort.targets),
        "class_names": dict(cohort.class_names),
        "splits": {name: dict(parts) for name, parts in cohort.splits.items()},
        "outside": _outside(patients, masks),
        "preparation": preparation.plain(),
        "excluded": sorted(excluded),
        "accepted": dict(cohort.accepted),
        "patients": [_entry(patient, key, cache.record(key)) for patient, key in zip(patients, keys, strict=True)],
    }
    name = "-".join(part for part in (cohort.name, cohort.release, fingerprint(manifest)[:16]) if part)
    path = cache_dir / "cohorts" / f"{name}.json"
    write_atomically(path, json.dumps(manifest, indent=1))
    prepared = PreparedCohort.open(path)
    prepared.warn_of_losses()
    return prepared


def _entry(patient: Patient, key: str, record: Mapping[str, Any]) -> dict[str, Any]:
    labels = {name: _plain(label, record) for name, label in patient.labels.items()}
    return {
        "id": patient.id,
        "volume": f"{key[:2]}/{key}",
        "center": patient.center,
        "group": patient.group,
        "labels": labels,
        "covariates": dict(patient.covariates),
        **record,
    }


def _plain(label: Label, record: Mapping[str, Any]) -> Any:
    """A label as the manifest holds it; masks lie beside the image."""
    if isinstance(label, PresenceLabel):
        return [int(number in record["present"][label.target]) for number in range(1, label.classes + 1)]
    if isinstance(label, SurvivalLabel):
        return list(asdict(label).values())
    return True if isinstance(label, MaskLabel) else label


def _outside(patients: Sequence[Patient], masks: Sequence[str]) -> dict[str, int]:
    """Segmentation target to the class of what lies outside the image, where that is not background."""
    labels = [(name, patient.labels.get(name)) for patient in patients for name in masks]
    return {name: label.outside for name, label in labels if isinstance(label, MaskLabel) and label.outside}


class PreparedCohort:
    """N patients on one grid.

    Attributes:
        path: the manifest.
        name, release, targets: as in the cohort.
        preparation: how its samples were prepared.
        modalities: image channels, in order.
        channels: of each modality; their sum is C of the images.
        class_names: target to the names of its classes, as in the cohort.
        splits: name of a split that comes with the data to the part of each patient.
        outside: segmentation target to the class of what lies outside the image, where that is not 0.
        spacing_mm, size_voxels: the grid; sizes are (D, H, W), or (H, W) of pictures.
        patient_ids: N identifiers, in the cohort's order.
        labels: target to values, for all but segmentation: survival float64 (N, 2), time in days and event 0/1;
            classification int64 (N,); multilabel float64 (N, K), 0 or 1; regression float64 (N,). Zero where
            unlabelled.
        labelled: target to bool (N,), segmentation too.
        centers, groups, covariates: of each patient.
        excluded: patients left out as faulty.
        mask_ml: segmentation target to the volume of the outline in its file, float64 (N,); NaN where unlabelled.
        lost_mask: segmentation target to the share of the outline outside the window, float64 (N,).
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self.path = path
        self.name: str = manifest["name"]
        self.release: str = manifest["release"]
        self.preparation: Preparation = preparation_from_plain(manifest["preparation"])
        self.modalities = self.preparation.modalities
        self.targets: dict[str, TargetKind] = manifest["targets"]
        self.channels = dict(zip(self.modalities, self.preparation.channels, strict=True))
        self.class_names: dict[str, tuple[str, ...]] = {k: tuple(v) for k, v in manifest["class_names"].items()}
        self.splits: dict[str, dict[str, Part]] = manifest["splits"]
        self.outside: dict[str, int] = manifest["outside"]
        self.spacing_mm = self.preparation.spacing_mm
        self.size_voxels = self.preparation.size_voxels
        self.excluded: tuple[str, ...] = tuple(manifest["excluded"])
        self._patients: list[dict[str, Any]] = manifest["patients"]
        self.patient_ids: tuple[str, ...] = tuple(patient["id"] for patient in self._patients)
        self.centers: list[str | None] = [patient["center"] for patient in self._patients]
        self.groups: list[str | None] = [patient["group"] for patient in self._patients]
        self.covariates: list[Mapping[str, float | str | None]] = [p["covariates"] for p in self._patients]
        self.labelled = {
            name: np.array([name in patient["labels"] for patient in self._patients]) for name in self.targets
        }
        self.labels = {name: self._values(name, kind) for name, kind in self.targets.items() if kind != "segmentation"}
        self._masks = [name for name, kind in self.targets.items() if kind == "segmentation"]
        self.mask_ml = {name: self._measured("mask_ml", name) for name in self._masks}
        self.lost_mask = {name: self._measured("lost_mask", name) for name in self._masks}

    @classmethod
    def open(cls, path: Path) -> PreparedCohort:
        """The cohort that :func:`prepare` left at ``path``; voxels are not touched.

        Raises:
            ValueError: there is no manifest at ``path``.
        """
        try:
            return cls(Path(path), json.loads(Path(path).read_text()))
        except (OSError, ValueError, KeyError) as problem:
            raise ValueError(f"{path} is no manifest of a prepared cohort: {problem!r}; prepare it again") from problem

    def __len__(self) -> int:
        return len(self.patient_ids)

    @property
    def cuts_margins(self) -> bool:
        """Whether samples are crops around a tumour, whose margins training cuts."""
        return any(patient["cuts"] for patient in self._patients)

    def placement(self, index: int) -> Placement:
        """Where a sample's grid lies on its input, so that ``preparation.place_back`` can bring a prediction back."""
        return placement_from_plain(self._patients[index]["placement"])

    def rule(self, index: int) -> str:
        """How the place of a sample's grid was found: ``box``, ``brain``, ``head``, ``extent`` or ``crop``."""
        return str(self._patients[index]["rule"])

    def stored_image(self, index: int) -> np.ndarray:
        """(C, [D,] H, W) as it lies in the cache, before pictures of 8 bits are normalised.

        Raises:
            ValueError: it is gone from the cache.
        """
        return self._map(index, "image.npy").numpy()

    def prepared_mask(self, index: int, target: str) -> Tensor:
        """A sample's class ids uint8 ([D,] H, W) on the prepared grid; 0 where it is unlabelled.

        Raises:
            ValueError: the mask is gone from the cache.
        """
        return without_margin(self._map(index, "masks.npy"), self.preparation.margin_voxels)[self._masks.index(target)]

    def native_mask(self, index: int, target: str) -> NativeMask:
        """A sample's mask on the grid of its file, in the file's own extent and orientation.

        Raises:
            ValueError: the sample is unlabelled for ``target``, or the mask is gone from the cache.
        """
        patient = self._patients[index]
        if target not in patient["native"]:
            raise ValueError(f"patient {patient['id']} has no mask {target!r}")
        folder = self._folder(index)
        try:
            return read_native(folder, patient, target)
        except (OSError, ValueError, KeyError) as problem:
            raise ValueError(f"patient {patient['id']}: {folder / NATIVE}: {problem}; prepare again") from problem

    def batch(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """The samples at ``indices`` on the CPU.

        Raises:
            ValueError: a volume is gone from the cache.
        """
        return self._batch([int(index) for index in indices], (0,) * len(self.size_voxels))

    def training_batch(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """The samples at ``indices`` with the margin that the cache keeps, for an augmentation that ends in the crop.

        Raises:
            ValueError: a volume is gone from the cache.
        """
        rows = [int(index) for index in indices]
        batch = self._batch(rows, self.preparation.margin_voxels)
        return replace(batch, margin_voxels=self.preparation.margin_voxels, cuts=self._cut_limits(rows))

    def _batch(self, rows: list[int], margin: tuple[int, ...]) -> Batch:
        size = [n + 2 * m for n, m in zip(self.size_voxels, margin, strict=True)]
        image = torch.empty((len(rows), sum(self.channels.values()), *size))
        masks = torch.zeros((len(self._masks), len(rows), 1, *size), dtype=torch.uint8)
        left = [kept - m for kept, m in zip(self.preparation.margin_voxels, margin, strict=True)]
        for place, row in enumerate(rows):
            image[place] = self._image(row, left)
            if self._masks:
                masks[:, place, 0] = without_margin(self._map(row, "masks.npy"), left)
        targets = dict(zip(self._masks, masks, strict=True))
        return Batch(
            inputs={
                "image": image,
                "intensity_offset": self._column("offset", rows),
                "intensity_scale": self._column("scale", rows),
                "intensity_background": self._column("background", rows),
                "voxel_ml": torch.full((len(rows),), self.preparation.voxel_ml),
            },
            targets={name: targets[name] if name in targets else self._label(name, rows) for name in self.targets},
            labelled={name: torch.from_numpy(values[rows]) for name, values in self.labelled.items()},
            index=torch.tensor(rows),
            outside=self.outside,
        )

    def warn_of_losses(self) -> None:
        """One warning that names the patients whose outlines the window cuts, or the coarse grid swallows."""
        lost = [
            f"{self.patient_ids[row]} {name} {share:.0%}"
            for name, shares in self.lost_mask.items()
            for row, share in enumerate(shares)
            if share > LOST_WARNING
        ]
        lost += [
            f"{patient['id']} {name} all of it, too small for the grid"
            for patient in self._patients
            for name, kept in patient["kept_ml"].items()
            if not kept and patient["mask_ml"][name] and patient["lost_mask"][name] < 1
        ]
        if lost:
            size = " x ".join(map(str, self.size_voxels))
            warnings.warn(
                f"outlines lose volume in windows of {size} voxels of {self.spacing_mm:g} mm: "
                f"{', '.join(lost)}; choose a larger or another grid to keep them",
                stacklevel=3,
            )

    def _cut_limits(self, rows: list[int]) -> CutLimits | None:
        cuts = [self._patients[row]["cuts"] for row in rows]
        if not any(cuts):
            return None
        axes = len(self.size_voxels)
        whole = [[0, n + 2 * m] for n, m in zip(self.size_voxels, self.preparation.margin_voxels, strict=True)]
        shown = [cut["shown"] if cut else whole for cut in cuts]
        largest = [cut["largest_mm"] if cut else [[0.0, 0.0]] * axes for cut in cuts]
        return CutLimits(
            torch.tensor(shown), torch.tensor(largest) / self.spacing_mm, torch.tensor(self.preparation.standardized)
        )

    def _image(self, row: int, margin: Sequence[int]) -> Tensor:
        """Normalised (C, [D,] H, W) in the stored precision, or float32 where pictures are stored as in the file."""
        stored = without_margin(self._map(row, "image.npy"), margin)
        return normalized(stored, self._column("offset", [row])[0], self._column("scale", [row])[0])

    def _folder(self, row: int) -> Path:
        return self.path.parent.parent / "volumes" / self._patients[row]["volume"]

    def _map(self, row: int, name: str) -> Tensor:
        path = self._folder(row) / name
        try:
            # Copy-on-write: torch warns of read-only arrays. The mapping goes with the array, and no file stays open.
            return torch.from_numpy(np.load(path, mmap_mode="c"))
        except (OSError, ValueError) as problem:
            raise ValueError(f"patient {self.patient_ids[row]}: {path}: {problem}; prepare again") from problem

    def _column(self, name: str, rows: Sequence[int]) -> Tensor:
        return torch.tensor([self._patients[row][name] for row in rows], dtype=torch.float32)

    def _label(self, name: str, rows: Sequence[int]) -> Tensor:
        values = torch.from_numpy(self.labels[name][list(rows)])
        return values if self.targets[name] == "classification" else values.float()

    def _values(self, name: str, kind: str) -> np.ndarray:
        blank: Any = [0.0, 0.0] if kind == "survival" else 0
        values = [patient["labels"].get(name) for patient in self._patients]
        if kind == "multilabel":
            blank = [0.0] * max((len(value) for value in values if value is not None), default=1)
        return np.array([blank if value is None else value for value in values], _DTYPES[kind])

    def _measured(self, measure: str, name: str) -> np.ndarray:
        return np.array([patient[measure].get(name, np.nan) for patient in self._patients])
