"""Affinities against their definition, and a training that does not notice that it is measured."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import t as student

from branchpoint import networks
from branchpoint.affinity.lookahead import Snapshot
from branchpoint.affinity.matrices import Series, blocks, mean_and_error
from branchpoint.affinity.measure import measure_affinities
from branchpoint.affinity.probe import Probe
from branchpoint.config import Config, balancing_config
from branchpoint.topology import Topology
from branchpoint.training.epoch import train_epoch
from branchpoint.training.run import Run, build_run
from branchpoint.training.step.same_batch import SameBatch
from tests.training.spheres import MemoryCohort, small_config

CPU = torch.device("cpu")
SHARED_TREE = Topology(
    encoder=((("large", "survival", "tumour"),), (("large", "survival"), ("tumour",))),
    decoder=((("tumour",),),),
)


def tree_config(**changes: object) -> Config:
    config = small_config()
    return replace(config, network=replace(config.network, topology=SHARED_TREE, unit="batchnorm"), **changes)


def trained(config: Config, every: int | None) -> tuple[Run, Probe | None]:
    run = build_run(config, MemoryCohort(), CPU)
    probe = Probe(run, every) if every else None
    torch.manual_seed(0)
    for epoch in (1, 2):
        train_epoch(run, epoch, probe)
    return run, probe


@pytest.mark.parametrize("method", ["sum", "dwa"])
def test_training_goes_on_bit_for_bit_as_without(method: str) -> None:
    """Weights, running statistics of batch norms, optimiser and random numbers."""
    config = tree_config(balancing=balancing_config(method))
    plain, _ = trained(config, None)
    drawn = torch.rand(3)
    measured, probe = trained(config, 1)
    assert probe.measurements == 2 * len(plain.sampler.epoch(1))
    assert torch.equal(torch.rand(3), drawn)
    for (name, expected), (_, found) in zip(
        plain.network.state_dict().items(), measured.network.state_dict().items(), strict=True
    ):
        assert torch.equal(expected, found), name
    left, right = plain.optimizer.state_dict()["state"], measured.optimizer.state_dict()["state"]
    for key, state in left.items():
        for name, value in state.items():
            assert torch.equal(value, right[key][name]), (key, name)


def reference_lookahead(run: Run, same: SameBatch, source: str, where: str | None) -> dict[str, float]:
    """1 - L(after) / L(before) on copies: a copied network takes a step of a copied optimiser."""
    twin = copy.deepcopy(run)
    own = SameBatch(twin, np.arange(same.count), same.batch)
    own._random, own._labelled = same._random, same._labelled
    before = own.losses_again()
    owners = twin.network.tasks_of_parameters()
    before[source].share.backward()
    for name, parameter in twin.network.named_parameters():
        keep = len(owners[name]) > 1 and (where is None or name.startswith(where))
        if not keep or source not in owners[name]:
            parameter.grad = None
    twin.optimizer.step()
    after = own.values_now()
    return {name: 1 - float(after[name]) / float(loss.value) for name, loss in before.items()}


def test_lookahead_is_its_definition() -> None:
    """Whole and each stage, with Adam's momentum from two steps before, class weights and dropout."""
    config = tree_config()
    run = build_run(config, MemoryCohort(), CPU)
    probe = Probe(run, every=1)
    assert probe.stages == ("encoder 0", "encoder 1")
    expected: dict[tuple[str, str, str], list[float]] = {}

    def watch(same: SameBatch) -> None:
        stage = probe.stages[probe.measurements % 2]
        for source in probe.tasks:
            for key, where in (("all", None), (stage, stage.replace(" ", "."))):
                for recipient, value in reference_lookahead(run, same, source, where).items():
                    if value != 0:  # the stage is not its
                        expected.setdefault((key, recipient, source), []).append(value)
        probe(same)

    torch.manual_seed(0)
    train_epoch(run, 1, watch)
    found = probe.affinities(1.0)
    for (stage, recipient, source), values in expected.items():
        place = found.tasks.index(recipient), found.tasks.index(source)
        matrix = found.matrix("lookahead", stage)
        assert matrix.mean[place] == pytest.approx(np.mean(values), rel=1e-3, abs=2e-6), (stage, recipient, source)
        assert matrix.count[place] == len(values)
    second = found.matrix("lookahead", "encoder 1")
    tumour = found.tasks.index("tumour")
    assert np.isnan(np.delete(second.mean[tumour], tumour)).all(), "it shares nothing there"
    whole = found.matrix("lookahead")
    assert not np.allclose(whole.mean, whole.mean.T), "orientation would show"


def test_cosine_is_that_of_what_both_share() -> None:
    run = build_run(tree_config(), MemoryCohort(), CPU)
    probe = Probe(run, every=1)
    seen: dict[tuple[str, str], Any] = {}

    def watch(same: SameBatch) -> None:
        losses = same.losses_again()
        owners = run.network.tasks_of_parameters()
        names = dict(run.network.named_parameters())
        rows = {}
        for task in probe.tasks:
            rows[task] = torch.autograd.grad(
                losses[task].share, list(names.values()), retain_graph=True, materialize_grads=True, allow_unused=True
            )
        for a in probe.tasks:
            for b in probe.tasks:
                both = [i for i, name in enumerate(names) if {a, b} <= owners[name] and len(owners[name]) > 1]
                left, right = (torch.cat([rows[task][i].flatten() for i in both]) for task in (a, b))
                seen.setdefault((a, b), []).append(float(torch.nn.functional.cosine_similarity(left, right, dim=0)))
        probe(same)

    cohort = MemoryCohort()
    for known in cohort.labelled.values():
        known[:] = True
    run = build_run(tree_config(), cohort, CPU)
    probe = Probe(run, every=1)
    train_epoch(run, 1, watch)
    matrix = probe.affinities(1.0).matrix("cosine")
    for (a, b), values in seen.items():
        place = probe.tasks.index(a), probe.tasks.index(b)
        assert matrix.mean[place] == pytest.approx(np.mean(values), abs=1e-4)
        assert matrix.error[place] == pytest.approx(np.std(values, ddof=1) / len(values) ** 0.5, abs=1e-4)


def test_measured_during_a_training_and_the_cost_is_told() -> None:
    epochs: list[int] = []
    found = measure_affinities(small_config(), MemoryCohort(), every=3, report=lambda epoch, loss: epochs.append(epoch))
    assert epochs == [1, 2, 3]
    assert found.stages == ("encoder 0", "encoder 1")
    assert 0 < found.seconds_measuring < found.seconds
    assert f"{found.measurements} measurements of 3 tasks and 2 stages took" in found.cost()
    parameters = networks.build(small_config()).encoder.parameters()
    shared = sum(parameter.numel() for parameter in parameters) * 4
    assert found.extra_bytes == pytest.approx(6 * shared, rel=0.02), "values, two moments, three gradients"
    assert (np.diag(found.matrix("cosine").mean) > 0.999).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"every": 0}, "every is 0"),
        ({"weights": (1.0, 0.0, 0.0)}, "affinities need two trained tasks; the Config trains tumour"),
        ({"topology": Topology.separate(("large", "survival", "tumour"), ("tumour",), 2, 1)}, "share nothing"),
    ],
)
def test_refusals(change: dict, message: str) -> None:
    config = small_config()
    if "weights" in change:
        tasks = tuple(replace(task, weight=w) for task, w in zip(config.tasks, change["weights"], strict=True))
        config = replace(config, tasks=tasks)
    if "topology" in change:
        config = replace(config, network=replace(config.network, topology=change["topology"]))
    with pytest.raises(ValueError, match=message):
        Probe(build_run(config, MemoryCohort(), CPU), change.get("every", 10))


@pytest.mark.parametrize("fused", [True, False])
def test_snapshot_takes_steps_back_exactly(fused: bool) -> None:
    parameters = [torch.nn.Parameter(torch.randn(3, 2)), torch.nn.Parameter(torch.randn(4))]
    optimizer = torch.optim.AdamW(parameters, lr=0.1, weight_decay=0.1, fused=fused)
    for steps in (0, 2):
        for _ in range(steps):
            for parameter in parameters:
                parameter.grad = torch.randn_like(parameter)
            optimizer.step()
        expected = copy.deepcopy((parameters, optimizer.state_dict()))
        snapshot = Snapshot(optimizer, parameters)
        for _ in range(2):
            parameters[0].grad, parameters[1].grad = torch.ones(3, 2), None
            optimizer.step()
            assert float(snapshot.changes()[0].abs().max()) > 0
            snapshot.restore()
        for parameter, before in zip(parameters, expected[0], strict=True):
            assert torch.equal(parameter, before)
        found = optimizer.state_dict()["state"]
        assert found.keys() == expected[1]["state"].keys()
        for key, state in expected[1]["state"].items():
            assert all(torch.equal(value, found[key][name]) for name, value in state.items())


def test_series_skip_what_is_undefined() -> None:
    series = Series(2)
    for value in (1.0, float("nan"), 3.0, float("inf")):
        series.add(0, 1, value)
    matrix = series.matrix("cosine", "all")
    assert (matrix.mean[0, 1], matrix.error[0, 1], matrix.count[0, 1]) == (2.0, 1.0, 2)
    assert np.isnan(matrix.mean[1, 0])
    assert np.isnan(matrix.error[1, 0])
    assert matrix.count[1, 0] == 0


def test_errors_of_series_are_those_of_correlated_values() -> None:
    """AR(1) with correlation 0.8: the error of the mean is 3 times that of independent values of the same spread."""
    rng, coverage, naive = np.random.default_rng(0), [], []
    for _ in range(200):
        values, value = [], rng.normal() / 0.6
        for noise in rng.normal(size=900):
            value = 0.8 * value + noise
            values.append(value)
        mean, error = mean_and_error(values)
        coverage.append(abs(mean) < student.ppf(0.975, blocks(900) - 1) * error)
        naive.append(abs(mean) < 1.96 * np.std(values) / 30)
    assert 0.88 <= np.mean(coverage) <= 0.99
    assert np.mean(naive) < 0.6


def test_errors_of_few_values() -> None:
    assert mean_and_error([]) == pytest.approx((np.nan, np.nan), nan_ok=True)
    assert mean_and_error([2.0]) == pytest.approx((2.0, np.nan), nan_ok=True)
    assert mean_and_error([1.0, 2.0, 6.0]) == pytest.approx((3.0, np.sqrt(7 / 3)))
    assert mean_and_error([9.0, 0.0, 2.0, 4.0, 6.0]) == pytest.approx((4.2, 2.0)), "two blocks: the first value is over"


def test_excess_is_the_lookahead_less_that_of_momentum_alone() -> None:
    """Gradients of zero in what the source shares: Adam still moves, by its moments."""
    run = build_run(small_config(), MemoryCohort(), CPU)
    probe, seen = Probe(run, every=2), []

    def watch(same: SameBatch) -> None:
        if probe._batches % 2:
            twin = copy.deepcopy(run)
            own = SameBatch(twin, np.arange(same.count), same.batch)
            own._random, own._labelled = same._random, same._labelled
            before = own.values_now()
            owners = twin.network.tasks_of_parameters()
            for name, parameter in twin.network.named_parameters():
                parameter.grad = torch.zeros_like(parameter) if len(owners[name]) > 1 else None
            twin.optimizer.step()
            seen.append({name: 1 - float(value) / float(before[name]) for name, value in own.values_now().items()})
        probe(same)

    cohort = MemoryCohort()
    for known in cohort.labelled.values():
        known[:] = True
    run = build_run(small_config(), cohort, CPU)
    probe = Probe(run, every=2)
    train_epoch(run, 1, watch)
    found = probe.affinities(1.0)
    difference = found.matrix("lookahead").mean - found.matrix("excess").mean
    for row, task in enumerate(found.tasks):
        np.testing.assert_allclose(difference[row], np.mean([values[task] for values in seen]), atol=3e-6)
