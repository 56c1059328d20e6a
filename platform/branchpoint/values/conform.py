"""Brings a value to the type that an annotation states, or says by its place why it cannot be.

Every value has one form: numbers of numpy and torch become Python's, a whole number in a field of floats becomes a
float, minus zero becomes zero, lists and arrays become tuples. Values that compare equal are then written alike, and
so have equal fingerprints.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import types
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

LARGEST_INT = 2**63 - 1
LONGEST_TEXT = 4096
LONGEST_LIST = 10_000
LONGEST_SHOWN = 120


def require(holds: bool, place: str, value: Any, rule: str) -> None:
    """Raise ValueError, naming ``place``, its ``value`` and the ``rule`` it breaks, unless the rule ``holds``."""
    if not holds:
        refuse(place, value, rule)


def refuse(place: str, value: Any, rule: str) -> NoReturn:
    """Raise the ValueError of a ``value`` at ``place`` that breaks ``rule``."""
    raise ValueError(f"{place} is {shown(value)}: {rule}")


def shown(value: Any) -> str:
    """``repr(value)``, cut where it is longer than a message should be."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an int of more than 4300 digits; lists in lists without end
        return f"a value of type {type(value).__name__} that is too long to show"
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


def conform(annotation: Any, value: Any, place: str) -> Any:
    """``value`` in the one form that it has as an ``annotation``.

    Mappings become dataclasses, so that this also reads what JSON holds.

    Args:
        annotation: type hint: bool, int, float, str, ``Literal``, ``tuple``, a dataclass, a union of them with
            None, or one of these ``Annotated`` with rules.
        value: what is to have that type.
        place: name of the value in messages, such as ``network.width``.

    Raises:
        ValueError: it has not; the message names place, value and what is allowed.
    """
    if type(value).__module__ in ("numpy", "torch") and hasattr(value, "tolist"):
        value = value.tolist()
    if annotation in _SCALARS:
        return _SCALARS[annotation](value, place)
    origin = get_origin(annotation)
    if origin is Annotated:
        kind, *rules = get_args(annotation)
        value = conform(kind, value, place)
        for rule in rules:
            require(rule.holds(value), place, value, str(rule))
        return value
    if origin in (Union, types.UnionType):
        return _union(get_args(annotation), value, place)
    if origin is Literal:
        return _choice(get_args(annotation), value, place)
    if origin is tuple:
        return _tuple(get_args(annotation), value, place)
    if dataclasses.is_dataclass(annotation):
        return _dataclass(annotation, value, place)
    if isinstance(annotation, type) and not isinstance(value, annotation):
        refuse(place, value, f"must be of type {annotation.__name__}")
    return value


@cache
def hints_of(cls: Any) -> Mapping[str, Any]:
    """Field name to annotation of a dataclass, ``Annotated`` ones with their rules."""
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _bool(value: Any, place: str) -> bool:
    require(isinstance(value, bool), place, value, "must be True or False")
    return value


def _int(value: Any, place: str) -> int:
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    require(whole, place, value, "must be a whole number")
    require(-LARGEST_INT <= value <= LARGEST_INT, place, value, "is larger than 64 bits can hold")
    return int(value)


def _float(value: Any, place: str) -> float:
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    require(real, place, value, "must be a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    require(math.isfinite(number), place, value, "must be a finite number")
    return number + 0.0  # -0.0 becomes 0.0


def _str(value: Any, place: str) -> str:
    require(isinstance(value, str), place, value, "must be a text")
    text = str.__str__(value)
    require(len(text) <= LONGEST_TEXT, place, text, f"must be no longer than {LONGEST_TEXT} characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        refuse(place, text, "must be Unicode without lone surrogates")
    return text


_SCALARS: dict[Any, Any] = {bool: _bool, int: _int, float: _float, str: _str}


def _choice(choices: tuple[Any, ...], value: Any, place: str) -> Any:
    for choice in choices:
        # The type too: 1 == True == 1.0.
        if isinstance(value, type(choice)) and isinstance(value, bool) == isinstance(choice, bool) and value == choice:
            return choice
    refuse(place, value, f"choose one of {', '.join(map(repr, choices))}")


def _union(options: tuple[Any, ...], value: Any, place: str) -> Any:
    if type(None) in options:
        if value is None:
            return None
        options = tuple(option for option in options if option is not type(None))
        if len(options) == 1:
            try:
                return conform(options[0], value, place)
            except ValueError as problem:
                own = str(problem).startswith(f"{place} is ")
                raise ValueError(f"{problem}, or be None" if own else str(problem)) from None
    kinds = {option.kind: option for option in options if isinstance(getattr(option, "kind", None), str)}
    if kinds and isinstance(value, Mapping) and "kind" in value:
        kind = value["kind"]
        require(isinstance(kind, str) and kind in kinds, f"{place}.kind", kind, _one_of(kinds))
        return conform(kinds[kind], value, place)
    problems = []
    for option in options:
        try:
            return conform(option, value, place)
        except ValueError as problem:
            problems.append(str(problem))
    raise ValueError("; or ".join(problems))


def _one_of(names: Any) -> str:
    return f"choose one of {', '.join(map(repr, names))}"


def _tuple(items: tuple[Any, ...], value: Any, place: str) -> tuple[Any, ...]:
    listed = isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview)
    require(listed, place, value, "must be a list of values")
    require(len(value) <= LONGEST_LIST, place, value, f"must be no longer than {LONGEST_LIST} values")
    if len(items) == 2 and items[1] is Ellipsis:
        return tuple(conform(items[0], item, f"{place}[{i}]") for i, item in enumerate(value))
    require(len(value) == len(items), place, value, f"must have {len(items)} values")
    return tuple(conform(kind, item, f"{place}[{i}]") for i, (kind, item) in enumerate(zip(items, value, strict=True)))


def _dataclass(cls: Any, value: Any, place: str) -> Any:
    if isinstance(value, cls):
        return value
    name = place or cls.__name__
    require(isinstance(value, Mapping), name, value, f"must be a {cls.__name__}, in JSON an object")
    values = dict(value)
    if hasattr(cls, "reader_of"):
        cls, values = cls.reader_of(values, place)
    hints, fields = hints_of(cls), {field.name: field for field in dataclasses.fields(cls)}
    tag = getattr(cls, "tag", "kind")
    unknown = [key for key in values if key not in fields and not (key == tag and hasattr(cls, tag))]
    if unknown:
        raise ValueError(f"{name}: unknown field {shown(unknown[0])}; known are {', '.join(fields)}")
    dot = f"{place}." if place else ""
    given = {key: conform(hints[key], values[key], dot + key) for key in fields if key in values}
    missing = [
        key
        for key, field in fields.items()
        if key not in given and field.default is field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f"{name}: field {missing[0]!r} is missing")
    return cls(**given)
