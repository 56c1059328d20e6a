"""The loop alone: what it reports, how it resumes, how it fails."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from branchpoint import networks
from branchpoint.config import Config
from branchpoint.datasets.batch import Batch
from branchpoint.training.errors import TrainingDiverged, TrainingOutOfMemory
from branchpoint.training.loop import EpochReport, FitResult, fit
from branchpoint.training.run import build_run
from branchpoint.training.step.teacher import WeightAverage
from branchpoint.training.validation import validate
from tests.training.spheres import MemoryCohort, small_config

CPU = torch.device("cpu")


def with_training(config: Config, **changes: object) -> Config:
    return replace(config, training=replace(config.training, **changes))


def curves(result: FitResult) -> list[dict[str, float]]:
    return [dict(entry.metrics) for entry in result.history]


def same(a: Sequence[dict[str, float]], b: Sequence[dict[str, float]]) -> bool:
    """Bit for bit, NaN equal to NaN."""
    return [{k: repr(v) for k, v in row.items()} for row in a] == [{k: repr(v) for k, v in row.items()} for row in b]


def test_reports_and_result(config: Config, cohort: MemoryCohort) -> None:
    seen: list[EpochReport] = []
    result = fit(config, cohort, report=lambda entry: seen.append(entry) is None, device="cpu")
    assert [entry.epoch for entry in seen] == [1, 2, 3]
    assert result.history == tuple(seen)
    assert not result.stopped
    metrics = seen[0].metrics
    assert metrics.keys() >= {
        "train/loss",
        "train/tumour/loss",
        "train/survival/weight",
        "validation/loss",
        "validation/score",
        "validation/tumour/dice",
        "validation/survival/c_index",
        "validation/large/balanced_accuracy",
        "validation/survival/loss",
    }
    total = sum(metrics[f"validation/{task}/loss"] for task in ("tumour", "survival", "large"))
    assert metrics["validation/loss"] == pytest.approx(total)
    losses = [entry.metrics["validation/loss"] for entry in seen]
    assert result.best_epoch == 1 + int(np.argmin(losses))
    assert result.metrics == seen[result.best_epoch - 1].metrics
    assert result.cost.parameters == sum(parameter.numel() for parameter in result.network.parameters())
    assert result.cost.macs == networks.estimate(config).macs
    assert result.cost.peak_memory_bytes > 50e6
    assert result.cost.gpu_seconds == 0
    assert result.cost.epoch_seconds > 0


def test_training_learns(cohort: MemoryCohort) -> None:
    config = with_training(small_config(), epochs=15, augmentation=None)
    config = replace(
        config,
        tasks=(replace(config.tasks[0], loss="dice_ce"), *config.tasks[1:]),  # type: ignore[call-arg]
        optimizer=replace(config.optimizer, learning_rate=0.03),
    )
    result = fit(config, cohort, device="cpu")
    assert result.metrics["validation/tumour/dice"] > 0.85
    assert result.history[-1].metrics["train/loss"] < 0.7 * result.history[0].metrics["train/loss"]


@pytest.mark.parametrize("select_by", ["loss", "score"])
def test_network_has_the_weights_of_the_best_epoch(cohort: MemoryCohort, select_by: str) -> None:
    config = with_training(small_config(), epochs=4, select_by=select_by)
    config = replace(config, optimizer=replace(config.optimizer, learning_rate=0.03, schedule="constant"))
    result = fit(config, cohort, device="cpu")
    figures = [entry.metrics[f"validation/{select_by}"] for entry in result.history]
    best = int(np.argmin(figures) if select_by == "loss" else np.argmax(figures))
    assert result.best_epoch == best + 1
    assert not result.network.training
    run = build_run(config, cohort, CPU)
    run.network.load_state_dict(result.network.state_dict())
    again = validate(run, run.folds.validation, 1)
    assert again["loss"] == pytest.approx(result.metrics["validation/loss"], rel=1e-6)
    assert again["score"] == pytest.approx(result.metrics["validation/score"])


def test_the_last_epoch_and_the_average_are_ends_that_choose_nothing(cohort: MemoryCohort) -> None:
    """One training gives both: the figures under the other rule are those of a run that ends so."""
    config = with_training(small_config(), epochs=3)
    last, average, best = (
        fit(with_training(config, select_by=rule), cohort, device="cpu") for rule in ("last", "average", "loss")
    )
    assert last.best_epoch == average.best_epoch == 3
    for name in ("tumour/dice", "survival/c_index"):
        ends = last.metrics[f"validation/{name}"], average.metrics[f"validation/{name}"]
        for result in (last, average, best):
            assert (result.by_rule[f"rule/last/{name}"], result.by_rule[f"rule/average/{name}"]) == ends
        seen = [entry.metrics[f"validation/{name}"] for entry in last.history]
        assert last.by_rule[f"rule/own_best/{name}"] == best.by_rule[f"rule/own_best/{name}"] == max(seen)
    weights = zip(last.network.parameters(), average.network.parameters(), strict=True)
    assert any(not torch.equal(one, other) for one, other in weights)
    stopped = fit(config, cohort, report=lambda entry: False, device="cpu")
    assert not stopped.by_rule


def test_the_average_of_weights_follows_its_formula() -> None:
    """(1 + t) / (10 + t) of the average at step t, and never more than the decay."""
    network = torch.nn.Linear(1, 1)
    average, expected = WeightAverage(network), None
    for step, value in enumerate([5.0, 1.0, -2.0, 7.0]):
        with torch.no_grad():
            network.weight.fill_(value)
        average.add(network, 0.2, step)
        decay = min(0.2, (1 + step) / (10 + step)) if step else 0.0
        expected = value if expected is None else decay * expected + (1 - decay) * value
        assert float(average.network.weight) == pytest.approx(expected)


def test_same_seed_same_run_whatever_the_caller_drew(config: Config, cohort: MemoryCohort) -> None:
    torch.manual_seed(1)
    first = fit(config, cohort, device="cpu")
    expected = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(3), expected), "the caller's random numbers are left alone"
    torch.manual_seed(2)
    assert same(curves(first), curves(fit(config, cohort, device="cpu")))
    assert not same(curves(first), curves(fit(replace(config, seed=1), cohort, device="cpu")))


def test_report_ends_the_run(config: Config, cohort: MemoryCohort) -> None:
    result = fit(config, cohort, report=lambda entry: entry.epoch < 2, device="cpu")
    assert result.stopped
    assert len(result.history) == 2


class KilledError(Exception):
    """Stands for a killed process: nothing after it runs."""


@pytest.mark.parametrize(
    ("moment", "select_by"),
    [("after epoch 2", "loss"), ("in epoch 3", "loss"), ("after epoch 5", "loss"), ("in epoch 3", "average")],
)
def test_resumed_run_equals_the_unbroken_one_bit_for_bit(
    tmp_path: Path, cohort: MemoryCohort, moment: str, select_by: str
) -> None:
    config = with_training(small_config(), epochs=5, select_by=select_by)
    config = replace(config, optimizer=replace(config.optimizer, name="adamw", weight_decay=0.01, clip_norm=1.0))
    unbroken = fit(config, cohort, device="cpu")

    class Mortal(MemoryCohort):
        dying = False

        def batch(self, indices: Sequence[int] | np.ndarray) -> Batch:
            if self.dying and len(self.loaded) > 2:
                raise KilledError
            return super().batch(indices)

    mortal = Mortal()

    def report(entry: EpochReport) -> bool:
        if moment == f"after epoch {entry.epoch}":
            raise KilledError
        if moment == f"in epoch {entry.epoch + 1}":
            mortal.dying = True
            mortal.loaded.clear()
        return True

    with pytest.raises(KilledError):
        fit(config, mortal, checkpoint_dir=tmp_path, report=report, device="cpu")
    reported: list[int] = []
    resumed = fit(
        config, cohort, checkpoint_dir=tmp_path, report=lambda entry: reported.append(entry.epoch) is None, device="cpu"
    )
    expected = {"after epoch 5": [5]}.get(moment, [2, 3, 4, 5])
    assert reported == expected, "the report of the checkpointed epoch may have been lost"
    assert same(curves(resumed), curves(unbroken))
    assert resumed.best_epoch == unbroken.best_epoch
    assert resumed.by_rule == unbroken.by_rule
    for name, weight in unbroken.network.state_dict().items():
        assert torch.equal(weight, resumed.network.state_dict()[name]), name


def test_damaged_checkpoint_costs_one_epoch(tmp_path: Path, config: Config, cohort: MemoryCohort) -> None:
    unbroken = fit(config, cohort, device="cpu")
    fit(config, cohort, checkpoint_dir=tmp_path, report=lambda entry: entry.epoch < 2, device="cpu")
    max(tmp_path.glob("*.pt")).write_bytes(b"torn")
    reported: list[int] = []
    with pytest.warns(UserWarning, match="is damaged"):
        resumed = fit(
            config,
            cohort,
            checkpoint_dir=tmp_path,
            report=lambda entry: reported.append(entry.epoch) is None,
            device="cpu",
        )
    assert reported == [1, 2, 3]
    assert same(curves(resumed), curves(unbroken))


def test_checkpoint_of_other_config_or_patients_is_refused(
    tmp_path: Path, config: Config, cohort: MemoryCohort
) -> None:
    fit(config, cohort, checkpoint_dir=tmp_path, report=lambda entry: False, device="cpu")
    with pytest.raises(ValueError, match="belongs to run"):
        fit(replace(config, seed=3), cohort, checkpoint_dir=tmp_path, device="cpu")
    cohort.path = Path("others.json")
    with pytest.raises(ValueError, match="belongs to run"):
        fit(config, cohort, checkpoint_dir=tmp_path, device="cpu")


def test_divergence_names_epoch_step_task_and_patients(config: Config, cohort: MemoryCohort) -> None:
    run = build_run(config, cohort, CPU)
    step = 1
    victim = int(run.sampler.epoch(1)[step][0])
    first = next(i for i, rows in enumerate(run.sampler.epoch(1)) if victim in rows)
    cohort.image[victim] = np.nan
    with pytest.raises(TrainingDiverged) as caught:
        fit(config, cohort, device="cpu")
    error = caught.value
    assert (error.epoch, error.step) == (1, first + 1)
    assert error.task in {"tumour", "survival", "large"}
    assert f"P{victim:03d}" in error.patients
    for word in ("epoch 1", f"step {first + 1}", error.task, f"P{victim:03d}", "nan"):
        assert word in str(error)


def test_divergence_in_validation_and_of_the_gradient(
    config: Config, cohort: MemoryCohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = int(build_run(config, cohort, CPU).folds.validation[0])
    cohort.image[victim] = np.nan
    with pytest.raises(TrainingDiverged, match=r"epoch 1, validation \(patients .*P\d{3}"):
        fit(config, cohort, device="cpu")

    def infinite(network: torch.nn.Module, limit: float | None) -> Tensor:
        return torch.tensor(float("inf"))

    monkeypatch.setattr("branchpoint.training.step.same_batch.clip_gradient", infinite)
    with pytest.raises(TrainingDiverged, match="the gradient's norm is inf in epoch 1, step 1"):
        fit(config, MemoryCohort(), device="cpu")


@pytest.mark.parametrize("kind", ["device", "cpu", "numpy"])
def test_out_of_memory_names_the_size(
    config: Config, cohort: MemoryCohort, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def forward(self: networks.Network, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        if kind == "device":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        if kind == "numpy":
            np.empty(2**50)
        return {"tumour": torch.empty(2**60)}

    monkeypatch.setattr(networks.Network, "forward", forward)
    with pytest.raises(TrainingOutOfMemory, match="5 x 2 x 8 x 8 x 8 in fp32 does not fit") as caught:
        fit(config, cohort, device="cpu")
    assert caught.value.shape == (5, 2, 8, 8, 8)


def test_other_errors_pass_through(config: Config, cohort: MemoryCohort, monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(self: networks.Network, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(networks.Network, "forward", forward)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        fit(config, cohort, device="cpu")


def test_bf16_follows_fp32(config: Config, cohort: MemoryCohort) -> None:
    exact = fit(config, cohort, device="cpu")
    reduced = fit(with_training(config, precision="bf16"), cohort, device="cpu")
    assert all(parameter.dtype == torch.float32 for parameter in reduced.network.parameters())
    for a, b in zip(exact.history, reduced.history, strict=True):
        assert a.metrics["train/loss"] != b.metrics["train/loss"]
        assert a.metrics["train/loss"] == pytest.approx(b.metrics["train/loss"], rel=0.05)


def test_task_of_weight_zero_is_measured_but_not_trained(config: Config, cohort: MemoryCohort) -> None:
    tasks = tuple(replace(task, weight=0.0 if task.name == "survival" else 2.0) for task in config.tasks)
    changed = replace(config, tasks=tasks)
    run = build_run(changed, cohort, CPU)
    before = run.network.heads["survival"].output.weight.detach().clone()
    result = fit(changed, cohort, device="cpu")
    assert torch.equal(result.network.heads["survival"].output.weight, before)
    metrics = result.metrics
    assert "train/survival/loss" not in metrics
    assert "validation/survival/c_index" in metrics
    assert metrics["validation/loss"] == pytest.approx(
        2 * (metrics["validation/tumour/loss"] + metrics["validation/large/loss"])
    )


def test_batches_without_a_label_of_a_task(config: Config, cohort: MemoryCohort) -> None:
    """One labelled mask: most batches lack the task, none of them stalls or spoils the others."""
    only = int(build_run(config, cohort, CPU).folds.train[0])
    cohort.labelled["tumour"][:] = False
    cohort.labelled["tumour"][only] = True
    result = fit(config, cohort, device="cpu")
    assert np.isnan(result.metrics["validation/tumour/dice"])
    assert "validation/tumour/loss" not in result.metrics
    assert np.isfinite(result.metrics["validation/loss"])
    assert np.isfinite(result.metrics["validation/score"])


def test_unfit_cohorts_are_refused(config: Config, cohort: MemoryCohort) -> None:
    wrong = replace(config, tasks=(replace(config.tasks[0], target="liver"),))
    with pytest.raises(ValueError, match="target is 'liver': cohort 'spheres' has no segmentation target"):
        fit(wrong, cohort, device="cpu")
    cohort.labelled["large"][:] = False
    with pytest.raises(ValueError, match="task 'large' has no labelled patient among the"):
        fit(config, cohort, device="cpu")
