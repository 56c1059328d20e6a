"""The spaces of studies on pictures: every proposal can be built, and the first points are what they say."""

from __future__ import annotations

from types import ModuleType

import optuna
import pytest

from branchpoint.config import Config, DatasetConfig
from branchpoint.networks import estimate, topology_of
from branchpoint.search.space.images_2d import ENCODERS
from branchpoint.search.space.parts import learned, main_tasks
from branchpoint.search.space.points import check_points, config_at
from search_spaces import busi, cadis, endovis2017, isic2017, origa, ph2, retouch

STUDIES = [
    (busi, "busi", ""),
    (cadis, "cadis", ""),
    (endovis2017, "endovis2017", ""),
    (isic2017, "isic2017", ""),
    (origa, "origa", ""),
    (ph2, "ph2", ""),
    (retouch, "retouch", "all"),
    (retouch, "retouch", "Cirrus"),
]


def dataset(name: str, release: str = "", size: tuple[int, int] = (64, 80)) -> DatasetConfig:
    return DatasetConfig(name=name, release=release, size_voxels=size)


@pytest.fixture(params=STUDIES, ids=lambda study: f"{study[1]}{study[2]}")
def study(request: pytest.FixtureRequest) -> tuple[ModuleType, Config]:
    module, name, release = request.param
    return module, module.base(dataset(name, release))


def random_configs(module: ModuleType, base: Config, count: int) -> list[Config]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    asked = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [module.space(asked.ask(), base) for _ in range(count)]


def test_every_proposal_describes_a_network(study: tuple[ModuleType, Config]) -> None:
    module, base = study
    configs = random_configs(module, base, 40)
    for config in configs:
        topology_of(config)
        assert Config.from_json(config.to_json()) == config
    assert estimate(configs[0]).parameters > 0
    assert {config.network.encoder for config in configs} == set(ENCODERS)


def test_auxiliary_tasks_come_and_go_and_never_stand_alone(study: tuple[ModuleType, Config]) -> None:
    module, base = study
    main, configs = main_tasks(base.tasks), random_configs(module, base, 60)
    assert {len(main_tasks(learned(config.tasks))) for config in configs} == {1, len(main)}
    with_auxiliary = {len(learned(config.tasks)) - len(main_tasks(learned(config.tasks))) for config in configs}
    assert with_auxiliary == ({0, 1} if len(main) < len(base.tasks) else {0})
    for config in configs:
        for cascade in topology_of(config).cascades:
            assert cascade.stage is not None or not config.task(cascade.target).auxiliary


def test_the_first_points_share_every_stage(study: tuple[ModuleType, Config]) -> None:
    module, base = study
    configs = check_points(module.space, base, module.starting_points(base))
    published = [config_at(module.space, base, point) for point in module.published(base).values()]
    assert configs[: len(published)] == published
    assert published[0].network == base.network, "the first one is the base itself"
    assert len(learned(published[0].tasks)) == len(main_tasks(base.tasks))
    for task in main_tasks(base.tasks):
        (alone,) = [config for config in published if learned(config.tasks) == [config.task(task.name)]]
        assert alone.network == base.network, "the same network and budget, one task"


def test_a_release_of_one_vendor_has_no_domains() -> None:
    assert [task.kind for task in retouch.base(dataset("retouch", "Topcon")).tasks] == ["segmentation", "multilabel"]
    assert retouch.base(dataset("retouch", "all")).tasks[-1].kind == "domain"


def test_u2net_is_offered_where_the_grid_allows_it() -> None:
    base = ph2.base(dataset("ph2", size=(32, 96)))
    assert "u2net" not in {config.network.encoder for config in random_configs(ph2, base, 30)}
    with pytest.raises(ValueError, match="at least 33 pixels"):
        cadis.base(dataset("cadis", size=(32, 96)))


def test_paper_sizes_are_those_of_the_papers() -> None:
    base = isic2017.base(dataset("isic2017", size=(224, 224)))
    assert (base.network.encoder, base.network.depth, base.split.scheme) == ("resformer_sequential", 4, "official")
    base = cadis.base(dataset("cadis", size=(256, 256)))
    assert (base.network.encoder, base.network.depth, base.split.scheme) == ("u2net", 6, "official")
    assert base.network.regression_units == (("hog", "light"),)
    assert all(not task.background for task in base.tasks if task.kind == "segmentation")  # type: ignore[attr-defined]
