"""The training recipe against what a user would take instead, at equal time on the same folds.

    python benchmarks/recipe.py ph2 --root $BRANCHPOINT_DATA/ph2 --seconds 60 --seeds 0,1,2
    python benchmarks/recipe.py busi --root $BRANCHPOINT_DATA/busi --recipes default,smp_resnet18 --out busi.json
    python benchmarks/recipe.py ph2 --root $BRANCHPOINT_DATA/ph2 --recipes smp_resnet18,peer_loop:resnet18
    python benchmarks/recipe.py --show ph2.json busi.json

Each recipe trains a network for the outline and the diagnosis for so many seconds of processor time on one thread (of
wall time with ``--device cuda``), its schedule fitted to that time, once for each fold and seed; it is tested once on
the fold's test images. All see the same pictures on the same grid and all training images of a fold; nothing is chosen
by validation. The table gives the mean over images of Dice, the AUC (one class against the rest, their mean) and the
balanced accuracy, and differences to ``default`` with 95 % intervals over images, the seeds of an image averaged. The
peer needs the extra ``comparators`` and ``pip install albumentations``. ``peer_loop:`` before a recipe trains its
network in the peer's loop. ``--cohort FILE`` takes the manifest of a prepared cohort in place of ``--root``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from recipes.scores import scores, show, summary
from recipes.training import train_one

from branchpoint.config import ClassificationConfig, Config, DatasetConfig, SegmentationConfig, SplitConfig
from branchpoint.datasets.prepared import PreparedCohort
from branchpoint.search.space.images_2d import PictureSpace

FOLDS = 3


@dataclass(frozen=True)
class Set:
    """A data set: its diagnosis, number of classes and channels, and the edge of its pictures."""

    diagnosis: str
    classes: int
    channels: int
    size: int
    flipped: bool = False


SETS = {"ph2": Set("melanoma", 2, 3, 128, flipped=True), "busi": Set("diagnosis", 3, 1, 96)}


def base_of(name: str, root: str) -> Config:
    """The platform's own choices for outline and diagnosis, without a search."""
    found = SETS[name]
    dataset = DatasetConfig(name=name, root=str(Path(root).resolve()), release="", size_voxels=(found.size,) * 2)
    tasks = (
        SegmentationConfig(name="lesion", target="lesion", loss="dice_ce", prior_bias=True),
        ClassificationConfig(name="diagnosis", target=found.diagnosis, classes=found.classes),
    )
    space = PictureSpace(tasks=lambda _: tasks, channels=found.channels, flipped=found.flipped)
    config = space.base(dataset)
    return replace(config, split=SplitConfig(folds=FOLDS, validation_fraction=0.01))


@contextmanager
def cohort(base: Config, options: argparse.Namespace) -> Iterator[PreparedCohort]:
    """The prepared cohort of the options."""
    if options.cohort:
        yield PreparedCohort.open(Path(options.cohort))
        return
    from branchpoint.datasets.pipeline import checked_cohort  # brings the readers, which a manifest needs not

    with tempfile.TemporaryDirectory() as folder:
        yield checked_cohort(base.dataset, Path(folder), folds=FOLDS, without_faulty=True)[0]


def measure(name: str, options: argparse.Namespace) -> None:
    """Train every recipe, fold and seed that the file does not hold yet, and write the file after each."""
    base = base_of(name, options.root)
    device = torch.device(options.device)
    with cohort(base, options) as prepared:
        file = Path(options.out or f"{name}.json")
        results = json.loads(file.read_text()) if file.exists() else {}
        seeds, folds = ([int(part) for part in text.split(",")] for text in (options.seeds, options.folds))
        for seed, fold, recipe in itertools.product(seeds, folds, options.recipes.split(",")):
            key = f"{recipe}/{options.seconds:g}/{seed}/{fold}"
            if key in results:
                continue
            config = replace(base, seed=seed, split=replace(base.split, fold=fold))
            found = train_one(recipe, config, prepared, options.seconds, device)
            rows = scores(prepared, config, found)
            results[key] = {"rows": rows, "set": name, "device": device.type, "steps": found.steps}
            file.write_text(json.dumps(results))
            print(key, found.steps, {k: round(v, 3) for k, v in summary(rows).items()}, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?", choices=SETS)
    parser.add_argument("--root", default="")
    parser.add_argument("--cohort")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--folds", default=",".join(map(str, range(FOLDS))))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--recipes", default="default,smp_resnet18")
    parser.add_argument("--out")
    parser.add_argument("--show", nargs="+")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.show:
        show(options.show)
    else:
        measure(options.dataset, options)


if __name__ == "__main__":
    main()
