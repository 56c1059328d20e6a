"""Equal Configs have equal fingerprints, however they were made."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from branchpoint.config import Config, DatasetConfig, NetworkConfig, OptimizerConfig, SurvivalConfig
from branchpoint.config.serialization import to_plain
from branchpoint.topology import Topology
from tests.config.config_strategies import configs, other_forms

SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SLOW
@given(configs())
def test_json_gives_an_equal_config_back(config: Config) -> None:
    again = Config.from_json(config.to_json())
    assert again == config
    assert again.fingerprint == config.fingerprint
    assert again.to_json() == config.to_json()


@SLOW
@given(configs(), st.data())
def test_other_forms_of_the_same_values_are_the_same_config(config: Config, data: st.DataObject) -> None:
    other = other_forms(data.draw, config)
    assert other == config
    assert hash(other) == hash(config)
    assert other.fingerprint == config.fingerprint
    assert only_python(to_plain(other))


def only_python(plain: Any) -> bool:
    if isinstance(plain, dict):
        return all(map(only_python, plain.values()))
    if isinstance(plain, list):
        return all(map(only_python, plain))
    return plain is None or type(plain) in (bool, int, float, str)


@given(configs(), configs())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_fingerprints_differ_where_configs_do(one: Config, other: Config) -> None:
    assert (one.fingerprint == other.fingerprint) == (one == other)


def test_cases_that_once_differed() -> None:
    survival = SurvivalConfig(name="survival", target="survival")
    config = Config(dataset=DatasetConfig(), tasks=(survival,))
    ways = [
        replace(config, tasks=[replace(survival, weight=1)]),  # type: ignore[arg-type]
        replace(config, tasks=(replace(survival, weight=np.float32(1)),)),
        replace(config, optimizer=OptimizerConfig(weight_decay=-0.0)),
        replace(config, dataset=DatasetConfig(size_voxels=np.array([144, 144, 144]))),  # type: ignore[arg-type]
        replace(config, network=NetworkConfig(width=np.int64(8))),
        Config(**json.loads(config.to_json())),
    ]
    for way in ways:
        assert way == config
        assert way.fingerprint == config.fingerprint


def test_a_field_that_was_added_later_leaves_old_fingerprints_alone() -> None:
    optimizer = OptimizerConfig()
    assert "momentum" in to_plain(optimizer)
    assert "momentum" not in to_plain(optimizer, identity_only=True)
    assert to_plain(OptimizerConfig(momentum=0.5), identity_only=True)["momentum"] == 0.5


def test_topologies_too() -> None:
    lists = Topology([[["b", "a"]], [["a"], ["b"]]], [[["b"]]])  # type: ignore[arg-type]
    assert lists == Topology(((("a", "b"),), (("a",), ("b",))), ((("b",),),))
    assert hash(lists) == hash(Topology(((("a", "b"),), (("a",), ("b",))), ((("b",),),)))
