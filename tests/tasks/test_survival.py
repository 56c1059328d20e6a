"""Cox loss against R, torchsurv, closed forms and its own invariances; C-index against scikit-survival."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from branchpoint.config import SurvivalConfig
from branchpoint.tasks import build_task, cox_loss
from branchpoint.tasks.survival import SurvivalTask

TIES = ("breslow", "efron")


def task(ties: str = "breslow") -> SurvivalTask:
    built = build_task(SurvivalConfig(name="survival", target="survival", ties=ties))
    assert isinstance(built, SurvivalTask)
    return built


@st.composite
def cohorts(draw: st.DrawFn, largest: float = 5.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Log-hazard, time (few values, so that many tie) and event of 1 to 12 samples."""
    n = draw(st.integers(1, 12))
    values = st.floats(-largest, largest, allow_nan=False, width=32)
    log_hazard = draw(st.lists(values, min_size=n, max_size=n))
    time = draw(st.lists(st.integers(1, 6), min_size=n, max_size=n))
    event = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return torch.tensor(log_hazard), torch.tensor(time, dtype=torch.float32), torch.tensor(event)


def oracle_fits() -> list[tuple[dict, str]]:
    folder = os.environ.get("BRANCHPOINT_DATA")
    if not folder:
        return []
    fits = []
    for name in ("benchmark_cox_with_ties.json", "benchmark_cox_without_ties.json"):
        fits += [(fit, name) for fit in json.loads((Path(folder) / "oracles" / name).read_text())]
    return fits


@pytest.mark.skipif(not os.environ.get("BRANCHPOINT_DATA"), reason="BRANCHPOINT_DATA is not set: R's values are there")
@pytest.mark.parametrize("ties", TIES)
def test_cox_loss_matches_r_survival(ties: str) -> None:
    fits = oracle_fits()
    assert len(fits) == 12
    for fit, name in fits:
        suffix = f"_{ties}" if f"log_hazard_{ties}" in fit else ""
        time, event = torch.tensor(fit["time"], dtype=torch.float64), torch.tensor(fit["status"]).bool()
        log_hazard = torch.tensor(fit[f"log_hazard{suffix}"][0], dtype=torch.float64)
        log_likelihood = -cox_loss(log_hazard, time, event, ties=ties) * event.sum()
        # R's log-hazards were stored with 4 decimals.
        assert float(log_likelihood) == pytest.approx(fit[f"log_likelihood{suffix}"][0], abs=2e-3), name


@pytest.mark.filterwarnings("ignore:Ties in `time` detected", "ignore:.*torch.jit.script")
@pytest.mark.parametrize("ties", TIES)
def test_cox_loss_matches_torchsurv_value_and_gradient(ties: str) -> None:
    from torchsurv.loss.cox import neg_partial_log_likelihood

    generator = torch.Generator().manual_seed(0)
    for n in (5, 40, 200):
        time = torch.randint(1, 1 + n // 4, (n,), generator=generator).float()
        event = torch.rand(n, generator=generator) < 0.4
        event[0] = True
        ours = torch.randn(n, generator=generator).requires_grad_()
        theirs = ours.detach().clone().requires_grad_()
        loss = cox_loss(ours, time, event, ties=ties)
        expected = neg_partial_log_likelihood(theirs, event, time, ties_method=ties, reduction="sum") / event.sum()
        loss.backward()
        expected.backward()
        torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6)


def test_cox_loss_closed_forms() -> None:
    """Equal hazards: an event with n at risk adds log n (Breslow); Efron averages log n and log(n - 1)."""
    zeros = torch.zeros(4)
    distinct, all_die = torch.tensor([1.0, 2, 3, 4]), torch.ones(4)
    assert float(cox_loss(zeros, distinct, all_die)) == pytest.approx(math.log(math.factorial(4)) / 4)
    tied, two_die = torch.tensor([2.0, 2, 3, 4]), torch.tensor([1, 1, 0, 0])
    assert float(cox_loss(zeros, tied, two_die, ties="breslow")) == pytest.approx(math.log(4))
    assert float(cox_loss(zeros, tied, two_die, ties="efron")) == pytest.approx((math.log(4) + math.log(3)) / 2)


def test_censored_at_the_event_time_is_still_at_risk() -> None:
    log_hazard, event = torch.tensor([0.0, 1.0]), torch.tensor([1, 0])
    expected = math.log(1 + math.e)
    assert float(cox_loss(log_hazard, torch.tensor([5.0, 5.0]), event)) == pytest.approx(expected)
    assert float(cox_loss(log_hazard, torch.tensor([5.0, 4.0]), event)) == pytest.approx(0.0)


@pytest.mark.parametrize("ties", TIES)
@given(cohorts())
@settings(max_examples=60, deadline=None)
def test_cox_loss_ignores_a_shift_and_the_order(ties: str, cohort: tuple[torch.Tensor, ...]) -> None:
    log_hazard, time, event = (tensor.double() for tensor in cohort)
    loss = cox_loss(log_hazard, time, event, ties=ties)
    torch.testing.assert_close(cox_loss(log_hazard + 7.5, time, event, ties=ties), loss)
    order = torch.randperm(len(time), generator=torch.Generator().manual_seed(len(time)))
    torch.testing.assert_close(cox_loss(log_hazard[order], time[order], event[order], ties=ties), loss)


@pytest.mark.parametrize("ties", TIES)
@given(cohorts())
@settings(max_examples=60, deadline=None)
def test_cox_loss_is_not_negative_and_gradients_cancel(ties: str, cohort: tuple[torch.Tensor, ...]) -> None:
    log_hazard = cohort[0].double().requires_grad_()
    loss = cox_loss(log_hazard, cohort[1], cohort[2], ties=ties)
    loss.backward()
    assert float(loss.detach()) >= -1e-9
    assert float(log_hazard.grad.sum()) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("ties", TIES)
@given(cohorts(largest=2.0**100))
@settings(max_examples=60, deadline=None)
def test_cox_loss_is_finite_for_huge_hazards(ties: str, cohort: tuple[torch.Tensor, ...]) -> None:
    log_hazard = cohort[0].requires_grad_()
    loss = cox_loss(log_hazard, cohort[1], cohort[2], ties=ties)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(log_hazard.grad).all()
    assert float(log_hazard.grad.abs().max()) <= 2.0


@pytest.mark.parametrize("ties", TIES)
def test_cox_loss_of_spread_hazards_is_exact_in_float32(ties: str) -> None:
    """Hazards from e^-2000 to e^2000: only the largest of each risk set matters."""
    log_hazard = torch.tensor([2000.0, -2000.0, 1000.0, 0.0], requires_grad=True)
    loss = cox_loss(log_hazard, torch.tensor([1.0, 2, 3, 4]), torch.ones(4), ties=ties)
    loss.backward()
    assert float(loss.detach()) == pytest.approx((0 + 3000 + 0 + 0) / 4)
    torch.testing.assert_close(log_hazard.grad, torch.tensor([0.0, -0.25, 0.25, 0.0]))


@pytest.mark.parametrize("ties", TIES)
def test_no_events_gives_a_zero_on_the_graph(ties: str) -> None:
    log_hazard = torch.randn(6, requires_grad=True)
    loss = cox_loss(log_hazard, torch.rand(6), torch.zeros(6), ties=ties)
    assert loss.item() == 0.0
    assert loss.grad_fn is not None
    loss.backward()
    assert torch.equal(log_hazard.grad, torch.zeros(6))


@pytest.mark.parametrize("ties", TIES)
@given(cohorts(), st.integers(0, 2**12 - 1))
@settings(max_examples=60, deadline=None)
def test_unlabelled_samples_change_nothing(ties: str, cohort: tuple[torch.Tensor, ...], bits: int) -> None:
    log_hazard, time, event = cohort
    labelled = torch.tensor([bool(bits >> i & 1) for i in range(len(time))])
    log_hazard = log_hazard.clone().requires_grad_()
    loss = cox_loss(log_hazard, time, event, labelled, ties=ties)
    loss.backward()
    torch.testing.assert_close(loss, cox_loss(log_hazard[labelled], time[labelled], event[labelled], ties=ties))
    assert not log_hazard.grad[~labelled].any()


def test_half_precision_is_computed_in_float32() -> None:
    log_hazard = torch.tensor([300.0, -300.0, 1.0], dtype=torch.bfloat16, requires_grad=True)
    loss = cox_loss(log_hazard, torch.tensor([2.0, 1.0, 3.0]), torch.ones(3))
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(log_hazard.grad).all()


def test_wrong_shapes_and_ties_are_named() -> None:
    with pytest.raises(ValueError, match=r"\(3, 1\)"):
        cox_loss(torch.zeros(3, 1), torch.ones(3), torch.ones(3))
    with pytest.raises(ValueError, match="'exact'"):
        cox_loss(torch.zeros(3), torch.ones(3), torch.ones(3), ties="exact")  # type: ignore[arg-type]


def test_task_loss_reads_time_then_event() -> None:
    logits, target = torch.tensor([[0.3], [-0.2], [1.0]]), torch.tensor([[5.0, 1], [7, 0], [3, 1]])
    everyone = torch.ones(3, dtype=torch.bool)
    for ties in TIES:
        expected = cox_loss(logits[:, 0], target[:, 0], target[:, 1], ties=ties)
        assert torch.equal(task(ties).loss(logits, target, everyone), expected)


def summary_of(log_hazard, time, event, **more) -> dict[str, np.ndarray]:
    labelled = np.ones(len(time), dtype=bool)
    return {
        "log_hazard": np.asarray(log_hazard, np.float32),
        "time_days": np.asarray(time, np.float32),
        "event": np.asarray(event, bool),
        "labelled": labelled,
        **more,
    }


def random_cohort(seed: int, n: int) -> dict[str, np.ndarray]:
    """Times and log-hazards take few values, so that every kind of tie occurs."""
    rng = np.random.default_rng(seed)
    return summary_of(rng.integers(0, n // 3, n) / 4, rng.integers(1, n // 2, n), rng.random(n) < 0.4)


@pytest.mark.parametrize("seed", range(8))
def test_c_index_matches_scikit_survival_with_and_without_it(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from sksurv.metrics import concordance_index_censored

    cohort = random_cohort(seed, 12 + 5 * seed)
    expected = concordance_index_censored(cohort["event"], cohort["time_days"], cohort["log_hazard"])[0]
    assert task().metrics(cohort)["c_index"] == pytest.approx(expected, abs=1e-12)
    once = np.ones((1, len(cohort["event"])), dtype=int)
    assert task().resampled(cohort, once)["c_index"][0] == pytest.approx(expected, abs=1e-12)
    monkeypatch.setitem(sys.modules, "sksurv.metrics", None)
    assert task().metrics(cohort)["c_index"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_resampled_c_index_is_scikit_survivals_on_the_resample(seed: int) -> None:
    cohort = random_cohort(seed, 30)
    counts = np.random.default_rng(seed).multinomial(30, np.full(30, 1 / 30), size=20)
    fast = task().resampled(cohort, counts)["c_index"]
    slow = super(SurvivalTask, task()).resampled(cohort, counts)["c_index"]
    np.testing.assert_allclose(fast, slow, atol=1e-12)


def test_c_index_orientation_and_ties() -> None:
    metrics = task().metrics
    assert metrics(summary_of([3, 2, 1], [1, 2, 3], [1, 1, 1]))["c_index"] == 1.0
    assert metrics(summary_of([1, 2, 3], [1, 2, 3], [1, 1, 1]))["c_index"] == 0.0
    assert metrics(summary_of([1, 1, 1], [1, 2, 3], [1, 1, 1]))["c_index"] == 0.5
    # An event and a censoring at one time are comparable, two events are not.
    assert metrics(summary_of([2, 1], [1, 1], [1, 0]))["c_index"] == 1.0
    assert np.isnan(metrics(summary_of([2, 1], [1, 1], [1, 1]))["c_index"])


@pytest.mark.parametrize(
    ("log_hazard", "time", "event"),
    [([1, 2], [1, 2], [0, 0]), ([1, 2], [1, 2], [0, 1]), ([1], [1], [1]), ([], [], []), ([np.nan, 1], [1, 2], [1, 1])],
    ids=["no event", "nobody outlives the event", "one sample", "none", "nan"],
)
def test_undefined_c_index_is_nan(log_hazard, time, event) -> None:
    cohort = summary_of(log_hazard, time, event)
    assert np.isnan(task().metrics(cohort)["c_index"])
    assert np.isnan(task().resampled(cohort, np.ones((2, len(time)), dtype=int))["c_index"]).all()


def test_unlabelled_samples_and_other_folds_are_not_compared() -> None:
    cohort = summary_of([3, 2, 1, 9], [1, 2, 3, 4], [1, 1, 0, 0])
    cohort["labelled"] = np.array([True, True, True, False])
    assert task().metrics(cohort)["c_index"] == 1.0
    once = np.ones((1, 4), dtype=int)
    assert task().resampled(cohort, once)["c_index"][0] == 1.0
    # Within each fold the order is right; across folds it would be wrong.
    pooled = summary_of([3, 2, 8, 7], [1, 3, 2, 4], [1, 0, 1, 0], fold=np.array([0, 0, 1, 1]))
    assert task().metrics(pooled)["c_index"] == 1.0
    assert task().resampled(pooled, once)["c_index"][0] == 1.0
    pooled.pop("fold")
    assert task().metrics(pooled)["c_index"] < 1.0


def test_summarize_gives_what_metrics_need() -> None:
    target = torch.tensor([[10.0, 1], [20, 0]])
    summary = task().summarize(torch.tensor([[1.5], [0.5]]), target, torch.tensor([True, True]))
    assert task().metrics({name: value.numpy() for name, value in summary.items()}) == {"c_index": 1.0, "n_events": 1.0}
