"""Weights to start from: another run's checkpoint, the kept network of a finished run, or a file of weights."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from branchpoint.config import Config
from branchpoint.io.storage import Bucket, Disk, Place, place_of
from branchpoint.networks import Network, topology_of, transfer
from branchpoint.training.state.checkpoint import newest_in

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

    path: str
    weights: Mapping[str, Tensor]
    config: Config | None


def start_from(path: str, network: Network) -> str:
    """Fill ``network``, in place, with what ``path`` holds for its stages and heads; gives a note of what loaded.

    A stage takes the weights of the other network's group with which it has most tasks in common; without that
    network's Config its topology is taken to be this one's. Tensors are copied where name and shape agree.

    Args:
        path: path or URI of a checkpoint (its best epoch is taken) or a folder of them; of the folder of a finished
            run; or of a file of weights by name (a state dict), with the Config beside it as ``config.json`` or
            without.

    Raises:
        ValueError: there is no such file, it cannot be read, or nothing in it fits.
    """
    source = read_weights(path)
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


def read_weights(path: Path | str) -> Source:
    """What ``path`` holds; see :func:`start_from`."""
    asked = f"training.start_from is {str(path)!r}"
    folder, name = _found(str(path), asked)
    try:
        state: Any = torch.load(io.BytesIO(folder.read(name)), map_location="cpu", weights_only=True)
    except Exception as problem:  # torch raises many kinds for files that are not its own
        raise ValueError(f"{asked}: {name} is no file of weights that torch can read: {problem}") from problem
    if not isinstance(state, Mapping):
        raise ValueError(f"{asked}: {name} holds {type(state).__name__}, not weights by name")
    if "weights" in state and "config" in state:
        weights = state.get("best_weights") or state["weights"]
        return Source(str(folder / name), weights, Config.from_json(state["config"]))
    weights = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    config = Config.from_json(folder.read(CONFIG_FILE).decode()) if folder.holds(CONFIG_FILE) else None
    return Source(str(folder / name), weights, config)


def _found(where: str, asked: str) -> tuple[Place, str]:
    """Folder and name of the file that ``where`` means."""
    above, _, last = where.partition("?")[0].rpartition("/")
    folder = place_of(where)
    names_a_file = last.endswith(".pt") if isinstance(folder, Bucket) else folder.path.is_file()
    if names_a_file:
        folder = (
            Bucket(above + where[len(above) + 1 + len(last) :]) if isinstance(folder, Bucket) else Disk(Path(above))
        )
        if not folder.holds(last):
            raise ValueError(f"{asked}: there is no such file or folder")
        return folder, last
    if isinstance(folder, Disk) and not folder.path.is_dir():
        raise ValueError(f"{asked}: there is no such file or folder")
    if folder.holds(NETWORK_FILE):
        return folder, NETWORK_FILE
    for place in (folder, folder / "checkpoints"):
        if (newest := newest_in(place)) is not None:
            return place, newest
    raise ValueError(f"{asked}: the folder holds neither a checkpoint nor {NETWORK_FILE}")


def _drawn_anew(kept: tuple[str, ...]) -> str:
    """``drawn anew: heads.grade (4), decoder.0 (6)``: parts of the network with their tensors that found no weights."""
    if not kept:
        return "nothing drawn anew"
    parts = Counter(".".join(name.split(".")[:2]) for name in kept)
    return "drawn anew: " + ", ".join(f"{part} ({count})" for part, count in parts.items())
