"""Each loss weighting against its closed form or its paper's algorithm."""

import math
from typing import Any

import pytest
import torch

from tests.balancing.toys import Linear, step, weights
from tests.balancing.weightings import ROWS, built


def test_normalized_sum_divides_by_the_mean_of_the_first_epoch() -> None:
    network, balancer = Linear(ROWS), built("normalized_sum", {"a": 1.0, "b": 3.0, "c": 1.0})
    step(balancer, network, {"a": 2.0, "b": 1.0, "c": 0.0})
    assert weights(balancer) == pytest.approx(
        {"a": 0.5, "b": 3 / 3.0, "c": 1.0}
    )  # the weight multiplies the loss first
    step(balancer, network, {"a": 4.0, "b": 3.0, "c": 5.0})
    assert weights(balancer) == pytest.approx({"a": 1 / 3, "b": 3 / 6.0, "c": 1 / 5})  # zeros are left out
    step(balancer, network, {"a": 9.0, "b": 9.0, "c": 9.0}, epoch=2)
    assert weights(balancer) == pytest.approx({"a": 1 / 3, "b": 3 / 6.0, "c": 1 / 5})


@pytest.mark.parametrize(("form", "factor"), [("half", 0.5), ("full", 1.0)])
def test_uncertainty(form: str, factor: float) -> None:
    """Gradient of L e^-s factor + s / 2 in s, against autograd, and its stationary point sigma^2 = 2 factor L."""
    network, balancer = Linear(ROWS), built("uncertainty", form=form, log_variance=-0.5)
    values = {"a": 2.0, "b": 0.25, "c": 1.0}
    step(balancer, network, values)
    (learned,) = balancer.parameters()
    expected = torch.full((3,), -0.5, dtype=torch.float64, requires_grad=True)
    (factor * torch.tensor(list(values.values())) * (-expected).exp() + expected / 2).sum().backward()
    torch.testing.assert_close(learned.grad.double(), expected.grad)
    assert weights(balancer)["a"] == pytest.approx(factor * math.exp(0.5))
    optimizer = torch.optim.Adam(balancer.parameters(), lr=0.05)
    for _ in range(800):
        step(balancer, network, values)
        optimizer.step()
    torch.testing.assert_close(
        learned.detach().exp(), 2 * factor * torch.tensor(list(values.values())), rtol=1e-3, atol=0
    )


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_uncertainty_reaches_its_optimum_beside_a_network_that_learns_slowly(optimizer: str) -> None:
    """Losses of 0.05 and 3 have their optimum at the weights 1 / (2 L), 10 and 1/6 (Kendall et al. 2018, eq. 7)."""
    balancer = built("uncertainty", {"a": 1.0, "b": 1.0})
    network = Linear({"a": (1.0,), "b": (1.0,)})
    train(balancer, network, {"a": 0.05, "b": 3.0}, steps=600, optimizer=optimizer)
    assert weights(balancer) == pytest.approx({"a": 10.0, "b": 1 / 6}, rel=0.05)


def test_imtl_l_brings_all_weighted_losses_to_one() -> None:
    """Gradient of e^s L - s against TorchJD's, and its stationary point e^s = 1 / L (Liu et al. 2021, eq. 7)."""
    scalarization = pytest.importorskip("torchjd.scalarization", reason="the extra 'balancing' is not installed")
    values = {"a": 2.0, "b": 0.25, "c": 1.0}
    reference = scalarization.IMTLL(3).double()
    reference(torch.tensor(list(values.values()), dtype=torch.float64)).backward()
    network, balancer = Linear(ROWS), built("imtl_l")
    step(balancer, network, values)
    (learned,) = balancer.parameters()
    torch.testing.assert_close(learned.grad.double(), reference.log_scale.grad)
    train(balancer, network, values, steps=600, optimizer="adam")
    assert weights(balancer) == pytest.approx({"a": 0.5, "b": 4.0, "c": 1.0}, rel=1e-2)


def test_stch_is_the_smooth_maximum_of_relative_losses() -> None:
    """Against TorchJD's scalarization of the log ratios to the losses of the last warm-up epoch."""
    scalarization = pytest.importorskip("torchjd.scalarization", reason="the extra 'balancing' is not installed")
    network, balancer = Linear(ROWS), built("stch", mu=0.4, warm_up_epochs=2)
    step(balancer, network, {"a": 9.0, "b": 0.5, "c": 3.0}, epoch=1)
    assert weights(balancer) == pytest.approx({"a": 1 / 9, "b": 2.0, "c": 1 / 3}), "descends the sum of log L"
    step(balancer, network, {"a": 3.0, "b": 0.5, "c": 2.0}, epoch=2)
    step(balancer, network, {"a": 5.0, "b": 0.3, "c": 0.0}, epoch=2)
    assert weights(balancer) == pytest.approx({"a": 1 / 5, "b": 1 / 0.3, "c": 0.0})
    references = torch.tensor([4.0, 0.4, 2.0], dtype=torch.float64)  # a loss of zero is left out of the mean
    losses = torch.tensor([2.0, 0.4, 1.5], dtype=torch.float64, requires_grad=True)
    smooth = scalarization.STCH(0.4, weights=torch.ones(3).double(), reference=references.log())
    (3 * smooth(losses.log())).backward()
    step(balancer, network, dict(zip("abc", losses.tolist(), strict=True)), epoch=3)
    assert list(weights(balancer).values()) == pytest.approx(losses.grad.tolist(), rel=1e-5)
    sharp = built("stch", mu=1e-3, warm_up_epochs=1)
    sharp.load_state_dict(balancer.state_dict())
    step(sharp, network, dict(zip("abc", losses.tolist(), strict=True)), epoch=3)
    assert weights(sharp) == pytest.approx({"a": 0.0, "b": 3 / 0.4, "c": 0.0}, abs=1e-6), "the largest ratio, 1, is b's"
    step(sharp, network, {"a": 2.0, "b": 0.0}, epoch=4)
    assert weights(sharp)["a"] == pytest.approx(1 / 2.0), "a loss of zero takes nothing away"


def test_gradnorm_reaches_equal_norms_beside_a_network_that_learns_slowly() -> None:
    """With alpha 0 the optimum is w_a |g_a| = w_b |g_b| and w_a + w_b = 2 (Chen et al. 2018, eq. 1)."""
    balancer = built("gradnorm", {"a": 1.0, "b": 1.0}, alpha=0.0)
    network = Linear({"a": (9.0,), "b": (1.0,)})
    balancer.attach(network)
    train(balancer, network, {"a": 1.0, "b": 1.0}, steps=400, optimizer="adam")
    assert weights(balancer) == pytest.approx({"a": 0.2, "b": 1.8}, rel=0.1)


def train(balancer: Any, network: Linear, values: dict[str, float], steps: int, optimizer: str) -> None:
    """Steps of a run from the second epoch on; its learning rate is so small that the losses stay as they are."""
    from branchpoint.config import OptimizerConfig
    from branchpoint.training.step.optimizer import build_optimizer, learning_rate, set_learning_rate

    config = OptimizerConfig(name=optimizer, learning_rate=1e-9)  # type: ignore[arg-type]
    built_optimizer = build_optimizer(config, network, balancer.parameters(), balancer.learning_rate)
    step(balancer, network, values, epoch=1)
    for number in range(steps):
        set_learning_rate(built_optimizer, learning_rate(config, number / steps))
        step(balancer, network, values, epoch=2)
        built_optimizer.step()
    step(balancer, network, values, epoch=2)


def test_rlw_is_the_softmax_of_normal_numbers() -> None:
    network, balancer = Linear(ROWS), built("rlw", seed=7)
    generator = torch.Generator().manual_seed(7)
    for _ in range(3):
        step(balancer, network)
        drawn = torch.randn(3, generator=generator).softmax(0)
        assert list(weights(balancer).values()) == pytest.approx(drawn.tolist(), rel=1e-5)


@pytest.mark.parametrize(
    ("tasks", "draws", "concentration", "variance"),
    [
        (2, 0, 1.0, 1 / 12),  # uniform p and 1 - p, as published for two tasks
        (3, 0, 1.0, (2 / 36) / 2),  # mean of two draws of Dir(1, 1, 1), as published for more
        (3, 1, 1.0, 2 / 36),
        (3, 4, 2.0, (2 * 4 / (36 * 7)) / 4),
    ],
)
def test_dirichlet_has_the_moments_of_its_variant(
    tasks: int, draws: int, concentration: float, variance: float
) -> None:
    names = list(ROWS)[:tasks]
    network = Linear({name: ROWS[name] for name in names})
    balancer = built("dirichlet", dict.fromkeys(names, 1.0), draws=draws, concentration=concentration)
    seen = []
    for _ in range(3000):
        step(balancer, network)
        seen.append(list(weights(balancer).values()))
    drawn = torch.tensor(seen)
    torch.testing.assert_close(drawn.sum(1), torch.ones(len(drawn)))
    torch.testing.assert_close(drawn.mean(0), torch.full((tasks,), 1 / tasks), atol=0.02, rtol=0)
    torch.testing.assert_close(drawn.var(0), torch.full((tasks,), variance), atol=0, rtol=0.12)


def test_gls_is_the_gradient_of_the_geometric_mean() -> None:
    network, balancer = Linear(ROWS), built("gls")
    step(balancer, network, {"a": 1.0, "b": 8.0, "c": 27.0})
    assert weights(balancer) == pytest.approx({"a": 2.0, "b": 2 / 8, "c": 2 / 27})  # mean 6, over 3 L
    step(balancer, network, {"a": 4.0, "b": 9.0})
    assert {k: weights(balancer)[k] for k in "ab"} == pytest.approx({"a": 6 / 8, "b": 6 / 18})
    step(balancer, network, {"a": 4.0, "b": 0.0, "c": 9.0})
    assert weights(balancer) == pytest.approx({"a": 6 / 8, "b": 0.0, "c": 6 / 18}), "a loss of zero takes nothing away"


def test_dwa_follows_the_ratio_of_epoch_means() -> None:
    network, balancer = Linear(ROWS), built("dwa", temperature=2.0)
    history = [[{"a": 4.0, "b": 2.0}, {"a": 2.0, "b": 2.0}], [{"a": 1.0, "b": 2.0}, {"a": 2.0, "b": 4.0}]]
    for epoch, steps in enumerate(history, start=1):
        for values in steps:
            step(balancer, network, values, epoch)
            assert weights(balancer) == {"a": 1.0, "b": 1.0, "c": 1.0}
    step(balancer, network, {"a": 1.0, "b": 1.0, "c": 1.0}, epoch=3)
    ratios = torch.tensor([1.5 / 3.0, 3.0 / 2.0])
    a, b = (2 * (ratios / 2.0).softmax(0)).tolist()
    assert weights(balancer) == pytest.approx({"a": a, "b": b, "c": 1.0}, rel=1e-5), "c has no past yet"


def test_dtp_weighs_what_is_done_badly() -> None:
    network, balancer = Linear(ROWS), built("dtp", gamma=2.0, smoothing=0.25)
    assert balancer.watches_performance
    balancer.watch_performance({"a": 0.9, "b": 0.2, "c": math.nan})
    step(balancer, network)
    expected = {"a": -(0.1**2) * math.log(0.9), "b": -(0.8**2) * math.log(0.2), "c": 1.0}
    assert weights(balancer) == pytest.approx(expected, rel=1e-5)
    balancer.watch_performance({"a": 0.5, "b": 0.0, "c": 1.0})
    step(balancer, network)
    kpi = {"a": 0.25 * 0.5 + 0.75 * 0.9, "b": 0.75 * 0.2, "c": 0.999}
    expected = {name: -((1 - value) ** 2) * math.log(value) for name, value in kpi.items()}
    assert weights(balancer) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match=r"'b' is -3"):
        balancer.watch_performance({"b": -3.0})


def test_famo_against_its_algorithm_by_autograd() -> None:
    """xi by torch's Adam along autograd's vector-Jacobian product, weights by the gradient of sum c z log L."""
    network, balancer = Linear(ROWS), built("famo", learning_rate=0.1, weight_decay=0.01)
    xi = torch.zeros(3, requires_grad=True)
    adam = torch.optim.Adam([xi], lr=0.1, weight_decay=0.01)
    before, after = torch.tensor([2.0, 0.5, 1.0]), torch.tensor([1.0, 0.5, 1.5])
    for _ in range(4):
        losses = before.clone().requires_grad_()
        z = xi.detach().softmax(0)
        c = 1 / (z / (before + 1e-8)).sum()
        (c * z * (losses + 1e-8).log()).sum().backward()
        step(balancer, network, dict(zip(ROWS, before.tolist(), strict=True)))
        assert list(weights(balancer).values()) == pytest.approx(losses.grad.tolist(), rel=1e-5)
        assert sum(weights(balancer).values()) == pytest.approx(1.0)
        delta = (before + 1e-8).log() - (after + 1e-8).log()
        (xi.grad,) = torch.autograd.grad(xi.softmax(0), xi, grad_outputs=delta)
        adam.step()
        balancer.look_again(dict(zip(ROWS, after.unbind(), strict=True)))
    assert weights(balancer)["c"] > weights(balancer)["a"] * before[0] / before[2], "the one that rose gains"


def test_gradnorm_against_autograd() -> None:
    """Three tasks, second epoch: gradient of sum |w_i g_i - mean r_i^alpha| in x, w = 3 softmax(x), targets fixed."""
    network, balancer = Linear(ROWS), built("gradnorm", {"a": 1.0, "b": 2.0, "c": 1.0}, alpha=0.5)
    balancer.attach(network)
    step(balancer, network, {"a": 1.0, "b": 2.0, "c": 4.0}, epoch=1)
    (logits,) = balancer.parameters()
    assert weights(balancer) == pytest.approx({"a": 1.0, "b": 2.0, "c": 1.0})
    assert not logits.grad.any(), "the first epoch measures L(0)"
    logits.data = torch.tensor([0.3, -0.2, 0.1])
    step(balancer, network, {"a": 0.5, "b": 2.0, "c": 1.0}, epoch=2)
    x = logits.detach().double().requires_grad_()
    own = 3 * x.softmax(0)
    # The last shared stage is shared.1, and the weight of b doubles its loss.
    norms = own * torch.tensor([0.0, 2 * 3.0, 1.0])
    ratios = torch.tensor([0.5, 1.0, 0.25], dtype=torch.float64)
    targets = norms.detach().mean() * (ratios / ratios.mean()) ** 0.5
    (norms - targets).abs().sum().backward()
    torch.testing.assert_close(logits.grad.double(), x.grad, rtol=1e-5, atol=1e-6)
    assert weights(balancer) == pytest.approx(
        dict(zip("abc", (own.detach() * torch.tensor([1, 2, 1])).tolist(), strict=True)), rel=1e-5
    )


def test_gradnorm_leaves_separate_networks_to_themselves() -> None:
    nan = math.nan
    network = Linear({"a": (1.0, nan), "b": (nan, 5.0), "c": (2.0, nan)})
    balancer = built("gradnorm")
    balancer.attach(network)
    (logits,) = balancer.parameters()
    for epoch in (1, 2):
        step(balancer, network, {"a": 1.0, "b": 1.0, "c": 2.0}, epoch)
    assert logits.grad[1] == 0
    assert logits.grad[0] == -logits.grad[2] != 0
    logits.data = torch.tensor([1.0, 5.0, 0.0])
    step(balancer, network, epoch=2)
    assert weights(balancer)["b"] == 1.0
    assert weights(balancer)["a"] + weights(balancer)["c"] == pytest.approx(2.0)
