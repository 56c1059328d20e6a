"""Names of what can be chosen (kinds of task, encoders, balancers, ...), in plain dicts that other packages extend.

A package adds its own through an entry point, without a change to this one:

.. code-block:: toml

    [project.entry-points."branchpoint.tasks"]
    landmarks = "my_package.landmarks:LandmarkTask"

Entry points are read when a name is asked for that the dict lacks, so that nobody waits for packages not used.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from branchpoint.values.conform import refuse

T = TypeVar("T")


def look_up(
    registry: dict[str, T],
    name: object,
    place: str,
    group: str,
    part: Callable[[Any], T] = lambda found: found,
    also: str = "",
) -> T:
    """The entry ``name`` of ``registry``; entry points of ``group`` are added to it where it has none.

    Args:
        registry: name to what bears it.
        name: the name that was chosen.
        place: where it was chosen, for the message.
        group: of entry points, such as ``branchpoint.tasks``.
        part: makes the registry's entry of what an entry point names.
        also: what may be named beside the registry's entries, for the message.

    Raises:
        ValueError: nothing bears that name, or what another package offers cannot be loaded.
    """
    if not isinstance(name, str) or name not in registry:
        add_plugins(registry, group, part)
    if not isinstance(name, str) or name not in registry:
        refuse(place, name, f"choose one of {', '.join(map(repr, registry))}{also}")
    return registry[name]


def add_plugins(registry: dict[str, T], group: str, part: Callable[[Any], T] = lambda found: found) -> None:
    """Add to ``registry`` what installed packages offer as entry points of ``group``; a name taken stays as it is.

    Raises:
        ValueError: an entry point cannot be loaded.
    """
    for point in entry_points(group=group):
        if point.name not in registry:
            registry[point.name] = _load(point, part)


def _load(point: EntryPoint, part: Callable[[Any], T]) -> T:
    try:
        return part(point.load())
    except Exception as problem:
        package = point.dist.name if point.dist else "an installed package"
        raise ValueError(
            f"entry point {point.name!r} of {point.group!r} ({point.value}, from {package}) cannot be loaded: {problem}"
        ) from problem
