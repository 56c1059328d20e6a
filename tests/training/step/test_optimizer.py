"""Cosine decay, halving, weight decay of matrices alone, clipping."""

import math

import pytest
import torch
from torch import nn

from branchpoint.config import OptimizerConfig
from branchpoint.training.step.optimizer import build_optimizer, clip_gradient, learning_rate, set_learning_rate


def test_cosine_against_torch_over_the_whole_budget() -> None:
    config, steps = OptimizerConfig(learning_rate=0.2), 40
    reference = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.2)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(reference, T_max=steps)
    for step in range(steps):
        assert learning_rate(config, step / steps) == pytest.approx(scheduler.get_last_lr()[0], abs=1e-12)
        reference.step()
        scheduler.step()
    assert learning_rate(config, 1.0) == pytest.approx(0.0, abs=1e-15)
    assert learning_rate(OptimizerConfig(learning_rate=0.2, schedule="constant"), 0.7) == 0.2


def test_halving_against_torch_as_paper_002_has_it() -> None:
    """150,000 steps, times 0.5 every 50,000 (here in thousands)."""
    config, steps = OptimizerConfig(learning_rate=2e-4, schedule="halving", halving_share=1 / 3), 150
    reference = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2e-4)
    scheduler = torch.optim.lr_scheduler.StepLR(reference, step_size=50, gamma=0.5)
    for step in range(steps):
        assert learning_rate(config, step / steps) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-12), step
        reference.step()
        scheduler.step()


def test_polynomial_and_warm_up_against_torch() -> None:
    config, steps = OptimizerConfig(learning_rate=0.2, schedule="polynomial", name="sgd", warmup_share=0.25), 40
    reference = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.2)
    scheduler = torch.optim.lr_scheduler.PolynomialLR(reference, total_iters=steps, power=0.9)
    for step in range(steps):
        expected = scheduler.get_last_lr()[0] * min(1.0, step / 10)
        assert learning_rate(config, step / steps) == pytest.approx(expected, abs=1e-12), step
        reference.step()
        scheduler.step()


def test_nesterov_steps_as_torch_does_them() -> None:
    ours, theirs = nn.Linear(3, 2), nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    config = OptimizerConfig(name="sgd", learning_rate=0.1, momentum=0.99)
    optimizer = build_optimizer(config, ours)
    reference = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.99, nesterov=True)
    x = torch.randn(5, 3)
    for _ in range(4):
        for network, stepper in ((ours, optimizer), (theirs, reference)):
            stepper.zero_grad()
            network(x).square().mean().backward()
            stepper.step()
    torch.testing.assert_close(ours.weight, theirs.weight)


@pytest.mark.parametrize("factor", [0.0, 0.1])
def test_the_encoder_learns_at_its_own_rate(factor: float) -> None:
    network = nn.ModuleDict({"encoder": nn.Linear(3, 3), "head": nn.Linear(3, 1)})
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    config = OptimizerConfig(name="sgd", momentum=0.0, learning_rate=1.0, encoder_rate=factor)
    optimizer = build_optimizer(config, network)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    set_learning_rate(optimizer, 0.5)
    optimizer.step()
    for name, parameter in network.named_parameters():
        moved = 0.5 * factor if name.startswith("encoder") else 0.5
        torch.testing.assert_close(parameter, before[name] - moved)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_only_matrices_of_the_network_decay(name: str) -> None:
    network, learned = nn.Linear(3, 2), nn.Parameter(torch.ones(()))
    config = OptimizerConfig(name=name, weight_decay=0.1, learning_rate=0.5)
    optimizer = build_optimizer(config, network, [learned])
    before = {"weight": network.weight.clone(), "bias": network.bias.clone()}
    for parameter in (network.weight, network.bias, learned):
        parameter.grad = torch.zeros_like(parameter)
    set_learning_rate(optimizer, 0.25)
    optimizer.step()
    torch.testing.assert_close(network.bias, before["bias"])
    assert learned == 1
    weight = before["weight"]
    expected = weight * (1 - 0.25 * 0.1) if name == "adamw" else weight - 0.25 * weight.sign()
    torch.testing.assert_close(network.weight, expected, rtol=1e-5, atol=1e-5)


def test_clipping_scales_the_whole_gradient_and_gives_its_norm() -> None:
    network = nn.Linear(2, 1)
    network.weight.grad, network.bias.grad = torch.tensor([[3.0, 0.0]]), torch.tensor([4.0])
    assert clip_gradient(network, None) == 5
    torch.testing.assert_close(network.bias.grad, torch.tensor([4.0]))
    assert clip_gradient(network, 1.0) == 5
    torch.testing.assert_close(network.weight.grad, torch.tensor([[0.6, 0.0]]), rtol=1e-5, atol=0)
    network.bias.grad[0] = math.nan
    assert torch.isnan(clip_gradient(network, None))
