"""A small actor between the workers of a run and its driver: reports one way, answers the other.

It lies on the driver's node, takes no core and imports neither torch nor the training: what passes is bytes.
"""

from __future__ import annotations

import asyncio
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


class Mailbox:
    """Holds one report at a time, and the first error that ended the run."""

    def __init__(self) -> None:
        self._reports: asyncio.Queue[tuple[bytes, asyncio.Future[bool]]] = asyncio.Queue()
        self._asking: asyncio.Future[bool] | None = None
        self._error: bytes | None = None
        self._failed = asyncio.Event()

    async def report(self, entry: bytes) -> bool:
        """Of a worker: whether to go on after ``entry``; waits for the driver."""
        answer = asyncio.get_running_loop().create_future()
        await self._reports.put((entry, answer))
        return bool(await answer)

    async def next(self, seconds: float) -> bytes | None:
        """Of the driver: the next report, or ``None`` where none comes in ``seconds``."""
        try:
            entry, self._asking = await asyncio.wait_for(self._reports.get(), seconds)
        except TimeoutError:
            return None
        return entry

    async def answer(self, go_on: bool) -> None:
        """Of the driver: to the last report. Nobody may be waiting for it any more."""
        if self._asking is not None and not self._asking.done():
            self._asking.set_result(go_on)

    async def fail(self, error: bytes) -> None:
        """Of a worker: the run cannot go on."""
        self._error = self._error or error
        self._failed.set()

    async def error(self, seconds: float = 0.0) -> bytes | None:
        """Why the run cannot go on, or ``None`` where no worker said so in ``seconds``."""
        if seconds:
            try:
                await asyncio.wait_for(self._failed.wait(), seconds)
            except TimeoutError:
                return None
        return self._error


def open_mailbox() -> Any:
    """A new :class:`Mailbox` on this node."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor: Any = ray.remote(num_cpus=0)(Mailbox)
    return actor.options(scheduling_strategy=here).remote()
