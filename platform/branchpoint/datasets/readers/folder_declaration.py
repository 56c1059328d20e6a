"""The short declaration (TOML) that describes a user's own images, masks and table; see ``docs/how-to/own-data.md``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

from branchpoint.config.serialization import from_plain
from branchpoint.datasets.cohort import IGNORED

ANY_NUMBER = (-1e9, 1e9)


@dataclass(frozen=True, kw_only=True)
class ImageDeclaration:
    """A modality: where its files lie (``{id}`` stands for the sample, ``*`` for anything) and its channels."""

    files: str
    channels: Literal[1, 3] = 3


@dataclass(frozen=True, kw_only=True)
class TableDeclaration:
    """The table: its file and the columns that are no targets.

    Attributes:
        file: CSV file, from the root.
        id: column of the samples' identifiers.
        group: column of what belongs together (patients); folds never part it.
        center: column of where the image was made.
        part: column that says ``train``, ``validation`` or ``test``: the split ``official``.
        covariates: columns of clinical values.
    """

    file: str
    id: str
    group: str | None = None
    center: str | None = None
    part: str | None = None
    covariates: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SegmentationDeclaration:
    """A mask: its files, whose union counts where ``*`` matches several, and what the stored values mean.

    Attributes:
        files: where they lie.
        values: stored values of the classes, in the classes' order.
        classes: their names.
        background: 0 is background and classes count from 1; ``false``: every pixel has a class, and they count from 0.
        ignored: stored values of pixels without a class.
        empty: whether a mask without any class is an error.
    """

    kind: ClassVar[str] = "segmentation"

    files: str
    values: tuple[int, ...] = (255,)
    classes: tuple[str, ...] = ()
    background: bool = True
    ignored: tuple[int, ...] = ()
    empty: Literal["error", "allowed"] = "error"

    def __post_init__(self) -> None:
        if self.classes and len(self.classes) != len(self.values):
            raise ValueError(f"classes: {len(self.classes)} names for {len(self.values)} values")
        if len(self.values) >= IGNORED or len(set(self.values) | set(self.ignored)) < len(self.values + self.ignored):
            raise ValueError(f"values {self.values} and ignored {self.ignored} must be distinct, fewer than {IGNORED}")
        if self.background and 0 in self.values:
            raise ValueError("values: 0 is background; say background = false where it is a class")


@dataclass(frozen=True, kw_only=True)
class ClassificationDeclaration:
    """One of several classes: the cells' texts in the order of the class numbers, from 0."""

    kind: ClassVar[str] = "classification"

    column: str
    classes: tuple[str | int, ...]

    def __post_init__(self) -> None:
        if len(set(map(str, self.classes))) < max(2, len(self.classes)):
            raise ValueError(f"classes {list(self.classes)}: give two or more, all different")


@dataclass(frozen=True, kw_only=True)
class MultilabelDeclaration:
    """Several labels at once: a column with 0 or 1 for each."""

    kind: ClassVar[str] = "multilabel"

    columns: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.columns:
            raise ValueError("columns: name at least one")


@dataclass(frozen=True, kw_only=True)
class RegressionDeclaration:
    """A number; ``range`` says which are possible."""

    kind: ClassVar[str] = "regression"

    column: str
    range: tuple[float, float] = ANY_NUMBER


@dataclass(frozen=True, kw_only=True)
class SurvivalDeclaration:
    """Days to event or censoring, and 1 where the event happened, else 0."""

    kind: ClassVar[str] = "survival"

    time: str
    event: str


Target = (
    SegmentationDeclaration
    | ClassificationDeclaration
    | MultilabelDeclaration
    | RegressionDeclaration
    | SurvivalDeclaration
)


@dataclass(frozen=True)
class Declaration:
    """What a declaration says."""

    name: str
    images: Mapping[str, ImageDeclaration]
    targets: Mapping[str, Target]
    table: TableDeclaration | None


def read_declaration(path: Path) -> Declaration:
    """The declaration in a TOML file.

    Raises:
        ValueError: the file is absent or no TOML, or a field is unknown, missing or wrong; the message names its place.
    """
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise ValueError(f"{path}: {problem.strerror}; write it as docs/how-to/own-data.md says") from problem
    except ValueError as problem:  # tomllib.TOMLDecodeError and UnicodeDecodeError
        raise ValueError(f"{path} is no TOML: {problem}") from problem
    unknown = sorted(set(plain) - {"name", "images", "targets", "table"})
    if unknown:
        raise ValueError(f"{unknown[0]}: unknown; known are name, images, table and targets")
    images = {name: _image(value, f"images.{name}") for name, value in _section(plain, "images").items()}
    targets = {name: _target(value, f"targets.{name}") for name, value in _section(plain, "targets").items()}
    if not images or not targets:
        raise ValueError(f"{'targets' if images else 'images'}: name at least one")
    table = from_plain(TableDeclaration, plain["table"], "table") if "table" in plain else None
    tabular = [name for name, target in targets.items() if not isinstance(target, SegmentationDeclaration)]
    if tabular and table is None:
        raise ValueError(f"targets.{tabular[0]} needs a table: say table.file and table.id")
    return Declaration(str(plain.get("name", path.parent.name)), images, targets, table)


def _section(plain: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = plain.get(name, {})
    if not isinstance(section, Mapping):
        raise ValueError(f"{name}: expected a table, [{name}], found {section!r}")
    return section


def _image(value: Any, place: str) -> ImageDeclaration:
    image = from_plain(ImageDeclaration, {"files": value} if isinstance(value, str) else value, place)
    return _with_id(image, place)


def _target(value: Any, place: str) -> Target:
    if not isinstance(value, Mapping) or "kind" not in value:
        raise ValueError(f"{place}: say its kind: segmentation, classification, multilabel, regression or survival")
    try:
        target = cast(Target, from_plain(cast(type, Target), value, place))
    except ValueError as problem:
        raise ValueError(str(problem) if str(problem).startswith(place) else f"{place}.{problem}") from problem
    return _with_id(target, place) if isinstance(target, SegmentationDeclaration) else target


def _with_id(declaration: Any, place: str) -> Any:
    if "{id}" not in declaration.files or Path(declaration.files).is_absolute():
        raise ValueError(f"{place}.files is {declaration.files!r}: give a path below the root with {{id}} in it")
    return declaration


def pattern(files: str) -> re.Pattern[str]:
    """What finds the sample's identifier in a path below the root; every ``{id}`` in it must be the same."""
    text, first = "", True
    for piece in re.split(r"(\{id\}|\*)", files):
        if piece == "{id}":
            text += "(?P<id>[^/]+?)" if first else "(?P=id)"
            first = False
        else:
            text += "[^/]*" if piece == "*" else re.escape(piece)
    return re.compile(text)
