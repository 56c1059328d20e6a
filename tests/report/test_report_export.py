"""Figures and tables of a report as files."""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from branchpoint.report import export_report
from branchpoint.report.export import FIGURE_COLUMNS, check_export, csv_text, export_sections
from branchpoint.report.latex import escape, latex
from branchpoint.report.parts import Drawing, Fold, Plot, Section, Table
from branchpoint.store import Store
from tests.deploy.chromium import find_chromium
from tests.report.conftest import STUDY

needs_browser = pytest.mark.skipif(find_chromium() is None, reason="no chromium on this machine")


@needs_browser
def test_every_figure_and_table_of_a_study_is_a_file(study: Store, tmp_path: Path) -> None:
    made = export_report(study, STUDY, tmp_path / "new" / "paper")
    folder = tmp_path / "new" / "paper"
    assert [path.name for path in folder.parent.iterdir()] == ["paper"], "nothing is left beside it"
    names = {ending: {path.stem for path in folder.glob(f"*.{ending}")} for ending in ("png", "svg", "csv", "tex")}
    assert len(names["png"]) == made.figures
    assert names["png"] == names["svg"] >= {"network", "search", "figures-tumour-dice", "differences-tumour-dice"}
    assert len(names["tex"]) == made.tables
    assert names["csv"] == names["tex"] | {"figures"}
    assert names["tex"] >= {"test-figures", "trials", "centres"}, "those behind folds, too"
    with (folder / "figures.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["value"] for row in rows if row["label"] == "centred ellipsoid"] == ["0.4"]
    assert {row["p_adjusted"] for row in rows} == {""}, "no number where there is none"
    assert len(rows) == 5


@needs_browser
def test_png_and_svg_have_the_size_of_the_plot_and_its_words(tmp_path: Path) -> None:
    plot = Plot("a plot", go.Figure(go.Scatter(x=[1, 2], y=[1, 2]), {"height": 300, "xaxis_title": "years"}))
    drawing = Drawing(
        "network",
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 80 40" width="80" height="40"><rect width="80" '
        'height="40" fill="#ff0000"/></svg>',
    )
    made = export_sections([Section("", [plot, Fold("", [drawing])])], [], tmp_path / "out")
    assert (made.figures, made.tables, made.pictures) == (2, 0, 0)
    with Image.open(tmp_path / "out/a-plot.png") as opened:
        assert opened.size == (1800, 600)
        assert len(opened.convert("L").getcolors() or []) > 2, "something is drawn"
    root = ElementTree.parse(tmp_path / "out/a-plot.svg").getroot()
    assert (root.attrib["width"], root.attrib["height"]) == ("900", "300")
    assert "years" in "".join(root.itertext())
    with Image.open(tmp_path / "out/network.png") as opened:
        assert opened.size == (160, 80)
        assert opened.convert("RGB").getpixel((80, 40)) == (255, 0, 0)


def test_a_folder_that_exists_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="exists; remove it or give another --export"):
        check_export(tmp_path)


def test_a_missing_package_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "choreographer.browsers.chromium", None)
    with pytest.raises(ModuleNotFoundError, match=r"--export needs kaleido.*branchpoint\[figures\]"):
        check_export(tmp_path / "new")


def test_a_missing_browser_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "no browser"))
    with pytest.raises(ValueError, match=r"Chrome or Chromium, and there is none.*BROWSER_PATH"):
        check_export(tmp_path / "new")


def test_a_table_in_latex() -> None:
    table = Table("t", ["", "tumour: Dice"], [["best_found", "0.6 [-0.1, 0.7]"], ["R&D 95 %", ""]], ["best"])
    assert latex(table).splitlines() == [
        "% needs \\usepackage{booktabs}",
        "\\begin{tabular}{ll}",
        "\\toprule",
        " & tumour: Dice \\\\",
        "\\midrule",
        "\\textbf{best\\_found} & \\textbf{0.6 [$-$0.1, 0.7]} \\\\",
        "R\\&D 95 \\% &  \\\\",
        "\\bottomrule",
        "\\end{tabular}",
    ]


@given(st.text(st.characters(codec="ascii")))
def test_no_character_of_a_cell_is_a_command(text: str) -> None:
    """What is left when the escapes are taken out has nothing that LaTeX acts on."""
    escaped = escape(text)
    assert not re.search(r"[\r\n]", escaped)
    for command in (r"\textbackslash{}", r"\textasciitilde{}", r"\textasciicircum{}", "$-$", "$<$", "$>$"):
        escaped = escaped.replace(command, "")
    assert not re.search(r"[\\~^&%$#_{}]", re.sub(r"\\[&%$#_{}]", "", escaped))


@given(st.lists(st.tuples(st.text(), st.text()), max_size=5))
def test_csv_gives_back_every_cell(rows: list[tuple[str, str]]) -> None:
    import io

    text = csv_text(["a", "b"], rows)
    assert list(csv.reader(io.StringIO(text, newline="")))[1:] == [list(row) for row in rows]


def test_columns_of_all_figures_are_those_of_the_store() -> None:
    from dataclasses import fields

    from branchpoint.store import FigureRecord

    assert set(FIGURE_COLUMNS) <= {field.name for field in fields(FigureRecord)}
