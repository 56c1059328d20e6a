"""The family of a topology by the definitions of the review (Zhao et al. 2023, section 2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from branchpoint.topology.topology import Topology

Family = Literal["single", "parallel", "cascaded", "interacted", "hybrid"]


def family(topology: Topology) -> Family:
    """The family that the topology's connections make it.

    - ``single``: no task is connected with another.
    - ``parallel`` {F_A(f), F_B(f)} with f = F_C(X): tasks share stages and are independent from there on.
    - ``cascaded`` F_B(F_A(X)): outputs are passed on between networks that share no stage.
    - ``interacted`` {F_AB(f), F_BA(f)}: features pass between the branches, one or both ways.
    - ``hybrid``: at least two of these, such as {F_A(f), F_B(f, F_A(f))}; also where they hold for different tasks.

    Separate groups of tasks are judged one by one; groups of one task do not count.
    """
    sharing = [group for group in topology.encoder[0] if len(group) > 1]
    cascading = [(cascade.source, cascade.target) for cascade in topology.cascades]
    mixing = [
        (*topology.group(exchange.source, exchange.stage), *topology.group(exchange.target, exchange.stage))
        for exchange in topology.exchanges
    ]
    interacting = _connected(mixing)
    strategies: set[Family] = set()
    if cascading:
        strategies.add("cascaded")
    if mixing:
        strategies.add("interacted")
    if any(not any(set(group) <= component for component in interacting) for group in sharing):
        strategies.add("parallel")
    if len(strategies) > 1:
        return "hybrid"
    return strategies.pop() if strategies else "single"


def _connected(links: Iterable[Iterable[str]]) -> list[set[str]]:
    """The sets of tasks that ``links`` connect, directly or through others."""
    components: list[set[str]] = []
    for link in links:
        joined = set(link)
        apart = [component for component in components if not component & joined]
        for component in components:
            if component & joined:
                joined |= component
        components = [*apart, joined]
    return components
