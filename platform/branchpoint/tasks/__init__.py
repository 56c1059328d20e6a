"""Tasks: what a network learns. Each is a target, a head, a loss and metrics."""

from __future__ import annotations

from branchpoint.config import TaskConfig
from branchpoint.tasks.base import Summary, Task
from branchpoint.tasks.classification import ClassificationTask
from branchpoint.tasks.distance_map import DistanceMapTask
from branchpoint.tasks.domain import DomainTask
from branchpoint.tasks.hog import HogTask
from branchpoint.tasks.multilabel import MultilabelTask
from branchpoint.tasks.ordinal import OrdinalTask
from branchpoint.tasks.regression import ReconstructionTask, RegressionTask
from branchpoint.tasks.segmentation import SegmentationTask
from branchpoint.tasks.survival import SurvivalTask, cox_loss
from branchpoint.values import look_up

TASKS: dict[str, type[Task]] = {
    task.config_class.kind: task
    for task in (
        SegmentationTask,
        DistanceMapTask,
        SurvivalTask,
        ClassificationTask,
        MultilabelTask,
        OrdinalTask,
        RegressionTask,
        ReconstructionTask,
        HogTask,
        DomainTask,
    )
}
"""Kind of task to its class; the entry points ``branchpoint.tasks`` of other packages add theirs."""


def build_task(config: TaskConfig) -> Task:
    """The task that ``config`` describes.

    Raises:
        ValueError: there is no such kind of task.

    Example:
        >>> from branchpoint.config import ClassificationConfig
        >>> task = build_task(ClassificationConfig(name="grade", target="grade", classes=3))
        >>> task.outputs, task.primary_metric, round(task.chance, 3)
        (3, 'balanced_accuracy', 0.333)
    """
    return look_up(TASKS, config.kind, f"tasks.{config.name}.kind", "branchpoint.tasks")(config)


__all__ = ["TASKS", "Summary", "Task", "build_task", "cox_loss"]
