"""What networks of a recipe are worth on the test images of their folds, and how recipes compare."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from branchpoint.config import Config
from branchpoint.datasets.prepared import PreparedCohort
from branchpoint.datasets.splits import split
from recipes.training import Predictions

DRAWS = 2000


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
