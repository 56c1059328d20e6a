"""Makes a bundle of the networks of one candidate, its prepared cohort, and what the store says of it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from branchpoint.config import Config
from branchpoint.deploy.bundle.bundle import save_weights
from branchpoint.deploy.bundle.card import Card, card_markdown
from branchpoint.deploy.bundle.contents import centers, preprocessing, seen
from branchpoint.deploy.bundle.files import as_json, write_bundle
from branchpoint.deploy.bundle.reference import HeldOut, survival_reference
from branchpoint.deploy.bundle.tasks import predicted_tasks, task_info
from branchpoint.tasks.base import Summary

if TYPE_CHECKING:
    from branchpoint.datasets.prepared import PreparedCohort


@dataclass(frozen=True, kw_only=True)
class Trained:
    """One trained network.

    Attributes:
        config: its Config; fold and seed tell the networks of a candidate apart.
        weights: its ``state_dict``.
        tested: what the study kept of its test patients, to compare with; ``None`` where it is gone.
    """

    config: Config
    weights: Mapping[str, Any]
    tested: Mapping[str, Summary] | None = None


@dataclass(frozen=True, kw_only=True)
class Material:
    """All that a bundle is made of.

    Attributes:
        study: its name.
        trained: networks of one candidate.
        cohort: prepared; only its manifest is read where ``with_reference`` is false.
        with_reference: evaluate the networks on held-out patients for the reference distributions.
        figures: rows of the store.
        provenance: plain values about the study.
        file_digests: patient to the content hash of each of the image files.
        card: what people say.
    """

    study: str
    trained: Sequence[Trained]
    cohort: PreparedCohort
    with_reference: bool = True
    figures: Sequence[Mapping[str, Any]] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    file_digests: Mapping[str, Sequence[str]] = field(default_factory=dict)
    card: Card = field(default_factory=Card)


@dataclass(frozen=True)
class Parity:
    """How far a bundle's networks, read back, are from what the study kept of their test patients.

    Attributes:
        patients: compared.
        largest: largest difference of a real number (log-hazard, probability).
        voxels: sum of the differences of voxel counts.
    """

    patients: int
    largest: float
    voxels: int

    def __str__(self) -> str:
        return f"parity: {self.patients} test patients, max |d| {self.largest:.1e}, {self.voxels} voxels differ"


def create(material: Material, out: Path) -> Parity | None:
    """Write the bundle to ``out``; gives the parity with what the study kept, ``None`` where it kept nothing.

    Raises:
        ValueError: there is no network, or something is at ``out``.
    """
    if not material.trained:
        raise ValueError("a bundle needs at least one trained network")
    names = network_names([one.config for one in material.trained])
    first, cohort = material.trained[0].config, material.cohort
    has_held_out = material.with_reference and not first.split.refit
    _require_held_out(first, material)
    tasks = [task_info(task, cohort.class_names, material.card.tasks) for task in predicted_tasks(first.tasks)]
    held_out = [_held_out(name, one, cohort) for name, one in zip(names, material.trained, strict=True) if has_held_out]
    parity = _parity(held_out, material.trained) if held_out else None
    provenance = {
        **material.provenance,
        "networks": names,
        "patients": len(cohort),
        "centers": centers(cohort),
        "parity": None if parity is None else vars(parity),
    }
    files = {
        "preprocessing.json": as_json(preprocessing(first, cohort)),
        "reference.json": as_json(_reference(first, held_out) if has_held_out else {}),
        "seen.json": as_json(
            seen(
                names,
                [one.config for one in material.trained],
                cohort,
                material.file_digests,
                prepared=material.with_reference,
            )
        ),
        "provenance.json": as_json(provenance),
        "figures.json": as_json(list(material.figures)),
        "card.md": card_markdown(material.card, material.study, tasks, material.figures, provenance).encode(),
    }
    for name, one in zip(names, material.trained, strict=True):
        files[f"{name}/config.json"] = portable(one.config).to_json().encode()
        files[f"{name}/weights.safetensors"] = save_weights(one.weights)
    networks = {
        name: {"fold": one.config.split.fold, "seed": one.config.seed, "fingerprint": one.config.fingerprint}
        for name, one in zip(names, material.trained, strict=True)
    }
    manifest = {
        "study": material.study,
        "candidate": first.candidate,
        "networks": networks,
        "tasks": [task.plain() for task in tasks],
        "modalities": list(cohort.modalities),
    }
    write_bundle(out, manifest, {**files, **_example(cohort, manifest, files)})
    return parity


def _example(cohort: PreparedCohort, manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The phantom case, and what the bundle without it says of it."""
    from branchpoint.deploy.bundle.bundle import Bundle
    from branchpoint.deploy.bundle.example import FOLDER, example_files, predict_example

    made = example_files(cohort.preparation)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "bundle"
        write_bundle(path, manifest, {**files, **made})
        expected = predict_example(Bundle.open(path))
    return {**made, f"{FOLDER}/expected.json": as_json(expected)}


def network_names(configs: Sequence[Config]) -> list[str]:
    """``fold0`` and so on, ``refit`` on all cases; ``fold0-seed1`` where a fold has several seeds."""
    several = len({config.split.fold for config in configs}) < len(configs)
    parts = ["refit" if config.split.refit else f"fold{config.split.fold}" for config in configs]
    return [f"{part}-seed{c.seed}" if several else part for part, c in zip(parts, configs, strict=True)]


def portable(config: Config) -> Config:
    """Without folders of this machine: where the data, or weights to start from, lie."""
    return replace(
        config,
        dataset=replace(config.dataset, root=""),
        network=replace(config.network, weights=""),
        training=replace(config.training, start_from=""),
    )


def _require_held_out(config: Config, material: Material) -> None:
    """Raise ValueError where a risk is to be placed among held-out patients, and there are none."""
    survival = [task.name for task in predicted_tasks(config.tasks) if task.kind == "survival"]
    if config.split.refit and survival and material.with_reference:
        raise ValueError(
            f"task {survival[0]!r} places a patient's risk among patients whom the network did not learn from, and "
            "networks of --refit learned from all; bundle the folds' networks, or go on --without-reference: no "
            "percentiles, no survival probabilities"
        )


def _held_out(name: str, one: Trained, cohort: PreparedCohort) -> HeldOut:
    """The network read back from its own bytes, on the patients it did not learn from."""
    from branchpoint.datasets.splits import split
    from branchpoint.deploy.bundle.bundle import load_weights
    from branchpoint.evaluation.evaluation import evaluate
    from branchpoint.networks import build

    network = build(portable(one.config))
    network.load_state_dict(load_weights(save_weights(one.weights)))
    parts = split(cohort, one.config.split)
    validation = evaluate(network, one.config, cohort, parts.validation, native=False)
    return HeldOut(name, validation, evaluate(network, one.config, cohort, parts.test))


def _parity(held_out: Sequence[HeldOut], trained: Sequence[Trained]) -> Parity | None:
    patients, largest, voxels = 0, 0.0, 0
    for one, kept in zip(held_out, trained, strict=True):
        if kept.tested is None:
            continue
        for task, summary in kept.tested.items():
            for name, before in summary.items():
                now = one.test[task][name]
                if before.dtype.kind == "f":
                    largest = max(largest, _largest_difference(now, before))
                elif name != "index":
                    voxels += int(np.abs(now.astype(np.int64) - before.astype(np.int64)).sum())
        patients += len(next(iter(kept.tested.values()))["labelled"])
    return Parity(patients, largest, voxels) if patients else None


def _largest_difference(now: np.ndarray, before: np.ndarray) -> float:
    """Largest absolute difference; equal infinities and undefined values (NaN) in both count as equal."""
    same = (now == before) | (np.isnan(now) & np.isnan(before))
    apart = np.abs(np.where(same, 0.0, now.astype(np.float64)) - np.where(same, 0.0, before))
    return float(np.nan_to_num(apart, nan=np.inf).max(initial=0))


def _reference(config: Config, held_out: Sequence[HeldOut]) -> dict[str, Any]:
    survival = [task.name for task in predicted_tasks(config.tasks) if task.kind == "survival"]
    return {name: survival_reference(name, held_out) for name in survival}
