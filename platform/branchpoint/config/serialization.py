"""Configs as plain JSON values and back, with every problem named by its place. Standard library only."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from branchpoint.values import conform, require

__all__ = ["from_plain", "parse_json", "require", "to_plain"]

T = TypeVar("T")


def to_plain(value: Any, *, identity_only: bool = False) -> Any:
    """Dicts, lists and scalars of ``value``; a class of a family has its tag (``kind``, ``method``) among them.

    ``identity_only`` leaves out the fields marked ``metadata={"identity": False}``, for where a cohort lies on disk
    does not change what a run is, and those marked :data:`~branchpoint.values.ADDED` that have their default.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        plain = {
            field.name: to_plain(getattr(value, field.name), identity_only=identity_only)
            for field in dataclasses.fields(value)
            if not (identity_only and _sets_no_identity(field, getattr(value, field.name)))
        }
        tag = getattr(value, "tag", "kind")
        name = getattr(type(value), tag, None)
        return {tag: name, **plain} if isinstance(name, str) else plain
    if isinstance(value, Mapping):
        return {str(key): to_plain(item, identity_only=identity_only) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item, identity_only=identity_only) for item in value]
    return value


def _sets_no_identity(field: dataclasses.Field[Any], value: Any) -> bool:
    identity = field.metadata.get("identity")
    return identity is False or (identity == "unless default" and value == field.default)


def from_plain(cls: type[T], plain: Any, place: str = "") -> T:
    """The ``cls`` that :func:`to_plain` gave ``plain`` for.

    Raises:
        ValueError: an unknown or missing field, or a wrong value; the message starts with the field's place, such
            as ``network.width``.
    """
    return typing.cast(T, conform(cls, plain, place))


def parse_json(text: str) -> Any:
    """The plain values that ``text`` holds.

    Raises:
        ValueError: it is not JSON, is nested too deeply, or holds a number that is too long.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("not a Config: the JSON text is nested too deeply") from None
    except ValueError as problem:
        raise ValueError(f"not valid JSON: {problem}") from None
