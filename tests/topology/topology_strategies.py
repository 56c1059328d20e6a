"""Random valid topologies."""

from dataclasses import replace

from hypothesis import strategies as st

from branchpoint.topology import Cascade, Exchange, SharingTrees


@st.composite
def sharing_trees(draw):
    """A space of at most five tasks, five encoder and four decoder stages."""
    tasks = "abcde"[: draw(st.integers(1, 5))]
    decoded = draw(st.lists(st.sampled_from(tasks), unique=True))
    return SharingTrees(tasks, decoded, draw(st.integers(1, 5)), draw(st.integers(0, 4)))


@st.composite
def topologies(draw, trees):
    """A topology of ``trees`` with up to three cascades and exchanges; links that do not fit are left out."""
    topology = trees[draw(st.integers(0, len(trees) - 1))]
    if len(trees.tasks) < 2:
        return topology
    pairs = st.lists(st.sampled_from(trees.tasks), min_size=2, max_size=2, unique=True)
    for _ in range(draw(st.integers(0, 3))):
        source, target = draw(pairs)
        stage = draw(st.none() | st.integers(0, len(topology.stages) - 1))
        carries = draw(st.sampled_from(["logits", "probabilities", "features", "masked_features", "measurements"]))
        unit = draw(st.sampled_from(["cross_stitch", "nddr", "concatenation", "attention"]))
        cascade = Cascade(source=source, target=target, carries=carries, stage=stage, gradient=draw(st.booleans()))
        exchange = Exchange(stage=stage or 0, source=source, target=target, unit=unit, both_ways=draw(st.booleans()))
        try:
            if draw(st.booleans()):
                topology = replace(topology, cascades=(*topology.cascades, cascade))
            else:
                topology = replace(topology, exchanges=(*topology.exchanges, exchange))
        except ValueError:
            continue
    return topology
