"""Explains one predicted case: maps of each task on the grid of the input, and what images and covariates change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from branchpoint.datasets.preparation.placement import VolumePlacement
from branchpoint.datasets.preparation.preparation import Preparation
from branchpoint.deploy.errors import CaseError
from branchpoint.deploy.explanation.grad_cam import enlarged, grad_cam, layer_of
from branchpoint.deploy.explanation.integrated_gradients import (
    TOLERANCE,
    Attribution,
    baseline_of,
    integrated_gradients,
)
from branchpoint.deploy.explanation.questions import Question, question_of
from branchpoint.deploy.explanation.replaced import changes
from branchpoint.deploy.explanation.rollout import attention_rollout, has_rollout
from branchpoint.deploy.prediction.networks import Ensemble
from branchpoint.deploy.prediction.settings import Explaining, Map, Predicted


def explain(
    predicted: Predicted, inputs: Mapping[str, Tensor], ensemble: Ensemble, preparation: Preparation, asked: Explaining
) -> None:
    """Add ``explanation`` to the result of ``predicted``, and its maps.

    Maps of several networks are averaged: Grad-CAM and rollout, which have no unit, each with 1 as its maximum;
    integrated gradients as they are, as what is explained has the same unit for all networks.

    Args:
        predicted: of one window.
        inputs: what the networks were given.
        ensemble: that predicted.
        preparation: of the window.
        asked: what is wanted.

    Raises:
        CaseError: the scan was predicted tile by tile.
    """
    if predicted.result["region"]["tiled"]:
        raise CaseError(
            "larger-than-window",
            "masks of this scan are predicted tile by tile, and one window is explained",
            "say where to look: --center X,Y,Z or --box",
        )
    found: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    moved = {name: value.to(ensemble.device) for name, value in inputs.items()}
    for network in ensemble.networks.values():
        network.requires_grad_(False)
    for task in ensemble.bundle.tasks:
        if asked.tasks and task.name not in asked.tasks:
            continue
        mask = predicted.ensemble.get(task.name)
        question = question_of(
            task, predicted.result, mask, ensemble.bundle.reference.get(task.name) or {}, asked.label
        )
        if isinstance(question, str):
            skipped[task.name] = question
            continue
        found.append(_Explained(question, predicted, moved, ensemble, preparation, asked).answer())
    predicted.result["explanation"] = {"tasks": found, "skipped": skipped}


class _Explained:
    """One question about one case."""

    def __init__(
        self,
        question: Question,
        predicted: Predicted,
        inputs: Mapping[str, Tensor],
        ensemble: Ensemble,
        preparation: Preparation,
        asked: Explaining,
    ) -> None:
        self.question, self.predicted, self.inputs = question, predicted, inputs
        self.networks = {name: ensemble.networks[name] for name in question.scores}
        self.ensemble, self.preparation, self.asked = ensemble, preparation, asked
        self.maps: dict[str, str] = {}

    def answer(self) -> dict[str, Any]:
        question = self.question
        answer: dict[str, Any] = {"task": question.task, "label": question.label, "what": question.what}
        first = next(iter(self.networks.values()))
        try:
            layer_of(first, question.task)
        except ValueError as problem:
            answer["image"] = str(problem)
        else:
            for method in self.asked.methods:
                answer |= _METHODS[method](self)
        covariates = [covariate["name"] for covariate in self.ensemble.bundle.preprocessing["covariates"]]
        channels = dict(zip(self.preparation.modalities, self.preparation.channels, strict=True))
        replaced = [
            changes(network, self.inputs, question.scores[name], channels, covariates)
            for name, network in self.networks.items()
        ]
        answer["replaced_by_mean"] = {key: float(np.mean([one[key] for one in replaced])) for key in replaced[0]}
        return {**answer, "maps": self.maps}

    def _gradcam(self) -> dict[str, Any]:
        return {"gradcam": self._heat("gradcam", self._grad_cam)}

    def _rollout(self) -> dict[str, Any]:
        if not has_rollout(next(iter(self.networks.values()))):
            return {"rollout": "this encoder has no windowed attention (resformer_* has)"}
        try:
            return {"rollout": self._heat("rollout", self._attention)}
        except ValueError as problem:
            return {"rollout": str(problem)}

    def _grad_cam(self, name: str) -> Tensor:
        network = self.networks[name]
        return grad_cam(network, layer_of(network, self.question.task), self.inputs, self.question.scores[name])

    def _attention(self, name: str) -> Tensor:
        network = self.networks[name]
        return attention_rollout(network, layer_of(network, self.question.task), self.inputs)

    def _heat(self, method: str, compute: Any) -> dict[str, Any]:
        """A map without unit and sign: mean over the networks, each with 1 as its maximum."""
        size = tuple(self.inputs["image"].shape[2:])
        heats = []
        for name in self.networks:
            heat = enlarged(compute(name), size)
            heats.append(heat / heat.max() if heat.max() > 0 else heat)
        mean = torch.stack(heats).mean(0).numpy()
        self._keep(method, mean, None)
        return self._summary(mean)

    def _integrated_gradients(self) -> dict[str, Any]:
        baseline = baseline_of(self.inputs, self.asked.baseline)
        found: dict[str, Attribution] = {}
        for name, network in self.networks.items():
            found[name] = integrated_gradients(network, self.inputs, self.question.scores[name], baseline)
        mean = torch.stack([one.values for one in found.values()]).mean(0).numpy()
        first, shares = 0, {}
        for modality, count in zip(self.preparation.modalities, self.preparation.channels, strict=True):
            values = mean[first : first + count].sum(axis=0)
            first += count
            self._keep("integrated-gradients", values, modality)
            shares[modality] = float(values.sum(dtype=np.float64))
        error = max(one.error for one in found.values())
        if error > TOLERANCE:
            self.predicted.result["warnings"].append(
                f"{self.question.task}: integrated gradients miss the difference to the baseline by {error:.1%}"
            )
        scores = [(one.score, one.baseline) for one in found.values()]
        score, of_baseline = (float(value) for value in np.mean(scores, axis=0))
        return {
            "integrated_gradients": {
                "baseline": self.asked.baseline,
                "score": score,
                "score_of_baseline": of_baseline,
                "sum_by_modality": shares,
                "completeness_error": error,
                "gradients": max(one.gradients for one in found.values()),
            }
        }

    def _summary(self, heat: np.ndarray) -> dict[str, Any]:
        """Where the map is highest, and how much of it lies inside the predicted masks."""
        place = np.unravel_index(int(heat.argmax()), heat.shape)
        placement, total = self.predicted.prepared.placement, float(heat.sum(dtype=np.float64))
        summary: dict[str, Any] = {"empty": total == 0}
        if isinstance(placement, VolumePlacement) and total > 0:
            index = np.array([place[::-1]], np.float64)
            summary["highest_at_mm"] = placement.window.grid.to_mm(index)[0].tolist()
        masks = {name: ids > 0 for name, ids in self.predicted.ensemble.items() if (ids > 0).any()}
        if total > 0:
            summary["share_inside"] = {name: float(heat[inside].sum() / total) for name, inside in masks.items()}
            summary["share_of_window"] = {name: float(inside.mean()) for name, inside in masks.items()}
        return summary

    def _keep(self, method: str, values: np.ndarray, modality: str | None) -> None:
        """Bring a map to the grid of an input: of ``modality``, or of that which the masks lie on."""
        placement = self.predicted.prepared.placement
        volume = isinstance(placement, VolumePlacement)
        onto = modality or self.asked.grid or None
        # With another class than background outside, the whole window is brought back, and 0 lies around it.
        placed = self.preparation.place_back(values[None], placement, onto=onto if volume else None, outside=1)
        parts = [method, self.question.task, *([modality] if modality else [])]
        name = "-".join(parts) + (".nii.gz" if volume else ".tif")
        title = f"{method.replace('-', ' ')}, {self.question.task.replace('_', ' ')}"
        grid = placement.grid(onto) if isinstance(placement, VolumePlacement) else None
        self.predicted.maps[name] = Map(placed.probability(0), grid, values, modality, title)
        self.maps["-".join([method, *([modality] if modality else [])])] = name


_METHODS: dict[str, Callable[[_Explained], dict[str, Any]]] = {
    "gradcam": _Explained._gradcam,
    "integrated-gradients": _Explained._integrated_gradients,
    "rollout": _Explained._rollout,
}
"""Of :data:`branchpoint.deploy.prediction.settings.METHODS`."""
