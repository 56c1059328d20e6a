"""The training recipe against what a user would take instead, at equal processor time on the same folds.

    python benchmarks/recipe.py ph2 --root $BRANCHPOINT_DATA/ph2 --cpu-seconds 60 --seeds 1
    python benchmarks/recipe.py busi --root $BRANCHPOINT_DATA/busi --recipes default,smp_resnet18 --out busi.json
    python benchmarks/recipe.py --show ph2.json busi.json

Each recipe trains a network for the outline and the diagnosis for so many seconds of processor time on one thread, its
schedule fitted to that time, once for each fold and seed; it is tested once on the fold's test images. All see the same
pictures on the same grid and all training images of a fold; nothing is chosen by validation. The table gives the mean
over images of Dice, the AUC (one class against the rest, their mean) and the balanced accuracy, and differences to
``default`` with 95 % intervals over images, the seeds of an image averaged. The peer needs the extra ``comparators``
and ``pip install albumentations``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers.segmentation_models import train_segmentation_models
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from branchpoint.config import (
    ClassificationConfig,
    Config,
    DatasetConfig,
    IntensityAugmentationConfig,
    SegmentationConfig,
    SplitConfig,
)
from branchpoint.datasets.pipeline import checked_cohort
from branchpoint.datasets.prepared import PreparedCohort
from branchpoint.datasets.splits import split
from branchpoint.search.space.images_2d import PictureSpace
from branchpoint.training.loop import fit

FOLDS = 3
DRAWS = 2000


@dataclass(frozen=True)
class Set:
    """A data set: its diagnosis, number of classes and channels, and the edge of its pictures."""

    diagnosis: str
    classes: int
    channels: int
    size: int
    flipped: bool = False


SETS = {"ph2": Set("melanoma", 2, 3, 128, flipped=True), "busi": Set("diagnosis", 3, 1, 96)}


@dataclass(frozen=True)
class Predictions:
    """Of one network: probabilities (N, H, W) of the outline and (N, K) of the classes."""

    outline: np.ndarray
    classes: np.ndarray


def base_of(name: str, root: str) -> Config:
    """The platform's own choices for outline and diagnosis, without a search."""
    found = SETS[name]
    dataset = DatasetConfig(name=name, root=str(Path(root).resolve()), release="", size_voxels=(found.size,) * 2)
    tasks = (
        SegmentationConfig(name="lesion", target="lesion", loss="dice_ce"),
        ClassificationConfig(name="diagnosis", target=found.diagnosis, classes=found.classes),
    )
    space = PictureSpace(tasks=lambda _: tasks, channels=found.channels, flipped=found.flipped)
    config = space.base(dataset)
    return replace(config, split=SplitConfig(folds=FOLDS, validation_fraction=0.01))


def with_encoder(encoder: str, width: int, depth: int = 5) -> Callable[[Config], Config]:
    """Another encoder, its decoder ``width`` channels wide at the picture's own size."""

    def changed(config: Config) -> Config:
        return replace(config, network=replace(config.network.at_depth(encoder, depth), width=width))

    return changed


def with_network(**values: Any) -> Callable[[Config], Config]:
    """Another choice of the network's."""
    return lambda config: replace(config, network=replace(config.network, **values))


def deepest(config: Config) -> Config:
    """Image-level heads see the deepest level alone."""
    return replace(config, network=replace(config.network, taps=(config.network.depth - 1,)))


def with_classes(**values: Any) -> Callable[[Config], Config]:
    """Another loss of the diagnosis."""

    def changed(config: Config) -> Config:
        outline, diagnosis = config.tasks
        return replace(config, tasks=(outline, replace(diagnosis, **values)))

    return changed


def with_augmentation(**values: Any) -> Callable[[Config], Config]:
    """Another augmentation."""

    def changed(config: Config) -> Config:
        assert config.training.augmentation is not None
        augmentation = replace(config.training.augmentation, **values)
        return replace(config, training=replace(config.training, augmentation=augmentation))

    return changed


def with_learning_rate(rate: float) -> Callable[[Config], Config]:
    """Another learning rate."""
    return lambda config: replace(config, optimizer=replace(config.optimizer, learning_rate=rate))


def with_training(**values: Any) -> Callable[[Config], Config]:
    """Another budget or choice of weights."""
    return lambda config: replace(config, training=replace(config.training, **values))


PHOTOGRAPH = IntensityAugmentationConfig(saturation=0.3, hue_turns=0.03, channels_together=True)
PARTS: dict[str, Callable[[Config], Config]] = {
    "default": lambda config: config,
    "unet8": with_encoder("unet", 8),
    "unet16": with_encoder("unet", 16),
    "resnet18": with_encoder("resnet18", 16),
    "resnet34": with_encoder("resnet34", 16),
    "head1": with_network(head_kernel=1),
    "head3": with_network(head_kernel=3),
    "deepest": deepest,
    "every": with_network(taps=()),
    "balanced": with_classes(balanced=True),
    "smoothed": with_classes(label_smoothing=0.1),
    "intensity": with_augmentation(intensity=IntensityAugmentationConfig()),
    "colour": with_augmentation(intensity=PHOTOGRAPH),
    "still": with_augmentation(intensity=None),
    "scaling": with_augmentation(scaling=0.25),
    "rotation": with_augmentation(rotation_degrees=30.0),
    "noshift": with_augmentation(shift_mm=0.0),
    "always": with_augmentation(movement_probability=1.0),
    "seldom": with_augmentation(movement_probability=0.2),
    "half": with_augmentation(movement_probability=0.5),
    "slow": with_learning_rate(3e-4),
    "fast": with_learning_rate(3e-3),
    "last": with_training(select_by="last"),
    "batch8": with_training(batch_size=8),
    "batch5": with_training(batch_size=5),
}
"""Parts of a recipe; ``+`` joins them."""
PEERS = ("smp_resnet18",)


def train_platform(config: Config, prepared: PreparedCohort, seconds: float) -> Predictions:
    """Train ``config`` for ``seconds`` of processor time and predict the test pictures of its fold."""
    probe = replace(config, training=replace(config.training, epochs=2))
    times: list[float] = []
    fit(probe, prepared, device="cpu", report=lambda _: times.append(time.process_time()) is None)
    epochs = max(2, round(seconds / (times[1] - times[0])))
    result = fit(replace(config, training=replace(config.training, epochs=epochs)), prepared, device="cpu")
    with torch.inference_mode():
        logits = result.network(prepared.batch(split(prepared, config.split).test).inputs)
    return Predictions(logits["lesion"].sigmoid()[:, 0].numpy(), logits["diagnosis"].softmax(1).numpy())


def train_one(name: str, config: Config, prepared: PreparedCohort, seconds: float) -> Predictions:
    """One network of a recipe."""
    if name not in PEERS:
        for part in name.split("+"):
            config = PARTS[part](config)
        return train_platform(config, prepared, seconds)
    parts = split(prepared, config.split)
    learned = prepared.batch(np.concatenate([parts.train, parts.validation]))
    tested = prepared.batch(parts.test).inputs["image"]
    images, lesion = learned.inputs["image"], learned.targets["lesion"]
    found = train_segmentation_models(
        name.removeprefix("smp_"), images, lesion, learned.targets[config.tasks[1].target], tested, seconds, config.seed
    )
    return Predictions(*found)


def scores(prepared: PreparedCohort, config: Config, predictions: Predictions) -> list[dict[str, Any]]:
    """One row for each test picture."""
    indices = split(prepared, config.split).test
    batch = prepared.batch(indices)
    truth = batch.targets["lesion"][:, 0].numpy() > 0
    labels = batch.targets[config.tasks[1].target].numpy()
    rows = []
    for place, index in enumerate(indices):
        found = predictions.outline[place] > 0.5
        both = found.sum() + truth[place].sum()
        dice = 2 * (found & truth[place]).sum() / both if truth[place].any() else float("nan")
        probabilities = predictions.classes[place].tolist()
        rows.append({"image": int(index), "dice": float(dice), "empty": not found.any(), "label": int(labels[place])})
        rows[-1]["probabilities"] = probabilities
    return rows


def summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Mean Dice over pictures with a lesion, AUC and balanced accuracy."""
    labels = np.array([row["label"] for row in rows])
    probabilities = np.array([row["probabilities"] for row in rows])
    normal = [row["empty"] for row in rows if np.isnan(row["dice"])]
    aucs = [roc_auc_score(labels == k, probabilities[:, k]) for k in np.unique(labels)]
    return {
        "Dice": float(np.nanmean([row["dice"] for row in rows])),
        "AUC": float(np.mean(aucs)),
        "balanced accuracy": float(balanced_accuracy_score(labels, probabilities.argmax(1))),
        **({"empty where normal": float(np.mean(normal))} if normal else {}),
    }


def measure(name: str, options: argparse.Namespace) -> None:
    """Train every recipe, fold and seed that the file does not hold yet, and write the file after each."""
    base = base_of(name, options.root)
    with tempfile.TemporaryDirectory() as folder:
        prepared, _ = checked_cohort(base.dataset, Path(folder), folds=FOLDS, without_faulty=True)
        file = Path(options.out or f"{name}.json")
        results = json.loads(file.read_text()) if file.exists() else {}
        for seed, fold, recipe in itertools.product(range(options.seeds), range(FOLDS), options.recipes.split(",")):
            key = f"{recipe}/{options.cpu_seconds:g}/{seed}/{fold}"
            if key in results:
                continue
            config = replace(base, seed=seed, split=replace(base.split, fold=fold))
            rows = scores(prepared, config, train_one(recipe, config, prepared, options.cpu_seconds))
            results[key] = {"rows": rows, "set": name}
            file.write_text(json.dumps(results))
            print(key, {k: round(v, 3) for k, v in summary(rows).items()}, flush=True)


def show(files: list[str]) -> None:
    """The table of several files of one data set."""
    merged: dict[str, Any] = {}
    for file in files:
        merged |= json.loads(Path(file).read_text())
    groups: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
    for key, value in merged.items():
        recipe, seconds, seed, _ = key.split("/")
        groups.setdefault((recipe, seconds), {}).setdefault(seed, []).extend(value["rows"])
    for seconds in sorted({seconds for _, seconds in groups}, key=float):
        reference = groups.get(("default", seconds))
        for (recipe, other), seeds in groups.items():
            if other == seconds:
                print(f"{recipe:24} {seconds:>5} s, {len(seeds)} seeds: {_line(seeds, reference)}")


def _line(seeds: Mapping[str, list[dict[str, Any]]], reference: Mapping[str, list[dict[str, Any]]] | None) -> str:
    common = [seed for seed in seeds if reference and seed in reference] if reference is not seeds else []
    means = _mean([summary(rows) for rows in seeds.values()])
    if not common or reference is None:
        return "  ".join(f"{key} {value:.3f}" for key, value in means.items())
    generator, drawn = np.random.default_rng(0), []
    images = sorted({row["image"] for row in seeds[common[0]]})
    for _ in range(DRAWS // 10):
        chosen = generator.choice(images, len(images))
        drawn.append(_difference(seeds, reference, common, chosen))
    ends = {key: np.nanquantile([draw[key] for draw in drawn], [0.025, 0.975]) for key in means}
    point = _difference(seeds, reference, common, images)
    return "  ".join(
        f"{key} {value:.3f} ({point[key]:+.3f} [{ends[key][0]:+.3f}, {ends[key][1]:+.3f}])"
        for key, value in means.items()
    )


def _difference(seeds: Any, reference: Any, common: list[str], images: Any) -> dict[str, float]:
    found = []
    for seed in common:
        ours, theirs = ({row["image"]: row for row in rows[seed]} for rows in (seeds, reference))
        kept = [image for image in images if image in ours and image in theirs]
        own, other = summary([ours[image] for image in kept]), summary([theirs[image] for image in kept])
        found.append({key: own[key] - other[key] for key in own})
    return _mean(found)


def _mean(values: list[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([value[key] for value in values])) for key in values[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?", choices=SETS)
    parser.add_argument("--root")
    parser.add_argument("--cpu-seconds", type=float, default=60.0)
    parser.add_argument("--seeds", type=int, default=1)
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
