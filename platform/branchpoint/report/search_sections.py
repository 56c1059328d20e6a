"""Sections on the search: its course, balancing methods, task relations, learning curves, trials, what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from branchpoint.config import SCORE
from branchpoint.report import plots
from branchpoint.report.balancing import balancing_rows
from branchpoint.report.parts import Drawing, Fold, Part, Plain, Plot, Section, Table, Text
from branchpoint.report.relations import RelationsSection, relations_sections
from branchpoint.report.results import Results
from branchpoint.report.tables import number
from branchpoint.report.words import metric_name

Row = Mapping[str, Any]

_TRIAL_COLUMNS = ["trial", "attempt", "fold", "state", metric_name(SCORE), "parameters", "MACs", "peak MB", "s/epoch"]


def search_section(results: Results) -> Section:
    """How the search went, and where its trials lie between the tasks."""
    trials, best = results.search_trials, results.best_candidate
    counts = Counter(row["state"] for row in trials)
    text = f"{len(trials)} trials: " + ", ".join(f"{n} {state.lower()}" for state, n in counts.most_common())
    if not trials:
        return Section("")
    pairs = list(combinations([f"validation/{metric}" for metric in results.primary_metrics], 2))
    drawn = [
        Plot(f"trade-off-{i}", plots.trade_off(trials, first, second, best))
        for i, (first, second) in enumerate(pairs, 1)
    ]
    shown, folded = drawn[:1], drawn[1:]
    parts: list[Part] = [Text(text, note=False), Plot("search", plots.progress(trials, SCORE)), *shown]
    return Section("Search", [*parts, *([Fold("The other pairs of tasks", folded)] if folded else [])])


def balancing_section(results: Results) -> Section:
    """Balancing methods at equal cost."""
    rows = balancing_rows(results.search_trials, results.epochs, SCORE)
    if not rows:
        return Section("")
    note = (
        "Trials of the search that train two tasks or more, with all that differs between them beside the method. "
        "Equal cost: the best score that any of a method's trials reached in its own first seconds of training, as "
        "many for each. Methods with few trials have had fewer chances."
    )
    table = Table("balancing", list(rows[0]), [list(row.values()) for row in rows])
    return Section("Balancing methods at equal cost", [table, Text(note)])


def relation_sections(results: Results) -> list[Section]:
    """Which tasks help each other, one section for each kind of evidence."""
    found = relations_sections(results.affinities, results.proposals)
    return [_relations(section, number) for number, section in enumerate(found, 1)]


def _relations(section: RelationsSection, number: int) -> Section:
    note = (
        f"{section.note}. Rows receive, columns give: blue helps, red hurts; a mean with its standard error shows "
        "under the pointer. Not measured or not shared: empty."
    )
    parts: list[Part] = [Text(note)]
    parts += [Plot(f"relations-{number}-{place}", figure) for place, figure in enumerate(section.maps, 1)]
    if section.groupings:
        cells = [row[1:] for row in section.groupings]
        marks = [row[0] for row in section.groupings]
        parts.append(Table(f"grouping-{number}", ["proposed networks", "score", "MACs"], cells, marks))
    if section.drawing:
        parts += [Text("Proposed tree", note=False), Drawing(f"proposed-tree-{number}", section.drawing)]
    return Section("Which tasks help each other", [*parts, Plain(section.tree)])


def curves_section(results: Results) -> Section:
    """Losses, figures that rank and weights, over the epochs."""
    names = results.curve_names()
    if not names:
        return Section("")
    losses = plots.learning_curves(results.epochs, ["train/loss", "validation/loss"], names)
    figures = plots.learning_curves(results.epochs, [f"validation/{m}" for m in results.primary_metrics], names)
    shown = [row["metrics"] for row in results.epochs if row["trial"] in names]
    weights = sorted({name for metrics in shown for name in metrics if name.endswith("/weight")})
    drawn = {"curves-losses": losses, "curves-figures": figures}
    if len(weights) > 1:
        drawn["curves-weights"] = plots.learning_curves(results.epochs, weights, names)
    note = "Losses, figures that rank, and the weight that the balancing method gave each task's loss."
    return Section("Learning curves", [Text(note), *(Plot(name, figure) for name, figure in drawn.items())])


def trials_section(results: Results) -> Section:
    """Every trial, and why some did not complete."""
    trials = results.search_trials
    marks = ["best" if row["candidate"] == results.best_candidate else "" for row in trials]
    table = Table("trials", _TRIAL_COLUMNS, [_trial_cells(row) for row in trials], marks)
    failed = [row for row in results.trials if row["state"] in ("FAILED", "INFEASIBLE", "PRUNED")]
    parts: list[Part] = [Fold(f"{len(trials)} trials", [table])]
    if failed:
        reasons = [[row["trial"], row["state"], row["reason"]] for row in failed]
        ended = Table("not-completed", ["trial", "state", "reason"], reasons)
        parts.append(Fold(f"{len(failed)} that did not complete", [ended]))
    return Section("Trials", parts)


def _trial_cells(row: Row) -> Sequence[str]:
    peak = row["peak_memory_bytes"]
    return [
        str(row["trial"]),
        str(row["attempt"]),
        str(row["fold"]),
        str(row["state"]),
        number(row["metrics"].get(SCORE)),
        f"{row['parameters']:,}" if row["parameters"] else "-",
        f"{row['macs']:.3g}" if row["macs"] else "-",
        f"{peak / 1e6:.0f}" if peak else "-",
        number(row["epoch_seconds"]),
    ]


def left_out_sections(results: Results) -> list[Section]:
    """Patients and files that are in no figure."""
    found = []
    if results.excluded:
        found.append(Section("Patients left out", [Text(", ".join(results.excluded), note=False)]))
    if results.accepted:
        reasons = [Text(f"{rule}: {reason}", note=False) for rule, reason in sorted(results.accepted.items())]
        found.append(Section("Warnings accepted", reasons))
    if results.left_out:
        said = "These files of the results store could not be used; their rows are in no figure of this page."
        table = Table("files-left-out", ["file", "why"], [list(row) for row in sorted(results.left_out.items())])
        found.append(Section("Files left out", [Text(said, note=False), table]))
    return found
