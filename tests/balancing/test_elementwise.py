"""GradDrop and ExcessMTL against their algorithms, TorchJD and the properties that their papers promise."""

import math
import sys

import pytest
import torch
from torch import Tensor

from branchpoint.balancing import Balancer, build_balancer
from branchpoint.config import balancing_config
from tests.balancing.toys import Linear, step, weights

torchjd = pytest.importorskip("torchjd.aggregation", reason="the extra 'balancing' is not installed")

ROWS = {"a": (4.0, -1.0, 0.0, 2.0), "b": (-1.0, -3.0, 0.0, 0.0)}


def attached(network: Linear, method: str, seed: int = 0, **options: object) -> Balancer:
    balancer = build_balancer(balancing_config(method, **options), dict.fromkeys(network.rows, 1.0), seed)
    balancer.attach(network)
    return balancer


def with_rows(network: Linear, rows: Tensor) -> Linear:
    for name, row in zip(network.rows, rows, strict=True):
        network.rows[name] = row
    return network


def test_graddrop_keeps_one_sign_as_often_as_its_purity_says() -> None:
    """Of 4 and -1 the purity is (1 + 3/5) / 2 = 0.8: 4 in four of five steps, else -1 (Chen et al. 2020, eq. 1)."""
    network = Linear(ROWS)
    balancer = attached(network, "graddrop")
    before = torch.get_rng_state()
    found = torch.stack([step(balancer, network) for _ in range(3000)])
    assert torch.equal(torch.get_rng_state(), before), "torch's own generator is left alone"
    assert set(found[:, 0].tolist()) == {4.0, -1.0}
    assert float((found[:, 0] > 0).double().mean()) == pytest.approx(0.8, abs=4 * math.sqrt(0.8 * 0.2 / 3000))
    assert (found[:, 1] == -4.0).all(), "where tasks agree nothing is dropped"
    assert not found[:, 2].any(), "nobody pulls"
    assert (found[:, 3] == 2.0).all(), "one task alone"
    assert network.heads["a"].grad == 1.0, "its own gradient"


def test_graddrop_leaks_and_goes_on_where_it_was() -> None:
    network = Linear(ROWS)
    first = attached(network, "graddrop", seed=1, leak=0.25)
    found = [step(first, network) for _ in range(20)]
    assert {float(gradient[0]) for gradient in found} == {4.0 - 0.25, 0.25 * 4.0 - 1.0}
    assert all(
        torch.equal(step(attached(network, "graddrop", leak=1.0), network), torch.tensor([3.0, -4.0, 0, 2]))
        for _ in "ab"
    )
    second = attached(network, "graddrop", seed=2, leak=0.25)
    second.load_state_dict(first.state_dict())
    for _ in range(20):
        assert torch.equal(step(first, network), step(second, network))


def test_excess_mtl_is_that_of_torchjd_where_all_tasks_share_all() -> None:
    network = Linear({"a": (0.0,) * 6, "b": (0.0,) * 6, "c": (0.0,) * 6})
    balancer = attached(network, "excess_mtl", step_size=0.3, warm_up_steps=2)
    reference = torchjd.ExcessMTLWeighting(robust_step_size=0.3, n_warmup_steps=2)
    generator = torch.Generator().manual_seed(0)
    for number in range(8):
        rows = torch.randn(3, 6, generator=generator, dtype=torch.float64) * torch.tensor([[1.0], [10.0], [0.1]])
        found = step(balancer, with_rows(network, rows))
        expected = reference(rows)
        torch.testing.assert_close(found, expected @ rows)
        assert list(weights(balancer).values()) == pytest.approx(expected.tolist())
        assert (number < 2) == (expected == 1 / 3).all(), "weights rest while first risks are measured"


def test_excess_mtl_keeps_the_weight_of_an_absent_task_and_goes_on_where_it_was() -> None:
    network = Linear({"a": (1.0, 2.0), "b": (-5.0, 1.0), "c": (2.0, 1.0)})
    balancer = attached(network, "excess_mtl", step_size=0.5, warm_up_steps=1)
    for values in (None, None, {"a": 1.0, "b": 1.0}):
        before = weights(balancer)["c"]
        step(balancer, network, values)
    assert weights(balancer)["c"] == pytest.approx(before)
    assert sum(weights(balancer).values()) == pytest.approx(1.0)
    assert not step(balancer, network, {}).any()
    resumed = attached(network, "excess_mtl", step_size=0.5, warm_up_steps=1)
    resumed.load_state_dict(balancer.state_dict())
    for _ in range(3):
        assert torch.equal(step(balancer, network), step(resumed, network))


def test_excess_mtl_weighs_each_group_of_a_tree_by_itself() -> None:
    nan = math.nan
    rows = {"a": (-4.0, 2.0), "b": (6.0, -1.0), "c": (-9.0, nan)}
    network = Linear(rows)
    balancer = attached(network, "excess_mtl", warm_up_steps=1)
    found = step(balancer, network)
    torch.testing.assert_close(found, torch.tensor([-7 / 3, 1 / 2]).double()), "uniform within each group"


@pytest.mark.parametrize("method", ["graddrop", "excess_mtl"])
def test_separate_networks_are_refused_before_training(method: str) -> None:
    nan = math.nan
    with pytest.raises(ValueError, match="a, b share no parameter: every combination is the sum"):
        attached(Linear({"a": (1.0, nan), "b": (nan, 1.0)}), method)


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchjd", None)
    with pytest.raises(ModuleNotFoundError, match=r"balancing\.method 'graddrop' needs TorchJD"):
        attached(Linear(ROWS), "graddrop")
    attached(Linear(ROWS), "excess_mtl")
