"""Which tasks share which stages of a network, and what passes between them: one value for every multi-task network.

Pure values: no torch.
"""

from branchpoint.topology.enumeration import SharingTrees
from branchpoint.topology.growth import Parting, grow, join, partings
from branchpoint.topology.links import Cascade, Exchange
from branchpoint.topology.partitions import Partition
from branchpoint.topology.topology import Topology

__all__ = ["Cascade", "Exchange", "Parting", "Partition", "SharingTrees", "Topology", "grow", "join", "partings"]
