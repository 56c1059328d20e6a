"""Encoders, decoders and heads, and their assembly under a topology."""

from branchpoint.networks.network import Network, build
from branchpoint.networks.resolve import stage_counts, topology_of

__all__ = ["Network", "build", "stage_counts", "topology_of"]
