"""Sections on the test figures: of every network and reference, differences, centres, epoch rules, cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from branchpoint.report import plots
from branchpoint.report.added_value import added_to
from branchpoint.report.answer import differs
from branchpoint.report.cost import cost_table, training_seconds
from branchpoint.report.epoch_rules import COLUMNS, epoch_rule_rows
from branchpoint.report.labels import labels_of_candidates
from branchpoint.report.parts import Fold, Part, Plot, Section, Table, Text
from branchpoint.report.results import Results
from branchpoint.report.tables import interval, p_value, signed_interval
from branchpoint.report.words import MEANINGS, metric_name

Row = Mapping[str, Any]


def test_section(results: Results) -> Section:
    """Primary metrics first; every other metric behind a fold."""
    pooled = results.pooled_test
    if not pooled:
        return Section("Test figures", [Text("No configuration has been retrained over the folds yet.", note=False)])
    metrics = list(dict.fromkeys(row["metric"] for row in pooled))
    primary = [metric for metric in results.primary_metrics if metric in metrics]
    others = [metric for metric in metrics if metric not in primary]
    parts: list[Part] = [
        _figures_table(results, primary),
        Text(f"95 % bootstrap intervals; resampled: {results.resampled}. {results.protocol}"),
        *_meanings(primary),
        *(Plot(_name("figures", m), plots.forest([r for r in pooled if r["metric"] == m], m)) for m in primary),
    ]
    further = [_further_table(results, metric) for metric in others]
    if further:
        parts.append(Fold("Every other metric", [*_meanings(others), *further]))
    return Section("Test figures", parts)


def _figures_table(results: Results, primary: Sequence[str]) -> Table:
    rows, marks = [], []
    for label, by_metric in _by_label(results).items():
        cells = [interval(by_metric[metric]) if metric in by_metric else "" for metric in primary]
        if not any(cells):
            continue
        counts = sorted({by_metric[metric]["n"] for metric in primary if metric in by_metric})
        rows.append([label, *cells, "-".join(str(n) for n in dict.fromkeys((counts[0], counts[-1])))])
        marks.append(_mark(results, next(iter(by_metric.values()))))
    return Table("test-figures", ["", *map(metric_name, primary), "patients"], rows, marks)


def _further_table(results: Results, metric: str) -> Table:
    found = {label: rows[metric] for label, rows in _by_label(results).items() if metric in rows}
    return Table(
        _name("figures", metric),
        ["", metric_name(metric)],
        [[label, _figure(row)] for label, row in found.items()],
        [_mark(results, row) for row in found.values()],
    )


def _by_label(results: Results) -> dict[str, dict[str, Row]]:
    """Label to metric to row, the recommended network first, references last."""
    ranked = sorted(
        results.pooled_test, key=lambda row: (row["candidate"] != results.best_candidate, row["kind"] != "model")
    )
    found: dict[str, dict[str, Row]] = {}
    for row in ranked:
        found.setdefault(row["label"], {})[row["metric"]] = row
    return found


def _mark(results: Results, row: Row) -> str:
    return "best" if row["candidate"] and row["candidate"] == results.best_candidate else str(row["kind"])


def _figure(row: Row) -> str:
    """A value with its interval; counts and p-values have none."""
    name = row["metric"].split("/")[-1]
    if name.startswith("n_") or name == "n":
        return f"{row['value']:.0f}"
    return p_value(row["value"]) if name.endswith(("_p", "_p_2y")) else interval(row)


def _meanings(metrics: Sequence[str]) -> list[Text]:
    """What the metrics mean, in a sentence each."""
    names = dict.fromkeys(metric.split("/")[-1] for metric in metrics)
    return [Text(" ".join(MEANINGS[name] for name in names if name in MEANINGS))] if names & MEANINGS.keys() else []


def differences_section(results: Results) -> Section:
    """The best found minus each rival, on the primary metrics."""
    rows = [row for row in results.tested_differences if not added_to(row["label"])]
    rows.sort(key=lambda row: not row["label"].endswith(" only"))
    if not rows:
        return Section("")
    columns = ["difference", "metric", "value", "p (Holm)", "n", "shown"]
    cells = [
        [
            row["label"],
            metric_name(row["metric"]),
            signed_interval(row),
            p_value(row.get("p_adjusted")),
            str(row["n"]),
            "yes" if differs(row) else "no",
        ]
        for row in rows
    ]
    note = (
        "Paired over the same samples: right of 0 the first is better. A difference is shown where the interval leaves "
        "out 0 and the p-value, corrected by Holm for all comparisons of its family, is below 0.05."
    )
    drawn = [
        Plot(_name("differences", m), plots.differences([row for row in rows if row["metric"] == m], m))
        for m in results.primary_metrics
        if any(row["metric"] == m for row in rows)
    ]
    return Section("The best found against the others", [*drawn, Table("differences", columns, cells), Text(note)])


def epoch_rules_section(results: Results) -> Section:
    """Joint against single under matched rules of choosing the epoch."""
    rows = epoch_rule_rows(results.trials, results.best_candidate, results.primary_metrics)
    if not rows:
        return Section("")
    note = (
        "Figures on validation patients, as each run recorded them; differences are means over runs (folds and seeds) "
        "with their standard error. “Each task at its own best epoch” picks maxima and is too good for both; no single "
        "network reaches it for all its tasks. A verdict that changes with the rule is one about choosing epochs."
    )
    if results.config and results.config.training.select_by == "average":
        note += " These runs validate averaged weights (EMA): their own best epochs are those of the averaged weights."
    return Section(
        "Together or alone, by the rule that chooses the epoch", [Table("epochs", COLUMNS, rows), Text(note)]
    )


def centers_section(results: Results) -> Section:
    """Primary metrics of each centre's patients, of the recommended network; the others behind a fold."""
    rows = [row for row in results.by_center if row["metric"] in results.primary_metrics]
    if not rows:
        return Section("")
    own = [row for row in rows if row["label"] == results.recommended_label] or rows
    others = [row for row in rows if row not in own]
    parts: list[Part] = [_centers_table("centres", own)]
    metrics = [m for m in results.primary_metrics if any(row["metric"] == m for row in own)]
    parts += [Plot(_name("centres", m), plots.centers([row for row in own if row["metric"] == m], m)) for m in metrics]
    parts.append(
        Text("Of each centre's (scanner's, vendor's) patients alone; intervals as above. Few patients make wide ones.")
    )
    if others:
        parts.append(Fold("The other networks by centre", [_centers_table("centres-others", others)]))
    return Section("Test figures by centre", parts)


def _centers_table(name: str, rows: Sequence[Row]) -> Table:
    """A row for each network and centre, so that many centres do not widen the page."""
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    cells = []
    for label, center in sorted({(row["label"], row["center"]) for row in rows}):
        found = {row["metric"]: row for row in rows if (row["label"], row["center"]) == (label, center)}
        values = [f"{interval(found[m])} (n={found[m]['n']})" if m in found else "" for m in metrics]
        cells.append([label, center, *values])
    return Table(name, ["", "centre", *map(metric_name, metrics)], cells)


def cost_section(results: Results) -> Section:
    """What the finalists and the whole study cost."""
    labels = labels_of_candidates(results.figures)
    table = cost_table(results.trials, results.epochs, labels, results.best_candidate)
    minutes = {
        stage: training_seconds([row for row in results.trials if row["stage"] == stage], results.epochs) / 60
        for stage in ("search", "final", "refit")
    }
    refit = f" and {minutes['refit']:.1f} min for the networks on all cases" if minutes["refit"] else ""
    gpu = sum(row["gpu_seconds"] or 0.0 for row in results.trials) / 60
    text = (
        f"Training took {minutes['search']:.1f} min in the search, {minutes['final']:.1f} min for the finalists on all "
        f"folds{refit}, added over all runs; {gpu:.1f} min of GPU time."
    )
    return Section("Cost", [table, Text(text)] if table else [Text(text)])


def _name(what: str, metric: str) -> str:
    return f"{what}-{metric.replace('/', '-')}"
