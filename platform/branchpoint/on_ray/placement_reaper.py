"""Frees the workers of a run whose driver died, so that its next attempt and all other runs find room.

A placement group that an actor created outlives that actor for as long as the job lives. Ray Train has an actor that
removes it, but that actor asks the dashboard whether the driver lives, and a Ray without a dashboard never answers: the
group would be held until the search ends, and whatever needs its cores would wait for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError
from ray.util.placement_group import PlacementGroup, remove_placement_group

_POLL_SECONDS = 1.0


class PlacementReaper:
    """Watches the report channels of runs; a channel dies with the driver that created it."""

    def __init__(self) -> None:
        self._watching: set[asyncio.Task[None]] = set()

    async def watch(self, group: PlacementGroup, channel: Any) -> None:
        """Remove ``group`` once ``channel`` is dead. Called by the first worker of a run."""
        task = asyncio.create_task(_free(group, channel))
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)


async def _free(group: PlacementGroup, channel: Any) -> None:
    while True:
        try:
            await channel.error.remote()
        except ActorUnavailableError:
            pass  # its node cannot be reached: it may come back
        except ActorDiedError:
            remove_placement_group(group)  # of no effect where the run has ended and removed it itself
            return
        await asyncio.sleep(_POLL_SECONDS)


def start_reaper() -> Any:
    """Start a :class:`PlacementReaper`, which lives as long as this process holds the returned handle."""
    actor: Any = ray.remote(num_cpus=0)(PlacementReaper)
    return actor.remote()
