"""What is explained of a prediction: for each task one number that follows from a network's logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from branchpoint.deploy.bundle.tasks import TaskInfo
from branchpoint.deploy.explanation.grad_cam import Score


@dataclass(frozen=True)
class Question:
    """One number to explain.

    Attributes:
        task: its name.
        label: class or label; empty where the task has none.
        what: the number in words.
        scores: network to the number's score.
    """

    task: str
    label: str
    what: str
    scores: Mapping[str, Score]


def question_of(
    task: TaskInfo, result: Mapping[str, Any], mask: np.ndarray | None, reference: Mapping[str, Any], label: str
) -> Question | str:
    """What is asked about a task, or why nothing can be.

    Args:
        task: of the bundle.
        result: its part of ``result.json``.
        mask: class ids of a segmentation on the prepared grid.
        reference: of a survival task.
        label: class or label to explain; empty: the predicted one.
    """
    networks = result["networks"]
    one = result["tasks"][task.name]
    if task.kind == "segmentation":
        assert mask is not None
        return _mask_question(task, mask, label, networks)
    if task.kind == "survival":
        known = reference.get("networks", {})
        return Question(
            task.name, "", _SURVIVAL[bool(known)], {name: _log_hazard(task, known.get(name)) for name in networks}
        )
    if task.kind == "regression":
        return Question(task.name, "", "value", dict.fromkeys(networks, _mean_of(task.name)))
    if task.kind == "ordinal":
        return Question(task.name, "", "sum of the logits of the steps", dict.fromkeys(networks, _sum_of(task.name)))
    found = label if label in task.labels else _predicted(one)
    place = task.labels.index(found)
    return Question(task.name, found, f"logit of {found}", dict.fromkeys(networks, _unit(task.name, place)))


_SURVIVAL = {True: "log-hazard in SD of held-out patients", False: "log-hazard"}


def _predicted(one: Mapping[str, Any]) -> str:
    """The most probable class or label."""
    probabilities: Mapping[str, float] = one["probabilities"]
    return max(probabilities, key=lambda label: probabilities[label])


def _mask_question(task: TaskInfo, mask: np.ndarray, label: str, networks: Sequence[str]) -> Question | str:
    """The summed logits of a class inside its predicted mask."""
    sizes = {name: int((mask == place + task.first_label).sum()) for place, name in enumerate(task.labels)}
    found = label if label in sizes else max((n for n in sizes if _is_foreground(task, n)), key=lambda n: sizes[n])
    if not sizes[found]:
        return f"no voxel was called {found}"
    number = task.labels.index(found) + task.first_label
    inside = torch.from_numpy(mask == number)
    what = f"logits of {found}, summed inside its mask"
    return Question(task.name, found, what, dict.fromkeys(networks, _inside(task.name, number, inside)))


def _is_foreground(task: TaskInfo, label: str) -> bool:
    return len(task.labels) == 1 or task.labels.index(label) + task.first_label > 0


def _inside(task: str, number: int, inside: Tensor) -> Score:
    def score(logits: dict[str, Tensor]) -> Tensor:
        values = logits[task][0].float()
        channel = 0 if len(values) == 1 else number
        return values[channel][inside.to(values.device)].sum()

    return score


def _log_hazard(task: TaskInfo, known: Mapping[str, Any] | None) -> Score:
    mean, spread = (known["mean"], known["sd"]) if known and known["sd"] > 0 else (0.0, 1.0)
    plain = _mean_of(task.name)
    return lambda logits: (plain(logits) - mean) / spread


def _mean_of(task: str) -> Score:
    """The first output; of regression units, which predict from every level, that which is reported."""
    return lambda logits: logits[task].float().reshape(-1)[0]


def _sum_of(task: str) -> Score:
    return lambda logits: logits[task].float().sum()


def _unit(task: str, place: int) -> Score:
    return lambda logits: logits[task].float().reshape(-1, logits[task].shape[-1])[0, place]
