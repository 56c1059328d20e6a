"""The journal survives a kill at the two places where Optuna's own file does not: mid-line, and while it is locked."""

from __future__ import annotations

import ast
import json
import os
import time
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from branchpoint.search.suggest.journal import open_journal

TORN = b'{"op_code":5,"worker_id":"x","tri'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal of one complete trial, whose last line a kill tore."""
    path = tmp_path / "journal.log"
    study = optuna.create_study(storage=open_journal(path), study_name="s")
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    study.tell(trial, 0.5)
    with path.open("ab") as file:
        file.write(TORN)
    return path


def go_on(storage: JournalStorage) -> optuna.Study:
    study = optuna.load_study(storage=storage, study_name="s")
    study.tell(study.ask(), 0.25)
    return study


def test_a_torn_last_line_is_cut_off_and_the_study_goes_on(path: Path) -> None:
    go_on(open_journal(path))
    values = [trial.value for trial in optuna.load_study(storage=open_journal(path), study_name="s").trials]
    assert values == [0.5, 0.25]
    assert all(json.loads(line) for line in path.read_bytes().splitlines())


def test_optuna_alone_cannot_read_its_file_after_a_torn_line(path: Path) -> None:
    """The reason why lines are cut off; once this fails, Optuna does it and :func:`open_journal` need not."""
    study = optuna.load_study(storage=JournalStorage(JournalFileBackend(str(path))), study_name="s")
    study.set_user_attr("first", 1)
    assert "first" not in study.user_attrs, "lost, because it was appended to the torn line"
    with pytest.raises(json.JSONDecodeError):
        study.set_user_attr("second", 2)


def test_a_lock_file_that_a_kill_left_behind_delays_nobody(path: Path) -> None:
    os.symlink(path, f"{path}.lock")
    began = time.monotonic()
    study = go_on(open_journal(path))
    assert time.monotonic() - began < 10, "Optuna's own lock is taken by force after 30 s"
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 2


def test_only_public_parts_of_optuna_are_used() -> None:
    """Private modules and attributes change without notice between versions of Optuna."""
    package = Path(optuna.__file__).parent
    private = {path.stem for path in package.rglob("_*") if not path.stem.startswith("__")}
    assert "_tpe" in private
    for path in Path(open_journal.__code__.co_filename).parents[1].rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "optuna":
                assert not private & set(str(node.module).split(".")), f"{path.name}: {node.module}"
                assert not [one.name for one in node.names if one.name.startswith("_")], path.name
            if isinstance(node, ast.Attribute):
                assert node.attr not in {"_study_id", "_trial_id", "_storage", "_rng"} or _is_self(node), path.name


def _is_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "self"
