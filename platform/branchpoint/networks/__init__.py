"""Encoders, decoders and heads, and their assembly under a topology."""

from branchpoint.networks.cost import Cost, estimate
from branchpoint.networks.network import Network, build
from branchpoint.networks.resolve import stage_counts, topology_of

__all__ = ["Cost", "Network", "build", "estimate", "stage_counts", "topology_of"]
