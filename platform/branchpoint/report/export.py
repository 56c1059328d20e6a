"""Figures and tables of a report as files for a paper: PNG and SVG, CSV and LaTeX.

Figures are drawn by kaleido in a local Chrome or Chromium, which loads nothing from the network.
"""

from __future__ import annotations

import base64
import csv
import io
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from branchpoint.report.latex import latex
from branchpoint.report.parts import Case, Drawing, Plot, Section, Table

WIDTH = 900
"""Of a plot, in pixels; a PNG has :data:`SCALE` times as many."""
SCALE = 2
FIGURE_COLUMNS = (
    "label",
    "kind",
    "split",
    "fold",
    "center",
    "metric",
    "value",
    "low",
    "high",
    "n",
    "p_adjusted",
    "resampled",
    "candidate",
)
"""Of ``figures.csv``, which has every figure of the study with all its digits."""


@dataclass(frozen=True)
class Exported:
    """How many there are, each in two formats.

    Attributes:
        figures: plots and drawings.
        tables: tables of the page.
        pictures: views of single samples, as PNG alone.
    """

    figures: int
    tables: int
    pictures: int


def check_export(folder: Path) -> None:
    """That ``folder`` can be written and figures can be drawn.

    Raises:
        ValueError: it exists, or there is no browser.
        ModuleNotFoundError: kaleido is missing; the message names the extra.
    """
    if folder.exists():
        raise ValueError(f"{folder} exists; remove it or give another --export")
    try:
        from choreographer.browsers.chromium import Chromium
    except ModuleNotFoundError as problem:
        raise ModuleNotFoundError(
            "--export needs kaleido, which is not installed: pip install 'branchpoint[figures]'"
        ) from problem
    browser = Chromium.find_browser(skip_local=False)
    if not browser or not Path(browser).is_file():
        raise ValueError(
            "--export draws figures in Chrome or Chromium, and there is none on this machine: install one (such as "
            "`apt install chromium`), run `kaleido_get_chrome`, or name its program in $BROWSER_PATH"
        )


def export_sections(sections: Sequence[Section], figures: Sequence[Mapping[str, Any]], folder: Path) -> Exported:
    """Write every figure and table of ``sections`` into the new ``folder``; it is there whole or not at all.

    Args:
        sections: of a report.
        figures: rows of the study's figures, for ``figures.csv``.
        folder: see :func:`check_export`, which names what is missing.
    """
    parts = [part for section in sections for part in section.all_parts()]
    drawn = {part.name: part for part in parts if isinstance(part, Plot | Drawing)}
    tables = [part for part in parts if isinstance(part, Table)]
    cases = [part for part in parts if isinstance(part, Case)]
    beside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    beside.mkdir(parents=True)
    try:
        for table in tables:
            _write(beside, table.name, "csv", csv_text(table.columns, table.rows))
            _write(beside, table.name, "tex", latex(table))
        rows = [[_cell(row.get(name)) for name in FIGURE_COLUMNS] for row in figures]
        _write(beside, "figures", "csv", csv_text(FIGURE_COLUMNS, rows))
        _draw(drawn, beside)
        pictures = sum(_write_pictures(case, beside) for case in cases)
        beside.replace(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return Exported(figures=len(drawn), tables=len(tables), pictures=pictures)


def _cell(value: Any) -> str:
    """All digits; nothing where a value is absent or NaN."""
    return "" if value is None or value != value else str(value)


def csv_text(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows with their heads as CSV (RFC 4180)."""
    buffer = io.StringIO()
    csv.writer(buffer).writerows([columns, *rows])
    return buffer.getvalue()


def file_name(name: str) -> str:
    """``name`` of a part as that of a file on every system.

    >>> file_name("decision-tumour (T2)")
    'decision-tumour-T2'
    """
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")


def _write(folder: Path, name: str, ending: str, text: str) -> None:
    (folder / f"{file_name(name)}.{ending}").write_text(text, encoding="utf-8", newline="")


def _draw(drawn: Mapping[str, Plot | Drawing], folder: Path) -> None:
    """Each figure as SVG and PNG, all by one browser."""
    if not drawn:
        return
    import kaleido

    for part in drawn.values():
        if isinstance(part, Drawing):
            _write(folder, part.name, "svg", part.svg)
    kaleido.write_fig_from_object_sync(list(_orders(drawn, folder)), kopts={"mathjax": False})


def _orders(drawn: Mapping[str, Plot | Drawing], folder: Path) -> Iterator[dict[str, Any]]:
    for name, part in drawn.items():
        plot, endings = (part, ("png", "svg")) if isinstance(part, Plot) else (_as_plot(part), ("png",))
        size = {"width": int(plot.figure.layout.width or WIDTH), "height": plot.height}
        for ending in endings:
            options = {"format": ending, **size, "scale": SCALE if ending == "png" else 1}
            yield {"fig": plot.figure, "path": str(folder / f"{file_name(name)}.{ending}"), "opts": options}


def _as_plot(drawing: Drawing) -> Plot:
    """A drawing as a figure of its own size, so that the same browser makes pixels of it."""
    width, height = drawing.size
    source = f"data:image/svg+xml;base64,{base64.b64encode(drawing.svg.encode()).decode()}"
    figure = go.Figure()
    figure.add_layout_image(source=source, x=0, y=1, xref="paper", yref="paper", sizex=1, sizey=1)
    figure.update_layout(width=width, height=height, margin={"l": 0, "r": 0, "t": 0, "b": 0}, plot_bgcolor="white")
    return Plot(drawing.name, figure.update_xaxes(visible=False).update_yaxes(visible=False))


def _write_pictures(case: Case, folder: Path) -> int:
    from PIL import Image

    for place, picture in enumerate(case.pictures, 1):
        with Image.open(io.BytesIO(picture.image)) as opened:
            opened.save(folder / f"{file_name(case.name)}-{place}.png")
    return len(case.pictures)
