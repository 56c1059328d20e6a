"""Rules that an annotation states beside a type: ``Annotated[int, Range(at_least=1)]``."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass
from typing import Any, Protocol


class Rule(Protocol):
    """What a value must satisfy beyond its type."""

    def holds(self, value: Any) -> bool:
        """Whether ``value``, of the right type, satisfies the rule."""

    def __str__(self) -> str:
        """The rule in words, such as ``must be at least 1``."""


@dataclass(frozen=True, kw_only=True)
class Range:
    """Bounds of a number; ``above`` and ``below`` leave the bound itself out.

    Example:
        >>> print(Range(at_least=0, below=1))
        must lie in [0, 1)
        >>> Range(above=0).holds(0.0)
        False
    """

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None

    def holds(self, value: float) -> bool:
        return (
            (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        low = None if self.at_least is None else f"[{self.at_least}"
        low = low if self.above is None else f"({self.above}"
        high = None if self.at_most is None else f"{self.at_most}]"
        high = high if self.below is None else f"{self.below})"
        if low and high:
            return f"must lie in {low}, {high}"
        if self.above is not None:
            return "must be positive" if self.above == 0 else f"must be above {self.above}"
        if self.at_least is not None:
            return f"must be at least {self.at_least}"
        return f"must be at most {self.at_most}" if self.below is None else f"must be below {self.below}"


@dataclass(frozen=True, kw_only=True)
class Length:
    """Bounds of the number of characters of a text, or of the number of values in a list."""

    at_least: int = 0
    at_most: int

    def holds(self, value: Sized) -> bool:
        return self.at_least <= len(value) <= self.at_most

    def __str__(self) -> str:
        if self.at_least == 0:
            return f"must be no longer than {self.at_most}"
        if self.at_least == self.at_most:
            return f"must have a length of {self.at_least}"
        return (
            f"must not be empty, nor longer than {self.at_most}"
            if self.at_least == 1
            else (f"must have a length from {self.at_least} to {self.at_most}")
        )


@dataclass(frozen=True)
class Distinct:
    """No value of a list may repeat."""

    def holds(self, value: tuple[Any, ...]) -> bool:
        return len(set(value)) == len(value)

    def __str__(self) -> str:
        return "must not repeat a value"
