"""The question of a study and its answer in sentences, each with its error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from branchpoint import networks
from branchpoint.config import SCORE
from branchpoint.evaluation.estimates import ATTAINABLE
from branchpoint.report.tables import interval, number, p_value, signed_interval
from branchpoint.report.words import metric_name

if TYPE_CHECKING:
    from branchpoint.config import Config
    from branchpoint.report.results import Results

Row = Mapping[str, Any]
LEVEL = 0.05
"""Of the tests, after Holm's correction."""


def question(config: Config | None) -> str:
    """What a study of the tasks of ``config`` asks."""
    tasks = _main_tasks(config)
    if len(tasks) < 2:
        return f"Which network learns {tasks[0] if tasks else 'the task'} best?"
    return f"Which of {_listed(tasks)} should one network learn together, and which network?"


def answer(results: Results) -> list[str]:
    """The result in plain sentences: does learning together help, the recommended network, its figures."""
    if not results.best:
        return ["No trial has completed yet."]
    return [*_together(results), *_recommendation(results, results.best), *_figures(results)]


def differs(row: Row) -> bool:
    """Whether a difference is more than chance explains: its interval leaves out 0, and so does the corrected test."""
    p = row.get("p_adjusted")
    tested = p is None or p != p or p < LEVEL
    return tested and not row["low"] <= 0 <= row["high"]


def _together(results: Results) -> list[str]:
    """What learning together changed, against networks of one task."""
    rows = [row for row in results.tested_differences if row["label"].endswith(" only")]
    if not rows:
        return []
    kinds = {"helps": [], "hurts": [], "": []}  # type: dict[str, list[str]]
    for row in rows:
        verdict = ("helps" if row["value"] > 0 else "hurts") if differs(row) else ""
        kinds[verdict].append(f"{metric_name(row['metric'])} {signed_interval(row)}{_corrected(row)}")
    said = [f"{verdict} {'; '.join(texts)}" for verdict, texts in kinds.items() if verdict and texts]
    if kinds[""]:
        said.append(f"{'no' if not said else 'and no'} difference can be shown in {'; '.join(kinds[''])}")
    patients = sorted({row["n"] for row in rows})
    count = "-".join(map(str, dict.fromkeys((patients[0], patients[-1]))))
    subject = f"{_subject(results.config)}, against each task alone"
    shown = "difference with 95 % interval" + (" and p-value" if any(map(_corrected, rows)) else "")
    return [f"{subject}: {', '.join(said)} ({shown}, {count} test patients).", *_only_by_itself(rows)]


def _corrected(row: Row) -> str:
    """The p-value after correction, where there is one."""
    p = row.get("p_adjusted")
    if p is None or p != p:
        return ""
    said = p_value(p)
    return f", p {said[0]} {said[1:]}" if said.startswith("<") else f", p = {said}"


def _only_by_itself(rows: Sequence[Row]) -> list[str]:
    """Why an interval without 0 is not called a difference."""
    names = [metric_name(row["metric"]) for row in rows if not row["low"] <= 0 <= row["high"] and not differs(row)]
    if not names:
        return []
    return [
        f"The interval of {_listed(names) if len(names) > 1 else names[0]} leaves out 0, but it is one of several "
        "comparisons with the best found: the p-value is corrected for all of them (Holm), and a difference is called "
        f"one where it is below {LEVEL}."
    ]


def _subject(config: Config | None) -> str:
    tasks = _main_tasks(config)
    if config is None or len(tasks) < 2:
        return "The recommended network"
    trained = {task.name for task in config.tasks if task.weight > 0 and not task.auxiliary}
    shares = any(len(trained & set(group)) > 1 for group in networks.topology_of(config).encoder[0])
    return f"Learning {_listed(tasks)} together" if shares else "The recommended separate networks"


def _recommendation(results: Results, best: Row) -> list[str]:
    """Its score on validation patients, and that of a finalist with a higher one."""
    scores = [row for row in results.figures if row["split"] == "validation"]
    own = next((row for row in scores if row["candidate"] == results.best_candidate), None)
    if own is None:
        return [f"The best configuration has a score of {number(best['metrics'].get(SCORE))} on validation patients."]
    lines = [f"The recommended configuration has a score of {interval(own)} on validation patients of all folds."]
    highest = max(scores, key=lambda row: row["value"])
    if highest["candidate"] != results.best_candidate:
        lines.append(
            f"{highest['label']} has {interval(highest)}, but the difference is within one standard error: the "
            "simplest such network is recommended."
        )
    return lines


def _figures(results: Results) -> list[str]:
    """Each task's primary metric on test patients, beside the best reference."""
    lines = []
    for metric in results.primary_metrics:
        rows = [row for row in results.pooled_test if row["metric"] == metric]
        found = [row for row in results.recommended_test if row["metric"] == metric]
        if not found:
            continue
        references = [row for row in rows if row["kind"] == "reference" and row["label"] != ATTAINABLE]
        best = max(references, key=lambda row: row["value"], default=None)
        against = f"; best reference: {best['label']} {interval(best)}" if best else ""
        lines.append(f"{metric_name(metric)} on test patients: {interval(found[0])} (n={found[0]['n']}){against}.")
    return lines


def _main_tasks(config: Config | None) -> list[str]:
    return [task.name.replace("_", " ") for task in config.tasks if not task.auxiliary] if config else []


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
