"""What is tried next and what Optuna is told, without Ray."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from branchpoint.config import Config
from branchpoint.search.suggest.samplers import SAMPLERS
from branchpoint.search.suggest.suggestions import MAX_ASKS, Known, Suggestion, Suggestions, open_journal
from tests.search.search_toys import toy_space


@pytest.fixture
def make(tmp_path: Path, base: Config) -> Callable[..., Suggestions]:
    def make(**changes: Any) -> Suggestions:
        settings: dict[str, Any] = {"trials": 12, **changes}
        space = settings.pop("space", toy_space)
        return Suggestions(tmp_path / "journal.log", "toy", space, base, **settings)

    return make


def take(suggestions: Suggestions, count: int) -> list[Suggestion]:
    taken = []
    for _ in range(count):
        suggestion = suggestions.next()
        assert suggestion is not None
        taken.append(suggestion)
    return taken


def value_of(config: Config) -> float:
    return -((config.network.width - 5) ** 2) - (config.network.depth - 3) ** 2


def journal_states(tmp_path: Path) -> list[TrialState]:
    study = optuna.load_study(study_name="toy", storage=open_journal(tmp_path / "journal.log"))
    return [trial.state for trial in study.trials]


def run_all(suggestions: Suggestions, finished: dict[str, Known] | None = None) -> list[Config]:
    configs = []
    while suggestion := suggestions.next():
        configs.append(suggestion.config)
        suggestions.tell(suggestion.name, "COMPLETE", value_of(suggestion.config))
        if finished is not None:
            finished[suggestion.name] = Known("COMPLETE", value_of(suggestion.config))
    return configs


def test_states_are_told_as_they_were(make: Callable[..., Suggestions], tmp_path: Path) -> None:
    points = [{"width": width, "depth": 2} for width in range(1, 5)]
    suggestions = make(points=points, trials=4)
    complete, pruned, failed, nan = take(suggestions, 4)
    suggestions.report(pruned.name, 1, 0.25)
    suggestions.report(pruned.name, 2, math.nan)
    suggestions.report(pruned.name, 3, 0.5)
    suggestions.report(pruned.name, 3, 0.75)
    suggestions.tell(complete.name, "COMPLETE", 0.9)
    suggestions.tell(pruned.name, "PRUNED", 0.5)
    suggestions.tell(failed.name, "FAILED", 0.7)
    suggestions.tell(nan.name, "COMPLETE", math.nan)
    study = optuna.load_study(study_name="toy", storage=open_journal(tmp_path / "journal.log"))
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.FAIL]
    assert study.trials[1].intermediate_values == {1: 0.25, 3: 0.5}
    assert study.best_value == 0.9


def test_starting_points_come_first_and_in_order(make: Callable[..., Suggestions]) -> None:
    points = [{"width": 8, "depth": 2}, {"width": 3, "depth": 3}]
    configs = run_all(make(points=points))
    assert [(c.network.width, c.network.depth) for c in configs[:2]] == [(8, 2), (3, 3)]


def test_no_configuration_starts_twice(make: Callable[..., Suggestions]) -> None:
    """The space has 31 feasible configurations; more are asked for, and each comes once."""
    suggestions = make(trials=100)
    configs = run_all(suggestions)
    assert len({config.fingerprint for config in configs}) == len(configs) == 31
    assert suggestions.exhausted


def test_duplicates_are_told_what_is_known(make: Callable[..., Suggestions], tmp_path: Path) -> None:
    def two(trial: optuna.trial.BaseTrial, base: Config) -> Config:
        trial.suggest_float("without_effect", 0, 1)
        return toy_space(optuna.trial.FixedTrial({"width": trial.suggest_int("width", 1, 2), "depth": 2}), base)

    suggestions = make(space=two, trials=5)
    first, second = take(suggestions, 2)
    assert suggestions.next() is None
    assert not suggestions.exhausted, "two are running: what they give may lead elsewhere"
    suggestions.tell(first.name, "COMPLETE", 0.25)
    assert suggestions.next() is None
    suggestions.tell(second.name, "FAILED", math.nan)
    assert suggestions.next() is None
    assert suggestions.exhausted
    study = optuna.load_study(study_name="toy", storage=open_journal(tmp_path / "journal.log"))
    duplicates = [trial for trial in study.trials if "duplicate_of" in trial.user_attrs]
    assert len(duplicates) + 2 == len(study.trials)
    after_first = [trial for trial in duplicates if trial.number > second_number(study) + MAX_ASKS]
    assert {t.value for t in after_first if t.user_attrs["duplicate_of"] == int(first.name)} == {0.25}
    assert {t.state for t in after_first if t.user_attrs["duplicate_of"] == int(second.name)} == {TrialState.FAIL}


def second_number(study: optuna.Study) -> int:
    return [trial.number for trial in study.trials if "config" in trial.user_attrs][1]


def test_infeasible_never_start_and_give_a_reason(make: Callable[..., Suggestions], tmp_path: Path) -> None:
    rejected: list[tuple[str, str]] = []
    suggestions = make(
        points=[{"width": 7, "depth": 4}, {"width": 8, "depth": 2}],
        feasible=lambda config: "needs 9 GB, has 8 GB" if config.network.width == 8 else None,
        reject=lambda name, config, parameters, reason: rejected.append((name, reason)),
        trials=5,
    )
    configs = run_all(suggestions)
    assert len(configs) == 5
    assert rejected[:2] == [
        ("0000", "network.width is 7: does not fit depth 4"),
        ("0001", "needs 9 GB, has 8 GB"),
    ]
    assert all(config.network.width != 8 for config in configs)
    assert journal_states(tmp_path)[:2] == [TrialState.PRUNED, TrialState.PRUNED]


def test_interrupted_trials_come_first_under_their_numbers(make: Callable[..., Suggestions]) -> None:
    before = make()
    first, second, third = take(before, 3)
    before.tell(first.name, "COMPLETE", 0.5)
    rejected: list[Any] = []
    after = make(
        finished={first.name: Known("COMPLETE", 0.5)},
        feasible=lambda config: "needs 9 GB, has 8 GB",
        reject=lambda *refused: rejected.append(refused),
    )
    assert after.started == 3
    assert [after.next(), after.next()] == [second, third], "what was feasible before goes on"
    assert after.running == 2
    assert not rejected


def test_store_counts_where_the_journal_was_cut_short(make: Callable[..., Suggestions], tmp_path: Path) -> None:
    before = make()
    names = [suggestion.name for suggestion in take(before, 3)]
    states = ("COMPLETE", "PRUNED", "FAILED")
    finished = {name: Known(state, 0.5) for name, state in zip(names, states, strict=True)}
    after = make(finished=finished)
    assert journal_states(tmp_path)[:3] == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    assert after.running == 0
    assert len(run_all(after)) == 12 - 3


def test_resumed_search_neither_repeats_nor_exceeds_its_budget(make: Callable[..., Suggestions]) -> None:
    finished: dict[str, Known] = {}
    early = run_all(make(trials=6), finished)
    late = run_all(make(trials=12, finished=finished), finished)
    assert len(early) == len(late) == 6
    assert len({config.fingerprint for config in early + late}) == 12


def test_a_sequential_search_resumes_as_if_unbroken(tmp_path: Path, base: Config) -> None:
    finished: dict[str, Known] = {}
    broken = run_all(Suggestions(tmp_path / "a.log", "toy", toy_space, base, trials=5, seed=3), finished)
    # The number of random starts follows the budget, so that the same budget must be named from the beginning.
    unbroken = run_all(Suggestions(tmp_path / "b.log", "toy", toy_space, base, trials=10, seed=3))
    rest = run_all(Suggestions(tmp_path / "a.log", "toy", toy_space, base, trials=10, seed=3, finished=finished))
    assert broken + rest == unbroken
    other = run_all(Suggestions(tmp_path / "c.log", "toy", toy_space, base, trials=10, seed=4))
    assert other != unbroken


def test_torn_journal_line_is_cut_off(make: Callable[..., Suggestions], tmp_path: Path) -> None:
    before = make()
    (suggestion,) = take(before, 1)
    with (tmp_path / "journal.log").open("ab") as file:
        file.write(b'{"op_code":5,"worker_id":"x","tri')
    after = make()
    assert after.next() == suggestion
    after.tell(suggestion.name, "COMPLETE", 0.5)
    finished = {suggestion.name: Known("COMPLETE", 0.5)}
    run_all(after, finished)
    assert make(finished=finished).started == 12


def test_lost_journal_and_lost_store_are_refused(make: Callable[..., Suggestions], tmp_path: Path) -> None:
    suggestions = make()
    (suggestion,) = take(suggestions, 1)
    suggestions.tell(suggestion.name, "COMPLETE", 0.5)
    with pytest.raises(ValueError, match="trial 0000 of study 'toy' is finished in its journal but absent"):
        make()
    (tmp_path / "journal.log").unlink()
    with pytest.raises(ValueError, match="the store holds trial 0000 of study 'toy'"):
        make(finished={"0000": Known("COMPLETE", 0.5)})


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samplers_of_optuna_keep_what_is_fixed_and_repeat(
    make: Callable[..., Suggestions], tmp_path: Path, sampler: str
) -> None:
    found = []
    for _ in range(2):
        found.append(run_all(make(sampler=sampler, fixed={"depth": 3}, trials=7)))
        (tmp_path / "journal.log").unlink()
    assert len({config.network.width for config in found[0]}) == 7
    assert {config.network.depth for config in found[0]} == {3}
    assert [config.fingerprint for config in found[0]] == [config.fingerprint for config in found[1]]
