"""A network in words: sharing tree, family and cost."""

from __future__ import annotations

from pathlib import Path

from branchpoint import networks
from branchpoint.config import Config
from branchpoint.topology.svg import svg_drawing
from branchpoint.topology.text import text_tree


def describe_config(config: Config, svg: Path | None = None) -> str:
    """The network of ``config`` in words; its drawing goes to ``svg`` where one is named.

    Raises:
        ValueError: the Config describes no network.
    """
    topology, cost = networks.topology_of(config), networks.estimate(config)
    size = " x ".join(map(str, config.dataset.size_voxels))
    lines = [
        text_tree(topology),
        "",
        f"family       {topology.family}",
        f"encoder      {config.network.encoder}, width {config.network.width}, depth {config.network.depth}",
        f"parameters   {cost.parameters:,}",
        f"MACs         {cost.macs:,} for one image of {size}",
        f"activations  {cost.activation_bytes / 1e6:,.0f} MB for one image in training",
    ]
    if svg:
        svg.write_text(svg_drawing(topology), encoding="utf-8")
        lines.append(f"drawing      {svg.resolve()}")
    return "\n".join(lines)
