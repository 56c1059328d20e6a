"""Six test cases of a dense task: with the true and the predicted outline, or the true and the predicted distances."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from branchpoint.datasets.preparation.preparation import without_margin
from branchpoint.deploy.prediction.pictures import drawn_planes, in_own_units
from branchpoint.execution.held_out import predicted_classes, predicted_distances
from branchpoint.execution.run_spec import RunSpec, Setup
from branchpoint.report.distance_views import distance_views
from branchpoint.report.parts import Case, Part, Picture, Section, Text
from branchpoint.report.tables import number
from branchpoint.report.words import metric_name
from branchpoint.tasks.base import Summary, select
from branchpoint.tasks.distance_map import DistanceMapTask
from branchpoint.tasks.segmentation import SegmentationTask

Dense = SegmentationTask | DistanceMapTask
OUTLINES = (
    "Solid: predicted; dashed (green, or pale where there are several classes): true. Planes go through the largest "
    "cut of the true outline."
)
DISTANCES = (
    "Distance to the outline of class 1: white on it, redder deeper inside, bluer farther outside, grey where unknown. "
    "Planes go through the largest cut of the true outline."
)
RANDOM = 3
SEED = 0
QUALITY = 70
MOST_BYTES = 600_000
"""Of the pictures of one task; beyond it they are stored at a lower quality."""


def case_section(task: Dense, pooled: Summary, runs: Sequence[RunSpec], setup: Setup) -> Section:
    """The best, the median and the worst test case, and three drawn by chance.

    Args:
        task: the dense task.
        pooled: summary (with ``fold`` and ``index``) of the labelled test patients.
        runs: the run of each fold, whose networks were kept; of the first seed.
        setup: of the study.
    """
    scores = scores_of(task, pooled)
    chosen = choose_cases(scores)
    outlines = isinstance(task, SegmentationTask)
    title = f"{'Outlines' if outlines else 'Distances to the outline'} of test cases: {task.name}"
    if not chosen:
        return Section(title, [Text("No test case has a true outline.", note=False)])
    cohort, predicted = setup.cohort(), _predicted(task, pooled, [*chosen.values()], runs, setup)
    views = {name: _views(task, cohort, int(pooled["index"][row]), predicted[row]) for name, row in chosen.items()}
    quality = QUALITY
    files = _files(views, quality)
    while sum(len(p.image) for pictures in files.values() for p in pictures) > MOST_BYTES and quality > 20:
        quality -= 20
        files = _files(views, quality)
    metric = metric_name(f"{task.name}/{task.primary_metric}")
    cases: list[Part] = []
    for place, (name, row) in enumerate(chosen.items(), 1):
        index = int(pooled["index"][row])
        outside = float(cohort.lost_mask[task.config.target][index])
        lost = f"; {outside:.0%} of the true outline lies outside the window shown" if outside > 0.01 else ""
        about = f"{metric} {number(float(scores[row]))}, fold {int(pooled['fold'][row]) + 1}{lost}"
        case_title = f"{name}: {cohort.patient_ids[index]}"
        cases.append(Case(f"case-{task.name}-{place}", case_title, about, files[name]))
    note = (
        f"{OUTLINES if outlines else DISTANCES} By a network that had not seen the patient (of several seeds, the "
        "first). The three cases by chance were drawn with a fixed seed."
    )
    return Section(title, [Text(note), *cases])


def scores_of(task: Dense, pooled: Summary) -> np.ndarray:
    """(N,): the primary metric of each sample by itself; NaN where it has none."""
    rows = [task.metrics(select(pooled, np.array([row]))) for row in range(len(pooled["labelled"]))]
    return np.array([row.get(task.primary_metric, np.nan) for row in rows])


def choose_cases(scores: np.ndarray) -> dict[str, int]:
    """What a case is to its position: best, median, worst, and some of the others by chance.

    >>> list(choose_cases(np.array([0.2, 0.9, np.nan, 0.5])).items())
    [('best', 1), ('median', 3), ('worst', 0)]
    """
    order = np.flatnonzero(~np.isnan(scores))
    order = order[np.argsort(-scores[order], kind="stable")]
    if not len(order):
        return {}
    found = {"best": int(order[0]), "median": int(order[len(order) // 2]), "worst": int(order[-1])}
    others = [int(row) for row in order if int(row) not in found.values()]
    drawn = np.random.default_rng(SEED).permutation(others)[:RANDOM]
    distinct = {row: name for name, row in reversed(found.items())}
    named = {name: row for row, name in reversed(distinct.items())}
    return named | {f"by chance, {place}": int(row) for place, row in enumerate(drawn, 1)}


def _predicted(
    task: Dense, pooled: Summary, rows: Sequence[int], runs: Sequence[RunSpec], setup: Setup
) -> dict[int, np.ndarray]:
    """Row to class ids, or distances (K, [D,] H, W), on the prepared grid; each fold's network is opened once."""
    predict = predicted_classes if isinstance(task, SegmentationTask) else predicted_distances
    found: dict[int, np.ndarray] = {}
    for fold in sorted({int(pooled["fold"][row]) for row in rows}):
        own = [row for row in rows if pooled["fold"][row] == fold]
        maps = predict(runs[fold], setup, [int(pooled["index"][row]) for row in own])[task.name]
        found |= dict(zip(own, maps, strict=True))
    return found


def _views(task: Dense, cohort: Any, index: int, predicted: np.ndarray) -> list[tuple[np.ndarray, dict[str, Any]]]:
    """Pixels of every modality's planes, or of the distances', and what is known of each."""
    batch = cohort.batch([index])
    if isinstance(task, DistanceMapTask):
        return distance_views(task.target(batch)[0][0, 0].numpy(), predicted[0])
    truth = batch.targets[task.config.target][0, 0].numpy()
    stored = without_margin(torch.from_numpy(cohort.stored_image(index)), cohort.preparation.margin_voxels).numpy()
    scale, offset = (batch.inputs[f"intensity_{part}"][0].numpy() for part in ("scale", "offset"))
    images = in_own_units(stored, scale, offset, cohort.preparation)
    return [
        view
        for modality, (image, grey) in images.items()
        for view in drawn_planes(image, predicted, modality, grey, truth)
    ]


def _files(views: Mapping[str, Sequence[tuple[np.ndarray, dict[str, Any]]]], quality: int) -> dict[str, list[Picture]]:
    return {
        name: [Picture(_caption(view), webp(pixels, quality), sides=view.get("sides", ())) for pixels, view in of_case]
        for name, of_case in views.items()
    }


def _caption(view: Mapping[str, Any]) -> str:
    sides = view.get("sides")
    edges = f"; left {sides[0]}, right {sides[1]}, top {sides[2]}, bottom {sides[3]}" if sides else ""
    shown = f" ({view['shown']}{edges})" if view.get("shown") else ""
    return f"{view['name']}{shown}"


def webp(pixels: np.ndarray, quality: int) -> bytes:
    """uint8 (H, W, 3) as WebP."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=quality, method=6)
    return buffer.getvalue()
