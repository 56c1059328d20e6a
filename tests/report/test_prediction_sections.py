"""Figures of single patients from summaries whose answers are known."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from plotly.graph_objects import Figure

from branchpoint.deploy.prediction.pictures import TRUTH, drawn_planes
from branchpoint.evaluation.survival import kaplan_meier
from branchpoint.report.case_sections import choose_cases, webp
from branchpoint.report.class_sections import class_section
from branchpoint.report.distance_views import coloured, distance_views
from branchpoint.report.parts import Plot, Section, Text
from branchpoint.report.survival_sections import YEAR, survival_section
from branchpoint.tasks.base import Summary


def cohort(patients: int = 200, strength: float = 2.0) -> Summary:
    """Exponential times whose hazard grows with the predicted risk; four folds; follow-up of eight years."""
    rng = np.random.default_rng(0)
    risk = rng.normal(size=patients)
    time = rng.exponential(4 * YEAR / np.exp(strength * risk / 2))
    return {
        "log_hazard": risk,
        "time_days": np.minimum(time, 8 * YEAR),
        "event": time < 8 * YEAR,
        "fold": np.arange(patients) % 4,
        "labelled": np.ones(patients, bool),
        "index": np.arange(patients),
    }


def test_survival_has_risk_groups_calibration_and_a_decision_curve() -> None:
    summary = cohort()
    section = survival_section("survival", [summary, summary])
    plots = {part.name: part.figure for part in section.parts if isinstance(part, Plot)}
    assert list(plots) == ["kaplan-meier-survival", "calibration-survival", "decision-survival"]
    curves = {trace.name: trace for trace in plots["kaplan-meier-survival"].data if trace.name}
    standardised = np.concatenate([summary["log_hazard"][summary["fold"] == fold] for fold in range(4)])
    assert len(standardised) == 200
    at_two_years = {name: trace.y[np.searchsorted(trace.x, 2.0, "right") - 1] for name, trace in curves.items()}
    assert at_two_years["high risk"] < at_two_years["low risk"] - 0.3
    counts = [trace.text[0] for trace in plots["kaplan-meier-survival"].data if trace.mode == "text"]
    assert counts == ["100", "100"], "all are at risk at first"
    assert [trace.name for trace in plots["calibration-survival"].data[1:]] == [
        "1 year",
        "2 years",
        "3 years",
        "5 years",
    ]
    for trace in plots["calibration-survival"].data[1:]:
        assert np.abs(np.array(trace.x) - np.array(trace.y)).mean() < 0.1, "the model is true, so it is calibrated"
    network, everyone, nobody = plots["decision-survival"].data
    share = 1 - float(kaplan_meier(summary["time_days"], summary["event"])(730.5))
    assert everyone.y[0] == pytest.approx(share - (1 - share) * 0.01 / 0.99, abs=1e-9)
    assert max(network.y) > 0
    assert list(nobody.y) == [0, 0]


def test_clinical_values_stand_beside_the_network_in_the_decision_curve() -> None:
    """Half of the hazard is known from clinical values, the other half to the network: together they gain most."""
    rng = np.random.default_rng(1)
    halves = rng.normal(size=(2, 400))
    time = rng.exponential(4 * YEAR / np.exp(1.2 * halves.sum(0)))
    known = {
        "time_days": np.minimum(time, 8 * YEAR),
        "event": time < 8 * YEAR,
        "fold": np.arange(400) % 4,
        "labelled": np.ones(400, bool),
        "index": np.arange(400),
    }
    network, clinical = ({**known, "log_hazard": half} for half in halves)
    (drawn,) = decision(survival_section("survival", [network], clinical))
    benefit = {trace.name: np.mean(trace.y) for trace in drawn.data}
    together = benefit["clinical values and the network"]
    assert together > 1.1 * max(benefit["the network"], benefit["clinical values alone"])
    others = {**clinical, "index": np.arange(400) + 1}
    (drawn,) = decision(survival_section("survival", [network], others))
    assert [trace.name for trace in drawn.data] == ["the network", "everyone", "nobody"], "of other patients: not shown"


def decision(section: Section) -> list[Figure]:
    return [part.figure for part in section.parts if isinstance(part, Plot) and part.name.startswith("decision")]


def texts(section: Section) -> str:
    return " ".join(part.text for part in section.parts if isinstance(part, Text))


def test_means_over_seeds_are_said_to_be_an_ensemble() -> None:
    summary = cohort()
    assert "mean over 3 networks (seeds)" in texts(survival_section("survival", [summary] * 3))
    assert "seeds" not in texts(survival_section("survival", [summary]))
    classes = {"label": np.array([0, 1] * 4), "probability": np.full((8, 2), 0.5)}
    assert "means over 2 networks (seeds)" in texts(class_section("grade", [classes] * 2))
    assert "seeds" not in texts(class_section("grade", [classes]))


def test_few_events_are_said_and_not_drawn() -> None:
    summary = cohort(24)
    section = survival_section("survival", [{**summary, "event": np.arange(24) < 6}])
    assert [part.name for part in section.parts if isinstance(part, Plot)] == ["kaplan-meier-survival"]
    assert "at least 10 events" in " ".join(part.text for part in section.parts if isinstance(part, Text))
    (text,) = survival_section("survival", [{**summary, "event": np.zeros(24, bool)}]).parts
    assert isinstance(text, Text)


def test_reliability_and_net_benefit_of_two_classes() -> None:
    """Three of four samples at 0.75 are cases, none of four at 0.05."""
    label = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    case = np.array([0.75] * 4 + [0.05] * 4)
    section = class_section("grade", [{"label": label, "probability": np.stack([1 - case, case], axis=1)}], ("a", "b"))
    reliability, decision = [part.figure for part in section.parts if isinstance(part, Plot)]
    assert reliability.data[1].x == pytest.approx([0.05, 0.75])
    assert reliability.data[1].y == pytest.approx([0.0, 0.75])
    at_half = int(np.argmin(np.abs(np.array(decision.data[0].x) - 0.5)))
    assert decision.data[0].y[at_half] == pytest.approx((3 - 1) / 8), "true minus false positives over samples"
    assert decision.data[1].y[at_half] == pytest.approx((3 - 5) / 8)


def test_cases_are_best_median_worst_and_others_by_chance() -> None:
    scores = np.array([0.5, 0.1, 0.9, np.nan, 0.4, 0.8, 0.3])
    chosen = choose_cases(scores)
    assert (chosen["best"], chosen["worst"]) == (2, 1)
    assert scores[chosen["median"]] == pytest.approx(0.4)
    assert len(set(chosen.values())) == len(chosen) == 6
    assert 3 not in chosen.values(), "a case without a score has no rank"
    assert choose_cases(np.array([0.3])) == {"best": 0}
    assert choose_cases(np.array([np.nan])) == {}


def test_true_and_predicted_outline_are_both_drawn() -> None:
    truth, predicted = np.zeros((40, 40), np.uint8), np.zeros((40, 40), np.uint8)
    truth[5:20, 5:20], predicted[10:30, 10:30] = 1, 1
    ((pixels, _),) = drawn_planes(np.zeros((40, 40)), predicted, "photo", (0.0, 1.0), truth)
    assert (pixels == TRUTH).all(2).any()
    assert (pixels[10 * 8, 25 * 8] == (255, 92, 57)).all(), "the upper edge of the prediction, beyond the truth"
    assert not pixels[7 * 8 + 4 : 8 * 8, 30 * 8 :].any(), "nothing elsewhere"
    with Image.open(io.BytesIO(webp(pixels, 70))) as stored:
        assert stored.size == (320, 320)


def test_distances_are_white_on_the_outline_red_inside_and_blue_outside() -> None:
    values = np.array([[0.0, 1.0], [-1.0, np.nan]])
    assert coloured(values).tolist() == [[[255, 255, 255], [255, 0, 0]], [[0, 0, 255], [153, 153, 153]]]
    assert coloured(np.array([[0.5, -5.0]])).tolist() == [[[255, 128, 128], [0, 0, 255]]]


def test_distances_of_a_volume_show_the_same_planes_of_truth_and_prediction() -> None:
    truth = np.full((9, 8, 8), -1.0)
    truth[6, 2:5, 3:6] = 1.0
    views = distance_views(truth, np.zeros_like(truth))
    names = [about["name"] for _, about in views]
    assert names == [
        f"{name} distance, {plane}" for name in ("true", "predicted") for plane in ("axial", "coronal", "sagittal")
    ]
    axial = views[0][0]
    assert axial[axial.shape[0] * 3 // 8, axial.shape[1] * 4 // 8].tolist() == [255, 0, 0], "through the cut at 6"
    assert all((pixels == 255).all() for pixels, _ in views[3:]), "a prediction of 0 is white everywhere"
    (true, _), (predicted, about) = distance_views(truth[6], truth[6])
    assert (true == predicted).all()
    assert about == {"name": "predicted distance"}
