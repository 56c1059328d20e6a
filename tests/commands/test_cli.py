"""The command as a user runs it."""

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from branchpoint.commands import cli
from branchpoint.commands.case_options import CaseOptions
from branchpoint.commands.explain import Options as ExplainOptions
from branchpoint.store import Store, StudyRecord, TrialRecord


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture
def store(tmp_path: Path) -> Path:
    writer = Store(str(tmp_path / "results")).writer("first")
    writer.study(StudyRecord(study="first"))
    for trial, score in [("0000", 0.4), ("0001", 0.6)]:
        writer.trial(TrialRecord(study="first", trial=trial, state="COMPLETE", metrics={"validation/score": score}))
    return tmp_path / "results"


def test_best_trials_and_sql_as_json(store: Path) -> None:
    (best,) = json.loads(run("best", "--store", store, "--json").stdout)
    assert (best["trial"], best["value"]) == ("0001", 0.6)
    assert [row["trial"] for row in json.loads(run("trials", "--store", store, "--json").stdout)] == ["0000", "0001"]
    done = run(
        "sql", "SELECT count(*) AS n FROM trials WHERE metrics['validation/score'] > 0.5", "--store", store, "--json"
    )
    assert json.loads(done.stdout) == [{"n": 1}]


def test_tables_keep_their_columns_in_a_pipe(store: Path) -> None:
    done = run("trials", "--store", store)
    assert done.exit_code == 0
    assert "score (validation)" in done.stdout
    assert "0.600" in done.stdout


def test_study_must_be_named_where_there_are_several(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Store(str(store)).writer("second").study(StudyRecord(study="second"))
    monkeypatch.setattr("sys.argv", ["branchpoint", "best", "--store", str(store)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "it holds first, second" in said
    assert "Traceback" not in said


def test_help_imports_no_heavy_package() -> None:
    script = """
import atexit, sys
from branchpoint.commands import cli
from branchpoint.commands.case_options import CaseOptions
from branchpoint.commands.explain import Options as ExplainOptions
heavy = {"torch", "ray", "optuna", "SimpleITK", "pydicom", "numpy", "pyarrow", "scipy", "sksurv", "duckdb", "plotly"}
atexit.register(lambda: print(sorted(heavy & set(sys.modules)), file=sys.stderr))
sys.argv = ["branchpoint", "--help"]
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "make-phantom" in done.stdout
    assert done.stderr.strip() == "[]"


def test_wrong_root_is_one_message(tmp_path: Path) -> None:
    done = run("check-data", "hecktor", "--root", tmp_path / "nowhere")
    assert done.exit_code == 2


def test_explain_takes_the_options_that_say_which_case_and_no_masks() -> None:
    shared = {field.name for field in fields(CaseOptions)}
    assert {field.name for field in fields(ExplainOptions)} - shared == {"method", "task", "label", "baseline"}
    result = CliRunner().invoke(cli.app, ["explain", "bundle", "--out", "out", "--tta"])
    assert result.exit_code == 2
    assert "No such option: --tta" in result.output
