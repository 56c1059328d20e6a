"""Volumes per second that reach a training step: our cache and batched augmentation against MONAI's datasets.

All see the same synthetic scans (CT, PET and mask), prepared and cached beforehand, and the same random moves: a
rotation up to 5 degrees in the axial plane, shifts up to 30 mm, and a left-right mirror for one sample in two, images
linear and masks nearest. MONAI runs ``PersistentDataset`` and ``CacheDataset`` with ``RandAffined`` (its grid cached)
and ``RandFlipd`` in a ``DataLoader`` with as many workers as we have threads, also with lazy resampling, which fuses
both. Contenders take turns, so that a busy machine slows all of them; processor time tells on such a machine more
than the clock.

    python benchmarks/data_path.py             # 2 x 96^3 plus mask, 2 workers; about two minutes
    python benchmarks/data_path.py --quick     # a few seconds, to see that it runs
"""

from __future__ import annotations

import argparse
import itertools
import math
import multiprocessing
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from branchpoint.config import AugmentationConfig, DatasetConfig
from branchpoint.datasets.cohort import Cohort, MaskLabel, Patient
from branchpoint.datasets.prepared import PreparedCohort, prepare
from branchpoint.training.batches.augmentation import augment
from branchpoint.training.batches.loading import prefetch

SPACING_MM = 1.5
BATCH = 4
TARGET = 5.0
AUGMENTATION = AugmentationConfig(shift_mm=30.0, mirror=True, rotation_degrees=5.0)

Epoch = Callable[[], int]
"""Goes through all volumes once; how many they were."""


def write_scans(root: Path, count: int, size: int) -> Cohort:
    """Noisy bodies with a bright ball, on the grid they are used on."""
    import SimpleITK as sitk

    axis = np.arange(size) - (size - 1) / 2
    radius = np.sqrt(sum(part**2 for part in np.meshgrid(axis, axis, axis, indexing="ij"))) / size
    patients = []
    for number in range(count):
        noise = np.random.default_rng(number)
        ball = radius < 0.1 + 0.1 * noise.random()
        arrays = {
            "CT": np.where(radius < 0.45, 40, -1000) + noise.normal(0, 20, radius.shape),
            "PET": np.where(ball, 8.0, 1.0) * (radius < 0.45) + noise.gamma(2, 0.05, radius.shape),
            "mask": ball,
        }
        paths = {name: root / f"S{number:03d}_{name}.nii.gz" for name in arrays}
        for name, array in arrays.items():
            image = sitk.GetImageFromArray(array.astype(np.uint8 if name == "mask" else np.float32))
            image.SetSpacing([SPACING_MM] * 3)
            sitk.WriteImage(image, str(paths[name]))
        images = {name: paths[name] for name in ("CT", "PET")}
        patients.append(Patient(id=f"S{number:03d}", images=images, labels={"tumour": MaskLabel(paths["mask"])}))
    return Cohort(
        name="synthetic",
        release="",
        root=root,
        modalities=("CT", "PET"),
        targets={"tumour": "segmentation"},
        patients=tuple(patients),
    )


def ours(prepared: PreparedCohort, workers: int) -> dict[str, Epoch]:
    """Our two ways: ``workers`` threads that each load and augment, and the training loop's own."""
    batches = np.array_split(np.arange(len(prepared)), math.ceil(len(prepared) / BATCH))
    epochs = itertools.count()

    def load(indices: np.ndarray, epoch: int) -> int:
        batch = prepared.batch(indices)
        generator = torch.Generator().manual_seed(1000 * epoch + int(indices[0]))
        return len(augment(batch, AUGMENTATION, prepared.spacing_mm, generator))

    def in_threads() -> int:
        torch.set_num_threads(1)
        epoch = next(epochs)
        with ThreadPoolExecutor(workers) as pool:
            return sum(pool.map(lambda indices: load(indices, epoch), batches))

    def in_the_loop() -> int:
        torch.set_num_threads(workers)
        generator = torch.Generator().manual_seed(next(epochs))
        loaded = prefetch(prepared.batch, batches, torch.device("cpu"))
        return sum(len(augment(batch, AUGMENTATION, prepared.spacing_mm, generator)) for batch in loaded)

    return {f"branchpoint, {workers} threads": in_threads, "branchpoint, as the training loop": in_the_loop}


def monais(cohort: Cohort, folder: Path, size: int, workers: int) -> dict[str, Epoch]:
    """MONAI's datasets with the same moves; the loader keeps its workers from epoch to epoch."""
    from monai import transforms as mt
    from monai.data import CacheDataset, DataLoader, PersistentDataset

    items = [{**patient.images, "mask": patient.labels["tumour"].path} for patient in cohort.patients]  # type: ignore[union-attr]
    keys, shift = ("image", "mask"), AUGMENTATION.shift_mm / SPACING_MM

    def chain(lazy: bool) -> Any:
        return mt.Compose(
            [
                mt.LoadImaged(("CT", "PET", "mask")),
                mt.EnsureChannelFirstd(("CT", "PET", "mask")),
                mt.ScaleIntensityRanged("CT", -1024, 1024, -1, 1, clip=True),
                mt.NormalizeIntensityd("PET"),
                mt.ConcatItemsd(("CT", "PET"), "image"),
                mt.DeleteItemsd(("CT", "PET")),
                mt.RandAffined(
                    keys,
                    prob=1.0,
                    rotate_range=(0.0, 0.0, math.radians(AUGMENTATION.rotation_degrees)),
                    translate_range=(shift,) * 3,
                    mode=("bilinear", "nearest"),
                    padding_mode="zeros",
                    spatial_size=(size,) * 3,
                    cache_grid=True,
                ),
                mt.RandFlipd(keys, prob=0.5, spatial_axis=0),
            ],
            lazy=lazy,
        )

    def epoch_of(dataset: Any) -> Epoch:
        loader = DataLoader(dataset, batch_size=BATCH, shuffle=True, num_workers=workers, persistent_workers=True)
        return lambda: sum(len(batch["image"]) for batch in loader)

    return {
        "MONAI PersistentDataset": epoch_of(PersistentDataset(items, chain(False), folder / "persistent")),
        "MONAI CacheDataset": epoch_of(CacheDataset(items, chain(False), progress=False)),
        "MONAI CacheDataset, lazy": epoch_of(CacheDataset(items, chain(True), progress=False)),
    }


@dataclass
class Rounds:
    """Of one contender: volumes per second by the clock, and seconds of processor time per volume."""

    rates: list[float] = field(default_factory=list)
    processor_s: list[float] = field(default_factory=list)


def measure(contenders: dict[str, Epoch], rounds: int) -> dict[str, Rounds]:
    """Every contender in turn, after one epoch each to warm up."""
    found = {name: Rounds() for name in contenders}
    for number in range(rounds + 1):
        for name, epoch in contenders.items():
            start, used = time.perf_counter(), processor_seconds()
            count = epoch()
            if number:
                found[name].rates.append(count / (time.perf_counter() - start))
                found[name].processor_s.append((processor_seconds() - used) / count)
    return found


def processor_seconds() -> float:
    """Of this process and its living children: unlike the clock, it does not count what else the machine does."""
    ticks = 0
    for child in multiprocessing.active_children():
        fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def table(found: dict[str, Rounds]) -> Iterator[str]:
    """Lines: what was measured, and the ratios to the fastest of MONAI's datasets."""
    yield f"{'':36}{'volumes/s: best':>16}{'median':>9}{'processor ms/volume':>22}"
    for name, rounds in found.items():
        yield (f"{name:36}{max(rounds.rates):16.1f}{median(rounds.rates):9.1f}{1000 * min(rounds.processor_s):22.1f}")
    mine = [rounds for name, rounds in found.items() if name.startswith("branchpoint")]
    theirs = [rounds for name, rounds in found.items() if not name.startswith("branchpoint")]

    def ratio(figure: Callable[[Rounds], float]) -> float:
        return max(map(figure, mine)) / max(map(figure, theirs))

    best = ratio(lambda rounds: max(rounds.rates))
    yield (
        f"ratio to the fastest MONAI dataset: {best:.1f} (best rounds), {ratio(lambda r: median(r.rates)):.1f} "
        f"(medians), {ratio(lambda r: 1 / min(r.processor_s)):.1f} (processor time); "
        f"at least {TARGET:.0f}: {'yes' if best >= TARGET else 'no'}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volumes", type=int, default=24)
    parser.add_argument("--size", type=int, default=96, help="voxels along each axis")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="4 volumes of 32 cubed, one round")
    options = parser.parse_args(arguments)
    if options.quick:
        options.volumes, options.size, options.rounds = 4, 32, 1
    warnings.filterwarnings("ignore", module="monai")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cohort = write_scans(folder, options.volumes, options.size)
        dataset = DatasetConfig(name="synthetic", root=name, spacing_mm=SPACING_MM, size_voxels=(options.size,) * 3)
        prepared = prepare(cohort, dataset, folder / "cache", progress=False)
        contenders = {**ours(prepared, options.workers), **monais(cohort, folder, options.size, options.workers)}
        print(
            f"{options.volumes} volumes of 2 x {options.size}^3 plus mask, batches of {BATCH}, "
            f"{options.workers} workers, {options.rounds} rounds"
        )
        for line in table(measure(contenders, options.rounds)):
            print(line)


if __name__ == "__main__":
    main()
