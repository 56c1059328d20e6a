"""What the Config of every kind of task has. :mod:`branchpoint.tasks` builds what it describes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

from branchpoint.values import ADDED, Checked, Length, Range, look_up, require, shown

if TYPE_CHECKING:
    from branchpoint.config.dataset import DatasetConfig
    from branchpoint.config.network import NetworkConfig

Name = Annotated[str, Length(at_least=1, at_most=200)]
NotNegative = Annotated[float, Range(at_least=0)]
Classes = Annotated[int, Range(at_least=2, at_most=10_000)]


class Reversal(NamedTuple):
    """How the gradient of a task is reversed where it enters the encoder.

    Attributes:
        strength: what it is multiplied by, beside -1.
        ramp: raise the strength from 0 over the budget.
    """

    strength: float
    ramp: bool


@dataclass(frozen=True, kw_only=True)
class TaskConfig(Checked):
    """What every task has. Its class attributes say how a kind of task behaves, so that nobody asks for its class.

    A new kind is a subclass with a ``kind`` of its own in :data:`branchpoint.config.tasks.TASK_CONFIGS`, or the
    ``config_class`` of an entry point of ``branchpoint.tasks``.

    Attributes:
        name: name of the task, unique in a Config; a branch of the topology bears it.
        target: key of the cohort's label that the task learns.
        weight: weight of its loss, at least 0; 0 leaves the task untrained.
        importance: weight of its metric in the score that compares configurations, at least 0; auxiliary tasks do not
            count.
    """

    kind: ClassVar[str]
    dense: ClassVar[bool] = False
    """It predicts a map of the image's size, and needs a decoder."""
    target_kinds: ClassVar[tuple[str, ...]] = ()
    """Kinds of the cohort's targets that it reads; none where its target is computed, not labelled."""
    auxiliary: ClassVar[bool] = False
    """Learned for the sake of others: it neither chooses the best epoch nor counts in a score."""
    compares_samples: ClassVar[bool] = False
    """Its loss is no mean over samples, but compares those of a batch with each other."""
    predicts_mask: ClassVar[bool] = False
    """Its map is a mask, which cascades can measure and pool inside of."""
    predicts_probabilities: ClassVar[bool] = False
    """The sigmoid of its one output, or the softmax of its outputs, is a probability."""
    bounded_metric: ClassVar[bool] = True
    """Its primary metric lies in [0, 1], and 1 is best for the network."""
    describes_image: ClassVar[bool] = False
    """It regresses a long vector that describes the image; regression units suit it."""

    name: Name
    target: Name
    weight: NotNegative = 1.0
    importance: NotNegative = field(default=1.0, metadata=ADDED)

    @property
    def reversal(self) -> Reversal | None:
        """How its gradient is reversed where it enters the encoder; ``None``: not at all."""
        return None

    @property
    def centers(self) -> tuple[str, ...]:
        """The centres that it tells apart, where its label is the centre that an image comes from; else empty."""
        return ()

    @property
    def sees_clinical(self) -> bool:
        """Whether its head may be given clinical values."""
        return not self.dense

    def place_of(self, field: str) -> str:
        """Name of ``field`` in messages."""
        named = isinstance(self.name, str) and self.name
        return f"tasks.{shown(self.name)[1:-1]}.{field}" if named else f"tasks[?].{field}"

    def check_in(self, dataset: DatasetConfig, network: NetworkConfig) -> None:
        """Rules that tie the task to the rest of a Config.

        Raises:
            ValueError: one is broken.
        """
        require(
            self.target not in network.clinical,
            "network.clinical",
            network.clinical,
            f"{self.target!r} is what task {self.name!r} is to predict",
        )

    @classmethod
    def reader_of(cls, plain: Mapping[str, Any], place: str) -> tuple[type, dict[str, Any]]:
        """The class of the task's ``kind``.

        Raises:
            ValueError: the kind is missing, unknown or not that of ``cls``.
        """
        from branchpoint.config.tasks import TASK_CONFIGS

        own = getattr(cls, "kind", None)
        kind = plain.get("kind", own)
        found = look_up(TASK_CONFIGS, kind, f"{place}.kind" if place else "kind", "branchpoint.tasks", config_of)
        require(own in (None, kind), f"{place}.kind", kind, f"must be {own!r}")
        return found, dict(plain)


def config_of(task: Any) -> type[TaskConfig]:
    """The Config class of a kind of task, a subclass of :class:`branchpoint.tasks.Task`."""
    found = task.config_class
    if not (isinstance(found, type) and issubclass(found, TaskConfig)):
        raise TypeError(f"{task!r}.config_class must be a subclass of TaskConfig")
    return found


def check_weights(task: TaskConfig, weights: tuple[float, ...], count: int, field: str) -> None:
    """Raise ValueError unless ``weights`` are none or ``count``, at least 0."""
    require(len(weights) in (0, count), task.place_of(field), weights, f"give none or {count} weights")
