"""The report and the terminal tables say what the store holds."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from branchpoint.report import tables, write_report
from branchpoint.report.answer import answer
from branchpoint.report.results import load_results
from branchpoint.store import Store

STUDY = "toy"


def test_answer_names_the_best_by_validation_and_its_test_figure(study: Store) -> None:
    results = load_results(study, STUDY)
    together, first, tumour = answer(results)
    assert results.best is not None
    assert results.best["trial"] == "0001"
    assert together == (
        "Learning tumour and survival together, against each task alone: no difference can be shown in tumour: Dice "
        "+0.020 [-0.080, +0.120] (difference with 95 % interval, 40 test patients)."
    )
    assert "score of 0.700 on validation patients" in first
    assert tumour == (
        "tumour: Dice on test patients: 0.610 [0.510, 0.710] (n=40); "
        "best reference: centred ellipsoid 0.400 [0.300, 0.500]."
    )


def test_report_is_one_file_that_needs_nothing_else(study: Store, tmp_path: Path) -> None:
    page = write_report(study, STUDY, tmp_path / "out" / "report.html").read_text()
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", page), "it must not load anything"
    for text in ["0.610 [0.510, 0.710]", "best found minus segmentation only", "CHGJ007", "Held apart.", "torch 2.14"]:
        assert text in page
    cells = re.sub(' class="number"', "", page)
    assert "<td>best found</td><td>Basel</td><td>0.700 [0.600, 0.800] (n=20)</td>" in cells
    assert "<td>best found</td><td>Lyon</td><td>0.500 [0.400, 0.600] (n=20)</td>" in cells
    assert "starts from network.pt: 9 of 10 tensors" in page
    assert "loss is NaN &lt;at&gt; epoch 2" in page, "reasons are shown, as text and not as markup"
    assert "<svg" in page, "the network is drawn"
    assert "tumour: weight (training)" in page, "what balancing did is drawn"


def test_unknown_study_names_those_there_are(study: Store) -> None:
    with pytest.raises(ValueError, match=r"no study 'other' in .*; there are: toy"):
        load_results(study, "other")


def test_study_without_a_complete_trial_still_has_a_report(tmp_path: Path, study: Store) -> None:
    from branchpoint.store import StudyRecord

    study.writer("empty").study(StudyRecord(study="empty"))
    page = write_report(study, "empty", tmp_path / "empty.html").read_text()
    assert "No trial has completed yet." in page


def _write_again(path: Path, rows: pa.Table) -> None:
    """As a file of version 1, whose name bears no checksum."""
    path.unlink()
    pq.write_table(rows, path.with_name(path.name.rsplit("-", 1)[0] + ".parquet"))


@pytest.mark.parametrize("absent", ["config", "state", "finished", "started", "stage", "candidate", "reason", "notes"])
def test_rows_of_other_versions_do_not_stop_the_report(study: Store, tmp_path: Path, absent: str) -> None:
    (path,) = sorted((tmp_path / "results/trials" / STUDY).glob("*.parquet"))[:1]
    rows = pq.read_table(path)
    place = rows.column_names.index(absent)
    rows = rows.set_column(place, absent, pa.nulls(rows.num_rows, rows.schema.field(absent).type))
    _write_again(path, rows)
    page = write_report(study, STUDY, tmp_path / "report.html").read_text()
    assert "best found" in page
    tables.print_trials(study.trials(STUDY))
    tables.print_best(study.best(STUDY, "validation/score", top=9), "validation/score", ["tumour/dice"])


@pytest.mark.parametrize("config", ["", "{}", "{", '{"network": {"encoder": "of the future"}}', "[]", "7"])
def test_a_configuration_that_cannot_be_built_leaves_the_rest(study: Store, tmp_path: Path, config: str) -> None:
    for path in list((tmp_path / "results/trials" / STUDY).glob("*.parquet")):
        rows = pq.read_table(path)
        place = rows.column_names.index("config")
        _write_again(path, rows.set_column(place, "config", pa.array([config] * rows.num_rows)))
    page = write_report(study, STUDY, tmp_path / "report.html").read_text()
    assert "0.610 [0.510, 0.710]" in page
    assert "cannot be built: " in page


def test_best_configurations_have_a_column_for_each_task(study: Store, capsys: pytest.CaptureFixture[str]) -> None:
    results = load_results(study, STUDY)
    tables.print_best(study.best(STUDY, "validation/score", top=2), "validation/score", results.primary_metrics)
    _, _, header, _, first, second, _ = (line.strip("┃│ ") for line in capsys.readouterr().out.splitlines())
    names = [cell.strip() for cell in header.split("┃")]
    assert names[:4] == ["rank", "score (validation)", "tumour: Dice", "survival: C-index"]
    assert [cell.strip() for cell in first.split("│")][:4] == ["1", "0.700", "0.600", "0.800"]
    assert [cell.strip() for cell in second.split("│")][:4] == ["2", "0.600", "0.500", "0.700"]


def test_files_left_out_are_named_in_the_report(study: Store, tmp_path: Path) -> None:
    foreign = tmp_path / "results/trials" / STUDY / "mine.parquet"
    foreign.write_bytes(b"<b>no Parquet</b>")
    page = write_report(study, STUDY, tmp_path / "report.html").read_text()
    assert f"<td>{foreign}</td>" in page
