"""The sections of a report, in the order in which people read: answer, network, evidence, and how it came about."""

from __future__ import annotations

import json
from collections.abc import Sequence

from branchpoint.report.added_value import added_value_section
from branchpoint.report.answer import answer
from branchpoint.report.checklist.section import checklist_section
from branchpoint.report.evidence import (
    centers_section,
    cost_section,
    differences_section,
    epoch_rules_section,
    test_section,
)
from branchpoint.report.parts import Drawing, Fold, Plain, Section, Text
from branchpoint.report.results import Results
from branchpoint.report.search_sections import (
    balancing_section,
    curves_section,
    left_out_sections,
    relation_sections,
    search_section,
    trials_section,
)

ANSWER = "Answer"


def sections(results: Results, predictions: Sequence[Section] = ()) -> list[Section]:
    """Every section that has something to show.

    Args:
        results: of the study.
        predictions: sections on the predictions for single patients, which the store does not hold.
    """
    found = [
        Section(ANSWER, [Text(line, note=False) for line in answer(results)]),
        _network_section(results),
        test_section(results),
        differences_section(results),
        added_value_section(results),
        epoch_rules_section(results),
        *predictions,
        centers_section(results),
        cost_section(results),
        search_section(results),
        balancing_section(results),
        *relation_sections(results),
        curves_section(results),
        trials_section(results),
        *left_out_sections(results),
        checklist_section(results),
        _config_section(results),
    ]
    return [section for section in found if section.parts]


def _network_section(results: Results) -> Section:
    drawing = results.drawing()
    drawn = [Drawing("network", drawing)] if drawing else []
    return Section("Recommended network", [*drawn, Plain(results.description())])


def _config_section(results: Results) -> Section:
    best = results.best or {}
    config = json.dumps(json.loads(best["config"]), indent=1) if best else "none yet"
    versions = ", ".join(f"{name} {version}" for name, version in best.get("versions", {}).items())
    notes = [Text(note) for note in [*results.notes, versions] if note]
    return Section("Recommended configuration", [Fold("as JSON", [Plain(config)]), *notes])
