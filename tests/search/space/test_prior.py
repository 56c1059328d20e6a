"""A measured tree as starting point and prior of a search."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from branchpoint.affinity.relations import sharing_trees, tree_record
from branchpoint.affinity.sharing_tree import TreeProposal
from branchpoint.config import Config, DatasetConfig
from branchpoint.networks import stage_counts, topology_of
from branchpoint.search.space.points import config_at
from branchpoint.search.space.prior import measured_prior, prior_points, tree_values
from branchpoint.search.suggest.suggestions import Known, Suggestions
from branchpoint.store import Store
from branchpoint.topology import Topology
from search_spaces import sts

NAMES = ("lung_metastasis", "recurrence", "tumour")


@pytest.fixture
def base() -> Config:
    return sts.base(DatasetConfig(name="sts", release="", size_voxels=(32, 32, 32)))


def tree_of(base: Config, number: int) -> Topology:
    return sharing_trees(base, NAMES)[number]


def bare(topology: Topology) -> Topology:
    return replace(topology, cascades=(), exchanges=())


@pytest.mark.parametrize("number", [0, 7, 20, -1])
def test_the_first_point_is_the_tree_with_the_settings_of_the_first_starting_point(base: Config, number: int) -> None:
    topology = tree_of(base, number % len(sharing_trees(base, NAMES)))
    first = sts.starting_points(base)[0]
    whole, *_ = prior_points(base, topology, first, trials=24)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial(whole)
    config = sts.space(study.ask(), base)
    assert topology_of(config) == topology
    assert config.optimizer == config_at(sts.space, base, first).optimizer


def test_other_depths_get_the_same_share(base: Config) -> None:
    encoder, decoder = stage_counts(base)
    topology = Topology.branching(NAMES, ("tumour",), 2, encoder, decoder)
    values = tree_values(base, topology)
    assert (values["recurrence_of5"], values["recurrence_of3"], values["recurrence_of4"]) == (2, 1, 2)
    assert values["learn"] == "tumour+recurrence+lung_metastasis"


def test_trials_after_the_points_have_the_tree_and_draw_the_rest(base: Config, tmp_path: Path) -> None:
    encoder, decoder = stage_counts(base)
    topology = Topology.branching(NAMES, ("tumour",), 2, encoder, decoder)
    points = sts.starting_points(base)
    prior = prior_points(base, topology, points[0], trials=24)
    assert len(prior) == 4

    suggestions = Suggestions(tmp_path / "journal", "s", sts.space, base, points=points, prior=prior, trials=24)
    configs: list[Config] = []
    while len(configs) < len(points) + len(prior):
        suggestion = suggestions.next()
        assert suggestion is not None
        configs.append(suggestion.config)
        if len(configs) == len(points) + 1:  # a resumed study has its prior once
            for name in [*suggestions._running]:
                suggestions.tell(name, "FAILED", float("nan"))
            finished = {f"{n:04d}": Known("FAILED", float("nan")) for n in range(len(configs))}
            suggestions = Suggestions(
                tmp_path / "journal", "s", sts.space, base, points=points, prior=prior, trials=24, finished=finished
            )
    assert bare(topology_of(configs[len(points)])) == topology
    trials = [trial for trial in suggestions._study.get_trials() if "prior" in trial.user_attrs]
    assert len(trials) == len(prior)
    drawn = [Config.from_json(trial.user_attrs["config"]) for trial in trials if "config" in trial.user_attrs]
    assert len(drawn) >= 2, "some may have drawn links that do not fit together"
    for config in drawn:
        found = topology_of(config)
        assert found.branching_point("recurrence", "tumour") == round(2 * found.n_encoder / encoder)
        assert all(task.weight > 0 for task in config.tasks)
    assert len({config.optimizer.learning_rate for config in drawn}) == len(drawn)


def test_a_tree_of_other_tasks_is_refused(base: Config) -> None:
    with pytest.raises(ValueError, match="the proposed tree is of a, b; the study has lung_metastasis"):
        prior_points(base, Topology.shared(("a", "b"), (), 3), {}, 10)


def test_a_study_begins_with_the_newest_tree_of_its_name(base: Config, tmp_path: Path) -> None:
    store, points = Store(str(tmp_path / "results")), sts.starting_points(base)
    assert measured_prior(store, "sts", base, points, 12) == ()
    topology = tree_of(base, 7)
    record = tree_record(
        TreeProposal(topology, 0.1, 1.0), study="sts", fingerprint="f", evidence="excess", config=base.to_json()
    )
    store.writer("sts").append([record])
    assert measured_prior(store, "sts", base, points, 12) == prior_points(base, topology, points[0], 12)
    assert measured_prior(store, "other", base, points, 12) == ()
    fewer = replace(base, tasks=base.tasks[:2])
    with pytest.raises(ValueError, match="are those of lung_metastasis, recurrence, tumour, but it learns recurrence"):
        measured_prior(store, "sts", fewer, points, 12)
