"""Connecting to Ray quietly, and saying within seconds what could never be scheduled."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

import branchpoint

LOCAL_OBJECT_STORE_BYTES = 200 * 1024**2
STARTS = 3
"""How often to try to start Ray here: on a busy machine it gives up after 30 seconds."""
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # The journal and the store are the state; Tune's snapshots would only cost time.
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    # A script of the user's would run at normal priority; Ray's workers run at the lowest but four.
    "RAY_worker_niceness": "0",
    # Tune would end the search as if it were complete; an interrupt must leave it as it is.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}


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


@contextmanager
def session(address: str | None = None, *, cpus: int | None = None, temp_dir: Path | None = None) -> Iterator[None]:
    """Ray, for the time of the block; a connection that is there already is used and left open.

    Args:
        address: of a cluster; ``None`` takes ``RAY_ADDRESS`` (set in a submitted job) and else starts Ray here.
            Addresses that other clusters left in Ray's temporary folder are not looked at.
        cpus: cores that a Ray started here may use; ``None``: all.
        temp_dir: where a Ray started here keeps its sockets and logs; short, as socket paths are limited.

    Raises:
        ConnectionError: the cluster cannot be reached; the message says what usually helps.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("ray").setLevel(logging.ERROR)
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local":
        _let_children_import()
        options |= {"include_dashboard": False, "num_cpus": cpus, "object_store_memory": LOCAL_OBJECT_STORE_BYTES}
        options |= {"_temp_dir": str(temp_dir)} if temp_dir else {}
    else:
        # The code that the driver runs, whatever is installed on the nodes.
        options["runtime_env"] = {"py_modules": [str(_package())], "excludes": ["__pycache__"]}
    _connect(address, options)
    try:
        yield
    finally:
        ray.shutdown()


def _connect(address: str, options: dict[str, Any]) -> None:
    tries = STARTS if address == "local" else 1
    for left in reversed(range(tries)):
        try:
            ray.init(address=address, **options)
            return
        except Exception as problem:  # Ray raises this very class where a machine is too busy to start it in 30 s
            if address != "local":
                raise ConnectionError(
                    f"Ray at {address!r} cannot be reached: {problem}. For a cluster begun with `ray start --head`, "
                    "set RAY_AUTH_MODE=token; for one that is gone, unset RAY_ADDRESS"
                ) from problem
            ray.shutdown()  # what of it did start
            if not left:
                raise ConnectionError(f"Ray did not start on this machine: {problem}") from problem


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


def living_nodes() -> list[dict[str, float]]:
    """What each living node has for runs: its resources without those that this driver itself holds.

    A driver that is a task or an actor of Ray's keeps its cores until its runs have ended: runs that need them would
    wait for ever. (Cores of ``ray job submit --entrypoint-num-cpus`` are not seen here.)
    """
    held = _held()
    nodes = []
    for node in ray.nodes():
        if node["Alive"]:
            taken = held.get(node["NodeID"], {})
            nodes.append({kind: amount - taken.get(kind, 0.0) for kind, amount in node["Resources"].items()})
    return nodes


def _held() -> dict[str, Mapping[str, float]]:
    """Node to the resources there that stay taken as long as this process lives."""
    context = ray.get_runtime_context()
    if context.worker.mode == ray.WORKER_MODE:
        return {context.get_node_id(): context.get_assigned_resources()}
    return {}


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


def _package() -> Path:
    return Path(branchpoint.__file__).resolve().parent


def _let_children_import() -> None:
    """Workers of a Ray started here inherit the environment: let them import this very package."""
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    root = str(_package().parent)
    if root not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join([root, *filter(None, paths)])
