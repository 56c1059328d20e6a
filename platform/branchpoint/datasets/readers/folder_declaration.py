"""The short declaration (TOML) that describes a user's own images, masks and table; see ``docs/how-to/own-data.md``."""

from __future__ import annotations

import codecs
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

from branchpoint.config.serialization import from_plain
from branchpoint.datasets.cohort import IGNORED
from branchpoint.datasets.files import unreadable_reason
from branchpoint.datasets.problems.acceptance import acceptances
from branchpoint.datasets.readers.folder_files import relative_pattern

ANY_NUMBER = (-1e9, 1e9)
MAX_BYTES = 1_000_000
"""Of a declaration; what is larger is another file."""
MAX_NAME = 100
"""Characters of a name of the cohort, an image or a target."""


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

    def __post_init__(self) -> None:
        if self.range[0] >= self.range[1]:
            raise ValueError(f"range {list(self.range)}: give the least and the greatest number, in this order")


@dataclass(frozen=True, kw_only=True)
class SurvivalDeclaration:
    """Days to event or censoring, and 1 where the event happened, else 0."""

    kind: ClassVar[str] = "survival"

    time: str
    event: str

    def __post_init__(self) -> None:
        if self.time == self.event:
            raise ValueError(f"time and event are both column {self.time!r}: give one column for each")


Target = (
    SegmentationDeclaration
    | ClassificationDeclaration
    | MultilabelDeclaration
    | RegressionDeclaration
    | SurvivalDeclaration
)


@dataclass(frozen=True)
class Declaration:
    """What a declaration says; ``accepted`` is rule to the reason for which its warnings are accepted."""

    name: str
    images: Mapping[str, ImageDeclaration]
    targets: Mapping[str, Target]
    table: TableDeclaration | None
    accepted: Mapping[str, str] = field(default_factory=dict)


def read_declaration(path: Path) -> Declaration:
    """The declaration in a TOML file; patterns are relative to the folder that it lies in.

    Raises:
        ValueError: the file is absent or no TOML, or a field is unknown, missing or wrong; the message names its place.
    """
    plain, root = read_toml(path), path.parent
    unknown = sorted(set(plain) - {"name", "images", "targets", "table", "accept"})
    if unknown:
        raise ValueError(f"{unknown[0]}: unknown; known are name, images, table, targets and accept")
    images = {name: _image(value, f"images.{name}", root) for name, value in _section(plain, "images").items()}
    targets = {name: _target(value, f"targets.{name}", root) for name, value in _section(plain, "targets").items()}
    if not images or not targets:
        raise ValueError(f"{'targets' if images else 'images'}: name at least one")
    for name in (*images, *targets):
        if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
            raise ValueError(f"{name!r}: give images and targets names of 1 to {MAX_NAME} printable characters")
    if both := sorted(images.keys() & targets.keys()):
        raise ValueError(f"targets.{both[0]}: images.{both[0]} has the same name; rename one of them")
    table = from_plain(TableDeclaration, plain["table"], "table") if "table" in plain else None
    tabular = [name for name, target in targets.items() if not isinstance(target, SegmentationDeclaration)]
    if tabular and table is None:
        raise ValueError(f"targets.{tabular[0]} needs a table: say table.file and table.id")
    table = replace(table, file=table.file.replace("\\", "/")) if table else None
    return Declaration(_name(plain, path), images, targets, table, acceptances(plain.get("accept", {})))


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file in UTF-8, or in UTF-16 with a byte-order mark, as Windows' editor writes it.

    Raises:
        ValueError: the file is absent, no regular file, too large or no TOML.
    """
    if reason := unreadable_reason(path):
        raise ValueError(f"{path}: {reason}; write it as docs/how-to/own-data.md says")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path}: {path.stat().st_size:,} bytes; a declaration has at most {MAX_BYTES:,}")
    try:
        data = path.read_bytes()
        utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return tomllib.loads(data.decode("utf-16" if utf16 else "utf-8-sig").replace("\r\n", "\n"))
    except OSError as problem:
        raise ValueError(f"{path}: {problem.strerror}; write it as docs/how-to/own-data.md says") from problem
    except UnicodeDecodeError as problem:
        raise ValueError(
            f"{path} is no text in UTF-8: save it so ({problem.reason}, byte {problem.start})"
        ) from problem
    except RecursionError as problem:
        raise ValueError(f"{path} is no TOML that can be read: it is nested too deeply") from problem
    except ValueError as problem:  # tomllib.TOMLDecodeError
        hint = "; write paths with /" if "\\" in str(problem) else ""
        hint = hint or ("; save the file as UTF-8" if b"\0" in data else "")
        raise ValueError(f"{path} is no TOML: {problem}{hint}") from problem


def _name(plain: Mapping[str, Any], path: Path) -> str:
    """What the cohort is called; files of the cache bear it, so it is one part of a path."""
    name = plain.get("name", path.absolute().parent.name or "folder")
    if not isinstance(name, str) or not 0 < len(name.strip()) <= MAX_NAME:
        raise ValueError(f"name is {name!r}: give a text of 1 to {MAX_NAME} characters")
    if name.startswith(".") or not name.isprintable() or set(name) & set("/\\:"):
        raise ValueError(f"name is {name!r}: it must not begin with '.' nor hold '/', '\\', ':' or control characters")
    return name


def _section(plain: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = plain.get(name, {})
    if not isinstance(section, Mapping):
        raise ValueError(f"{name}: expected a table, [{name}], found {section!r}")
    return section


def _image(value: Any, place: str, root: Path) -> ImageDeclaration:
    image = from_plain(ImageDeclaration, {"files": value} if isinstance(value, str) else value, place)
    return _below(image, place, root)


def _target(value: Any, place: str, root: Path) -> Target:
    if not isinstance(value, Mapping) or "kind" not in value:
        raise ValueError(f"{place}: say its kind: segmentation, classification, multilabel, regression or survival")
    try:
        target = cast(Target, from_plain(cast(type, Target), value, place))
    except ValueError as problem:
        raise ValueError(str(problem) if str(problem).startswith(place) else f"{place}.{problem}") from problem
    return _below(target, place, root) if isinstance(target, SegmentationDeclaration) else target


def _below(declaration: Any, place: str, root: Path) -> Any:
    try:
        return replace(declaration, files=relative_pattern(declaration.files, root))
    except ValueError as problem:
        raise ValueError(f"{place}.files {problem}") from problem
