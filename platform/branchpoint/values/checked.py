"""``Checked``: a frozen dataclass whose fields have the types that it states, or that does not come to be."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, cast

from branchpoint.values.conform import conform, hints_of

ADDED = MappingProxyType({"identity": "unless default"})
"""Metadata of a field that its class did not always have: ``field(default=0.9, metadata=ADDED)``.

It enters a Config's fingerprint only where it is not the default, so that Configs that were stored before the field
existed keep their fingerprints, and a study that was begun then goes on.
"""


class Checked:
    """Base of frozen dataclasses that check and normalise each field by its annotation on construction.

    Example:
        >>> from branchpoint.config import NetworkConfig
        >>> NetworkConfig(width=8.5)
        Traceback (most recent call last):
        ValueError: network.width is 8.5: must be a whole number

    Attributes:
        section: name of the part in messages, such as ``network``.
        tag: attribute of the class that names it among its family in JSON.
    """

    section: ClassVar[str] = ""
    tag: ClassVar[str] = "kind"

    def __post_init__(self) -> None:
        for name, annotation in hints_of(cast(Any, type(self))).items():
            object.__setattr__(self, name, conform(annotation, getattr(self, name), self.place_of(name)))
        self.check()

    def check(self) -> None:
        """Rules that tie fields to each other; ValueError where one is broken. Fields have their types by now."""
        return

    def place_of(self, field: str) -> str:
        """Name of ``field`` in messages."""
        return f"{self.section}.{field}" if self.section else field

    @classmethod
    def reader_of(cls, plain: Mapping[str, Any], place: str) -> tuple[type, dict[str, Any]]:
        """The class that reads ``plain``, found in JSON at ``place``, and what it is to read.

        A family of classes chooses by a tag here.

        Raises:
            ValueError: the tag is unknown.
        """
        return cls, dict(plain)
