"""What a training run works with, built from the Config alike on every worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from branchpoint import networks
from branchpoint.balancing import Balancer, build_balancer
from branchpoint.config import Config
from branchpoint.datasets.batch import Batch
from branchpoint.datasets.prepared import PreparedCohort
from branchpoint.datasets.sampling import EventBalancedSampler
from branchpoint.datasets.splits import Split, split
from branchpoint.tasks import Task, build_task
from branchpoint.training.batches.samples import Samples, clinical_notes
from branchpoint.training.devices.distributed import Workers
from branchpoint.training.devices.layout import memory_format
from branchpoint.training.devices.randomness import BALANCING, BatchDropout, derived_seed, install_batch_dropout
from branchpoint.training.state.warm_start import start_from
from branchpoint.training.step.optimizer import build_optimizer
from branchpoint.training.step.teacher import Teacher


@dataclass(frozen=True)
class Run:
    """One run on one worker.

    Attributes:
        tasks: all of them; :attr:`trained` are those with a positive weight.
        dropouts: layers that must be told which rows of the global batch they see.
        layout: memory format of images and weights.
        teacher: of semi-supervised learning.
        notes: what a reader of the results should know, such as which clinical values were missing.
    """

    config: Config
    prepared: PreparedCohort
    folds: Split
    sampler: EventBalancedSampler
    tasks: tuple[Task, ...]
    network: nn.Module
    dropouts: tuple[BatchDropout, ...]
    balancer: Balancer
    optimizer: torch.optim.Optimizer
    workers: Workers
    device: torch.device
    layout: torch.memory_format
    notes: tuple[str, ...] = ()
    teacher: Teacher | None = None

    @property
    def trained(self) -> tuple[Task, ...]:
        """Tasks whose loss counts."""
        return tuple(task for task in self.tasks if task.config.weight > 0)

    @property
    def local_batch_size(self) -> int:
        """Most samples that one worker passes through the network at once."""
        return local_batch_size(self.config, self.workers)

    @property
    def identity(self) -> str:
        """Names Config and prepared cohort: what a checkpoint must agree with."""
        return f"{self.config.fingerprint}-{self.prepared.path.stem}"

    def patients(self, indices: np.ndarray) -> list[str]:
        """Identifiers of samples."""
        return [self.prepared.patient_ids[index] for index in indices]

    def forward(self, batch: Batch, network: nn.Module | None = None) -> Mapping[str, Tensor]:
        """Logits of every task by the run's network (or another), computed in the precision of the Config."""
        inputs = {**batch.inputs, "image": batch.inputs["image"].contiguous(memory_format=self.layout)}
        reduced = self.config.training.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=reduced):
            return (network or self.network)(inputs)


def local_batch_size(config: Config, workers: Workers) -> int:
    """Most samples that one worker passes through the network at once."""
    share = -(-config.training.batch_size // workers.size)
    return min(share, config.training.micro_batch or share)


def build_run(config: Config, prepared: PreparedCohort, device: torch.device) -> Run:
    """Everything that a run needs; all workers start from the weights of the first.

    Raises:
        ValueError: the cohort lacks a target or labels of it, the network cannot be trained by several workers, or
            there are no weights that it could start from where the Config says.
    """
    workers = Workers()
    tasks = tuple(build_task(task) for task in config.tasks)
    folds = split(prepared, config.split)
    samples = Samples.of(config, prepared)
    check_labels(config, samples, folds)
    layout = memory_format(config.network, len(config.dataset.size_voxels), device)
    drawn = networks.build(config)
    notes: tuple[str, ...] = ()
    if drawn.clinical is not None:
        drawn.clinical.fit(torch.from_numpy(samples.clinical[folds.train]).float())
        notes = clinical_notes(config.network.clinical, samples.clinical, folds.train)
    if config.training.start_from:
        notes = (*notes, start_from(config.training.start_from, drawn))
    if local_batch_size(config, workers) < -(-config.training.batch_size // workers.size):
        refuse_batch_norm(drawn, config.training.micro_batch)
    network = synchronized(drawn.to(device).to(memory_format=layout), workers, device)
    dropouts = install_batch_dropout(network)
    workers.copy_from_first(network)
    task_weights = {task.name: task.weight for task in config.tasks if task.weight > 0}
    balancer = build_balancer(config.balancing, task_weights, derived_seed(config.seed, BALANCING))
    balancer.attach(network)
    survival = [task.target for task in config.tasks if task.kind == "survival" and task.weight > 0]
    labelled = [task.known(samples.labelled, len(samples.patient_ids)) for task in tasks if task.config.weight > 0]
    sampler = EventBalancedSampler.of(
        samples, folds.train, config.training, next(iter(survival), None), config.seed, labels=labelled
    )
    optimizer = build_optimizer(config.optimizer, network, balancer.parameters())
    return Run(
        config,
        samples,
        folds,
        sampler,
        tasks,
        network,
        tuple(dropouts),
        balancer,
        optimizer,
        workers,
        device,
        layout,
        notes,
        Teacher(network) if config.training.semi_supervised else None,
    )


def check_labels(config: Config, prepared: PreparedCohort, folds: Split) -> None:
    """Raises ValueError where a task has no target in the cohort, or a trained one nothing to learn from."""
    for task in config.tasks:
        kind = prepared.targets.get(task.target)
        if task.target_kinds and kind not in task.target_kinds:
            raise ValueError(
                f"tasks.{task.name}.target is {task.target!r}: cohort {prepared.name!r} has no "
                f"{' or '.join(task.target_kinds)} target of that name; it has "
                f"{', '.join(f'{name} ({kind})' for name, kind in prepared.targets.items())}"
            )
        if task.centers and len(_known(prepared, task.target, folds.train)) < 2:
            raise ValueError(
                f"tasks.{task.name}.domains are {', '.join(task.centers)}: fewer than two of them are "
                "among the training patients' centres; there is nothing to tell apart"
            )
        if task.target_kinds and task.weight > 0 and not prepared.labelled[task.target][folds.train].any():
            raise ValueError(
                f"task {task.name!r} has no labelled patient among the {len(folds.train)} of the training "
                "split; set its weight to 0 or take it out"
            )
    trained = [task for task in config.tasks if task.weight > 0]
    labelled = [prepared.labelled[task.target][folds.validation] for task in trained if task.target_kinds]
    if labelled and not any(rows.any() for rows in labelled):
        raise ValueError(
            f"no patient of the validation split ({len(folds.validation)}) has a label of a trained task: "
            "the best epoch cannot be told; raise split.validation_fraction"
        )


def _known(prepared: PreparedCohort, target: str, rows: np.ndarray) -> np.ndarray:
    """Different labels of a target among ``rows``."""
    return np.unique(prepared.labels[target][rows][prepared.labelled[target][rows]])


def batch_norms(network: nn.Module) -> list[str]:
    """Names of the batch norms in ``network``."""
    return [name for name, module in network.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


def refuse_batch_norm(network: nn.Module, micro_batch: int | None) -> None:
    """Raises ValueError where ``network`` (of a library, say) has a batch norm, which would see parts of a batch."""
    for name in batch_norms(network):
        raise ValueError(
            f"training.micro_batch is {micro_batch}: {name} of this network is a batch norm, whose statistics "
            "would be those of parts of a batch; leave it out, or take an encoder without batch norm"
        )


def synchronized(network: nn.Module, workers: Workers, device: torch.device) -> nn.Module:
    """``network`` with batch norms that see the global batch.

    Raises:
        ValueError: several workers on CPUs, where torch has no such batch norm.
    """
    norms = batch_norms(network)
    if not norms or not workers.together:
        return network
    if device.type != "cuda":
        raise ValueError(
            f"network.unit is batchnorm ({norms[0]}): over {workers.size} CPU workers its statistics would not be "
            "those of the global batch; use senorm or instancenorm, or one worker"
        )
    return nn.SyncBatchNorm.convert_sync_batchnorm(network)
