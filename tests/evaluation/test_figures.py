"""Test figures: the same patients for models and references, those that chose the candidates left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from branchpoint.config import Config
from branchpoint.evaluation.estimates import ATTAINABLE, figure_records
from branchpoint.evaluation.references import Reference
from branchpoint.store import FigureRecord

FOLDS = (np.arange(0, 10), np.arange(10, 20))


def survival(index: np.ndarray, order: float) -> dict[str, np.ndarray]:
    """Everybody dies, the lower position sooner; log-hazards rank them right (1) or wrong (-1)."""
    return {
        "log_hazard": -order * index.astype(np.float64),
        "time_days": index + 1.0,
        "event": np.ones(len(index), bool),
        "labelled": np.ones(len(index), bool),
        "index": index,
    }


def dice(index: np.ndarray, overlap: int) -> dict[str, np.ndarray]:
    """Masks of 10 voxels, predicted with 10, of which ``overlap`` are right."""
    ten = np.full((len(index), 1), 10)
    return {
        "predicted": ten,
        "truth": ten,
        "overlap": np.full((len(index), 1), overlap),
        "labelled": np.ones(len(index), bool),
        "index": index,
    }


@pytest.fixture
def records(base: Config) -> list[FigureRecord]:
    alone = replace(base, tasks=(base.tasks[0], replace(base.tasks[1], weight=0.0)))
    untrained = [{"tumour": dice(index, 0), "survival": survival(index, -1)} for index in FOLDS]
    return figure_records(
        study="toy",
        configs={"best found": base, "segmentation only": alone},
        models={
            "best found": [{"tumour": dice(index, 8), "survival": survival(index, 1)} for index in FOLDS],
            "segmentation only": [{"tumour": dice(index, 6), "survival": survival(index, -1)} for index in FOLDS],
        },
        references={"untrained network": untrained},
        trivial=[[Reference("Cox on age", "survival", survival(index, -1))] for index in FOLDS],
        excluded=np.array([0, 1, 15]),
        known_risk={int(position): -float(position) for index in FOLDS for position in index},
        centers=["A" if position % 2 else "B" for position in range(20)],
        resamples=50,
    )


def figure(records: list[FigureRecord], label: str, task: str, metric: str, fold: int = -1) -> FigureRecord:
    wanted = (label, task, metric, fold)
    overall = [record for record in records if not record.center]
    (found,) = [record for record in overall if (record.label, record.task, record.metric, record.fold) == wanted]
    return found


def test_values_per_fold_and_pooled(records: list[FigureRecord], base: Config) -> None:
    best = figure(records, "best found", "tumour", "dice")
    assert (best.value, best.kind, best.split, best.candidate) == (pytest.approx(0.8), "model", "test", base.candidate)
    assert best.low <= best.value <= best.high
    assert figure(records, "best found", "survival", "c_index", fold=1).value == 1.0
    assert figure(records, "Cox on age", "survival", "c_index").value == 0.0
    assert figure(records, ATTAINABLE, "survival", "c_index").value == 1.0
    assert figure(records, "untrained network", "tumour", "dice").kind == "reference"


def test_patients_that_chose_the_candidates_are_left_out_everywhere(records: list[FigureRecord]) -> None:
    counts = {(record.fold, record.n) for record in records if not record.center}
    assert counts == {(0, 8), (1, 9), (-1, 17)}
    by_center = {(record.center, record.fold, record.n) for record in records if record.center}
    assert by_center == {("A", -1, 8), ("B", -1, 9)}, "1 and 15 lie in centre A"


def test_models_have_figures_of_each_centre(records: list[FigureRecord]) -> None:
    found = {(r.label, r.center, r.task) for r in records if r.center and r.metric in ("dice", "c_index")}
    both = {("best found", center, task) for center in "AB" for task in ("tumour", "survival")}
    assert found == both | {("segmentation only", center, "tumour") for center in "AB"}
    assert {r.value for r in records if r.center and r.metric == "c_index"} == {1.0}


def test_one_centre_is_no_comparison(base: Config) -> None:
    found = figure_records(
        study="toy",
        configs={"best found": base},
        references={},
        trivial=[],
        excluded=np.array([]),
        known_risk={},
        models={"best found": [{"tumour": dice(index, 8), "survival": survival(index, 1)} for index in FOLDS]},
        centers=["A", None] * 10,
        resamples=5,
    )
    assert not any(record.center for record in found)


def test_an_untrained_head_gives_no_model_figure(records: list[FigureRecord]) -> None:
    alone = {record.task for record in records if record.label == "segmentation only"}
    assert alone == {"tumour"}


def test_differences_are_paired(records: list[FigureRecord]) -> None:
    difference = figure(records, "best found minus segmentation only", "tumour", "dice")
    assert difference.kind == "difference"
    assert (difference.low, difference.value, difference.high) == pytest.approx((0.2, 0.2, 0.2))
    learned_by_one = {record.task for record in records if record.label == difference.label}
    assert learned_by_one == {"tumour"}, "a task that one of them did not learn is not compared"


def test_every_model_is_compared_with_the_untrained_network(records: list[FigureRecord]) -> None:
    assert figure(records, "best found minus untrained network", "survival", "c_index").value == pytest.approx(1.0)
    assert figure(records, "segmentation only minus untrained network", "tumour", "dice").low == pytest.approx(0.6)
