"""Test figures: the same patients for models and references, those that chose the candidates left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from branchpoint.config import Config
from branchpoint.evaluation.comparisons import holm
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
            "best found": [[{"tumour": dice(index, 8), "survival": survival(index, 1)} for index in FOLDS]],
            "segmentation only": [[{"tumour": dice(index, 6), "survival": survival(index, -1)} for index in FOLDS]],
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
        models={"best found": [[{"tumour": dice(index, 8), "survival": survival(index, 1)} for index in FOLDS]]},
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


def test_the_best_found_is_compared_with_every_other_and_nothing_else_is(records: list[FigureRecord]) -> None:
    labels = {record.label for record in records if record.kind == "difference"}
    others = ("segmentation only", "untrained network", "Cox on age")
    assert labels == {f"best found minus {other}" for other in others}
    assert figure(records, "best found minus untrained network", "survival", "c_index").value == pytest.approx(1.0)
    assert figure(records, "best found minus Cox on age", "survival", "c_index").value == pytest.approx(1.0)


def test_p_values_of_primary_metrics_are_one_family(base: Config) -> None:
    """Four tests (two of the outline, two of survival): the smallest p-value is multiplied by four."""
    rng = np.random.default_rng(0)

    def noisy(index: np.ndarray, mean: float) -> dict[str, np.ndarray]:
        overlap = np.clip(np.round(rng.normal(mean, 1.5, (len(index), 1))), 0, 10).astype(int)
        return {**dice(index, 0), "overlap": overlap}

    def network(mean: float, order: float) -> list[dict[str, dict[str, np.ndarray]]]:
        return [{"tumour": noisy(index, mean), "survival": survival(index, order)} for index in FOLDS]

    found = figure_records(
        study="toy",
        configs={"best found": base},
        models={"best found": [network(8, 1)]},
        references={"a": network(7, -1), "b": network(5, 1)},
        trivial=[],
        excluded=np.array([]),
        known_risk={},
        resamples=500,
    )
    family = [record for record in found if record.kind == "difference" and not np.isnan(record.p_adjusted)]
    assert {record.metric for record in family} == {"dice", "c_index"}
    assert [record.p_adjusted for record in family] == pytest.approx(holm([record.p for record in family]))
    assert all(record.p_adjusted >= record.p for record in family)
    untested = [record for record in found if record.kind == "difference" and record.metric == "dice_aggregated"]
    assert untested
    assert all(np.isnan(record.p_adjusted) for record in untested)


def test_seeds_and_groups_are_named_beside_the_interval(base: Config) -> None:
    folds = [{"tumour": dice(index, 8), "survival": survival(index, 1)} for index in FOLDS]
    worse = [{"tumour": dice(index, 6), "survival": survival(index, 1)} for index in FOLDS]
    found = figure_records(
        study="toy",
        configs={"best found": base},
        models={"best found": [folds, worse]},
        references={"untrained network": worse},
        trivial=[],
        excluded=np.array([]),
        known_risk={},
        groups=[f"patient {position // 2}" for position in range(20)],
        resamples=50,
    )
    best = figure(found, "best found", "tumour", "dice")
    assert best.resampled == "2 seeds x 10 groups (20 samples)"
    assert best.value == pytest.approx(0.7)
    assert best.high - best.low > 0.2, "the seeds differ by 0.2"
    assert figure(found, "best found minus untrained network", "tumour", "dice").value == pytest.approx(0.1)


def test_the_models_value_beyond_a_reference_is_reported_where_there_are_events_enough(base: Config) -> None:
    rng = np.random.default_rng(0)
    clinical, image = rng.normal(size=(2, 120))
    time = rng.exponential(500 * np.exp(-clinical - image))
    folds = (np.arange(60), np.arange(60, 120))

    def scored(score: np.ndarray) -> list[dict[str, np.ndarray]]:
        return [{**survival(index, 1), "log_hazard": score[index], "time_days": time[index]} for index in folds]

    found = figure_records(
        study="toy",
        configs={"trained": base},
        models={"trained": [[{"tumour": dice(each["index"], 8), "survival": each} for each in scored(image)]]},
        references={},
        trivial=[[Reference("Cox on age", "survival", each)] for each in scored(clinical)],
        excluded=np.array([], int),
        known_risk={},
        resamples=200,
    )
    together = figure(found, "Cox on age, with trained", "survival", "c_index")
    alone = figure(found, "Cox on age", "survival", "c_index")
    gain = figure(found, "Cox on age, with trained minus Cox on age", "survival", "c_index")
    assert (together.kind, together.candidate, gain.kind) == ("model", "", "difference")
    assert gain.value == pytest.approx(together.value - alone.value)
    assert gain.low > 0
    assert gain.p_adjusted == gain.p  # a family of one, apart from those of models
    assert figure(found, gain.label, "survival", "likelihood_ratio_p").value < 1e-6
