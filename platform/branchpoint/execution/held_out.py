"""Predictions for patients whom a network has not seen, and the trivial references on the same patients.

Results are small statistics of each patient, kept beside the run so that a second start does not evaluate again.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from branchpoint.config import ClassificationConfig, Config
from branchpoint.datasets.splits import split
from branchpoint.evaluation.calibration import with_validation
from branchpoint.evaluation.references import Reference
from branchpoint.execution.run_spec import RunSpec, Setup
from branchpoint.execution.state import NETWORK
from branchpoint.tasks import build_task
from branchpoint.tasks.base import Summary
from branchpoint.tasks.distance_map import DistanceMapTask
from branchpoint.tasks.segmentation import SegmentationTask
from branchpoint.tasks.survival import SurvivalTask

if TYPE_CHECKING:
    from torch import Tensor, nn

    from branchpoint.networks import Network

Summaries = Mapping[str, Summary]
DenseTask = TypeVar("DenseTask", SegmentationTask, DistanceMapTask)


def evaluate_run(spec: RunSpec, setup: Setup, part: Literal["test", "validation"] = "test") -> Summaries:
    """Summaries of the predictions of a finished run for the test (or validation) patients of its fold.

    Test summaries of classifications bring what validation chose: see
    :func:`branchpoint.evaluation.calibration.with_validation`.
    """
    summaries = _kept_summaries(spec, setup, part)
    tasks = [build_task(task) for task in spec.config.tasks if isinstance(task, ClassificationConfig)]
    if part == "validation" or not tasks:
        return summaries
    validation = _kept_summaries(spec, setup, "validation")
    return {**summaries, **{t.name: with_validation(t, summaries[t.name], validation[t.name]) for t in tasks}}


def _kept_summaries(spec: RunSpec, setup: Setup, part: Literal["test", "validation"]) -> Summaries:
    place, kept = setup.run_folder(spec.name).place, kept_as(part)
    if not place.holds(kept):
        place.write(kept, packed(evaluate_network(kept_network(spec, setup), spec.config, setup, part)))
    return load_summaries(place.read(kept))


def kept_as(part: Literal["test", "validation"]) -> str:
    """Name of the file beside a run that holds its summaries of ``part``."""
    return f"{part}.npz"


def kept_network(spec: RunSpec, setup: Setup) -> Network:
    """The trained network of a finished run, on the CPU."""
    import torch

    from branchpoint.networks import build

    content = io.BytesIO(setup.run_folder(spec.name).place.read(NETWORK))
    network = build(spec.config)
    network.load_state_dict(torch.load(content, map_location="cpu", weights_only=True))
    return network


def estimate(spec: RunSpec, setup: Setup) -> dict[str, float]:
    """``estimate/score``, its standard error ``estimate/error`` over ``estimate/groups`` groups, of a finished run.

    On the validation patients of its fold, each on the grid of the mask's file, as finalists are compared: the value of
    a trial with what it is worth.
    """
    from branchpoint.evaluation.study_score import study_score

    tasks = [build_task(task) for task in spec.config.tasks if not task.auxiliary]
    if not any(task.config.importance > 0 for task in tasks):
        return {}
    summaries = evaluate_run(spec, setup, "validation")
    found = study_score(tasks, summaries, groups=getattr(setup.cohort(), "groups", ()))
    return {"estimate/score": found.value, "estimate/error": found.error, "estimate/groups": float(found.units)}


def evaluate_untrained(config: Config, setup: Setup) -> Summaries:
    """Summaries of the predictions of the untrained network of ``config`` for the test patients of its fold."""
    import torch

    from branchpoint.networks import build
    from branchpoint.training.batches.samples import Samples

    network = build(config)
    if network.clinical is not None:
        prepared = setup.cohort()
        values = Samples.of(config, prepared).clinical[split(prepared, config.split).train]
        network.clinical.fit(torch.from_numpy(values).float())  # standardised as those of a trained network
    return evaluate_network(network, config, setup, "test")


def evaluate_network(
    network: nn.Module, config: Config, setup: Setup, part: Literal["test", "validation"]
) -> Summaries:
    """Summaries of the predictions of ``network`` for the test (or validation) patients of the Config's fold."""
    import torch

    from branchpoint.evaluation.evaluation import evaluate

    torch.set_num_threads(setup.cpus)
    prepared = setup.cohort()
    parts = split(prepared, config.split)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return evaluate(network.to(device), config, prepared, getattr(parts, part), device)


def references_of_folds(config: Config, setup: Setup, folds: Sequence[int]) -> list[list[Reference]]:
    """The trivial references of every task of a Config, for each of ``folds``."""
    from branchpoint.evaluation.measurements import measure
    from branchpoint.evaluation.references import references

    prepared = setup.cohort()
    measured = measure(prepared)
    tasks = [build_task(task) for task in config.tasks]
    return [references(tasks, prepared, measured, *_others_and_test(config, prepared, fold)) for fold in folds]


def clinical_survival_of_folds(
    config: Config, task: SurvivalTask, setup: Setup, folds: Sequence[int]
) -> list[Reference]:
    """Cox on the clinical values alone, for each of ``folds``; empty where the cohort has none. Reads no image."""
    from branchpoint.evaluation.references import clinical_survival

    prepared = setup.cohort()
    found = [clinical_survival(task, prepared, *_others_and_test(config, prepared, fold)) for fold in folds]
    return [reference for reference in found if reference]


def _others_and_test(config: Config, prepared: Any, fold: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the patients who fit a reference, training and validation together, and of the test patients."""
    parts = split(prepared, replace(config.split, fold=fold))
    return np.concatenate([parts.train, parts.validation]), parts.test


def predicted_classes(spec: RunSpec, setup: Setup, positions: Sequence[int]) -> dict[str, np.ndarray]:
    """Segmentation task to uint8 (N, [D,] H, W): class ids of a finished run on the prepared grid, on the CPU.

    Args:
        spec: the run, whose network was kept.
        setup: of the study.
        positions: of N samples in the cohort.
    """
    found: dict[str, list[np.ndarray]] = {}
    for task, output in _outputs(spec, setup, positions, SegmentationTask):
        ids, _ = task.pseudo_labels(output, 0.0)
        found.setdefault(task.name, []).append(ids[0, 0].numpy())
    return {name: np.stack(masks) for name, masks in found.items()}


def predicted_distances(spec: RunSpec, setup: Setup, positions: Sequence[int]) -> dict[str, np.ndarray]:
    """Distance-map task to float32 (N, K, [D,] H, W), in units of the task's limit; else as of the classes."""
    found: dict[str, list[np.ndarray]] = {}
    for task, output in _outputs(spec, setup, positions, DistanceMapTask):
        found.setdefault(task.name, []).append(output[0].float().numpy())
    return {name: np.stack(maps) for name, maps in found.items()}


def _outputs(
    spec: RunSpec, setup: Setup, positions: Sequence[int], kind: type[DenseTask]
) -> Iterator[tuple[DenseTask, Tensor]]:
    """Each task of one ``kind`` with what the network of a run gives for it, for one sample after the other."""
    import torch

    from branchpoint.training.batches.samples import Samples

    prepared, network = Samples.of(spec.config, setup.cohort()), kept_network(spec, setup).eval()
    tasks = [task for task in map(build_task, spec.config.tasks) if isinstance(task, kind)]
    with torch.inference_mode():
        for position in positions:
            outputs = network(prepared.batch([position]).inputs)
            yield from ((task, outputs[task.name]) for task in tasks)


def packed(summaries: Summaries) -> bytes:
    """The bytes that :func:`load_summaries` reads."""
    buffer = io.BytesIO()
    flat = {f"{task}/{name}": values for task, summary in summaries.items() for name, values in summary.items()}
    np.savez(buffer, **flat)  # type: ignore[arg-type]
    return buffer.getvalue()


def load_summaries(content: bytes) -> Summaries:
    """Read the summaries that :func:`evaluate_run` stored."""
    summaries: dict[str, dict[str, np.ndarray]] = {}
    with np.load(io.BytesIO(content)) as flat:
        for key in flat.files:
            task, name = key.rsplit("/", 1)
            summaries.setdefault(task, {})[name] = flat[key]
    return summaries
