"""Any valid Config, drawn from the annotations of its parts, and any way of writing a value that means the same."""

from __future__ import annotations

import dataclasses
import types
from dataclasses import replace
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np
from hypothesis import strategies as st

from branchpoint.config import Config, DatasetConfig, NetworkConfig, OptimizerConfig, SplitConfig, TrainingConfig
from branchpoint.config.balancing import BALANCING_CONFIGS
from branchpoint.config.tasks import TASK_CONFIGS
from branchpoint.values import Distinct, Length, Range
from branchpoint.values.conform import hints_of

FIXED = {
    "root": "/cohort",
    "start_from": "",
    "micro_batch": None,
    "semi_supervised": None,
    "topology": None,
    "weights": "",
    "clinical": (),
}
"""Fields that rules tie to others or to the disk."""
DROPPED = {
    NetworkConfig: ("taps", "head_inputs", "regression_units"),
    SplitConfig: ("fold", "refit"),
    **{
        config: ("class_weights", "balanced", "positive_weights", "background", "window", "cell")
        for config in TASK_CONFIGS.values()
    },
}


def values(annotation: Any) -> st.SearchStrategy[Any]:
    """Valid values of ``annotation``."""
    rules: tuple[Any, ...] = ()
    if get_origin(annotation) is Annotated:
        annotation, *rules = get_args(annotation)  # type: ignore[assignment]
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is tuple and inner[1:] == (Ellipsis,):
        return st.lists(values(inner[0]), **({"max_size": 3} | bounds(rules))).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values, inner))
    if origin in (Union, types.UnionType):
        return st.one_of(*map(values, inner))
    if dataclasses.is_dataclass(annotation):
        return parts(annotation)
    return SCALARS[annotation](bounds(rules))


def bounds(rules: tuple[Any, ...]) -> dict[str, Any]:
    """Rules as arguments of Hypothesis."""
    found: dict[str, Any] = {}
    for rule in rules:
        if isinstance(rule, Range):
            low = rule.above if rule.at_least is None else rule.at_least
            high = rule.below if rule.at_most is None else rule.at_most
            found |= {"min_value": low, "max_value": 1e6 if high is None else high}
            found |= {"exclude_min": rule.above is not None, "exclude_max": rule.below is not None}
        elif isinstance(rule, Length):
            found |= {"min_size": rule.at_least, "max_size": min(rule.at_most, rule.at_least + 3)}
        elif isinstance(rule, Distinct):
            found["unique"] = True
    return found


def whole(bounds: dict[str, Any]) -> st.SearchStrategy[int]:
    low, high = bounds.get("min_value"), bounds.get("max_value", 1e6)
    return st.integers(None if low is None else int(low), int(high))


SCALARS: dict[Any, Any] = {
    bool: lambda bounds: st.booleans(),
    int: whole,
    float: lambda bounds: st.floats(**({"min_value": -1e6, "max_value": 1e6} | bounds)),
    str: lambda bounds: st.text(st.characters(exclude_categories=("Cs",)), **({"max_size": 5} | bounds)),
    type(None): lambda bounds: st.none(),
}


def parts(cls: Any, **fixed: Any) -> st.SearchStrategy[Any]:
    """Valid instances of a part of a Config."""
    fields = {
        name: values(hint)
        for name, hint in hints_of(cls).items()
        if name not in {*FIXED, *DROPPED.get(cls, ()), *fixed}
    }
    known = {name: value for name, value in FIXED.items() if name in hints_of(cls)} | fixed
    return st.fixed_dictionaries({}, optional=fields).map(lambda drawn: cls(**(required(cls) | known | drawn)))


def required(cls: Any) -> dict[str, Any]:
    """Values of the fields without default."""
    given = {"name": "task", "target": "label", "labels": 2, "classes": 3, "channels": 2, "domains": ("a", "b")}
    absent = dataclasses.MISSING
    return {f.name: given[f.name] for f in dataclasses.fields(cls) if f.default is f.default_factory is absent}


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """A valid Config."""
    kinds = draw(st.lists(st.sampled_from(sorted(TASK_CONFIGS)), min_size=1, max_size=3))
    tasks = [draw(parts(TASK_CONFIGS[kind], name=f"task{number}")) for number, kind in enumerate(kinds)]
    network = draw(parts(NetworkConfig, head_kernel=draw(st.sampled_from([1, 3]))))
    tasks = [replace(task, channels=network.in_channels) if task.kind == "reconstruction" else task for task in tasks]
    tasks = [replace(task, importance=draw(st.floats(0.5, 2.0, width=32))) for task in tasks]
    tasks[0] = replace(tasks[0], weight=draw(st.floats(0.5, 2.0, width=32)))
    dataset = draw(parts(DatasetConfig))
    if "hog" in kinds:
        dataset = replace(dataset, size_voxels=dataset.size_voxels[:2])
    return Config(
        dataset=dataset,
        tasks=tuple(tasks),
        network=network,
        balancing=draw(parts(BALANCING_CONFIGS[draw(st.sampled_from(sorted(BALANCING_CONFIGS)))])),
        optimizer=draw(parts(OptimizerConfig)),
        training=draw(parts(TrainingConfig)),
        split=draw(parts(SplitConfig)),
        seed=draw(st.integers(0, 2**32)),
    )


def other_forms(draw: st.DrawFn, value: Any) -> Any:
    """``value`` as other code might give it: numbers of numpy, whole floats as ints, lists and arrays for tuples."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changed = {field.name: other_forms(draw, getattr(value, field.name)) for field in dataclasses.fields(value)}
        return type(value)(**changed)
    if isinstance(value, tuple):
        items = [other_forms(draw, item) for item in value]
        uniform = value and all(type(item) is type(value[0]) and isinstance(item, int | float) for item in value)
        return np.array(value) if uniform and draw(st.booleans()) else draw(st.sampled_from([list, tuple]))(items)
    if isinstance(value, bool):
        return draw(st.sampled_from([value, np.bool_(value)]))
    if isinstance(value, int):
        return draw(st.sampled_from([value, np.int64(value)]))
    if isinstance(value, float):
        whole = [int(value)] if value == int(value) else []
        negative_zero = [-0.0] if value == 0 else []
        return draw(st.sampled_from([value, np.float64(value), *whole, *negative_zero]))
    return np.str_(value) if isinstance(value, str) and not value.endswith("\0") and draw(st.booleans()) else value
