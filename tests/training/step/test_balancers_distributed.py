"""For every balancer two real gloo processes do what one does on the same global batches, step after step."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from branchpoint.balancing import Step
from branchpoint.config import Config, balancing_config
from branchpoint.config.balancing import GRADIENT_METHODS, GRAMIAN_METHODS, LOSS_METHODS
from branchpoint.topology import Topology
from branchpoint.training.run import build_run
from branchpoint.training.step.same_batch import SameBatch
from tests.training.spheres import MemoryCohort, small_config
from tests.training.two_processes import Computed, alone_and_by_two

CPU = torch.device("cpu")
EPOCHS = (1, 1, 2, 2, 3, 3)
SAMPLES = (8, 5, 1, 6, 3, 7)
TREE = Topology(
    encoder=((("large", "survival", "tumour"),), (("large", "survival"), ("tumour",))),
    decoder=((("tumour",),),),
)
FORK = Topology.branching(("large", "survival", "tumour"), ("tumour",), 1, 2, 1)
RELATIVE, ABSOLUTE = 2e-4, 5e-6
"""Tolerance of a gradient: float32 sums in another order."""
SHORT_WARM_UP: dict[str, dict[str, int]] = {"stch": {"warm_up_epochs": 1}, "excess_mtl": {"warm_up_steps": 1}}
STEP = 1e-3
"""Standard deviation of what a step adds to each weight."""


def scenarios() -> dict[str, Config]:
    """A Config for each method; gradients meet in two places of the tree."""
    base = small_config()
    base = replace(base, network=replace(base.network, topology=TREE, dropout=0.3))
    found = {}
    for method in (*LOSS_METHODS, *GRADIENT_METHODS):
        found[method] = replace(base, balancing=balancing_config(method, **SHORT_WARM_UP.get(method, {})))
        if method in GRAMIAN_METHODS:
            forked = replace(base, network=replace(base.network, topology=FORK))
            features = balancing_config(method, gradients="features")
            found[f"{method} of features"] = replace(forked, balancing=features)
    return found


def holed_cohort() -> MemoryCohort:
    """Some batches lack a label on one worker, some on both."""
    cohort = MemoryCohort()
    cohort.labelled["tumour"][:] = False
    cohort.labelled["tumour"][np.arange(0, 24, 5)] = True
    return cohort


def train(config: Config, cohort: MemoryCohort) -> dict[str, Any]:
    """Gradients and weights of six steps along directions that do not depend on the gradients.

    Steps along the gradients would amplify rounding, and each method would meet its own activations near a ReLU's kink.
    """
    run = build_run(config, cohort, CPU)
    reductions: list[int] = []

    def add_up(tensors: Sequence[Tensor]) -> None:
        reductions.append(len(tensors))
        run.workers.add_up(tensors)

    gradients, weights = [], []
    for number, (epoch, size) in enumerate(zip(EPOCHS, SAMPLES, strict=True)):
        indices = np.roll(np.resize(run.folds.train, 24), 3 * number)[:size]
        torch.manual_seed(number)
        run.network.train()
        run.optimizer.zero_grad()
        same = SameBatch(run, indices, cohort.batch(indices[run.workers.rows(size)]))
        reductions.clear()
        run.balancer.backward(Step(same.losses()[1], run.network, add_up, epoch))
        small = run.config.balancing.of_features
        assert len(reductions) == 1 + small, "one reduction for all gradients, one of numbers for features"
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in run.network.parameters()]))
        weights.append({name: float(weight) for name, weight in run.balancer.weights().items()})
        torch.manual_seed(100 + number)
        with torch.no_grad():
            for parameter in run.network.parameters():
                parameter += STEP * torch.randn_like(parameter)
            for parameter in run.balancer.parameters():
                parameter -= 0.02 * parameter.grad
        if run.balancer.looks_again:
            run.balancer.look_again(same.values_now())
        run.balancer.watch_performance({"tumour": 0.3, "survival": 0.5 + 0.1 * number, "large": float("nan")})
    return {"gradients": gradients, "weights": weights}


def trained(folder: Path) -> dict[str, Any]:
    return {method: train(config, holed_cohort()) for method, config in scenarios().items()}


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Computed:
    """By every method."""
    pytest.importorskip("torchjd", reason="the extra 'balancing' is not installed")
    pytest.importorskip("cvxpy", reason="the extra 'balancing' is not installed")
    return alone_and_by_two(trained, tmp_path_factory.mktemp("workers"), "cvxpy")


@pytest.mark.parametrize("method", sorted(scenarios()))
def test_workers_give_the_gradient_of_one_process(computed: Computed, method: str) -> None:
    """Also for uneven shares, fewer samples than workers, and labels that a worker or all workers lack."""
    alone, (first, second) = computed
    expected = alone[method]
    assert first[method]["weights"] == second[method]["weights"], "draws and decisions are the same bits"
    for step, gradient in enumerate(expected["gradients"]):
        assert torch.equal(first[method]["gradients"][step], second[method]["gradients"][step])
        largest = float(gradient.abs().max())
        torch.testing.assert_close(
            first[method]["gradients"][step], gradient, rtol=RELATIVE, atol=ABSOLUTE * max(1.0, largest)
        )
        for name, weight in expected["weights"][step].items():
            assert first[method]["weights"][step][name] == pytest.approx(weight, rel=2e-3), (step, name)


def test_methods_differ(computed: Computed) -> None:
    """A method that silently does what another does would pass the test above."""
    alone, _ = computed
    seen = {tuple(results["gradients"][-1][:40].tolist()) for results in alone.values()}
    assert len(seen) == len(alone)
