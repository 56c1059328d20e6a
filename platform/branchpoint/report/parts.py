"""What a report is made of: sections with texts, tables, plots, drawings and pictures.

The page draws them (:mod:`branchpoint.report.html`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar
from xml.etree import ElementTree

import plotly.graph_objects as go

DEFAULT_HEIGHT = 420
"""Of a plot that does not say its own, in pixels."""


@dataclass(frozen=True)
class Text:
    """A paragraph; a ``note`` is small print."""

    text: str
    note: bool = True
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Plain:
    """Text as it is, in lines: a tree, a Config."""

    text: str
    kind: ClassVar[str] = "plain"


@dataclass(frozen=True)
class Table:
    """Rows of texts.

    Attributes:
        name: unique on the page, such as ``test-figures``.
        columns: heads.
        rows: as many cells as columns.
        marks: of each row: ``best``, ``reference`` or empty; fewer than rows where none is marked.
    """

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    marks: Sequence[str] = ()
    kind: ClassVar[str] = "table"

    @property
    def marked(self) -> list[tuple[str, Sequence[str]]]:
        """Mark and cells of each row."""
        marks = [*self.marks, *[""] * (len(self.rows) - len(self.marks))]
        return list(zip(marks, self.rows, strict=True))


@dataclass(frozen=True)
class Plot:
    """An interactive figure."""

    name: str
    figure: go.Figure
    kind: ClassVar[str] = "plot"

    @property
    def height(self) -> int:
        """In pixels."""
        return int(self.figure.layout.height or DEFAULT_HEIGHT)


@dataclass(frozen=True)
class Drawing:
    """An SVG that needs nothing else."""

    name: str
    svg: str
    kind: ClassVar[str] = "drawing"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        root = ElementTree.fromstring(self.svg)
        return int(float(root.attrib["width"])), int(float(root.attrib["height"]))


@dataclass(frozen=True)
class Picture:
    """One view of a sample.

    Attributes:
        caption: below it.
        image: a WebP file.
        sides: the patient's side at the left, right, top and bottom edge; empty for pictures.
    """

    caption: str
    image: bytes
    sides: Sequence[str] = ()


@dataclass(frozen=True)
class Case:
    """The views of one sample with a title and what is known of it."""

    name: str
    title: str
    about: str
    pictures: Sequence[Picture]
    kind: ClassVar[str] = "case"


@dataclass(frozen=True)
class Fold:
    """Parts that are shown when the reader asks for them."""

    summary: str
    parts: Sequence[Part]
    kind: ClassVar[str] = "fold"


Part = Text | Plain | Table | Plot | Drawing | Case | Fold


@dataclass(frozen=True)
class Section:
    """A heading and its parts; one without parts is not shown."""

    title: str
    parts: Sequence[Part] = field(default_factory=tuple)

    def all_parts(self) -> Iterator[Part]:
        """Every part, those behind folds included."""
        yield from _unfolded(self.parts)


def _unfolded(parts: Sequence[Part]) -> Iterator[Part]:
    for part in parts:
        yield part
        if isinstance(part, Fold):
            yield from _unfolded(part.parts)
