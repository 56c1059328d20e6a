"""The report of a study as one self-contained HTML file."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Sequence
from pathlib import Path

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader
from plotly.offline import get_plotlyjs

from branchpoint.report.answer import question
from branchpoint.report.parts import Picture, Section
from branchpoint.report.results import Results

LONGEST_UNBROKEN = 26
"""Characters of a cell that stay on one line, such as a figure with its interval."""


def write_page(results: Results, sections: Sequence[Section], out: Path) -> Path:
    """Write ``sections`` to ``out`` and return its absolute path."""
    environment = Environment(loader=PackageLoader("branchpoint.report", "."), autoescape=True, trim_blocks=True)
    environment.filters |= {"figure": _figure, "uri": _uri}
    environment.tests["short"] = lambda cell: len(cell) <= LONGEST_UNBROKEN
    page = environment.get_template("template.html.jinja").render(
        study=results.study,
        subtitle=results.subtitle,
        question=question(results.config),
        sections=sections,
        plotly_gzip=base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode(),
    )
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    return out


def _figure(figure: go.Figure) -> str:
    """The figure as data, which the page draws once its copy of plotly is unpacked."""
    return str(figure.to_json()).replace("<", "\\u003c")


def _uri(picture: Picture) -> str:
    return f"data:image/webp;base64,{base64.b64encode(picture.image).decode()}"
