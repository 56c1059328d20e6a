"""What a search job may be told of its study: which tasks, what counts, which encoder, how many patients validate."""

from __future__ import annotations

from dataclasses import replace

from branchpoint.commands.search_options import SearchOptions
from branchpoint.config import Config, NetworkConfig
from branchpoint.networks.encoders import given_depth


def with_choices(base: Config, options: SearchOptions) -> Config:
    """``base`` with the tasks, importances, encoder and validation share that the command line asks for.

    Raises:
        ValueError: a task, or an encoder, is not known, or a number is out of range.
    """
    if options.tasks:
        base = _with_tasks(base, options.tasks)
    if options.objective:
        base = _with_objective(base, options.objective)
    if options.encoder:
        base = replace(base, network=_with_encoder(base.network, options.encoder))
    if options.validation_share is not None:
        base = replace(base, split=replace(base.split, validation_fraction=options.validation_share))
    return base


def _with_tasks(base: Config, text: str) -> Config:
    names = [name.strip() for name in text.split(",") if name.strip()]
    _require_known("--tasks", text, names, base)
    kept = tuple(task for task in base.tasks if task.name in names)
    if all(task.auxiliary for task in kept):
        raise ValueError(f"--tasks is {text!r}: these are auxiliary; name at least one other task")
    units = tuple(unit for unit in base.network.regression_units if unit[0] in names)
    return replace(base, tasks=kept, network=replace(base.network, regression_units=units))


def _with_objective(base: Config, text: str) -> Config:
    importances: dict[str, float] = {}
    for part in text.split(","):
        name, _, weight = part.strip().partition("=")
        try:
            importances[name] = float(weight or 1)
        except ValueError:
            raise ValueError(f"--objective is {text!r}: the weight of {name!r} is {weight!r}, not a number") from None
    _require_known("--objective", text, [*importances], base)
    tasks = tuple(replace(task, importance=importances.get(task.name, 0.0)) for task in base.tasks)
    return replace(base, tasks=tasks)


def _with_encoder(network: NetworkConfig, encoder: str) -> NetworkConfig:
    return network.at_depth(encoder, given_depth(encoder) or network.depth)


def _require_known(option: str, text: str, names: list[str], base: Config) -> None:
    known = [task.name for task in base.tasks]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ValueError(f"{option} is {text!r}: the study has the tasks {', '.join(known)}")
