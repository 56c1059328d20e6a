"""One run on a worker: open the prepared cohort, train, write each epoch and the end to the store, honestly.

Free of Ray: :func:`execute` is given a ``report`` function. Whatever the run raises becomes a FAILED row with its
reason; a run that is killed leaves a RUNNING row, and goes on from its last checkpoint as the next attempt.
"""

from __future__ import annotations

import gc
import math
import platform
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from branchpoint.config import Config
from branchpoint.execution.run_spec import Fit, Outcome, RunSpec, Setup, Stage, known_outcomes
from branchpoint.execution.state import NETWORK, RunFolder, run_folder
from branchpoint.io.storage import Place
from branchpoint.store import EpochRecord, State, Store, TrialRecord

if TYPE_CHECKING:
    from branchpoint.training.loop import EpochReport, FitResult


def execute(spec: RunSpec, setup: Setup, report: Callable[[int, float], None]) -> Outcome:
    """Run ``spec`` to its end and return how it ended; ``report`` is called with (epoch, objective) after each epoch.

    A run that the store says has ended is not run again. While another process still runs it, this one waits. A run
    that does not fit into memory is tried once more, in smaller parts of a batch, where that gives the same result.
    """
    folder = run_folder(setup.folder, setup.store, setup.study, spec.name)
    store = Store(setup.store)
    with folder.lock():
        known = known_outcomes(store, setup.study, setup.objective).get(spec.name) if folder.attempts else None
        if known and not (setup.keep_network and known.state == "COMPLETE" and not folder.has_network):
            return known
        number = folder.begin_attempt()
        attempt = _Attempt(spec, setup, folder, store, number)
        outcome = attempt.run(report)
        if attempt.smaller is not None:
            again = replace(spec, config=attempt.smaller)
            number = folder.begin_attempt()
            outcome = _Attempt(again, setup, folder, store, number, last=True).run(report)
        folder.drop_checkpoints()
        return outcome


class _Attempt:
    """One attempt at a run, which writes its rows to the store.

    Attributes:
        stop_reason: why the pruner stops the run; ``None`` while it continues.
        smaller: a Config to try next, if the run did not fit into memory and this is not the ``last`` attempt.
    """

    def __init__(
        self, spec: RunSpec, setup: Setup, folder: RunFolder, store: Store, attempt: int, last: bool = False
    ) -> None:
        self.spec, self.setup, self.folder = spec, setup, folder
        self.config = spec.config
        self.writer = store.writer(setup.study)
        self.stop_reason: str | None = None
        self.epoch = 0
        self.smaller: Config | None = None
        self._last = last
        self.record = running_record(setup.study, spec.name, self.config, spec.stage, attempt)

    def run(self, report: Callable[[int, float], None]) -> Outcome:
        self.writer.trial(self.record)
        try:
            result = self._fit(report)
            outcome = self._outcome(result)
            if self.setup.keep_network and outcome.state == "COMPLETE" and result.network is not None:
                _save_network(result, self.config, self.folder.place)
                outcome = outcome if self.config.split.refit else self._with_estimate(outcome)
            self._finish(outcome, result)
        except Exception as error:
            outcome = self._failed(error)
            self._finish(outcome, None)
        _free_memory()
        return outcome

    def _fit(self, report: Callable[[int, float], None]) -> FitResult:
        fit = self.setup.fit or training_fit(self.setup.cpus, self.setup.gpus)
        prepared = self.setup.cohort()

        def after_epoch(epoch: EpochReport) -> bool:
            self.epoch = epoch.epoch
            self.writer.epoch(
                EpochRecord(
                    study=self.setup.study,
                    trial=self.spec.name,
                    attempt=self.record.attempt,
                    epoch=epoch.epoch,
                    metrics=dict(epoch.metrics),
                    seconds=epoch.seconds,
                )
            )
            value = self._objective(epoch.metrics)
            report(epoch.epoch, value)
            if self.setup.pruner and not self.stop_reason:
                self.stop_reason = self.setup.pruner(self.spec.name, epoch.epoch, value)
            return not self.stop_reason

        return fit(
            self.config,
            prepared,
            checkpoint_dir=self.folder.checkpoints,
            checkpoint_seconds=self.setup.checkpoint_seconds,
            report=after_epoch,
        )

    def _objective(self, metrics: Mapping[str, float]) -> float:
        if self.setup.objective not in metrics:
            raise ValueError(
                f"objective {self.setup.objective!r} is not among the metrics: {', '.join(sorted(metrics))}"
            )
        return float(metrics[self.setup.objective])

    def _outcome(self, result: FitResult) -> Outcome:
        metrics = {name: float(value) for name, value in result.metrics.items()}
        value = self._objective(metrics)
        state: State = "PRUNED" if self.stop_reason else "COMPLETE"
        reason = self.stop_reason or ""
        if not math.isfinite(value):
            state, reason = "FAILED", f"{self.setup.objective} is {value} at the best epoch, {result.best_epoch}"
        epochs = len(result.history)
        return Outcome(name=self.spec.name, state=state, value=value, reason=reason, epochs=epochs, metrics=metrics)

    def _with_estimate(self, outcome: Outcome) -> Outcome:
        """``outcome`` with the score of the network that was kept, and its standard error."""
        from branchpoint.execution.held_out import estimate

        return replace(outcome, metrics={**(outcome.metrics or {}), **estimate(self.spec, self.setup)})

    def _failed(self, error: Exception) -> Outcome:
        where = f"trial {self.spec.name} (candidate {self.config.candidate}, fold {self.config.split.fold})"
        when = f"after epoch {self.epoch}" if self.epoch else "before its first epoch ended"
        text = f"{where} failed {when} on {platform.node()}\n{traceback.format_exc().rstrip()}"
        reason = f"{type(error).__name__}: {error}"
        self.smaller = None if self._last else _smaller(self.config, error)
        if self.smaller is not None:
            reason += f"; tried again with training.micro_batch {self.smaller.training.micro_batch}"
        return Outcome(name=self.spec.name, state="FAILED", reason=reason, epochs=self.epoch, traceback=text)

    def _finish(self, outcome: Outcome, result: FitResult | None) -> None:
        cost = {}
        if result is not None:
            names = ("parameters", "macs", "peak_memory_bytes", "epoch_seconds", "gpu_seconds")
            cost = {name: getattr(result.cost, name) for name in names}
        self.writer.trial(
            replace(
                self.record,
                state=outcome.state,
                reason=outcome.reason,
                metrics={**(outcome.metrics or {}), **(result.by_rule if result is not None else {})},
                notes=result.notes if result is not None else (),
                finished=datetime.now(UTC),
                **cost,
            )
        )


def running_record(study: str, name: str, config: Config, stage: Stage, attempt: int) -> TrialRecord:
    """The row of a run that starts now."""
    return TrialRecord(
        study=study,
        trial=name,
        attempt=attempt,
        fingerprint=config.fingerprint,
        candidate=config.candidate,
        fold=config.split.fold,
        seed=config.seed,
        stage=stage,
        state="RUNNING",
        config=config.to_json(),
        versions=package_versions(),
        started=datetime.now(UTC),
    )


@lru_cache(maxsize=1)
def package_versions() -> Mapping[str, str]:
    """Python and the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for package in ("branchpoint", "torch", "numpy", "scikit-survival", "ray", "optuna"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def training_fit(cpus: int, gpus: float) -> Fit:
    """:func:`branchpoint.training.loop.fit`, kept to its share of this machine."""
    import torch

    from branchpoint.training.loop import fit

    torch.set_num_threads(cpus)
    if 0 < gpus < 1 and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(gpus)
    return fit


def _smaller(config: Config, error: Exception) -> Config | None:
    """What to try after ``error``: half of the samples that did not fit passed through the network at once.

    ``None`` for other errors, where a single sample did not fit, and where parts of a batch would give another result
    (Cox, batch norm).
    """
    if type(error).__name__ != "TrainingOutOfMemory":  # without importing torch where nothing has
        return None
    samples: int = error.shape[0]  # type: ignore[attr-defined]
    if samples < 2:
        return None
    try:
        return replace(config, training=replace(config.training, micro_batch=samples // 2))
    except ValueError:
        return None


def _save_network(result: FitResult, config: Config, place: Place) -> None:
    """The Config goes beside the weights, so that another run can start from them."""
    import io

    import torch

    from branchpoint.training.state.warm_start import CONFIG_FILE

    place.write(CONFIG_FILE, config.to_json().encode())
    buffer = io.BytesIO()
    torch.save({name: tensor.cpu() for name, tensor in result.network.state_dict().items()}, buffer)
    place.write(NETWORK, buffer.getbuffer())


def _free_memory() -> None:
    """The next run in this process starts with an empty device."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
