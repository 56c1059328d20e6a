"""Looks at what each task's step would do to the others, and leaves no trace in the training.

TAG (Fifty et al. 2021, eq. 1): one step of the optimiser by the gradient of task j alone, on what tasks share; how
much it lowers the loss of task i on the same batch, Z = 1 - L_i(after) / L_i(before), is the affinity of j for i. The
step is taken back. Per stage, only the shared parameters of one stage take the step.

The optimiser's momentum, which holds the gradients of all tasks, moves every such step alike. ``excess`` is the same
measure less what the step does without any gradient, so that its sign tells whether the task itself helps or hurts.
As a second measure stands the cosine between the gradients of two tasks in the parameters that both share.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from branchpoint.affinity.lookahead import Snapshot
from branchpoint.affinity.matrices import MEASURES, WHOLE, Affinities, Series
from branchpoint.balancing.sharing import owners_of_parameters
from branchpoint.training.run import Run
from branchpoint.training.step.optimizer import clip_gradient
from branchpoint.training.step.same_batch import SameBatch


@dataclass
class Probe:
    """Measures affinities before steps of a training, and leaves no trace in it.

    Call it with each batch. The training goes on bit for bit as without it.

    Attributes:
        run: what is trained.
        every: batches from one measurement to the next; the first is at batch ``every``.
    """

    run: Run
    every: int = 10
    measurements: int = 0
    seconds: float = 0.0
    extra_bytes: int = 0
    _batches: int = 0
    _series: dict[tuple[str, str], Series] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every is {self.every}: measure every so many steps, at least 1")
        self.tasks = tuple(task.name for task in self.run.trained)
        if len(self.tasks) < 2:
            raise ValueError(f"affinities need two trained tasks; the Config trains {', '.join(self.tasks) or 'none'}")
        owners = owners_of_parameters(self.run.network, self.tasks)
        self._owners = {parameter: tasks for parameter, tasks in owners.items() if len(tasks) > 1}
        if not self._owners:
            raise ValueError(f"{', '.join(self.tasks)} share nothing in this topology: take one that shares a stage")
        names = {parameter: name for name, parameter in self.run.network.named_parameters()}
        self._stage_of = {parameter: stage_of_parameter(names[parameter]) for parameter in self._owners}
        self.stages = tuple(dict.fromkeys(self._stage_of.values()))
        keys = [(measure, stage) for measure in MEASURES for stage in (WHOLE, *self.stages)]
        self._series = {key: Series(len(self.tasks)) for key in keys}

    def __call__(self, same: SameBatch) -> None:
        """Look at a batch, where it is its turn."""
        self._batches += 1
        if self._batches % self.every:
            return
        started = time.perf_counter()
        self._measure(same)
        self.measurements += 1
        self.seconds += time.perf_counter() - started

    def affinities(self, seconds: float) -> Affinities:
        """What was found in a training of ``seconds``."""
        matrices = tuple(series.matrix(*key) for key, series in self._series.items())
        return Affinities(self.tasks, self.stages, matrices, self.measurements, seconds, self.seconds, self.extra_bytes)

    def _measure(self, same: SameBatch) -> None:
        before, gradients = self._gradients(same)
        self._add_cosines(gradients)
        snapshot = Snapshot(self.run.optimizer, list(self._owners))
        rows = sum(tensor.numel() * tensor.element_size() for row in gradients.values() for tensor in row.values())
        self.extra_bytes = max(self.extra_bytes, snapshot.bytes + rows)

        def gain(moved: Mapping[nn.Parameter, Tensor]) -> dict[str, float]:
            self._step(moved)
            after = same.values_now()
            snapshot.restore()
            return {name: 1 - float(after[name]) / value if value else math.nan for name, value in before.items()}

        for where in (WHOLE, self.stages[self.measurements % len(self.stages)]):
            by_nobody: dict[frozenset[nn.Parameter], dict[str, float]] = {}
            for source, row in gradients.items():
                moved = {p: g for p, g in row.items() if where in (WHOLE, self._stage_of[p])}
                if not moved:
                    continue
                if frozenset(moved) not in by_nobody:
                    by_nobody[frozenset(moved)] = gain({p: torch.zeros_like(p) for p in moved})
                for recipient, value in gain(moved).items():
                    if any(recipient in self._owners[parameter] for parameter in moved):
                        nobody = by_nobody[frozenset(moved)][recipient]
                        self._add("lookahead", where, recipient, source, value)
                        self._add("excess", where, recipient, source, value - nobody)
        self.run.optimizer.zero_grad()

    def _gradients(self, same: SameBatch) -> tuple[dict[str, float], dict[str, dict[nn.Parameter, Tensor]]]:
        """Values of the losses, and the gradients of each in what it shares, over all workers."""
        losses = same.losses_again()
        found = {}
        for number, (name, loss) in enumerate(losses.items()):
            shared = [parameter for parameter, tasks in self._owners.items() if name in tasks]
            weighted = self.run.config.task(name).weight * loss.share
            gradients = torch.autograd.grad(
                weighted, shared, retain_graph=number + 1 < len(losses), allow_unused=True, materialize_grads=True
            )
            found[name] = dict(zip(shared, gradients, strict=True))
        self.run.workers.add_up([gradient for row in found.values() for gradient in row.values()])
        return {name: float(loss.value) for name, loss in losses.items()}, found

    def _step(self, gradients: Mapping[nn.Parameter, Tensor]) -> None:
        """One step of the optimiser, momentum and clipping included, by these gradients alone."""
        self.run.optimizer.zero_grad()
        for parameter, gradient in gradients.items():
            parameter.grad = gradient.clone()
        clip_gradient(self.run.network, self.run.config.optimizer.clip_norm)
        self.run.optimizer.step()

    def _add_cosines(self, gradients: dict[str, dict[nn.Parameter, Tensor]]) -> None:
        for first, row in gradients.items():
            for second, other in gradients.items():
                for where in (WHOLE, *self.stages):
                    both = [p for p in row if p in other and where in (WHOLE, self._stage_of[p])]
                    if both:
                        cosine = _cosine([row[p] for p in both], [other[p] for p in both])
                        self._add("cosine", where, first, second, cosine)

    def _add(self, measure: str, stage: str, recipient: str, source: str, value: float) -> None:
        self._series[measure, stage].add(self.tasks.index(recipient), self.tasks.index(source), value)


def _cosine(first: Sequence[Tensor], second: Sequence[Tensor]) -> float:
    """NaN where a gradient is exactly zero."""
    products = (
        torch.stack(
            [
                torch.stack([(a * b).sum(), a.square().sum(), b.square().sum()])
                for a, b in zip(first, second, strict=True)
            ]
        )
        .double()
        .sum(0)
    )
    inner, length, other = products.tolist()
    return inner / (length * other) ** 0.5 if length and other else float("nan")


def stage_of_parameter(name: str) -> str:
    """``encoder 2`` of the parameter ``encoder.2.0.units.1.weight``; ``exchanges 1`` of an exchange after stage 1."""
    part, stage = name.split(".")[:2]
    return f"{part} {stage.split('_')[0]}"
