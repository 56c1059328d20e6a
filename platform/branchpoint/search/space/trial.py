"""The part of an Optuna trial that a search space uses, so that spaces can be written and called without Optuna."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Trial(Protocol):
    """Suggests values of named parameters; an ``optuna.trial.Trial`` and a ``FixedTrial`` are such."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of ``choices``: texts, numbers or booleans."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number from ``low`` to ``high``, in steps or on a logarithmic scale."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number from ``low`` to ``high``."""
