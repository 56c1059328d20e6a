"""Evaluates finished networks, and the trivial references, on held-out patients as Ray tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ray

from branchpoint.config import Config
from branchpoint.evaluation.references import Reference
from branchpoint.execution.ensembles import evaluate_ensemble
from branchpoint.execution.held_out import Summaries, evaluate_run, evaluate_untrained, references_of_folds
from branchpoint.execution.resources import Resources
from branchpoint.execution.run_spec import RunSpec, Setup


def test_summaries(specs: Sequence[RunSpec], setup: Setup, resources: Resources, concurrency: int) -> list[Summaries]:
    """Summaries of the test patients by task name, for each of ``specs``, whose networks were kept."""
    return _on_ray([(evaluate_run, (spec, setup)) for spec in specs], resources, concurrency)


def ensemble_summaries(
    folds: Sequence[Sequence[RunSpec]], setup: Setup, resources: Resources, concurrency: int, *, mirrored: bool
) -> list[Summaries]:
    """Summaries of the test patients of each fold, by the networks of its runs together."""
    return _on_ray([(evaluate_ensemble, (specs, setup, mirrored)) for specs in folds], resources, concurrency)


def validation_summaries(
    specs: Sequence[RunSpec], setup: Setup, resources: Resources, concurrency: int
) -> list[Summaries]:
    """Summaries of the validation patients by task name, for each of ``specs``, whose networks were kept."""
    return _on_ray([(evaluate_run, (spec, setup, "validation")) for spec in specs], resources, concurrency)


def untrained_summaries(
    configs: Sequence[Config], setup: Setup, resources: Resources, concurrency: int
) -> list[Summaries]:
    """Summaries of the test patients by untrained networks, for each of ``configs``."""
    return _on_ray([(evaluate_untrained, (config, setup)) for config in configs], resources, concurrency)


def fold_references(
    config: Config, setup: Setup, resources: Resources, folds: Sequence[int] | None = None
) -> list[list[Reference]]:
    """The trivial references of every task of ``config``, for each of ``folds`` (``None``: all of its split)."""
    rounds = config.split.rounds if folds is None else folds
    found: list[list[list[Reference]]] = _on_ray([(references_of_folds, (config, setup, [*rounds]))], resources, 1)
    return found[0]


def _on_ray(
    calls: Sequence[tuple[Callable[..., Any], tuple[Any, ...]]], resources: Resources, concurrency: int
) -> list[Any]:
    """Results in order; at most ``concurrency`` at once, each retried where its worker died."""
    options = {"num_cpus": resources.cpus, "num_gpus": resources.gpus, "max_retries": 2}
    waiting = list(enumerate(calls))
    running: dict[Any, int] = {}
    done: dict[int, Any] = {}
    while waiting or running:
        while waiting and len(running) < concurrency:
            position, (function, arguments) = waiting.pop(0)
            running[ray.remote(function).options(**options).remote(*arguments)] = position
        (ready,), _ = ray.wait(list(running), num_returns=1)
        done[running.pop(ready)] = ray.get(ready)
    return [done[position] for position in range(len(calls))]
