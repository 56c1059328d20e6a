"""What holds for every loss weighting: absent tasks, permutations, scales, negative losses, states."""

import math

import pytest
import torch

from branchpoint.balancing import Balancer
from tests.balancing.toys import Linear, step, weights
from tests.balancing.weightings import METHODS, ROWS, built, weighted


@pytest.mark.parametrize("method", METHODS)
def test_gradient_is_that_of_the_weighted_sum(method: str) -> None:
    network, balancer = Linear(ROWS), built(method, {"a": 1.0, "b": 0.5, "c": 2.0})
    balancer.attach(network)
    for epoch in (1, 1, 2, 2, 3):
        gradient = step(balancer, network, {"a": 0.5, "b": 2.0, "c": 1.25}, epoch)
        torch.testing.assert_close(gradient, weighted(network, weights(balancer)))
        assert float(network.heads["b"].grad) == pytest.approx(weights(balancer)["b"])


@pytest.mark.parametrize("method", METHODS)
def test_absent_task_gets_a_zero_gradient_and_hangs_nothing(method: str) -> None:
    network, balancer = Linear(ROWS), built(method)
    balancer.attach(network)
    for epoch, present in enumerate(({"a": 1.0, "c": 3.0}, {}, {"b": 2.0}, {"a": 1.0, "b": 1.0, "c": 1.0}), start=1):
        step(balancer, network, present, epoch)
        for name in ROWS:
            assert (float(network.heads[name].grad) != 0) == (name in present)
        balancer.look_again({name: torch.tensor(0.5, dtype=torch.float64) for name in present})
        balancer.watch_performance({name: math.nan for name in present})


@pytest.mark.parametrize("method", ["normalized_sum", "uncertainty", "imtl_l", "stch", "gls", "dwa", "famo"])
def test_negative_losses_are_refused_with_a_reason(method: str) -> None:
    with pytest.raises(ValueError, match=r"loss of task 'b' is -0\.5.*bounded below by 0, such as 1 - Dice"):
        step(built(method), Linear(ROWS), {"a": 1.0, "b": -0.5, "c": 1.0})
    balancer = built(method)
    step(balancer, Linear(ROWS))
    step(balancer, Linear(ROWS), {"b": -0.5})
    with pytest.raises(ValueError, match="'b'"):  # looked at one step late, so that no GPU waits
        step(balancer, Linear(ROWS))


@pytest.mark.parametrize("method", ["sum", "rlw", "dirichlet"])
def test_negative_losses_are_fine_where_no_formula_breaks(method: str) -> None:
    step(built(method), Linear(ROWS), {"a": 1.0, "b": -0.5, "c": 1.0})


@pytest.mark.parametrize("method", [method for method in METHODS if method not in ("dirichlet", "rlw")])
def test_order_of_tasks_changes_nothing(method: str) -> None:
    def run(order: str) -> dict[str, float]:
        network = Linear({name: ROWS[name] for name in order})
        balancer = built(method, dict.fromkeys(order, 1.0))
        balancer.attach(network)
        optimizer = torch.optim.SGD([*balancer.parameters(), torch.zeros(1)], lr=0.1)
        for epoch in (1, 2, 3):
            step(balancer, network, {name: {"a": 1.0, "b": 3.0, "c": 0.5}[name] / epoch**0.5 for name in order}, epoch)
            optimizer.step()
            balancer.look_again({name: torch.tensor(0.1 * (1 + ord(name))).double() for name in order})
            balancer.watch_performance({name: 0.001 * ord(name) for name in order})
        return weights(balancer)

    assert run("cab") == pytest.approx(run("abc"), rel=1e-5)


@pytest.mark.parametrize("method", ["normalized_sum", "famo", "gls"])
def test_scale_of_a_loss_cancels(method: str) -> None:
    """w L is the same whatever unit a loss is measured in (for GLS up to the common mean)."""
    small, large = built(method), built(method, {"a": 100.0, "b": 1.0, "c": 1.0})
    network = Linear(ROWS)
    values = {"a": 0.5, "b": 2.0, "c": 1.0}
    step(small, network, values)
    step(large, network, values)
    ratio = {name: weights(large)[name] / weights(small)[name] for name in ROWS}
    assert ratio["b"] == pytest.approx(ratio["c"]) == pytest.approx(ratio["a"]), "weights contain the factor of 100"


@pytest.mark.parametrize("method", METHODS)
def test_state_goes_on_where_it_was(method: str, tmp_path) -> None:
    network, unbroken, stopped, resumed = Linear(ROWS), built(method), built(method), built(method)

    def go_on(balancer: Balancer, epoch: int) -> list[torch.Tensor]:
        gradients = []
        balancer.attach(network)
        for number in range(2):
            gradients.append(step(balancer, network, {"a": 1.0 + number, "b": 2.0 / epoch, "c": 0.5}, epoch))
            for parameter in balancer.parameters():
                parameter.data -= 0.1 * parameter.grad
            balancer.look_again({"a": torch.tensor(0.5 / epoch), "b": torch.tensor(1.0), "c": torch.tensor(0.5)})
        balancer.watch_performance({"a": 0.5 / epoch, "b": 0.25, "c": 0.7})
        return gradients

    for balancer in (unbroken, stopped):
        for epoch in (1, 2):
            go_on(balancer, epoch)
    torch.save(stopped.state_dict(), tmp_path / "state.pt")
    resumed.attach(network)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for epoch in (3, 4):
        for expected, found in zip(go_on(unbroken, epoch), go_on(resumed, epoch), strict=True):
            assert torch.equal(expected, found)


def test_learned_weights_are_in_the_optimiser_and_never_decayed() -> None:
    from branchpoint.config import OptimizerConfig
    from branchpoint.training.step.optimizer import build_optimizer

    for method in ("uncertainty", "gradnorm"):
        balancer = built(method)
        (learned,) = balancer.parameters()
        optimizer = build_optimizer(OptimizerConfig(weight_decay=0.1), Linear(ROWS), balancer.parameters())
        (group,) = [group for group in optimizer.param_groups if any(p is learned for p in group["params"])]
        assert group["weight_decay"] == 0
        learned.grad = torch.ones_like(learned)
        optimizer.zero_grad()
        assert learned.grad is None, "gradients of one step never reach the next"
