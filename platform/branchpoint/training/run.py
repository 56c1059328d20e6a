"""What a training run works with, built from the Config alike on every worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
from branchpoint.training.batches.samples import Samples, check_labels, clinical_notes
from branchpoint.training.devices.distributed import Workers, refuse_batch_norm, synchronized
from branchpoint.training.devices.layout import memory_format
from branchpoint.training.devices.randomness import BALANCING, BatchDropout, derived_seed, install_batch_dropout
from branchpoint.training.state.warm_start import start_from
from branchpoint.training.step.class_weights import with_balanced_classes
from branchpoint.training.step.optimizer import build_optimizer
from branchpoint.training.step.prior_bias import set_prior_biases
from branchpoint.training.step.teacher import Teacher, WeightAverage


@dataclass(frozen=True)
class Run:
    """One run on one worker.

    Attributes:
        tasks: all of them; :attr:`trained` are those with a positive weight.
        dropouts: layers that must be told which rows of the global batch they see.
        layout: memory format of images and weights.
        average: the moving average of the network's weights.
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
    average: WeightAverage
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

    @property
    def validated(self) -> nn.Module:
        """The network that validation looks at: the one that the run would end with now."""
        return self.average.network if self.config.training.select_by == "average" else self.network

    def forward(self, batch: Batch, network: nn.Module | None = None) -> Mapping[str, Tensor]:
        """Logits of every task by the run's network (or another), computed in the precision of the Config."""
        inputs = {**batch.inputs, "image": batch.inputs["image"].contiguous(memory_format=self.layout)}
        reduced = self.config.training.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=reduced):
            return (network or self.network)(inputs)


def batch_shape(config: Config) -> tuple[int, ...]:
    """(B, C, [D,] H, W) of the samples that one worker passes through the network at once."""
    return (local_batch_size(config, Workers()), config.network.in_channels, *config.dataset.size_voxels)


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
    in_parts = local_batch_size(config, workers) < -(-config.training.batch_size // workers.size)
    layout = memory_format(config.network, len(config.dataset.size_voxels), device)
    folds = split(prepared, config.split)
    samples = Samples.of(config, prepared)
    check_labels(config, samples, folds)
    tasks = tuple(build_task(with_balanced_classes(task, samples, folds.train)) for task in config.tasks)
    drawn = networks.build(config)
    notes: tuple[str, ...] = ()
    if drawn.clinical is not None:
        drawn.clinical.fit(torch.from_numpy(samples.clinical[folds.train]).float())
        notes = clinical_notes(config.network.clinical, samples.clinical, folds.train)
    set_prior_biases(drawn, tasks, samples, folds.train)
    if config.training.start_from:
        notes = (*notes, start_from(config.training.start_from, drawn))
    dropouts = install_batch_dropout(drawn.to(device))
    if in_parts:
        refuse_batch_norm(drawn, config.training.micro_batch)
    network = synchronized(drawn.to(memory_format=layout), workers, device)
    workers.copy_from_first(network)
    average = WeightAverage(network)
    task_weights = {task.name: task.weight for task in config.tasks if task.weight > 0}
    balancer = build_balancer(config.balancing, task_weights, derived_seed(config.seed, BALANCING))
    balancer.attach(network)
    survival = [task.target for task in config.tasks if task.kind == "survival" and task.weight > 0]
    labelled = [task.known(samples.labelled, len(samples.patient_ids)) for task in tasks if task.config.weight > 0]
    sampler = EventBalancedSampler.of(
        samples, folds.train, config.training, next(iter(survival), None), config.seed, labels=labelled
    )
    optimizer = build_optimizer(config.optimizer, network, balancer.parameters(), balancer.learning_rate)
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
        average,
        notes,
        Teacher(network) if config.training.semi_supervised else None,
    )
