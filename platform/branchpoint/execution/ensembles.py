"""Predictions for held-out patients of the networks of one fold together: their seeds, and mirrored copies."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Literal

from branchpoint.config import ClassificationConfig, Config
from branchpoint.deploy.prediction.mirrored import mirrored_copies
from branchpoint.evaluation.calibration import with_validation
from branchpoint.execution.held_out import (
    Summaries,
    evaluate_network,
    evaluate_run,
    kept_network,
    load_summaries,
    packed,
)
from branchpoint.execution.run_spec import RunSpec, Setup
from branchpoint.tasks import build_task


def evaluate_ensemble(specs: Sequence[RunSpec], setup: Setup, mirrored: bool = False) -> Summaries:
    """Summaries of what the finished runs ``specs`` of one fold say together of its test patients.

    Temperatures and thresholds are chosen on what they say together of the validation patients, and log-hazards are
    standardised by what each says of these: no test patient takes part in either.

    Args:
        specs: runs of one candidate on one fold, which differ in their seed.
        setup: of the study.
        mirrored: predict copies, mirrored along the axes that the training mirrored, too.
    """
    test = _kept(specs, setup, mirrored, "test")
    tasks = [build_task(task) for task in specs[0].config.tasks if isinstance(task, ClassificationConfig)]
    if not tasks:
        return test
    validation = _kept(specs, setup, mirrored, "validation")
    return {**test, **{task.name: with_validation(task, test[task.name], validation[task.name]) for task in tasks}}


def mirrored_axes(config: Config, prepared: Any) -> list[tuple[int, ...]]:
    """Axes of each mirrored copy that the training of ``config`` allows; none where it mirrored none."""
    classes = getattr(prepared, "class_names", {})
    names = [name for task in config.tasks for name in (task.name, *classes.get(task.target, ()))]
    try:
        return mirrored_copies(config.training.augmentation, names)
    except ValueError:
        return []


def _kept(specs: Sequence[RunSpec], setup: Setup, mirrored: bool, part: Literal["test", "validation"]) -> Summaries:
    """Kept beside the first run, under a name that follows from all."""
    joined = hashlib.sha256("/".join(spec.name for spec in specs).encode()).hexdigest()[:8]
    place = setup.run_folder(specs[0].name).place
    kept = f"{part}-of-{len(specs)}{'-mirrored' if mirrored else ''}-{joined}.npz"
    if not place.holds(kept):
        place.write(kept, packed(_evaluate(specs, setup, mirrored, part)))
    return load_summaries(place.read(kept))


def _evaluate(specs: Sequence[RunSpec], setup: Setup, mirrored: bool, part: Literal["test", "validation"]) -> Summaries:
    from branchpoint.evaluation.averaged import AveragedNetworks

    config = specs[0].config
    tasks = [build_task(task) for task in config.tasks]
    survival = [task.name for task in tasks if task.config.kind == "survival"]
    scales = []
    for spec in specs:
        validation = evaluate_run(spec, setup, "validation")
        hazards = {name: validation[name]["log_hazard"].astype(float) for name in survival}
        scales.append({name: (float(values.mean()), float(values.std())) for name, values in hazards.items()})
    axes = mirrored_axes(config, setup.cohort()) if mirrored else []
    network = AveragedNetworks([kept_network(spec, setup) for spec in specs], tasks, scales, axes)
    return evaluate_network(network, config, setup, part)
