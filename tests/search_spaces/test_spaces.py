"""Every proposal of the shipped spaces is a network that can be built; published configurations are what they say."""

from __future__ import annotations

from types import ModuleType

import optuna
import pytest

from branchpoint.config import Config, DatasetConfig
from branchpoint.networks import estimate, topology_of
from branchpoint.search.space.parts import depths, learned
from branchpoint.search.space.points import check_points, config_at
from search_spaces import hecktor, sts

SIZES = [(16, 16, 16), (24, 32, 24), (144, 144, 144)]


@pytest.fixture(
    params=[(hecktor, "hecktor", "2021"), (hecktor, "hecktor", "2022"), (sts, "sts", "")], ids=lambda p: p[1] + p[2]
)
def module_and_base(request: pytest.FixtureRequest) -> tuple[ModuleType, Config]:
    module, name, release = request.param
    return module, module.base(DatasetConfig(name=name, release=release, size_voxels=(24, 24, 24)))


def random_configs(module: ModuleType, base: Config, count: int, seed: int = 0) -> list[Config]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return [module.space(study.ask(), base) for _ in range(count)]


def test_every_proposal_describes_a_network(module_and_base: tuple[ModuleType, Config]) -> None:
    module, base = module_and_base
    for config in random_configs(module, base, 12):
        assert estimate(config).parameters > 0
        assert Config.from_json(config.to_json()) == config


def test_proposals_cover_grouping_branching_and_cascades(module_and_base: tuple[ModuleType, Config]) -> None:
    module, base = module_and_base
    configs = random_configs(module, base, 400)
    together = [config for config in configs if len(learned(config.tasks)) == len(base.tasks)]
    assert {len(learned(config.tasks)) for config in configs} == {1, len(base.tasks)}
    first, second = sorted(task.name for task in base.tasks)[:2]
    points = {topology_of(config).branching_point(first, second) for config in together}
    assert {0, 1, 2, 3} <= points, "separate networks, and branching at each depth"
    topologies = [topology_of(config) for config in together]
    carried = {link.carries for topology in topologies for link in topology.cascades}
    assert carried == {"probabilities", "features", "masked_features", "measurements"}
    assert any(link.stage == 0 for topology in topologies for link in topology.cascades), "masks as inputs"
    units = {link.unit for topology in topologies for link in topology.exchanges}
    assert units >= {"cross_stitch", "nddr", "attention"}
    assert {topology.family for topology in topologies} >= {"parallel", "cascaded", "interacted", "hybrid"}


def test_values_without_effect_are_not_asked_for(module_and_base: tuple[ModuleType, Config]) -> None:
    module, base = module_and_base
    point = module.published(base)["segmentation only"]
    assert not {"dropout", "taps", "weight_survival", "cascade_survival"} & set(point)


def test_starting_points_are_valid_on_every_grid(module_and_base: tuple[ModuleType, Config]) -> None:
    module, base = module_and_base
    for size in SIZES:
        grid = module.base(DatasetConfig(name=base.dataset.name, release=base.dataset.release, size_voxels=size))
        configs = check_points(module.space, grid, module.starting_points(grid))
        assert {config.network.depth for config in configs} == {max(depths(size))}


def test_the_papers_configurations_come_first() -> None:
    base = hecktor.base(DatasetConfig())
    points = [config_at(hecktor.space, base, point) for point in hecktor.starting_points(base)]
    shared, segmentation, survival, measuring, both, clinical = points
    assert [[task.weight for task in c.tasks] for c in (shared, segmentation, survival)] == [[1, 1], [1, 0], [0, 1]]
    assert topology_of(shared).branching_point("tumour", "survival") == 5
    assert (shared.network.width, shared.network.depth, shared.network.taps, shared.network.dropout) == (8, 5, (), 0.5)
    assert shared.optimizer.learning_rate == 1e-3
    (cascade,) = topology_of(measuring).cascades
    assert (cascade.source, cascade.target, cascade.carries) == ("tumour", "survival", "measurements")
    assert estimate(shared).parameters == estimate(hecktor.base(DatasetConfig())).parameters
    assert [c.network.head_inputs for c in points] == ["image"] * 4 + ["both", "clinical"]
    assert ([task.weight for task in both.tasks], [task.weight for task in clinical.tasks]) == ([1, 1], [0, 1])


def test_a_release_without_outcomes_has_one_task() -> None:
    base = hecktor.base(DatasetConfig(release="2020", size_voxels=(24, 24, 24)))
    (config,) = check_points(hecktor.space, base, hecktor.starting_points(base))
    assert [task.name for task in config.tasks] == ["tumour"]
    assert all(estimate(c).parameters > 0 for c in random_configs(hecktor, base, 4))


@pytest.mark.parametrize(
    ("size", "allowed"), [((144,) * 3, [3, 4, 5]), ((16,) * 3, [3, 4]), ((4,) * 3, [2]), ((32, 9, 9), [3])]
)
def test_depth_follows_the_grid(size: tuple[int, ...], allowed: list[int]) -> None:
    assert depths(size) == allowed
