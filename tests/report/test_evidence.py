"""Labels of one network, epoch rules, cost and verdicts, from rows whose figures are known."""

from __future__ import annotations

import json
from typing import Any

import pytest

from branchpoint.report.added_value import added_value_section
from branchpoint.report.answer import answer, differs
from branchpoint.report.cost import cost_table
from branchpoint.report.epoch_rules import epoch_rule_rows
from branchpoint.report.evidence import differences_section
from branchpoint.report.labels import labels_of_candidates, without_doubles
from branchpoint.report.parts import Table
from branchpoint.report.results import Results


def figure(label: str, candidate: str, value: float, metric: str = "t/dice", **more: Any) -> dict[str, Any]:
    row = {"label": label, "candidate": candidate, "value": value, "metric": metric, "kind": "model"}
    return {**row, "split": "test", "fold": -1, "center": "", **more}


def final(candidate: str, tasks: list[str], fold: int, rules: dict[str, float]) -> dict[str, Any]:
    config = json.dumps({"tasks": [{"name": name, "weight": 1.0} for name in tasks]})
    names = {f"rule/{rule}": value for rule, value in rules.items()}
    row = {"candidate": candidate, "fold": fold, "seed": 0, "config": config, "metrics": names}
    cost = {
        "parameters": 2_000,
        "macs": 10**6,
        "peak_memory_bytes": 5_000_000,
        "epoch_seconds": 2.0,
        "gpu_seconds": 30.0,
    }
    return {**row, **cost, "stage": "final", "state": "COMPLETE", "trial": f"{candidate}-{fold}"}


def test_a_reference_that_is_the_best_found_is_one_row_with_both_names() -> None:
    rows = [figure("best found", "a", 0.5), figure("shared", "a", 0.5), figure("single", "b", 0.5)]
    assert [row["label"] for row in without_doubles(rows)] == ["best found = shared", "single"]


def test_figures_that_only_one_name_has_are_kept() -> None:
    rows = [figure("best found", "a", 0.5), figure("shared", "a", 0.5), figure("shared", "a", 0.7, split="validation")]
    merged = without_doubles(rows)
    assert [(row["label"], row["value"]) for row in merged] == [
        ("best found = shared", 0.5),
        ("best found = shared", 0.7),
    ]
    assert labels_of_candidates(merged) == {"a": "best found = shared"}


def test_choices_fold_by_fold_stay_beside_the_recommended_network() -> None:
    rows = [figure("best found, chosen fold by fold", "a", 0.4), figure("best found", "a", 0.5)]
    assert [row["label"] for row in without_doubles(rows)] == ["best found, chosen fold by fold", "best found"]


def test_epoch_rules_pair_runs_of_one_fold() -> None:
    """Differences 0.1 and 0.3: mean 0.2, standard error of the mean 0.1."""
    trials = [
        final("joint", ["t", "s"], 0, {"last/t/dice": 0.5, "average/t/dice": 0.6}),
        final("joint", ["t", "s"], 1, {"last/t/dice": 0.7}),
        final("joint", ["t", "s"], 2, {"last/t/dice": 0.9}),
        final("alone", ["t"], 0, {"last/t/dice": 0.4, "average/t/dice": 0.7}),
        final("alone", ["t"], 1, {"last/t/dice": 0.4}),
    ]
    assert epoch_rule_rows(trials, "joint", ["t/dice", "s/c_index"]) == [
        ["t: Dice", "last epoch", "0.600", "0.400", "+0.200 ± 0.100", "2"],
        ["t: Dice", "average of the weights (EMA)", "0.600", "0.700", "-0.100 ± -", "1"],
    ]
    assert epoch_rule_rows(trials[3:], "alone", ["t/dice"]) == []


def test_cost_sums_times_and_takes_medians_of_sizes() -> None:
    trials = [final("a", ["t"], fold, {}) for fold in range(2)]
    epochs = [{"trial": f"a-{fold}", "seconds": 60.0} for fold in range(2) for _ in range(3)]
    table = cost_table(trials, epochs, {"a": "best found"}, "a")
    assert table is not None
    assert table.marked == [("best", ["best found", "2,000", "1e+06", "5", "2", "6.00", "1.00"])]
    assert cost_table([], epochs, {}, "a") is None


@pytest.mark.parametrize(
    ("low", "high", "p", "shown"),
    [(0.01, 0.2, 0.01, True), (0.01, 0.2, 0.06, False), (-0.01, 0.2, 0.01, False), (0.01, 0.2, None, True)],
)
def test_a_difference_needs_the_interval_and_the_corrected_test(
    low: float, high: float, p: float | None, shown: bool
) -> None:
    assert differs({"low": low, "high": high, "p_adjusted": p}) is shown


def differences(*rows: tuple[str, float, float, float, float]) -> Results:
    """Of (task, value, low, high, corrected p) against each task alone."""
    made = [
        {"metric": f"{task}/dice", "label": f"best found minus {task} only", "kind": "difference", "fold": -1, "n": 40}
        | {"value": value, "low": low, "high": high, "p_adjusted": p, "candidate": "a", "split": "test"}
        for task, value, low, high, p in rows
    ]
    return Results(
        "toy", {}, [{"candidate": "a", "stage": "search", "state": "COMPLETE", "config": "", "metrics": {}}], [], made
    )


def test_the_answer_names_p_and_why_an_interval_without_0_is_not_enough() -> None:
    found = differences(("cup", -0.03, -0.05, -0.01, 0.0002), ("disc", 0.04, 0.003, 0.08, 0.12))
    helps, why, *_ = answer(found)
    assert helps == (
        "The recommended network, against each task alone: hurts cup: Dice -0.030 [-0.050, -0.010], p < 0.001, and no "
        "difference can be shown in disc: Dice +0.040 [+0.003, +0.080], p = 0.120 (difference with 95 % interval and "
        "p-value, 40 test patients)."
    )
    assert why.startswith("The interval of disc: Dice leaves out 0, but it is one of several comparisons")
    assert "below 0.05" in why


def test_the_answer_does_not_explain_what_agrees() -> None:
    found = differences(("cup", -0.03, -0.05, -0.01, 0.0002), ("disc", 0.04, -0.003, 0.08, 0.12))
    assert not any("leaves out 0" in line for line in answer(found))


def test_what_the_network_adds_has_a_section_of_its_own() -> None:
    def row(
        label: str, kind: str, value: float, metric: str = "survival/c_index", p: float | None = None
    ) -> dict[str, Any]:
        made = figure(label, "", value, metric, kind=kind, low=value - 0.1, high=value + 0.1, n=40)
        return {**made, "p_adjusted": p}

    rows = [
        row("Cox on age", "reference", 0.6),
        row("Cox on age, with best found", "model", 0.7),
        row("Cox on age, with best found minus Cox on age", "difference", 0.1, p=0.03),
        row("Cox on age, with best found minus Cox on age", "difference", 0.0004, "survival/likelihood_ratio_p"),
        row("best found minus Cox on age", "difference", 0.05, p=0.2),
    ]
    results = Results("toy", {}, [], [], rows)
    table = next(part for part in added_value_section(results).parts if isinstance(part, Table))
    known, metric, *values = table.rows[0]
    assert (known, metric) == ("Cox on age", "survival: C-index")
    assert values == ["0.600 [0.500, 0.700]", "0.700 [0.600, 0.800]", "+0.100 [+0.000, +0.200]", "0.030", "<0.001"]
    others = next(part for part in differences_section(results).parts if isinstance(part, Table))
    assert [cells[0] for cells in others.rows] == ["best found minus Cox on age"]
    assert not added_value_section(Results("toy", {}, [], [], rows[:2])).parts
