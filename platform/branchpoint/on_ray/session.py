"""Connecting to Ray quietly, and saying within seconds what could never be scheduled."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import ray

import branchpoint

LOCAL_OBJECT_STORE_BYTES = 200 * 1024**2
STARTS = 3
"""How often to try to start Ray here: on a busy machine it gives up after 30 seconds."""
_CONTAINER_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Version 2 and version 1 of control groups."""
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
        options["_memory"] = machine_bytes() - LOCAL_OBJECT_STORE_BYTES
        options |= {"_temp_dir": str(temp_dir)} if temp_dir else {}
    else:
        # The code that the driver runs, whatever is installed on the nodes.
        options["runtime_env"] = {"py_modules": _modules(), "excludes": ["__pycache__"]}
    with _own_signal_handlers():
        _connect(address, options)
    try:
        yield
    finally:
        ray.shutdown()


def machine_bytes() -> int:
    """Memory of this machine, or of the container that this process runs in.

    A Ray that is started here is told this number. By itself, Ray counts what happens to be free when it starts, and a
    study that goes on while the machine is busy would refuse candidates that it could train before.
    """
    limits = [psutil.virtual_memory().total]
    for file in _CONTAINER_LIMITS:
        text = file.read_text().strip() if file.exists() else ""
        limits += [int(text)] if text.isdigit() else []  # "max": no limit
    return min(limits)


@contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Keep this process's handler of SIGTERM: ``ray.init`` replaces it by one that prints a native stack trace."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread() and before is not None:
        signal.signal(signal.SIGTERM, before)


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


def _modules() -> list[str]:
    """Folders of the packages that workers import: this one, and the search spaces if they are installed."""
    spaces = find_spec("search_spaces")
    folders = list(spaces.submodule_search_locations or ()) if spaces else []
    return [str(_package()), *(str(Path(folder).resolve()) for folder in folders[:1])]


def _package() -> Path:
    return Path(branchpoint.__file__).resolve().parent


def _let_children_import() -> None:
    """Workers of a Ray started here inherit the environment: let them import this very package."""
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    root = str(_package().parent)
    if root not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join([root, *filter(None, paths)])
