"""The dimension of a search that says how tasks are balanced."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import optuna
import pytest

from branchpoint.config import BalancingConfig, Config, DatasetConfig, HogConfig, balancing_config
from branchpoint.config.balancing import GRADIENT_METHODS, LOSS_METHODS
from branchpoint.search.space import balancing as balancers
from branchpoint.search.space.balancing import gradient_methods, loss_methods, suggest_balancing
from branchpoint.search.suggest.feasibility import fits
from branchpoint.topology import Cascade, Topology
from search_spaces import sts

NAMES = ("lung_metastasis", "recurrence", "tumour")


@pytest.fixture
def base() -> Config:
    return sts.base(DatasetConfig(name="sts", release="", size_voxels=(32, 32, 32)))


def drawn(base: Config, count: int, **how: Any) -> list[tuple[dict[str, Any], BalancingConfig]]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = []
    for _ in range(count):
        trial = study.ask()
        balancing = suggest_balancing(trial, base, how.get("tasks", base.tasks), how.get("network"))
        found.append((trial.params, balancing))
    return found


def test_every_method_is_reached_and_the_plain_sum_is_no_rare_choice(base: Config) -> None:
    found = drawn(base, 300)
    assert {balancing.method for _, balancing in found} == {*LOSS_METHODS, *GRADIENT_METHODS}
    assert sum(balancing.method == "sum" for _, balancing in found) > 300 / 5


def test_options_are_asked_with_their_method_alone(base: Config) -> None:
    """Two different sets of parameters never give one Config."""
    seen: dict[BalancingConfig, dict[str, Any]] = {}
    for parameters, balancing in drawn(base, 300):
        options = [name for name in parameters if not name.startswith("balancing")]
        assert all(name.startswith(balancing.method) for name in options)
        assert seen.setdefault(balancing, parameters) == parameters


def test_not_asked_where_it_has_no_effect(base: Config) -> None:
    alone = [replace(task, weight=float(task.name == "tumour")) for task in base.tasks]
    apart = replace(base.network, topology=Topology.separate(NAMES, ("tumour",), 5, 4))
    for how in ({"tasks": alone}, {"network": apart}):
        assert drawn(base, 3, **how) == [({}, balancing_config("sum"))] * 3
    assert apart.topology is not None
    passed = replace(apart.topology, cascades=(Cascade(source="tumour", target="recurrence", carries="features"),))
    assert all(parameters for parameters, _ in drawn(base, 3, network=replace(apart, topology=passed)))


def test_methods_that_need_rated_tasks_are_left_out(base: Config) -> None:
    assert "dtp" in loss_methods(base)
    flat = Config(dataset=DatasetConfig(size_voxels=(32, 32)), tasks=(*base.tasks, HogConfig(name="hog")))
    assert "dtp" not in loss_methods(flat)


def test_without_the_extra_its_methods_are_not_offered(base: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gradient_methods() == ("balancing_of_gradients", GRADIENT_METHODS)
    monkeypatch.setattr(balancers, "find_spec", lambda name: None if name == "torchjd" else find_spec(name))
    methods = {balancing.method for _, balancing in drawn(base, 200)}
    assert methods == {*LOSS_METHODS, "mgda", "nash_mtl", "excess_mtl"}


def test_a_topology_that_shares_too_little_is_never_started(base: Config) -> None:
    """The tumour's network stands alone, the others part after a stage; GradNorm finds a common stage in each."""
    pair = ("lung_metastasis", "recurrence")
    branching = Topology(((pair, ("tumour",)), *(((pair[0],), (pair[1],), ("tumour",)),) * 4), ((("tumour",),),) * 4)
    apart = Topology.separate(NAMES, ("tumour",), 5, 4)
    feasible = fits(None)
    for method in ("gradnorm", "upgrad"):
        network = replace(base.network, topology=branching, width=2)
        assert feasible(replace(base, network=network, balancing=balancing_config(method))) is None
    with pytest.raises(ValueError, match="share no parameter"):
        feasible(replace(base, network=replace(network, topology=apart), balancing=balancing_config("upgrad")))
