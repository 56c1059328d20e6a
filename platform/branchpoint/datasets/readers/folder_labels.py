"""Labels of a user's own data, from the cells and files that the declaration names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from branchpoint.datasets.cohort import IGNORED, Content, Label, MaskLabel, MaskLayer, TargetKind
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.problems.rulebook import problem
from branchpoint.datasets.readers.folder_declaration import (
    ClassificationDeclaration,
    MultilabelDeclaration,
    RegressionDeclaration,
    SegmentationDeclaration,
    SurvivalDeclaration,
    TableDeclaration,
    Target,
)
from branchpoint.datasets.readers.tables import (
    Row,
    code,
    is_missing,
    parse_class,
    parse_event,
    parse_time,
    parse_value,
    survival_label,
)

Parsed = tuple[Label | None, list[Problem]]


def kind_of(target: Target) -> TargetKind:
    """The kind of a declared target."""
    kinds: dict[type, TargetKind] = {
        SegmentationDeclaration: "segmentation",
        ClassificationDeclaration: "classification",
        MultilabelDeclaration: "multilabel",
        RegressionDeclaration: "regression",
        SurvivalDeclaration: "survival",
    }
    return kinds[type(target)]


def class_names(target: Target) -> tuple[str, ...]:
    """Names of its classes or labels; empty where it has none."""
    if isinstance(target, MultilabelDeclaration):
        return target.columns
    if isinstance(target, SegmentationDeclaration | ClassificationDeclaration):
        return tuple(map(str, target.classes))
    return ()


def target_columns(target: Target) -> tuple[str, ...]:
    """The columns that a target is read from."""
    if isinstance(target, ClassificationDeclaration | RegressionDeclaration):
        return (target.column,)
    if isinstance(target, MultilabelDeclaration):
        return target.columns
    return (target.time, target.event) if isinstance(target, SurvivalDeclaration) else ()


def columns_of(table: TableDeclaration, targets: Mapping[str, Target]) -> list[str]:
    """Every column that the declaration names, but for the identifier."""
    columns = [column for column in (table.group, table.center, table.part, *table.covariates) if column]
    return columns + [column for target in targets.values() for column in target_columns(target)]


def text_of(row: Row | None, column: str | None) -> str | None:
    """The text of a cell; ``None`` where it is missing."""
    text = (row or {}).get(column, "") if column else ""
    return None if is_missing(text) else text


def mask_of(target: SegmentationDeclaration, files: Sequence[Path], volumes: bool) -> MaskLabel:
    """The mask that ``files`` make up."""
    content: Content = "optional" if target.empty == "allowed" or not target.background else "required"
    if volumes:
        return MaskLabel(files[0], target.values, content=content)
    first = 1 if target.background else 0
    codes = tuple((value, first + place) for place, value in enumerate(target.values))
    codes += tuple((value, IGNORED) for value in target.ignored)
    layers = [MaskLayer(path, codes, (0,) if target.background else ()) for path in sorted(files)]
    return MaskLabel.of(*layers, outside=0 if target.background else IGNORED, content=content)


def _classification(sample: str, name: str, target: ClassificationDeclaration, row: Row) -> Parsed:
    codes: dict[str, int] = {}
    for place, text in enumerate(map(str, target.classes)):
        codes[code(text)] = place
    return parse_class(sample, name, row.get(target.column, ""), codes)


def _multilabel(sample: str, name: str, target: MultilabelDeclaration, row: Row) -> Parsed:
    flags, problems = [], []
    for column in target.columns:
        flag, rows = parse_class(sample, name, row.get(column, ""), {"0": 0, "1": 1})
        problems += rows
        flags.append(flag)
    known = [flag for flag in flags if flag is not None]
    return (tuple(known) if len(known) == len(flags) else None), problems


def _regression(sample: str, name: str, target: RegressionDeclaration, row: Row) -> Parsed:
    return parse_value(sample, name, row.get(target.column, ""), target.range)


def _survival(sample: str, name: str, target: SurvivalDeclaration, row: Row) -> Parsed:
    event = parse_event(sample, name, row.get(target.event, ""), {"0": False, "1": True})
    return survival_label(sample, name, event, parse_time(sample, name, row.get(target.time, "")))


def parse_cells(sample: str, name: str, target: Target, row: Row) -> Parsed:
    """The label in a table row, absent where cells are empty or wrong, with a row that says so."""
    label, rows = _PARSERS[type(target)](sample, name, target, row)
    if label is None and not rows:
        rows = [problem("missing-label", sample, name, "an empty cell")]
    return label, rows


_PARSERS: dict[type, Callable[..., Parsed]] = {
    ClassificationDeclaration: _classification,
    MultilabelDeclaration: _multilabel,
    RegressionDeclaration: _regression,
    SurvivalDeclaration: _survival,
}
