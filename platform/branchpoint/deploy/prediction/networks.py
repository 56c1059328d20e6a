"""Runs the networks of a bundle on one prepared sample: one window, or tiles where only masks are predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from branchpoint.config import Config
from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.bundle.tasks import predicted_tasks
from branchpoint.deploy.prediction.tiles import blocks
from branchpoint.tasks import Task, build_task


@dataclass
class Outputs:
    """What the networks say of one sample.

    Attributes:
        dense: task to mean probabilities over the networks, float (outputs, [D,] H, W); one channel is the foreground.
        classes: task to the class ids of each network, uint8 ([D,] H, W).
        spread: task to the standard deviation of the probabilities over the networks, its mean over the voxels that the
            ensemble calls foreground; ``None`` for one network or where nothing was found.
        values: task to network to numbers: class probabilities, log-hazard, or a value.
    """

    dense: dict[str, np.ndarray] = field(default_factory=dict)
    classes: dict[str, list[np.ndarray]] = field(default_factory=dict)
    spread: dict[str, float | None] = field(default_factory=dict)
    values: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)


class Ensemble:
    """The networks of a bundle in memory.

    Args:
        bundle: opened.
        networks: names of those to load.
        device: ``cpu`` or ``cuda``.
        mirrored: axes of each mirrored copy that is predicted too; see :func:`mirrored_copies`. Masks are turned back;
            what a network says of an image is the mean over its copies.
    """

    def __init__(
        self,
        bundle: Bundle,
        networks: Sequence[str],
        device: str = "cpu",
        mirrored: Sequence[tuple[int, ...]] = (),
    ) -> None:
        self.bundle, self.device, self.mirrored = bundle, device, tuple(mirrored)
        self.networks: dict[str, Any] = {name: bundle.network(name, device) for name in networks}
        self.config: Config = bundle.config(networks[0])
        self.tasks: list[Task] = [build_task(task) for task in predicted_tasks(self.config.tasks)]

    @property
    def dense_only(self) -> bool:
        """Whether every result is a mask, so that a scan may be predicted tile by tile."""
        return all(task.dense for task in self.tasks)

    def window(self, inputs: Mapping[str, Tensor], networks: Sequence[str]) -> Outputs:
        """Results from one window; ``inputs`` as ``Batch.inputs`` of one sample."""
        outputs = Outputs()
        moved = {name: value.to(self.device) for name, value in inputs.items()}
        maps: dict[str, list[np.ndarray]] = {}
        for name in networks:
            copies = self._copies(name, moved)
            for task in self.tasks:
                if task.dense:
                    maps.setdefault(task.name, []).append(_probabilities(task, copies)[0].cpu().numpy())
                else:
                    found = [image_level(task, logits[task.name]) for logits in copies]
                    outputs.values.setdefault(task.name, {})[name] = np.mean(found, axis=0)
        for task_name, found in maps.items():
            outputs.dense[task_name] = np.asarray(np.mean(found, axis=0, dtype=np.float64), np.float32)
            outputs.classes[task_name] = [class_ids(values) for values in found]
            outputs.spread[task_name] = _spread(found, class_ids(outputs.dense[task_name]))
        return outputs

    def tiles(self, inputs: Mapping[str, Tensor], networks: Sequence[str], size: Sequence[int]) -> Outputs:
        """Masks alone, of a sample of any size at least that of a tile.

        Mean probabilities are kept in half precision: what is added up is single precision.
        """
        dense = [task for task in self.tasks if task.dense]
        bounds = np.cumsum([0, *(task.outputs for task in dense)])
        image, rest = inputs["image"][0], {name: value for name, value in inputs.items() if name != "image"}
        mean = np.zeros((int(bounds[-1]), *image.shape[1:]), np.float16)
        outputs = Outputs()
        moved = {key: value.to(self.device) for key, value in rest.items()}
        for name in networks:

            def predict(tile: Tensor, name: str = name) -> Tensor:
                copies = self._copies(name, {**moved, "image": tile.to(self.device)})
                return torch.cat([_probabilities(task, copies)[0] for task in dense])

            ids = [np.zeros(image.shape[1:], np.uint8) for _ in dense]
            for (planes, rows), values in blocks(predict, image, int(bounds[-1]), size):
                part = values.numpy()
                mean[:, planes, rows] += (part / len(networks)).astype(np.float16)
                for place, (first, last) in zip(ids, pairwise(bounds), strict=True):
                    place[planes, rows] = class_ids(part[first:last])
            for task, place in zip(dense, ids, strict=True):
                outputs.classes.setdefault(task.name, []).append(place)
        for task, (first, last) in zip(dense, pairwise(bounds), strict=True):
            outputs.dense[task.name], outputs.spread[task.name] = mean[first:last], None
        return outputs

    def _copies(self, name: str, inputs: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """Logits of the image, and of each mirrored copy of it, those of masks turned back."""
        found = [self._logits(name, inputs)]
        for axes in self.mirrored:
            logits = self._logits(name, {**inputs, "image": inputs["image"].flip(axes)})
            dense = {task.name for task in self.tasks if task.dense}
            found.append({key: value.flip(axes) if key in dense else value for key, value in logits.items()})
        return found

    def _logits(self, name: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        half = self.config.training.precision == "bf16" and self.device.startswith("cuda")
        with torch.inference_mode(), torch.autocast(self.device.split(":")[0], torch.bfloat16, enabled=half):
            found: dict[str, Tensor] = self.networks[name](inputs)
        return found


def class_ids(probabilities: np.ndarray) -> np.ndarray:
    """uint8 ([D,] H, W): the most probable class; with one channel 1 where it reaches 0.5."""
    if len(probabilities) == 1:
        return (probabilities[0] >= 0.5).astype(np.uint8)
    return probabilities.argmax(axis=0).astype(np.uint8)


def image_level(task: Task, logits: Tensor) -> np.ndarray:
    """Numbers of one sample: class probabilities, label probabilities, log-hazard (1,) or value (1,).

    Args:
        task: not dense.
        logits: (1, outputs), or (1, levels, outputs) of regression units.
    """
    kind = task.config.kind
    if kind == "ordinal":
        exceeds = task.probabilities(logits)[0].cpu().numpy()  # type: ignore[index]
        steps = np.concatenate([[1.0], exceeds, [0.0]])
        return steps[:-1] - steps[1:]
    if kind in ("classification", "multilabel"):
        return task.probabilities(logits)[0].cpu().numpy()  # type: ignore[index]
    value = logits[:1].float().cpu().numpy().reshape(-1)[:1].astype(np.float64)
    if kind == "regression":
        return task.config.center + task.config.scale * value  # type: ignore[attr-defined]
    return value


def _probabilities(task: Task, copies: Sequence[Mapping[str, Tensor]]) -> Tensor:
    """Mean over ``copies`` of the probabilities (1, outputs, [D,] H, W) of a dense task."""
    found = [values for logits in copies if (values := task.probabilities(logits[task.name])) is not None]
    return found[0] if len(found) == 1 else torch.stack(found).mean(dim=0)


def _spread(maps: Sequence[np.ndarray], ids: np.ndarray) -> float | None:
    found = ids > 0
    if len(maps) < 2 or not found.any():
        return None
    return float(np.mean([np.std([one[channel][found] for one in maps], axis=0) for channel in range(len(maps[0]))]))
