"""Random weights, drawn anew in each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor

from branchpoint.balancing.loss_weighting import LossWeighting
from branchpoint.config.balancing import DirichletConfig, RandomLossWeightingConfig


class RandomWeighting(LossWeighting):
    """Weights from a generator of its own: all workers draw the same, and a resumed run what the unbroken one drew."""

    def __init__(self, task_weights: Mapping[str, float], seed: int) -> None:
        super().__init__(task_weights)
        self._generator = torch.Generator().manual_seed(seed)

    def state_dict(self) -> dict[str, Tensor]:
        return {"generator": self._generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._generator.set_state(state["generator"].cpu())


class RandomLossWeighting(RandomWeighting):
    """RLW: the softmax of standard normal numbers (Lin et al. 2022, algorithm 1), over the tasks that are present."""

    config_class = RandomLossWeightingConfig

    @classmethod
    def of(cls, config: RandomLossWeightingConfig, task_weights: Mapping[str, float], seed: int) -> Self:
        return cls(task_weights, seed)

    def step_weights(self, names: Sequence[str], values: Tensor, epoch: int) -> Tensor:
        return torch.randn(len(names), generator=self._generator).softmax(0).to(values)


class RandomDirichlet(RandomWeighting):
    """The mean of ``draws`` samples of a symmetric Dirichlet distribution, over the tasks that are present.

    As Bao et al. 2021 released it: (p, 1 - p) with uniform p for two tasks, which is one draw of Dir(1, 1), and the
    mean of two draws for more. The weights add up to 1, not to the number of tasks.

    Args:
        draws: 0 for the published rule.
        concentration: of every task.
    """

    config_class = DirichletConfig

    @classmethod
    def of(cls, config: DirichletConfig, task_weights: Mapping[str, float], seed: int) -> Self:
        return cls(task_weights, seed, config.draws, config.concentration)

    def __init__(
        self, task_weights: Mapping[str, float], seed: int, draws: int = 0, concentration: float = 1.0
    ) -> None:
        super().__init__(task_weights, seed)
        self.draws, self.concentration = draws, concentration

    def step_weights(self, names: Sequence[str], values: Tensor, epoch: int) -> Tensor:
        draws = self.draws or (1 if len(names) == 2 else 2)
        concentrations = torch.full((draws, len(names)), self.concentration, dtype=torch.float64)
        # Gamma variables over their sum; a generator may be given to them, not to torch.distributions.Dirichlet.
        gammas = torch._standard_gamma(concentrations, generator=self._generator)
        smallest = torch.finfo(torch.float64).tiny
        samples = gammas.clamp(min=smallest) / gammas.clamp(min=smallest).sum(1, keepdim=True)
        return samples.mean(0).to(values)
