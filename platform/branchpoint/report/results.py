"""The contents of a study's report, gathered from the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from branchpoint import networks
from branchpoint.config import SCORE, Config
from branchpoint.execution.recommendation import RECOMMENDED
from branchpoint.report.describe import describe_config
from branchpoint.report.labels import without_doubles
from branchpoint.report.tables import number
from branchpoint.tasks import build_task
from branchpoint.topology.svg import svg_drawing

if TYPE_CHECKING:
    from branchpoint.store import Store

Row = dict[str, Any]


@dataclass(frozen=True)
class Results:
    """Rows of one study as dicts. ``metrics`` of a row maps names to numbers.

    Attributes:
        about: the study's own row; empty where it was not described.
        trials: latest attempts, search and final stages.
        epochs: of all trials.
        figures: reported figures, whose ``metric`` includes the task, such as ``tumour/dice``.
        affinities: entries of the matrices that say how tasks affect each other.
        proposals: groupings and trees that follow from the affinities, the newest last.
        left_out: files of the store that could not be used, and why.
    """

    study: str
    about: Row
    trials: list[Row]
    epochs: list[Row]
    figures: list[Row]
    affinities: list[Row] = field(default_factory=list)
    proposals: list[Row] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    @cached_property
    def search_trials(self) -> list[Row]:
        """Trials of the search, validation figures only."""
        return [row for row in self.trials if row["stage"] == "search"]

    @cached_property
    def best_candidate(self) -> str:
        """The candidate that validation chose: the retrained one where there is one, else the best of the search."""
        chosen = [row["candidate"] for row in self.figures if row["label"].startswith(("best found", "trained"))]
        ranked = sorted(
            (row for row in self.search_trials if row["state"] == "COMPLETE" and SCORE in row["metrics"]),
            key=lambda row: -row["metrics"][SCORE],
        )
        return (chosen or [row["candidate"] for row in ranked] or [""])[0]

    @cached_property
    def best(self) -> Row | None:
        """The best candidate's trial, with its Config."""
        rows = [row for row in self.trials if row["candidate"] == self.best_candidate]
        return rows[0] if rows else None

    @cached_property
    def config(self) -> Config | None:
        """Config of the best candidate; ``None`` where there is none, or this version cannot build it."""
        try:
            return Config.from_json(self.best["config"]) if self.best and not self.config_problem else None
        except (ValueError, TypeError, KeyError):
            return None

    @cached_property
    def config_problem(self) -> str:
        """Why the network of the best candidate cannot be drawn; empty where it can."""
        if not self.best:
            return ""
        try:
            networks.estimate(Config.from_json(self.best["config"]))
        except (ValueError, TypeError, KeyError, ImportError) as problem:
            return f"the configuration of candidate {self.best_candidate} cannot be built: {problem}"
        return ""

    @cached_property
    def primary_metrics(self) -> list[str]:
        """``<task>/<metric>`` that ranks each task; the first metric of each where no Config can be read."""
        if self.config:
            return [f"{t.name}/{build_task(t).primary_metric}" for t in self.config.tasks]
        metrics = dict.fromkeys(row["metric"] for row in self._pooled)
        return list({metric.split("/")[0]: metric for metric in reversed(metrics)}.values())[::-1]

    @cached_property
    def pooled_test(self) -> list[Row]:
        """Test figures of models and references over all folds."""
        return [r for r in self._pooled if not r.get("center") and r["kind"] != "difference"]

    @cached_property
    def recommended_label(self) -> str:
        """Label of the test figures of the recommended Config's networks one by one, not of ensembles of them."""
        labels = [row["label"] for row in self.pooled_test if row["candidate"] == self.best_candidate]
        return next((label for label in labels if label.split(" = ")[0] in RECOMMENDED), (labels or [""])[0])

    @property
    def recommended_test(self) -> list[Row]:
        """Its pooled test figures."""
        return [row for row in self.pooled_test if row["label"] == self.recommended_label]

    @cached_property
    def by_center(self) -> list[Row]:
        """Test figures of models over all folds, of each centre's patients alone."""
        return [row for row in self._pooled if row.get("center")]

    @cached_property
    def _pooled(self) -> list[Row]:
        return [row for row in self.figures if row["split"] == "test" and row["fold"] == -1]

    @property
    def notes(self) -> list[str]:
        """Notes of the best candidate's runs, such as missing clinical values and the weights they started from."""
        rows = [row for row in self.trials if row["candidate"] == self.best_candidate]
        return list(dict.fromkeys(note for row in rows for note in row.get("notes") or ()))

    @cached_property
    def differences(self) -> list[Row]:
        """Paired differences between models, over all folds."""
        return [row for row in self.figures if row["kind"] == "difference" and row["fold"] == -1]

    @cached_property
    def tested_differences(self) -> list[Row]:
        """Those on the tasks' primary metrics, which answer the study's question."""
        return [row for row in self.differences if row["metric"] in self.primary_metrics]

    @property
    def resampled(self) -> str:
        """The units that the intervals of the pooled test figures drew."""
        rows = [row for row in self.pooled_test if row["metric"] in self.primary_metrics]
        return "; ".join(dict.fromkeys(row["resampled"] for row in rows if row.get("resampled"))) or "not recorded"

    @property
    def settings(self) -> Row:
        """Settings of the search."""
        return dict(json.loads(self.about.get("settings") or "{}"))

    @property
    def protocol(self) -> str:
        """How test patients were kept apart from the choice."""
        return str(self.settings.get("protocol", ""))

    @property
    def excluded(self) -> list[str]:
        """Patients left out because their files are faulty."""
        return list(self.about.get("excluded") or [])

    @property
    def accepted(self) -> dict[str, str]:
        """Rule of the data's check to the reason for which its warnings were accepted."""
        return dict(self.settings.get("accepted") or {})

    @property
    def subtitle(self) -> str:
        """Dataset, release and how many trials."""
        about = self.about
        name = f"{about.get('dataset', '')} {about.get('release', '')}".strip()
        return f"{name}, {len(self.search_trials)} trials, {len(self.pooled_test)} test figures"

    def drawing(self) -> str:
        """SVG of the best network, each task with its validation figure."""
        if not self.config or not self.best:
            return ""
        values = {
            metric.split("/")[0]: self.best["metrics"].get(f"validation/{metric}") for metric in self.primary_metrics
        }
        notes = {task: number(value) for task, value in values.items() if value is not None}
        return svg_drawing(networks.topology_of(self.config), notes)

    def description(self) -> str:
        """Sharing tree, family and cost of the best network."""
        return describe_config(self.config) if self.config else self.config_problem or "none yet"

    def curve_names(self) -> dict[str, str]:
        """Trials whose learning curves are drawn, with their names: the best candidate's, then two runners-up."""
        own = [row["trial"] for row in self.trials if row["candidate"] == self.best_candidate][:1]
        others = sorted(
            (row for row in self.search_trials if row["state"] == "COMPLETE" and row["trial"] not in own),
            key=lambda row: -row["metrics"].get(SCORE, float("-inf")),
        )
        names = {trial: "recommended, first fold" if "-fold" in trial else f"best, trial {trial}" for trial in own}
        return names | {row["trial"]: f"trial {row['trial']}" for row in others[:2]}


def load_results(store: Store, study: str) -> Results:
    """Everything the store holds of ``study``.

    Raises:
        ValueError: there is no such study.
    """
    trials = [{**_with_metrics(row), **_without_gaps(row)} for row in store.trials(study).to_pylist()]
    about = [row for row in store.studies().to_pylist() if row["study"] == study]
    proposals = store.proposals(study).to_pylist()
    if not trials and not about and not proposals:
        known = sorted({row["study"] for row in store.studies().to_pylist()})
        raise ValueError(f"no study {study!r} in {store.uri}; there are: {', '.join(known) or 'none'}")
    epochs = [_with_metrics(row) for row in store.epochs(study).to_pylist()]
    figures = [{**row, "metric": f"{row['task']}/{row['metric']}"} for row in store.figures(study).to_pylist()]
    figures = without_doubles(figures)
    affinities = store.affinities(study).to_pylist()
    about_row = about[0] if about else {}
    return Results(study, about_row, trials, epochs, figures, affinities, proposals, store.left_out)


def _with_metrics(row: Mapping[str, Any]) -> Row:
    return {**row, "metrics": dict(row["metrics"] or {}), "versions": dict(row.get("versions") or {})}


def _without_gaps(row: Mapping[str, Any]) -> Row:
    """Texts of a trial that an older version, or another program, left empty."""
    texts = {name: row.get(name) or "" for name in ("candidate", "fingerprint", "reason")}
    try:
        whole = isinstance(json.loads(row.get("config") or ""), dict)
    except ValueError:
        whole = False
    texts["config"] = row["config"] if whole else "{}"
    return {**texts, "state": row.get("state") or "UNKNOWN", "stage": row.get("stage") or "search"}
