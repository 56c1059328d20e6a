"""Everything that is known of a study, as one page or as files for a paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from branchpoint.report.export import Exported, export_sections
from branchpoint.report.html import write_page
from branchpoint.report.parts import Section
from branchpoint.report.results import load_results
from branchpoint.report.sections import sections

if TYPE_CHECKING:
    from branchpoint.store import Store


def write_report(store: Store, study: str, out: Path, predictions: Sequence[Section] = ()) -> Path:
    """Write the report of ``study`` to ``out`` and return its absolute path.

    Args:
        store: that holds the study.
        study: its name.
        out: HTML file.
        predictions: sections on the predictions for single patients; see
            :func:`branchpoint.report.predictions.prediction_sections`.

    Raises:
        ValueError: the store holds no such study.
    """
    results = load_results(store, study)
    return write_page(results, sections(results, predictions), out)


def export_report(store: Store, study: str, folder: Path, predictions: Sequence[Section] = ()) -> Exported:
    """Write the figures and tables of the report of ``study`` into the new ``folder``.

    Args:
        store: that holds the study.
        study: its name.
        folder: see :func:`branchpoint.report.export.check_export`.
        predictions: as for :func:`write_report`.

    Raises:
        ValueError: the store holds no such study.
    """
    results = load_results(store, study)
    return export_sections(sections(results, predictions), results.figures, folder)
