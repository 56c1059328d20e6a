"""The ranking loss of survival: its definition, its bound of the C-index, and what a worker without pairs adds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from branchpoint.config import SurvivalConfig
from branchpoint.tasks import build_task
from branchpoint.tasks.survival import concordance_index, ranking_loss


def by_pairs(hazard: np.ndarray, time: np.ndarray, event: np.ndarray, known: np.ndarray) -> float:
    """Pair by pair, as it is written in the docstring."""
    losses = [
        np.log2(1 + np.exp(-(hazard[i] - hazard[j])))
        for i in range(len(time))
        for j in range(len(time))
        if known[i] and known[j] and event[i] and (time[i] < time[j] or (time[i] == time[j] and not event[j]))
    ]
    return float(np.mean(losses)) if losses else 0.0


@given(st.integers(0, 10_000), st.integers(2, 12))
@settings(max_examples=60, deadline=None)
def test_pair_by_pair_and_a_bound_of_the_c_index(seed: int, count: int) -> None:
    draw = np.random.default_rng(seed)
    hazard, time = draw.normal(size=count), draw.integers(1, 6, count).astype(float)
    event, known = draw.integers(0, 2, count), draw.integers(0, 4, count) > 0
    loss = float(ranking_loss(*(torch.from_numpy(values) for values in (hazard, time, event, known))))
    assert loss == pytest.approx(by_pairs(hazard, time, event, known), abs=1e-12)
    c_index = concordance_index(hazard[known], time[known], event[known])
    if not np.isnan(c_index):
        assert 1 - c_index <= loss + 1e-12


def test_without_a_pair_it_is_zero_on_the_graph() -> None:
    logits = torch.zeros(3, 1, requires_grad=True)
    task = build_task(SurvivalConfig(name="s", target="s", loss="ranking"))
    target = torch.tensor([[5.0, 0.0], [6.0, 0.0], [7.0, 0.0]])
    loss = task.loss(logits, target, torch.ones(3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_a_far_apart_pair_keeps_a_finite_gradient() -> None:
    hazard = torch.tensor([-1e4, 1e4], requires_grad=True)
    loss = ranking_loss(hazard, torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.0]))
    loss.backward()
    assert torch.isfinite(loss)
    assert hazard.grad is not None
    assert hazard.grad[0] < 0 < hazard.grad[1], "the earlier event is drawn up"
