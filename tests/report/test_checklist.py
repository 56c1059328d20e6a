"""Reporting checklists: complete, and filled in by what a study knows alone."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from branchpoint.execution.recommendation import ensemble_label
from branchpoint.report.answer import answer
from branchpoint.report.checklist.config_facts import OF_CONFIG
from branchpoint.report.checklist.facts import OF_RESULTS, facts
from branchpoint.report.checklist.items import CLAIM, TRIPOD, Item
from branchpoint.report.checklist.section import checklist_row, checklist_section
from branchpoint.report.parts import Table
from branchpoint.report.results import load_results
from branchpoint.store import Store
from tests.report.conftest import STUDY


def test_every_item_of_both_guidelines_is_there_once() -> None:
    assert [item.number for item in CLAIM] == [str(number) for number in range(1, 45)]
    numbers = [item.number for item in TRIPOD]
    assert len(set(numbers)) == len(numbers) == 52
    assert {int(re.sub(r"\D", "", number)) for number in numbers} == set(range(1, 28))


@pytest.mark.parametrize("item", [*TRIPOD, *CLAIM], ids=lambda item: f"{item.number} {item.topic}")
def test_facts_of_an_item_exist(item: Item) -> None:
    assert set(item.facts) <= OF_RESULTS.keys() | OF_CONFIG.keys()
    assert item.facts or item.by, "what the study does not know, somebody has to write"


def test_a_study_fills_in_what_it_knows(study: Store) -> None:
    section = checklist_section(load_results(study, STUDY))
    tripod, claim = [part for part in section.all_parts() if isinstance(part, Table)]
    rows = {row[0]: row for row in tripod.rows}
    assert "CHGJ007" not in str(rows), "patients are counted, not named"
    assert rows["6b"][2:] == ["Left out for faulty files: 1.", "who collected the data"]
    assert rows["23a"][2] == "tumour: Dice on test samples: 0.610 [0.510, 0.710]."
    assert rows["17"][2:] == ["", "clinical lead"], "no software knows of an ethics committee"
    assert rows["6a"][2] == "2 centres: Basel, Lyon."
    assert {row[0]: row[2] for row in claim.rows}["23"] == "torch 2.14."
    assert section.parts[1].summary.startswith("TRIPOD+AI (Collins et al. 2024): ")


def test_without_a_config_its_facts_are_left_to_people(study: Store) -> None:
    results = load_results(study, STUDY)
    known = facts(results)
    assert known["model"].startswith("parallel network")
    item = next(item for item in TRIPOD if item.number == "22")
    assert checklist_row(item, known)[3] == ""
    assert checklist_row(item, {})[2:] == ["", "author"]


def test_a_study_without_test_figures_has_no_checklist(study: Store) -> None:
    from branchpoint.store import StudyRecord

    study.writer("empty").study(StudyRecord(study="empty"))
    assert not checklist_section(load_results(study, "empty")).parts


def test_figures_of_an_ensemble_do_not_stand_for_single_networks(study: Store) -> None:
    results = load_results(study, STUDY)
    assert facts(results)["ensembles"].endswith("none is of an ensemble.")
    single = next(row for row in results.pooled_test if row["label"] == results.recommended_label)
    label = ensemble_label("best found", 3, mirrored=False)
    with_ensemble = replace(results, figures=[{**single, "label": label, "value": 0.9, "high": 0.95}, *results.figures])
    known = facts(with_ensemble)
    assert known["performance"] == facts(results)["performance"]
    assert known["ensembles"].endswith(f"of ensembles: {label}.")
    assert answer(with_ensemble) == answer(results)
