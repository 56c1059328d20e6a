"""Weights to start from: another run's checkpoint, the kept network of a finished run, or a file of weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from branchpoint.config import Config
from branchpoint.networks import Network, topology_of, transfer
from branchpoint.training.checkpoint import newest_in

CONFIG_FILE = "config.json"
"""Config of the network whose weights lie beside it."""
NETWORK_FILE = "network.pt"


@dataclass(frozen=True)
class Source:
    """Weights of another network.

    Attributes:
        path: the file they come from.
        weights: by name.
        config: of that network; ``None`` where the file does not say.
    """

    path: Path
    weights: Mapping[str, Tensor]
    config: Config | None


def start_from(path: str, network: Network) -> str:
    """Fill ``network``, in place, with what ``path`` holds for its stages and heads; gives a note of what loaded.

    A stage takes the weights of the other network's group with which it has most tasks in common; without that
    network's Config its topology is taken to be this one's. Tensors are copied where name and shape agree.

    Args:
        path: a checkpoint (its best epoch is taken) or a folder of them; the folder of a finished run; or a file of
            weights by name (a state dict), with the Config beside it as ``config.json`` or without.

    Raises:
        ValueError: there is no such file, it cannot be read, or nothing in it fits.
    """
    source = read_weights(Path(path))
    parent = topology_of(source.config) if source.config is not None else network.topology
    kept = transfer(source.weights, parent, network)
    names = {name: tensor for name, tensor in network.state_dict().items() if not name.startswith("clinical.")}
    numbers, loaded = (sum(tensor.numel() for name, tensor in names.items() if name not in left) for left in ((), kept))
    if not loaded:
        raise ValueError(
            f"training.start_from is {path!r}: none of the {len(names)} tensors of this network is there with its name "
            f"and shape; the file holds {', '.join(list(source.weights)[:3])}, ... Start from a network of the same "
            "encoder and width, or leave it out"
        )
    origin = f" (candidate {source.config.candidate}, {source.config.network.encoder})" if source.config else ""
    taken = f"{len(names) - len(kept)} of {len(names)} tensors, {loaded / numbers:.1%} of the numbers"
    return f"starts from {source.path}{origin}: {taken}; {_drawn_anew(kept)}"


def read_weights(path: Path) -> Source:
    """What ``path`` holds; see :func:`start_from`."""
    place = f"training.start_from is {str(path)!r}"
    if path.is_dir():
        found = path / NETWORK_FILE if (path / NETWORK_FILE).exists() else newest_in(path) or newest_in(
            path / "checkpoints")  # fmt: skip
        if found is None:
            raise ValueError(f"{place}: the folder holds neither a checkpoint nor {NETWORK_FILE}")
        path = found
    if not path.is_file():
        raise ValueError(f"{place}: there is no such file or folder")
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # torch raises many kinds for files that are not its own
        raise ValueError(f"{place}: {path.name} is no file of weights that torch can read: {problem}") from problem
    if not isinstance(state, Mapping):
        raise ValueError(f"{place}: {path.name} holds {type(state).__name__}, not weights by name")
    if "weights" in state and "config" in state:
        return Source(path, state.get("best_weights") or state["weights"], Config.from_json(state["config"]))
    weights = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    beside = path.with_name(CONFIG_FILE)
    return Source(path, weights, Config.from_json(beside.read_text()) if beside.exists() else None)


def _drawn_anew(kept: tuple[str, ...]) -> str:
    """``drawn anew: heads.grade (4), decoder.0 (6)``: parts of the network with their tensors that found no weights."""
    if not kept:
        return "nothing drawn anew"
    parts = Counter(".".join(name.split(".")[:2]) for name in kept)
    return "drawn anew: " + ", ".join(f"{part} ({count})" for part, count in parts.items())
