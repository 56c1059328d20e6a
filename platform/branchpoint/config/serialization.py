"""Frozen dataclasses to plain JSON values and back, with every problem named by its place.

Standard library only: the core must load on a machine that has nothing but torch and numpy.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

T = TypeVar("T")


def require(holds: bool, place: str, value: Any, rule: str) -> None:
    """Raises ValueError, naming ``place``, its ``value`` and the ``rule`` it breaks, unless the rule ``holds``."""
    if not holds:
        raise ValueError(f"{place} is {value!r}: {rule}")


def to_plain(value: Any, *, identity_only: bool = False) -> Any:
    """Dicts, lists and scalars of ``value``.

    ``identity_only`` leaves out the fields marked ``metadata={"identity": False}``: where a cohort
    lies on disk does not change what a run is.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        plain = {
            field.name: to_plain(getattr(value, field.name), identity_only=identity_only)
            for field in dataclasses.fields(value)
            if not (identity_only and field.metadata.get("identity") is False)
        }
        kind = getattr(type(value), "kind", None)
        return {"kind": kind, **plain} if isinstance(kind, str) else plain
    if isinstance(value, Mapping):
        return {str(key): to_plain(item, identity_only=identity_only) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item, identity_only=identity_only) for item in value]
    return value


def from_plain(cls: type[T], plain: Any, place: str = "") -> T:
    """The ``cls`` that :func:`to_plain` gave ``plain`` for.

    Raises:
        ValueError: an unknown or missing field, or a value of the wrong type; the message starts with the
            field's place, such as ``network.width``.
    """
    return typing.cast(T, _decode(cls, plain, place))


@cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _decode(annotation: Any, plain: Any, place: str) -> Any:
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return _decode_union(get_args(annotation), plain, place)
    if origin is Literal:
        if plain not in get_args(annotation):
            raise ValueError(f"{place}: {plain!r} is not one of {', '.join(map(repr, get_args(annotation)))}")
        return plain
    if origin is tuple:
        return _decode_tuple(get_args(annotation), plain, place)
    if dataclasses.is_dataclass(annotation):
        return _decode_dataclass(typing.cast(type, annotation), plain, place)
    return _decode_scalar(annotation, plain, place)


def _decode_union(options: tuple[Any, ...], plain: Any, place: str) -> Any:
    if plain is None and type(None) in options:
        return None
    options = tuple(option for option in options if option is not type(None))
    kinds = {getattr(option, "kind", None): option for option in options}
    if isinstance(plain, Mapping) and "kind" in plain:
        if plain["kind"] not in kinds:
            raise ValueError(f"{place}.kind: {plain['kind']!r} is not one of {', '.join(map(repr, kinds))}")
        return _decode(kinds[plain["kind"]], plain, place)
    problems = []
    for option in options:
        try:
            return _decode(option, plain, place)
        except ValueError as problem:
            problems.append(str(problem))
    raise ValueError("; or ".join(problems))


def _decode_tuple(items: tuple[Any, ...], plain: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(plain, list | tuple):
        raise ValueError(f"{place}: expected a list, found {plain!r}")
    if len(items) == 2 and items[1] is Ellipsis:
        return tuple(_decode(items[0], item, f"{place}[{i}]") for i, item in enumerate(plain))
    if len(plain) != len(items):
        raise ValueError(f"{place}: expected {len(items)} values, found {len(plain)}: {plain!r}")
    return tuple(_decode(kind, item, f"{place}[{i}]") for i, (kind, item) in enumerate(zip(items, plain, strict=True)))


def _decode_dataclass(cls: type, plain: Any, place: str) -> Any:
    if not isinstance(plain, Mapping):
        raise ValueError(f"{place or cls.__name__}: expected an object, found {plain!r}")
    hints = _hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    unknown = sorted(set(plain) - set(fields) - {"kind"})
    if unknown:
        raise ValueError(f"{place or cls.__name__}: unknown field {unknown[0]!r}; known are {', '.join(fields)}")
    dot = f"{place}." if place else ""
    values = {name: _decode(hints[name], plain[name], dot + name) for name in fields if name in plain}
    try:
        return cls(**values)
    except TypeError as problem:
        raise ValueError(f"{place or cls.__name__}: {problem}") from problem


def _decode_scalar(annotation: Any, plain: Any, place: str) -> Any:
    if annotation is float and isinstance(plain, int) and not isinstance(plain, bool):
        return float(plain)
    wrong_bool = isinstance(plain, bool) and annotation is not bool
    if isinstance(annotation, type) and (wrong_bool or not isinstance(plain, annotation)):
        raise ValueError(f"{place}: expected {annotation.__name__}, found {plain!r}")
    return plain
