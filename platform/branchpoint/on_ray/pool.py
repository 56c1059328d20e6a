"""A pool of actors that each make one callable, such as networks in memory, and call it for many items."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import ray

from branchpoint.execution.resources import Resources

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class _Caller:
    def __init__(self, make: Callable[[], Callable[[Any], Any]], cpus: int) -> None:
        import torch

        torch.set_num_threads(cpus)
        self._call = make()

    def call(self, item: Any) -> Any:
        return self._call(item)


def map_on_ray(
    make: Callable[[], Callable[[Item], Answer]], items: Sequence[Item], resources: Resources, concurrency: int
) -> Iterator[tuple[Item, Answer | Exception]]:
    """Each item with its answer, as they are ready.

    Where a worker dies, its item gets the error as its answer, and a new worker takes its place.

    Args:
        make: makes the callable, once in each worker.
        items: to be called with.
        resources: cores and GPUs of a worker.
        concurrency: most workers at once.
    """
    caller: Any = ray.remote(_Caller)
    actor = caller.options(num_cpus=resources.cpus, num_gpus=resources.gpus)
    waiting = list(items)
    running: dict[Any, tuple[Any, Item]] = {}
    idle: list[Any] = [actor.remote(make, resources.cpus) for _ in range(min(concurrency, len(waiting)))]
    while waiting or running:
        while waiting and idle:
            worker, item = idle.pop(), waiting.pop(0)
            running[worker.call.remote(item)] = (worker, item)
        (ready,), _ = ray.wait(list(running), num_returns=1)
        worker, item = running.pop(ready)
        try:
            answer: Answer | Exception = ray.get(ready)
            idle.append(worker)
        except ray.exceptions.RayActorError as problem:
            answer = RuntimeError(f"the worker died: {problem}")
            idle.append(actor.remote(make, resources.cpus))
        yield item, answer
    for worker in idle:
        ray.kill(worker)
