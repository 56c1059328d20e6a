"""Micro-batches: the gradient of the whole batch, part by part; refused where the parts would give another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from branchpoint.config import Config, balancing_config
from branchpoint.config.balancing import GRADIENT_METHODS, LOSS_METHODS
from branchpoint.training.devices.distributed import Workers
from branchpoint.training.epoch import train_epoch
from branchpoint.training.loop import fit
from branchpoint.training.run import Run, build_run
from branchpoint.training.validation import validate
from tests.training.spheres import MemoryCohort, small_config
from tests.training.step.test_semi_supervised import DISC, LARGE, SEMI, flat_config, partly_labelled

CPU = torch.device("cpu")


def config_of(micro_batch: int | None, method: str = "sum", **training: Any) -> Config:
    """Two tasks whose losses are means over labelled samples, plain gradient descent by a tiny step."""
    base = small_config()
    return replace(
        base,
        tasks=(base.tasks[0], base.tasks[2]),
        network=replace(base.network, dropout=0.3),
        balancing=balancing_config(method),
        training=replace(base.training, micro_batch=micro_batch, **training),
    )


def holed() -> MemoryCohort:
    """Parts of a batch lack a label, some batches too."""
    cohort = MemoryCohort()
    cohort.labelled["tumour"][1::2] = False
    cohort.labelled["large"][:9] = False
    return cohort


def trained(config: Config, cohort: Any) -> tuple[Run, list[dict[str, float]]]:
    """The run after two epochs of plain gradient descent, which does not amplify rounding as Adam does."""
    run = build_run(config, cohort, CPU)
    run = replace(run, optimizer=torch.optim.SGD([*run.network.parameters(), *run.balancer.parameters()], lr=1e-2))
    metrics = []
    for epoch in (1, 2):
        torch.manual_seed(epoch)
        metrics.append(train_epoch(run, epoch) | validate(run, run.folds.validation, epoch))
    return run, metrics


def require_same(one: tuple[Run, list[dict[str, float]]], other: tuple[Run, list[dict[str, float]]]) -> None:
    for expected, found in zip(one[1], other[1], strict=True):
        assert found == pytest.approx(expected, rel=2e-4, abs=2e-5, nan_ok=True)
    weights = other[0].network.state_dict()
    for name, weight in one[0].network.state_dict().items():
        torch.testing.assert_close(weights[name], weight, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("micro_batch", [1, 2, 4])
def test_parts_of_a_batch_train_as_the_whole(micro_batch: int) -> None:
    """Batches of 5, a last one of fewer; dropout, augmentation and missing labels included."""
    require_same(trained(config_of(None), holed()), trained(config_of(micro_batch), holed()))


@pytest.mark.parametrize("method", sorted({*LOSS_METHODS, *GRADIENT_METHODS} - {"sum"}))
def test_every_balancer_in_parts(method: str) -> None:
    if method in GRADIENT_METHODS:
        pytest.importorskip("torchjd", reason="the extra 'balancing' is not installed")
        pytest.importorskip("cvxpy", reason="the extra 'balancing' is not installed")
    require_same(trained(config_of(None, method), MemoryCohort()), trained(config_of(2, method), MemoryCohort()))


def test_the_teacher_guides_parts_as_the_whole() -> None:
    def flat(micro_batch: int | None) -> tuple[Run, list[dict[str, float]]]:
        config = flat_config(DISC, LARGE, semi_supervised=replace(SEMI, start=0.0))
        training = replace(config.training, micro_batch=micro_batch)
        return trained(replace(config, training=training), partly_labelled("large"))

    require_same(flat(None), flat(3))


def test_no_part_is_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    """In training and in validation; and gradients are those of the parts, not of a graph that holds the batch."""
    sizes: list[int] = []
    forward = Run.forward

    def watched(run: Run, batch: Any, network: Any = None) -> Any:
        sizes.append(len(batch))
        return forward(run, batch, network)

    monkeypatch.setattr(Run, "forward", watched)
    fit(config_of(2, epochs=1), MemoryCohort(), device="cpu")
    assert set(sizes) == {1, 2}


def test_clipping_sees_the_gradient_of_the_whole_batch() -> None:
    def clipped(micro_batch: int | None) -> tuple[Run, list[dict[str, float]]]:
        config = config_of(micro_batch)
        return trained(replace(config, optimizer=replace(config.optimizer, clip_norm=0.05)), holed())

    require_same(clipped(None), clipped(2))


def test_what_parts_cannot_give_is_refused() -> None:
    base = small_config()
    with pytest.raises(ValueError, match=r"training.micro_batch is 2: the loss of 'survival' compares the samples"):
        replace(base, training=replace(base.training, micro_batch=2))
    assert replace(base, training=replace(base.training, micro_batch=5)), "the batch is never cut"
    untrained = replace(base.tasks[1], weight=0.0)
    assert replace(base, tasks=(base.tasks[0], untrained), training=replace(base.training, micro_batch=2))
    config = config_of(2)
    with pytest.raises(ValueError, match=r"network\.unit is 'batchnorm'"):
        replace(config, network=replace(config.network, unit="batchnorm"))
    with pytest.raises(ValueError, match=r"balancing\.gradients is 'features'"):
        replace(config, balancing=balancing_config("mgda", gradients="features"))
    with pytest.raises(ValueError, match="must be at least 1"):
        config_of(0)


def test_a_batch_norm_of_a_library_is_refused_when_the_network_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    from branchpoint import networks

    drawn = networks.build

    def with_norm(config: Config) -> torch.nn.Module:
        network = drawn(config)
        network.extra = torch.nn.BatchNorm3d(4)
        return network

    monkeypatch.setattr(networks, "build", with_norm)
    with pytest.raises(ValueError, match="extra of this network is a batch norm"):
        build_run(config_of(2), MemoryCohort(), CPU)
    assert build_run(config_of(None), MemoryCohort(), CPU), "one worker with the whole batch may have one"


def test_it_is_no_part_of_the_identity() -> None:
    whole, parts = config_of(None), config_of(2)
    assert whole.fingerprint == parts.fingerprint
    assert Config.from_json(parts.to_json()).training.micro_batch == 2


def test_a_run_goes_on_in_parts_where_it_stopped_whole(tmp_path: Any) -> None:
    unbroken = fit(config_of(None), MemoryCohort(), device="cpu")
    fit(config_of(None), MemoryCohort(), checkpoint_dir=tmp_path, report=lambda entry: entry.epoch < 2, device="cpu")
    resumed = fit(config_of(2), MemoryCohort(), checkpoint_dir=tmp_path, device="cpu")
    for one, other in zip(unbroken.history, resumed.history, strict=True):
        assert other.metrics == pytest.approx(one.metrics, rel=2e-3, abs=2e-4, nan_ok=True)


def test_workers_share_a_batch_before_it_is_cut() -> None:
    run = build_run(config_of(2), MemoryCohort(), CPU)
    workers = Workers()
    workers.size = 3
    assert replace(run, workers=workers).local_batch_size == 2
