"""Partitions of tasks into groups that share weights, and how they refine."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

Group = tuple[str, ...]
Partition = tuple[Group, ...]


def canonical_partition(groups: Iterable[Iterable[str]], place: str) -> Partition:
    """``groups`` with names sorted in each group, and groups sorted.

    Args:
        groups: groups of task names.
        place: name of the stage, for the message.

    Raises:
        ValueError: a group is empty, or a task is in two groups.
    """
    partition = tuple(sorted(tuple(sorted(group)) for group in groups))
    if not all(partition):
        raise ValueError(f"{place}: a group without tasks; leave it out")
    seen: set[str] = set()
    for group in partition:
        for task in group:
            if task in seen:
                raise ValueError(f"{place}: task {task!r} is in two groups; each task has one group at each stage")
            seen.add(task)
    return partition


def members(partition: Partition) -> frozenset[str]:
    """All tasks of ``partition``."""
    return frozenset(task for group in partition for task in group)


def group_of(partition: Partition, task: str) -> Group:
    """The group of ``task``; KeyError where it has none."""
    for group in partition:
        if task in group:
            return group
    raise KeyError(task)


def restrict(partition: Partition, tasks: Collection[str]) -> Partition:
    """``partition`` of those of its members that are in ``tasks``."""
    groups = (tuple(task for task in group if task in tasks) for group in partition)
    return tuple(sorted(group for group in groups if group))


def require_refinement(coarse: Partition, fine: Partition, place: str) -> None:
    """Raises ValueError, naming ``place`` and tasks, where a group of ``fine`` joins tasks that parted before."""
    for group in fine:
        before = group_of(coarse, group[0])
        for task in group[1:]:
            if task not in before:
                raise ValueError(
                    f"{place}: tasks {group[0]!r} and {task!r} share weights here but parted at an earlier stage; "
                    "partitions only refine with depth"
                )


def partitions(tasks: Group) -> Iterator[Partition]:
    """Every partition of ``tasks``, each once, the single group first and all apart last."""
    if not tasks:
        yield ()
        return
    first, rest = tasks[0], tasks[1:]
    for partition in partitions(rest):
        for i, group in enumerate(partition):
            yield tuple(sorted((*partition[:i], (first, *group), *partition[i + 1 :])))
        yield tuple(sorted(((first,), *partition)))
