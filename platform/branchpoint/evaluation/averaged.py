"""Several networks that answer as one: the mean of what they say, of an image and of its mirrored copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from branchpoint.tasks import Task

Scales = Mapping[str, tuple[float, float]]
"""Task to mean and standard deviation of a network's log-hazards on validation patients."""


class AveragedNetworks(nn.Module):
    """Networks of one candidate on one fold, which differ in their seed.

    Probabilities are averaged and given back as logits. Log-hazards of different networks have different means and
    spreads: they are standardised by the validation patients first. Everything else is the mean of the outputs.

    Args:
        networks: M of them.
        tasks: theirs.
        scales: of each network, for survival tasks.
        mirrored: axes of each mirrored copy that is predicted beside the image; maps are turned back.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        tasks: Sequence[Task],
        scales: Sequence[Scales],
        mirrored: Sequence[tuple[int, ...]] = (),
    ) -> None:
        super().__init__()
        self.networks, self.tasks = nn.ModuleList(networks), tuple(tasks)
        self.scales, self.mirrored = tuple(scales), tuple(mirrored)

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Task to logits, float32, shaped as those of one network."""
        answers: list[tuple[dict[str, Tensor], Scales]] = []
        for network, scales in zip(self.networks, self.scales, strict=True):
            answers.append((network(inputs), scales))
            for axes in self.mirrored:
                turned = network({**inputs, "image": inputs["image"].flip(axes)})
                dense = {task.name for task in self.tasks if task.dense}
                back = {name: value.flip(axes) if name in dense else value for name, value in turned.items()}
                answers.append((back, scales))
        return {task.name: self._mean(task, answers) for task in self.tasks}

    def _mean(self, task: Task, answers: Sequence[tuple[dict[str, Tensor], Scales]]) -> Tensor:
        logits = [outputs[task.name].float() for outputs, _ in answers]
        probabilities = [found for values in logits if (found := task.probabilities(values)) is not None]
        if probabilities:
            return task.logits(torch.stack(probabilities).mean(0))
        if task.config.kind == "survival":
            scaled = [scales[task.name] for _, scales in answers]
            logits = [(values - mean) / (sd or 1.0) for values, (mean, sd) in zip(logits, scaled, strict=True)]
        return torch.stack(logits).mean(0)
