"""What samplers see of a long study: what is open, the best and the latest; also in a study that was resumed."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from branchpoint.search.suggest import journal
from branchpoint.search.suggest.journal import open_journal


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> optuna.Study:
    monkeypatch.setattr(journal, "SHOWN", 6)
    storage = open_journal(tmp_path / "journal.log")
    study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
    storage.forget(study._study_id, maximize=True)
    return study


def numbers(study: optuna.Study, *states: TrialState) -> list[int]:
    return [trial.number for trial in study.get_trials(deepcopy=False, states=states or None)]


def test_few_of_many_running_trials_are_shown(study: optuna.Study) -> None:
    study.enqueue_trial({})
    first = study.ask()
    for _ in range(journal.RUNNING + 20):
        study.ask()
    study.enqueue_trial({})
    shown = numbers(study)
    assert len(shown) == journal.RUNNING + 1
    assert shown[-1] == journal.RUNNING + 21, "what waits to be started is always seen"
    study.tell(first, 1.0)
    assert numbers(study, TrialState.COMPLETE) == [0]


def test_short_studies_are_seen_whole(study: optuna.Study) -> None:
    for value in range(3):
        study.tell(study.ask(), float(value))
    study.ask()
    study.enqueue_trial({})
    assert numbers(study) == [0, 1, 2, 3, 4]
    assert numbers(study, TrialState.WAITING) == [4]


def test_long_studies_show_the_best_the_latest_and_the_open(study: optuna.Study, tmp_path: Path) -> None:
    running = study.ask()
    for value in [9.0, 1.0, 8.0, 0.0, 7.0, 6.0, 5.0, 4.0]:  # numbers 1 to 8
        study.tell(study.ask(), value)
    study.tell(study.ask(), state=TrialState.PRUNED)  # 9
    study.tell(study.ask(), state=TrialState.FAIL)  # 10
    expected = [0, 1, 3, 5, 8, 9, 10]
    assert numbers(study) == expected
    assert numbers(study, TrialState.COMPLETE) == [1, 3, 5, 8]
    study.tell(running, 10.0)
    resumed = open_journal(tmp_path / "journal.log")
    again = optuna.load_study(storage=resumed, study_name="s")
    assert len(again.get_trials()) == 11, "all are there"
    resumed.forget(again._study_id, maximize=True)
    assert set(numbers(again, TrialState.COMPLETE)) >= {0, 1, 3}, "the best ones"
    assert resumed.get_trial(resumed.get_trial_id_from_study_id_trial_number(again._study_id, 2)).value == 1.0
