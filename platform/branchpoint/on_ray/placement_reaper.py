"""Frees the workers of a run whose driver died, so that its next attempt and all other runs find room.

A placement group that an actor made outlives it, as long as the job lives. Ray Train has an actor that removes it, but
that actor asks the dashboard whether the driver lives, and a Ray without a dashboard never answers: the group would be
held until the search ends, and whatever needs its cores would wait for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError
from ray.util.placement_group import PlacementGroup, remove_placement_group

_LOOK_SECONDS = 1.0


class Warden:
    """Watches the mailboxes of runs: a mailbox dies with the driver that made it."""

    def __init__(self) -> None:
        self._watching: set[asyncio.Task[None]] = set()

    async def hold(self, group: PlacementGroup, mailbox: Any) -> None:
        """Of a worker: remove ``group`` when ``mailbox`` is dead."""
        task = asyncio.create_task(_free(group, mailbox))
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)


async def _free(group: PlacementGroup, mailbox: Any) -> None:
    while True:
        try:
            await mailbox.error.remote()
        except ActorUnavailableError:
            pass  # its node cannot be reached: it may come back
        except ActorDiedError:
            remove_placement_group(group)  # of no effect where the run has ended and removed it itself
            return
        await asyncio.sleep(_LOOK_SECONDS)


def open_warden() -> Any:
    """A new :class:`Warden`, which lives as long as this process holds what is returned."""
    actor: Any = ray.remote(num_cpus=0)(Warden)
    return actor.remote()
