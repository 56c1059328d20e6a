"""The weighted sum leaves the gradient of the weighted sum, and zeros where no loss reaches."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from branchpoint.balancing import Balancer, Step, TaskLoss, WeightedSum, build_balancer
from branchpoint.config import balancing_config


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Parameter(torch.tensor([1.0, -2.0]))
        self.a = nn.Parameter(torch.tensor(3.0))
        self.b = nn.Parameter(torch.tensor(0.5))
        self.frozen = nn.Parameter(torch.tensor(1.0), requires_grad=False)

    def losses(self) -> dict[str, TaskLoss]:
        a, b = self.a * self.shared.sum(), self.b * self.shared.square().sum()
        return {"a": TaskLoss(a, a.detach()), "b": TaskLoss(b, b.detach())}


class Doubling:
    """Two workers that hold the same."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, tensors: Sequence[Tensor]) -> None:
        self.calls += 1
        for tensor in tensors:
            tensor.mul_(2)


def test_gradient_is_the_weighted_sum_added_up_once() -> None:
    network, add_up = TwoHeads(), Doubling()
    WeightedSum({"a": 2.0, "b": 0.5}).backward(Step(network.losses(), network, add_up, 1))
    # d/ds (2 a sum(s) + 0.5 b sum(s^2)) = 2 a + b s, doubled by the second worker
    torch.testing.assert_close(network.shared.grad, 2 * (2 * 3.0 + 0.5 * torch.tensor([1.0, -2.0])))
    torch.testing.assert_close(network.a.grad, torch.tensor(2 * 2.0 * -1.0))
    assert add_up.calls == 1
    assert network.frozen.grad is None


@pytest.mark.parametrize("present", [["a"], []])
def test_absent_tasks_leave_zero_gradients_and_the_other_weights(present: list[str]) -> None:
    network, add_up = TwoHeads(), Doubling()
    losses = {name: loss for name, loss in network.losses().items() if name in present}
    balancer = WeightedSum({"a": 2.0, "b": 0.5})
    balancer.backward(Step(losses, network, add_up, 1))
    assert network.b.grad is not None
    assert network.b.grad == 0
    assert network.a.grad == (2 * 2.0 * -1.0 if present else 0.0)
    assert balancer.weights() == {"a": 2.0, "b": 0.5}
    assert add_up.calls == 1, "every worker must join the reduction"


def test_state_of_a_stateless_balancer() -> None:
    balancer: Balancer = build_balancer(balancing_config("sum"), {"a": 1.0})
    assert isinstance(balancer, WeightedSum)
    assert balancer.parameters() == ()
    balancer.load_state_dict(balancer.state_dict())
    with pytest.raises(ValueError, match="keeps no state"):
        balancer.load_state_dict({"sigma": 1.0})


def test_unknown_balancer_is_named() -> None:
    config = balancing_config("sum")
    object.__setattr__(config, "method", "magic")
    with pytest.raises(ValueError, match=r"balancing\.method is 'magic'"):
        build_balancer(config, {"a": 1.0})
