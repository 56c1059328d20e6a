"""What a run asks of the machines, and what they could never give it: known in seconds, before anything starts."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one run gets, and how many run at once.

    Attributes:
        cpus: CPU cores (and threads) of a worker.
        gpus: GPUs of a worker; a fraction shares one.
        concurrency: runs at once; ``None`` takes what the cluster holds.
        memory_gb: memory that a worker may need (of the GPU where it has one); ``None`` takes a worker's share of the
            smallest node on the CPU, and sets no limit on a GPU.
        workers: that train one network together, on one node or several.
        growing: the cluster adds nodes as runs wait for them: ``concurrency`` runs at once, whatever it holds now.
    """

    cpus: int = 1
    gpus: float = 0.0
    concurrency: int | None = None
    memory_gb: float | None = None
    workers: int = 1
    growing: bool = False

    def __post_init__(self) -> None:
        if self.cpus < 1:
            raise ValueError(f"cpus is {self.cpus}: a run needs at least 1 core")
        if self.gpus < 0 or (self.gpus > 1 and self.gpus != int(self.gpus)):
            raise ValueError(f"gpus is {self.gpus}: give 0, a fraction of 1, or a whole number")
        if self.concurrency is not None and self.concurrency < 1:
            raise ValueError(f"concurrency is {self.concurrency}: must be at least 1")
        if self.workers < 1:
            raise ValueError(f"workers is {self.workers}: a run needs at least 1")
        if self.growing and self.concurrency is None:
            raise ValueError("concurrency is None: on a growing cluster say how many runs are to be worked on at once")

    @property
    def request(self) -> dict[str, float]:
        """Of a worker, as Ray takes it."""
        return {"CPU": float(self.cpus)} | ({"GPU": float(self.gpus)} if self.gpus else {})


def preflight(resources: Resources, nodes: Sequence[Mapping[str, float]]) -> int:
    """How many runs fit at once, at most ``resources.concurrency`` (just so many on a growing cluster).

    The driver of a run with several workers takes no core, so that drivers cannot keep each other's workers waiting.

    Args:
        resources: of a run.
        nodes: what each living node has for runs, such as ``{"CPU": 8.0, "GPU": 1.0}``.

    Raises:
        ValueError: the nodes can never hold a run, so that it would wait for ever; the message says what would fit.
    """
    if resources.growing and resources.concurrency:
        return resources.concurrency
    slots = sum(_fit_on(node, resources) for node in nodes)
    if slots < resources.workers:
        largest = {kind: max((node.get(kind, 0.0) for node in nodes), default=0.0) for kind in resources.request}
        wanted, offered = _amounts(resources.request), _amounts(largest)
        if not slots:
            asked = f"a run asks for {wanted}" if resources.workers == 1 else f"a worker asks for {wanted}"
            raise ValueError(
                f"{asked}, but the largest of {len(nodes)} node(s) has {offered}: no run could ever start; "
                f"ask for less per {'run' if resources.workers == 1 else 'worker'} or add a larger node"
            )
        raise ValueError(
            f"a run asks for {resources.workers} workers with {wanted} each, but {len(nodes)} node(s), the largest "
            f"with {offered}, hold {slots} of them: no run could ever start; ask for {slots} worker(s), for less per "
            "worker, or add nodes"
        )
    runs = slots // resources.workers
    return min(runs, resources.concurrency or runs)


def _amounts(resources: Mapping[str, float]) -> str:
    return ", ".join(f"{amount:g} {kind}" for kind, amount in resources.items())


def memory_limit(resources: Resources, nodes: Sequence[Mapping[str, float]]) -> float | None:
    """Bytes that a worker of a run may need, or ``None`` for no limit."""
    if resources.memory_gb is not None:
        return resources.memory_gb * 1e9
    if resources.gpus:
        return None
    most = resources.concurrency * resources.workers if resources.concurrency else sys.maxsize
    fitting = [(node, min(_fit_on(node, resources), most)) for node in nodes if "memory" in node]
    return min((node["memory"] / fit for node, fit in fitting if fit), default=None)


def _fit_on(node: Mapping[str, float], resources: Resources) -> int:
    return min(int(node.get(kind, 0.0) / amount + 1e-9) for kind, amount in resources.request.items())
