"""``Config``: a whole trial as one frozen, validated value.

A run is a Python function that returns a :class:`Config`; JSON is an output format. The fingerprint (hash of the
canonical form) names the run, finds duplicates and resumes work. Where a cohort lies on disk is not part of it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Annotated

from branchpoint.config.balancing import BalancingConfig, WeightedSumConfig
from branchpoint.config.dataset import DatasetConfig, Seed, SplitConfig
from branchpoint.config.network import NetworkConfig
from branchpoint.config.optimizer import OptimizerConfig
from branchpoint.config.serialization import from_plain, parse_json, require, to_plain
from branchpoint.config.tasks import TaskConfig
from branchpoint.config.training import TrainingConfig
from branchpoint.values import Checked, Length


@dataclass(frozen=True, kw_only=True)
class Config(Checked):
    """A whole trial: dataset, tasks, network, balancing, optimiser, budget, split and seed."""

    dataset: DatasetConfig
    tasks: Annotated[tuple[TaskConfig, ...], Length(at_least=1, at_most=100)]
    network: NetworkConfig = field(default_factory=NetworkConfig)
    balancing: BalancingConfig = field(default_factory=WeightedSumConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    seed: Seed = 0

    def check(self) -> None:
        names = [task.name for task in self.tasks]
        require(len(set(names)) == len(names), "tasks", names, "names must be distinct")
        require(any(task.weight > 0 for task in self.tasks), "tasks", names, "at least one weight must be positive")
        main = [task for task in self.tasks if not task.auxiliary]
        require(
            not main or any(task.importance > 0 for task in main),
            "tasks",
            names,
            "the importance of at least one task that is not auxiliary must be positive",
        )
        for task in self.tasks:
            task.check_in(self.dataset, self.network)
        require(
            not self.split.refit or self.training.select_by in ("last", "average"),
            "training.select_by",
            self.training.select_by,
            "split.refit leaves no validation samples to choose an epoch by; use 'last' or 'average'",
        )
        self._check_micro_batch()
        topology, dense = self.network.topology, {task.name for task in self.tasks if task.dense}
        if topology is not None and topology.shares_all and topology.decoder_tasks == dense:
            # One way to say that all tasks share every stage, so that equal networks have equal fingerprints.
            object.__setattr__(self, "network", replace(self.network, topology=None))

    def _check_micro_batch(self) -> None:
        size = self.training.micro_batch
        if size is None or size >= self.training.batch_size:
            return
        comparing = [task.name for task in self.tasks if task.compares_samples and task.weight > 0]
        require(
            not comparing,
            "training.micro_batch",
            size,
            f"the loss of {', '.join(map(repr, comparing))} compares the samples of a batch with each other, so "
            "that parts of a batch would give another loss; leave it out and lower training.batch_size, or train "
            "with more workers, which share a batch exactly",
        )
        require(
            self.network.unit != "batchnorm",
            "training.micro_batch",
            size,
            "network.unit is 'batchnorm', whose statistics would be those of parts of a batch; use 'senorm' or "
            "'instancenorm'",
        )
        require(
            not self.balancing.of_features,
            "training.micro_batch",
            size,
            "balancing.gradients is 'features', which are there for one part of a batch at a time; use 'parameters'",
        )

    def to_json(self) -> str:
        """Canonical JSON: keys sorted, no spaces."""
        return json.dumps(to_plain(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Config:
        """The Config that :meth:`to_json` wrote.

        Raises:
            ValueError: the text is not JSON, or a field is unknown, missing or wrong; the message names its place.
        """
        return from_plain(cls, parse_json(text))

    @property
    def fingerprint(self) -> str:
        """16 hex digits that name this run."""
        canonical = json.dumps(to_plain(self, identity_only=True), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    @property
    def candidate(self) -> str:
        """Fingerprint with fold and seed set aside: runs of one candidate differ in these alone."""
        return replace(self, split=replace(self.split, fold=0), seed=0).fingerprint

    def task(self, name: str) -> TaskConfig:
        """The task called ``name``; KeyError where there is none."""
        for task in self.tasks:
            if task.name == name:
                return task
        raise KeyError(f"no task {name!r}; there are {', '.join(t.name for t in self.tasks)}")
