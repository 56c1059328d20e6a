"""Options of balancing: one class for each method, refusals, and Configs of before there were such classes."""

import dataclasses
import json
from pathlib import Path

import pytest

from branchpoint.config import BalancingConfig, Config, balancing_config
from branchpoint.config.balancing import BALANCING_CONFIGS, GRADIENT_METHODS, LOSS_METHODS, GradNormConfig
from branchpoint.config.serialization import from_plain, to_plain

OLD = json.loads((Path(__file__).parent / "configs_before_methods_had_classes.json").read_text())


@pytest.mark.parametrize("method", [*LOSS_METHODS, *GRADIENT_METHODS])
def test_json_both_ways(method: str) -> None:
    config = balancing_config(method)
    plain = to_plain(config)
    assert plain["method"] == method
    assert set(plain) == {"method", *(field.name for field in dataclasses.fields(config))}
    assert from_plain(BalancingConfig, json.loads(json.dumps(plain))) == config
    assert config.of_gradients == (method in GRADIENT_METHODS)


ADDED_TO_TASKS: dict[str, dict[str, object]] = {
    "classification": {"balanced": False, "label_smoothing": 0.0},
    "segmentation": {"prior_bias": False},
    "reconstruction": {"restore": False},
    "survival": {"loss": "cox"},
}


@pytest.mark.parametrize("name", OLD)
def test_stores_written_before_methods_had_classes_are_read(name: str) -> None:
    plain = OLD[name]
    config = Config.from_json(json.dumps(plain))
    assert config.dataset.margin_mm == 0, "none was kept then"
    read = json.loads(config.to_json())
    stated = {key: value for key, value in plain["balancing"].items() if value is not None}
    assert {key: read["balancing"][key] for key in stated} == stated
    assert read["seed"] == plain["seed"]
    assert read["split"] == {**plain["split"], "refit": False}
    assert read["network"] == {**plain["network"], "head_kernel": 1}
    assert read["tasks"] == [
        {**task, **ADDED_TO_TASKS.get(task["kind"], {}), "importance": 1.0} for task in plain["tasks"]
    ]
    assert Config.from_json(config.to_json()).fingerprint == config.fingerprint


def test_old_configs_cover_every_method_of_that_time() -> None:
    assert {entry["balancing"]["method"] for entry in OLD.values()} <= set(BALANCING_CONFIGS)
    assert len(OLD) == 22


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, r"balancing\.method is 'magic': choose one of 'sum'"),
        ({"method": 3}, r"balancing\.method is 3: choose one of 'sum'"),
        ({"method": "sum", "temperature": 2.0}, r"balancing: unknown field 'temperature'"),
        ({"method": "dwa", "gradients": "features"}, r"balancing: unknown field 'gradients'; known are temperature"),
        ({"method": "dwa", "temperature": 0.0}, r"balancing\.temperature is 0\.0: must be positive"),
        ({"method": "dtp", "smoothing": 1.5}, r"balancing\.smoothing is 1\.5: must lie in \(0, 1\]"),
        ({"method": "cagrad", "c": float("nan")}, r"balancing\.c is nan: must be a finite number"),
        ({"method": "dirichlet", "draws": -1}, r"balancing\.draws is -1: must lie in \[0, 10000\]"),
        ({"method": "cagrad", "rescale": "two"}, r"balancing\.rescale is 'two': choose one of 'none', "),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        balancing_config(**options)


def test_a_class_reads_its_own_method_alone() -> None:
    assert from_plain(GradNormConfig, {"alpha": 2}) == GradNormConfig(alpha=2.0)
    with pytest.raises(ValueError, match=r"method is 'dwa': must be 'gradnorm'"):
        from_plain(GradNormConfig, {"method": "dwa"})


def test_a_method_that_is_not_offered_says_why() -> None:
    with pytest.raises(ValueError, match=r"balancing.method is 'sdmgrad': SDMGrad .* three independent batches"):
        balancing_config("sdmgrad")
