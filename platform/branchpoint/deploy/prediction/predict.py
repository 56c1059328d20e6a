"""One case through the networks: prepared as in training, predicted, brought back onto its own grid."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import torch

from branchpoint import __version__
from branchpoint.datasets.preparation.preparation import Preparation, Prepared
from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.bundle.seen import image_digest, seen_by
from branchpoint.deploy.errors import CaseError
from branchpoint.deploy.prediction.cases import Case
from branchpoint.deploy.prediction.inputs import Inputs, read_case
from branchpoint.deploy.prediction.masks import place_mask
from branchpoint.deploy.prediction.networks import Ensemble
from branchpoint.deploy.prediction.results import NOT_ORDERED, not_ordered, value_result
from branchpoint.deploy.prediction.settings import Predicted, Settings
from branchpoint.deploy.prediction.stacks import predict_stack, stack_of
from branchpoint.deploy.prediction.window import (
    choose_preparation,
    exceeds,
    largest_component,
    prepare_inputs,
    region_notes,
    shared_edges,
    whole_scan,
)


def predict_case(case: Case, ensemble: Ensemble, settings: Settings) -> Predicted:
    """Read, prepare, predict and bring back one case.

    Raises:
        CaseError: the case breaks a rule.
    """
    begun = time.monotonic()
    bundle = ensemble.bundle
    inputs = read_case(case, bundle, settings.reading)
    stack = stack_of(inputs, bundle)
    if stack is not None and settings.explaining is not None:
        raise CaseError("stack", "a stack of pictures is not explained as a whole", "give the pictures one by one")
    predict = partial(predict_inputs, ensemble=ensemble, settings=settings)
    channels = bundle.preparation.channels[0]
    predicted = (
        predict(inputs) if stack is None else predict_stack(stack, inputs, predict, channels, settings.probabilities)
    )
    predicted.result["seconds"] = time.monotonic() - begun
    if settings.identify:
        predicted.result["identity"] = _identity(case, inputs)
    return predicted


def _identity(case: Case, inputs: Inputs) -> dict[str, Any]:
    """Names and paths, for those who asked for them."""
    paths = {name: str(path) for name, path in case.images.items()} or {"study": str(case.study)}
    if inputs.study is None:
        return {"paths": paths}
    first = next(iter(inputs.study.volumes.values())).slices[0]
    return {"paths": paths, "patient_id": first.text("PatientID"), "patient_name": first.text("PatientName")}


def predict_inputs(inputs: Inputs, ensemble: Ensemble, settings: Settings) -> Predicted:
    """As :func:`predict_case`, of what was read already."""
    bundle, notes = ensemble.bundle, list(inputs.warnings)
    inputs = _located(inputs, ensemble, settings, notes)
    preparation, tiled = choose_preparation(inputs, ensemble, settings, notes)
    prepared = prepare_inputs(preparation, inputs, settings)
    networks, left_out = _unseen(bundle, inputs, prepared, list(ensemble.networks))
    values = network_inputs(prepared, preparation, inputs)
    if tiled:
        outputs = ensemble.tiles(values, networks, bundle.preparation.size_voxels)
    else:
        outputs = ensemble.window(values, networks)
    notes += region_notes(bundle, prepared)
    predicted = Predicted({}, inputs, prepared, outputs=outputs)
    tasks = {}
    for task in bundle.tasks:
        if task.name in outputs.dense:
            tasks[task.name] = place_mask(task, preparation, predicted, bundle, settings)
            if any(entry["truncated"] for entry in tasks[task.name]["classes"]):
                notes.append(f"{task.name} reaches the edge of the window: its volume is a lower bound")
        else:
            tasks[task.name] = value_result(task, outputs.values[task.name], bundle)
            if not_ordered(bundle.reference.get(task.name)):
                notes.append(f"{task.name}: {NOT_ORDERED}: percentile and group say nothing")
    predicted.result = {
        "case": inputs.patient.id,
        "version": __version__,
        "bundle": {"digest": bundle.digest, "study": bundle.name, "candidate": bundle.manifest["candidate"]},
        "settings": settings.plain(),
        "inputs": {name: list(found) for name, found in inputs.digests.items()},
        **_origin(inputs),
        "region": {"rule": prepared.rule, "tiled": tiled, "size_voxels": list(prepared.image.shape[1:])},
        "networks": networks,
        "left_out": left_out,
        "warnings": notes,
        "tasks": tasks,
    }
    if settings.explaining is not None:
        from branchpoint.deploy.explanation.explain import explain

        explain(predicted, values, ensemble, preparation, settings.explaining)
    return predicted


def network_inputs(prepared: Prepared, preparation: Preparation, inputs: Inputs) -> dict[str, torch.Tensor]:
    """``Batch.inputs`` of one sample, with its clinical values."""
    values = prepared.inputs(preparation.voxel_ml)
    if len(inputs.covariates):
        values["clinical"] = torch.from_numpy(inputs.covariates)[None]
    return values


def _unseen(
    bundle: Bundle, inputs: Inputs, prepared: Prepared, networks: Sequence[str]
) -> tuple[list[str], dict[str, str]]:
    """Networks that did not learn from the case, and why others are left out."""
    seen = seen_by(bundle.seen, [*inputs.hashes, image_digest(prepared.image)])
    kept = [name for name in networks if name not in seen]
    if not kept:
        raise CaseError(
            "seen-in-training",
            f"every network asked for ({', '.join(networks)}) learned from this image",
            "a prediction of it would say nothing; give another image",
        )
    return kept, {name: "learned from this image" for name in networks if name in seen}


def _origin(inputs: Inputs) -> dict[str, Any]:
    """Series and SUV inputs of a DICOM study; no names."""
    if inputs.study is None:
        return {"series": None, "suv": None}
    series = {name: {"uid": v.series_uid, "description": v.description} for name, v in inputs.study.volumes.items()}
    suv = {name: asdict(v.suv) for name, v in inputs.study.volumes.items() if v.suv is not None}
    return {"series": series, "suv": suv, "files_left_out": list(inputs.study.dropped)}


def _located(inputs: Inputs, ensemble: Ensemble, settings: Settings, notes: list[str]) -> Inputs:
    """``--locate tiles``: with a box around the largest component that the masks' heads find, tile by tile."""
    preparation = ensemble.bundle.preparation
    placed = inputs.patient.box is not None or settings.center_mm is not None
    if settings.locate != "tiles" or preparation.kind != "volume" or placed or ensemble.dense_only:
        return inputs
    edges = shared_edges(inputs)
    if not exceeds(edges, preparation):
        return inputs
    whole = whole_scan(preparation, edges)
    prepared = prepare_inputs(whole, inputs, settings)
    networks, _ = _unseen(ensemble.bundle, inputs, prepared, list(ensemble.networks))
    values = network_inputs(prepared, whole, inputs)
    box = largest_component(ensemble.tiles(values, networks, preparation.size_voxels), prepared)
    if box is None:
        raise CaseError("nothing-found", "--locate tiles found nothing in the whole scan", "give --center or a box")
    notes.append("the window was centred on the largest component found tile by tile")
    return replace(inputs, patient=replace(inputs.patient, box=box))
