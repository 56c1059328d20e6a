"""Spaces compare heads that see the image, clinical values, or both."""

from __future__ import annotations

import optuna
import pytest

from branchpoint.config import DatasetConfig
from branchpoint.search.space.points import config_at
from search_spaces import hecktor, sts

SPACES = {"hecktor": (hecktor, hecktor.CLINICAL["2021"]), "sts": (sts, sts.CLINICAL)}


@pytest.mark.parametrize("name", SPACES)
def test_every_choice_is_reached_and_gives_a_valid_network(name: str) -> None:
    space, clinical = SPACES[name]
    base = space.base(DatasetConfig(name=name, root="/cohort", size_voxels=(32, 32, 32)))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = set()
    for _ in range(40):
        config = space.space(study.ask(), base)
        assert bool(config.network.clinical) == (config.network.head_inputs != "image")
        assert config.network.clinical in ((), clinical)
        if config.network.head_inputs == "clinical" and config.network.topology is not None:
            assert all(link.stage is not None for link in config.network.topology.cascades)
        seen.add(config.network.head_inputs)
    assert seen == {"image", "both", "clinical"}


@pytest.mark.parametrize("name", SPACES)
def test_starting_points_compare_with_clinical_values(name: str) -> None:
    space, clinical = SPACES[name]
    base = space.base(DatasetConfig(name=name, root="/cohort", size_voxels=(32, 32, 32)))
    networks = [config_at(space.space, base, point).network for point in space.starting_points(base)]
    assert networks[0].head_inputs == "image"
    assert any(network.head_inputs == "both" and network.clinical == clinical for network in networks)
