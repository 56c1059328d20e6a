"""Tasks: what a network learns. Each is a target, a head, a loss and metrics."""

from __future__ import annotations

from branchpoint.config import TaskConfig
from branchpoint.tasks.base import Summary, Task
from branchpoint.tasks.classification import ClassificationTask
from branchpoint.tasks.domain import DomainTask
from branchpoint.tasks.hog import HogTask
from branchpoint.tasks.multilabel import MultilabelTask
from branchpoint.tasks.ordinal import OrdinalTask
from branchpoint.tasks.regression import ReconstructionTask, RegressionTask
from branchpoint.tasks.segmentation import SegmentationTask
from branchpoint.tasks.survival import SurvivalTask, cox_loss

TASKS: dict[str, type[Task]] = {
    "segmentation": SegmentationTask,
    "survival": SurvivalTask,
    "classification": ClassificationTask,
    "multilabel": MultilabelTask,
    "ordinal": OrdinalTask,
    "regression": RegressionTask,
    "reconstruction": ReconstructionTask,
    "hog": HogTask,
    "domain": DomainTask,
}
"""Kind of task configuration to task."""


def build_task(config: TaskConfig) -> Task:
    """The task that ``config`` describes.

    Raises:
        ValueError: there is no such kind of task.
    """
    if config.kind not in TASKS:
        raise ValueError(f"tasks.{config.name}.kind is {config.kind!r}: known are {', '.join(TASKS)}")
    return TASKS[config.kind](config)


__all__ = ["TASKS", "Summary", "Task", "build_task", "cox_loss"]
