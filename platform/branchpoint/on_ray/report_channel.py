"""A small actor between the workers of a run and its driver: reports go one way, answers the other.

It runs on the driver's node, takes no core and imports neither torch nor the training code; its messages are bytes.
"""

from __future__ import annotations

import asyncio
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


class ReportChannel:
    """Holds one report at a time, and the first error that ended the run."""

    def __init__(self) -> None:
        self._reports: asyncio.Queue[tuple[bytes, asyncio.Future[bool]]] = asyncio.Queue()
        self._asking: asyncio.Future[bool] | None = None
        self._error: bytes | None = None
        self._failed = asyncio.Event()

    async def report(self, entry: bytes) -> bool:
        """Send ``entry`` to the driver and wait for its answer: whether to continue. Called by a worker."""
        answer = asyncio.get_running_loop().create_future()
        await self._reports.put((entry, answer))
        return bool(await answer)

    async def next(self, seconds: float) -> bytes | None:
        """The next report, or ``None`` if none arrives within ``seconds``. Called by the driver."""
        try:
            entry, self._asking = await asyncio.wait_for(self._reports.get(), seconds)
        except TimeoutError:
            return None
        return entry

    async def answer(self, go_on: bool) -> None:
        """Answer the report that :meth:`next` gave last, if its worker still waits. Called by the driver."""
        if self._asking is not None and not self._asking.done():
            self._asking.set_result(go_on)

    async def fail(self, error: bytes) -> None:
        """Record that the run cannot continue; the first error counts. Called by a worker."""
        self._error = self._error or error
        self._failed.set()

    async def error(self, seconds: float = 0.0) -> bytes | None:
        """The error that ends the run, or ``None`` if no worker recorded one within ``seconds``."""
        if seconds:
            try:
                await asyncio.wait_for(self._failed.wait(), seconds)
            except TimeoutError:
                return None
        return self._error


def open_channel() -> Any:
    """Start a :class:`ReportChannel` on this node."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor: Any = ray.remote(num_cpus=0)(ReportChannel)
    return actor.options(scheduling_strategy=here).remote()
