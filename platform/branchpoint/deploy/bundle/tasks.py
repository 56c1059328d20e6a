"""What a bundle says about each task: kind, weight, names of its classes, meaning of its event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from branchpoint.config import AnyTaskConfig, ClassificationConfig, MultilabelConfig, OrdinalConfig, SegmentationConfig


@dataclass(frozen=True, kw_only=True)
class TaskInfo:
    """One task of a bundle.

    Attributes:
        name, kind, target, weight: of its Config.
        labels: names of classes or labels in order; of a segmentation from ``first_label`` on.
        first_label: class id of the first name: 1 where class 0 is background.
        meaning: of a survival task: what its event is.
        unit: of a regression.
    """

    name: str
    kind: str
    target: str
    weight: float
    labels: tuple[str, ...] = ()
    first_label: int = 0
    meaning: str = ""
    unit: str = ""

    def plain(self) -> dict[str, Any]:
        """JSON values."""
        return {**asdict(self), "labels": list(self.labels)}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> TaskInfo:
        """What :meth:`plain` gave."""
        return cls(**{**plain, "labels": tuple(plain["labels"])})


def predicted_tasks(tasks: Sequence[AnyTaskConfig]) -> list[AnyTaskConfig]:
    """Those that give a result: neither untrained (weight 0), nor auxiliary, nor a map that is no mask."""
    found = [task for task in tasks if task.weight > 0 and not task.auxiliary]
    return [task for task in found if task.predicts_mask or not task.dense]


def task_info(
    task: AnyTaskConfig, class_names: Mapping[str, Sequence[str]], said: Mapping[str, Mapping[str, str]]
) -> TaskInfo:
    """What the bundle says about ``task``.

    Args:
        task: of the Config.
        class_names: of the cohort, target to names.
        said: task to ``event`` or ``unit``, as the card's author wrote them.
    """
    first = 1 if isinstance(task, SegmentationConfig) and task.background else 0
    about = said.get(task.name, {})
    return TaskInfo(
        name=task.name,
        kind=task.kind,
        target=task.target,
        weight=task.weight,
        labels=_labels(task, tuple(class_names.get(task.target, ()))),
        first_label=first,
        meaning=about.get("event", f"the event recorded as {task.target!r}") if task.kind == "survival" else "",
        unit=about.get("unit", ""),
    )


def _labels(task: AnyTaskConfig, known: tuple[str, ...]) -> tuple[str, ...]:
    if isinstance(task, SegmentationConfig):
        first = 1 if task.background else 0
        count = task.foreground_classes + 1 - first
        names = (task.target,) if count == 1 else tuple(f"class {first + i}" for i in range(count))
    elif isinstance(task, ClassificationConfig | OrdinalConfig):
        names = tuple(f"class {i}" for i in range(task.classes))
    elif isinstance(task, MultilabelConfig):
        names = tuple(f"label {i}" for i in range(task.labels))
    else:
        return ()
    return known if len(known) == len(names) else names
