"""Encoders, decoders and heads, and their assembly under a topology."""

from branchpoint.networks.cost import Cost, estimate, stage_macs
from branchpoint.networks.network import Network, build
from branchpoint.networks.resolve import name_of, stage_counts, taps_of, topology_of
from branchpoint.networks.transfer import transfer

__all__ = [
    "Cost",
    "Network",
    "build",
    "estimate",
    "name_of",
    "stage_counts",
    "stage_macs",
    "taps_of",
    "topology_of",
    "transfer",
]
