"""The rows of the results store: what is written, checked before it is written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal, get_args

import pyarrow as pa

from branchpoint.store.schema import AFFINITIES, EPOCHS, FIGURES, PROPOSALS, STUDIES, TRIALS, Table

State = Literal["RUNNING", "COMPLETE", "PRUNED", "FAILED", "INFEASIBLE"]
STATES: tuple[str, ...] = get_args(State)
STATES_WITH_REASON = ("PRUNED", "FAILED", "INFEASIBLE")

_MAPS = {"metrics", "versions"}


def _require(holds: bool, place: str, value: Any, rule: str) -> None:
    if not holds:
        raise ValueError(f"{place} is {value!r}: {rule}")


def _is_text(place: str, value: Any) -> None:
    _require(isinstance(value, str) and value != "", place, value, "must be a non-empty text")


def _is_count(place: str, value: Any) -> None:
    _require(
        isinstance(value, int) and not isinstance(value, bool) and value >= 0,
        place,
        value,
        "must be a whole number of at least 0",
    )


def _is_one_of(place: str, value: Any, allowed: tuple[str, ...]) -> None:
    _require(value in allowed, place, value, f"must be one of {', '.join(allowed)}")


def _is_json_object(place: str, value: Any) -> None:
    try:
        holds = isinstance(json.loads(value), dict)
    except (TypeError, ValueError):
        holds = False
    _require(holds, place, value, "must be the JSON text of an object, such as Config.to_json() gives")


def _are_metrics(place: str, value: Any) -> None:
    _require(isinstance(value, Mapping), place, value, "must map names to numbers")
    for name, number in value.items():
        _is_text(f"{place} name", name)
        _require(
            isinstance(number, int | float) and not isinstance(number, bool),
            f"{place}[{name!r}]",
            number,
            "must be a number (NaN where it is undefined)",
        )


def _is_utc(place: str, value: Any) -> None:
    _require(
        value is None or (isinstance(value, datetime) and value.tzinfo is not None),
        place,
        value,
        "must be a datetime with a time zone, such as datetime.now(timezone.utc)",
    )


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """What a study is about.

    Attributes:
        study: unique name.
        dataset: name of the reader.
        release: release of the dataset.
        config: JSON of the base Config that the space varies.
        settings: JSON of the search: space, budget, objectives, command.
        excluded: patients that were left out on purpose, such as faulty ones.
        versions: package versions.
        started: UTC.
    """

    table: ClassVar[Table] = STUDIES

    study: str
    dataset: str = ""
    release: str = ""
    config: str = "{}"
    settings: str = "{}"
    excluded: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    started: datetime | None = None

    def __post_init__(self) -> None:
        _is_text("study", self.study)
        _is_json_object("study.config", self.config)
        _is_json_object("study.settings", self.settings)
        _is_utc("study.started", self.started)


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One attempt at one trial; written again whenever its state changes.

    Attributes:
        study, trial, attempt: the key; ``attempt`` grows each time the trial is started anew.
        fingerprint: of the whole Config.
        candidate: fingerprint with fold and seed set aside.
        stage: ``search`` (validation figures only), ``final`` (retrained over the folds) or ``refit`` (on all cases).
        state: RUNNING, COMPLETE, PRUNED (stopped early), FAILED (crash, NaN, out of memory) or INFEASIBLE (rejected
            before training).
        reason: why; required for PRUNED, FAILED and INFEASIBLE.
        notes: what a reader should know, such as missing clinical values or the weights that it started from.
        config: JSON of the Config.
        metrics: final figures by name, such as ``validation/survival/c_index``.
        parameters, macs, peak_memory_bytes, epoch_seconds, gpu_seconds: cost; None where it was not measured.
        started, finished: UTC.
    """

    table: ClassVar[Table] = TRIALS

    study: str
    trial: str
    attempt: int = 1
    fingerprint: str = ""
    candidate: str = ""
    fold: int | None = None
    seed: int | None = None
    stage: Literal["search", "final", "refit"] = "search"
    state: State
    reason: str = ""
    notes: Sequence[str] = ()
    config: str = "{}"
    metrics: Mapping[str, float] = field(default_factory=dict)
    parameters: int | None = None
    macs: int | None = None
    peak_memory_bytes: int | None = None
    epoch_seconds: float | None = None
    gpu_seconds: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    started: datetime | None = None
    finished: datetime | None = None

    def __post_init__(self) -> None:
        _is_text("study", self.study)
        _is_text("trial", self.trial)
        place = f"trial {self.trial}: "
        _is_count(place + "attempt", self.attempt)
        _is_one_of(place + "stage", self.stage, ("search", "final", "refit"))
        _is_one_of(place + "state", self.state, STATES)
        _require(
            self.state not in STATES_WITH_REASON or bool(self.reason.strip()),
            place + "reason",
            self.reason,
            f"a {self.state} trial must say why",
        )
        _is_json_object(place + "config", self.config)
        _are_metrics(place + "metrics", self.metrics)
        _is_utc(place + "started", self.started)
        _is_utc(place + "finished", self.finished)


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """Figures after one epoch (1-based) of one attempt; an epoch that is run again replaces the former row."""

    table: ClassVar[Table] = EPOCHS

    study: str
    trial: str
    attempt: int = 1
    epoch: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None

    def __post_init__(self) -> None:
        _is_text("study", self.study)
        _is_text("trial", self.trial)
        place = f"trial {self.trial} epoch {self.epoch}: "
        _is_count(place + "attempt", self.attempt)
        _is_count(place + "epoch", self.epoch)
        _are_metrics(place + "metrics", self.metrics)


@dataclass(frozen=True, kw_only=True)
class FigureRecord:
    """One reported figure with its interval.

    Attributes:
        label: what it belongs to, such as ``best found`` or ``Cox on age and stage``.
        kind: ``model``, ``reference``, or ``difference`` of two models on the same patients.
        fold: -1 pools all folds.
        center: where its patients' images were made (a centre or vendor); empty: all of them.
        value, low, high: figure and bounds of its interval; NaN where it is undefined.
        n: number of samples it rests on.
        error: standard error over what was resampled.
        p: two-sided p-value of a difference.
        p_adjusted: the same, corrected for the family of comparisons (Holm); NaN outside the family.
        resampled: the units that the bootstrap drew, such as ``3 seeds x 24 groups (1176 samples)``.
    """

    table: ClassVar[Table] = FIGURES

    study: str
    candidate: str = ""
    label: str
    kind: Literal["model", "reference", "difference"] = "model"
    split: Literal["test", "validation"] = "test"
    fold: int = -1
    center: str = ""
    task: str
    metric: str
    value: float
    low: float = float("nan")
    high: float = float("nan")
    n: int = 0
    error: float = float("nan")
    p: float = float("nan")
    p_adjusted: float = float("nan")
    resampled: str = ""

    def __post_init__(self) -> None:
        for name in ("study", "label", "task", "metric"):
            _is_text(f"figure.{name}", getattr(self, name))
        _is_one_of(f"figure {self.label}: kind", self.kind, ("model", "reference", "difference"))
        _is_one_of(f"figure {self.label}: split", self.split, ("test", "validation"))
        _is_count(f"figure {self.label}: n", self.n)


@dataclass(frozen=True, kw_only=True)
class AffinityRecord:
    """What one task's steps do to another one, in one stage: an entry of a matrix.

    Attributes:
        fingerprint: of the Config that was trained while it was measured.
        measure: such as ``excess``; see :class:`branchpoint.affinity.matrices.Matrix`.
        stage: such as ``all`` or ``encoder 2``.
        recipient, source: tasks; how much the source's step lowers the recipient's loss.
        mean, error: over ``n`` measurements; NaN where the two do not share the stage.
    """

    table: ClassVar[Table] = AFFINITIES

    study: str
    fingerprint: str
    measure: str
    stage: str
    recipient: str
    source: str
    mean: float
    error: float
    n: int

    def __post_init__(self) -> None:
        for name in ("study", "fingerprint", "measure", "stage", "recipient", "source"):
            _is_text(f"affinity.{name}", getattr(self, name))
        _is_count("affinity.n", self.n)


@dataclass(frozen=True, kw_only=True)
class ProposalRecord:
    """Which tasks to learn together, as measured relations have it.

    Attributes:
        fingerprint: of the Config whose relations were measured.
        evidence: the measure, or ``pairs`` for networks of two tasks.
        kind: ``grouping``, whose ``proposal`` is a JSON list of lists of tasks, or ``tree``, a JSON ``Topology``.
        networks: most networks that a grouping may have; of a tree, those that it has.
        gain: what it brings, in units of the evidence.
        macs: of one image through it.
        config: JSON of the Config.
        note: what measuring cost, in words.
    """

    table: ClassVar[Table] = PROPOSALS

    study: str
    fingerprint: str
    evidence: str
    kind: Literal["grouping", "tree"]
    networks: int
    proposal: str
    gain: float
    macs: float
    config: str = "{}"
    note: str = ""

    def __post_init__(self) -> None:
        for name in ("study", "fingerprint", "evidence", "proposal"):
            _is_text(f"proposal.{name}", getattr(self, name))
        _is_one_of("proposal.kind", self.kind, ("grouping", "tree"))
        _is_count("proposal.networks", self.networks)
        _is_json_object("proposal.config", self.config)


Record = StudyRecord | TrialRecord | EpochRecord | FigureRecord | AffinityRecord | ProposalRecord


def to_table(records: Sequence[Record], written_ns: int, writer: str) -> pa.Table:
    """The rows of ``records`` (all of one kind); row i is written at ``written_ns + i``."""
    table = records[0].table
    rows = []
    for i, record in enumerate(records):
        row = {**vars(record), "written_ns": written_ns + i, "writer": writer}
        for name in _MAPS & row.keys():
            row[name] = list(row[name].items())
        rows.append(row)
    # One struct array is a quarter of the time of Table.from_pylist, which matters for a row at a time.
    return pa.Table.from_struct_array(pa.array(rows, table.row_type))
