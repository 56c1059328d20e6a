"""Cascades and exchanges: validation, canonical form, order of computation, family."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchpoint.config.serialization import from_plain, to_plain
from branchpoint.topology import Cascade, Exchange, Topology
from branchpoint.topology.dataflow import ancestors, head_node, nodes, order, reads
from tests.topology.topology_strategies import sharing_trees, topologies

SEPARATE = Topology.separate("abc", "ab", 3, 2)
BRANCHED = Topology.branching("abc", "ab", 2, 3, 2)
SHARED = Topology.shared("abc", "ab", 3, 2)


def cascade(source="a", target="c", carries="probabilities", **changes):
    return Cascade(source=source, target=target, carries=carries, **changes)


def exchange(source="a", target="b", stage=2, unit="cross_stitch", **changes):
    return Exchange(stage=stage, source=source, target=target, unit=unit, **changes)


def linked(base, *links):
    return Topology(
        base.encoder,
        base.decoder,
        tuple(link for link in links if isinstance(link, Cascade)),
        tuple(link for link in links if isinstance(link, Exchange)),
    )


any_topology = sharing_trees().flatmap(topologies)


@given(any_topology)
def test_json_and_canonical_form_keep_every_topology(topology):
    assert from_plain(Topology, to_plain(topology)) == topology


@given(any_topology, st.randoms())
def test_order_of_links_and_names_of_groups_do_not_matter(topology, random):
    def anyone(task, stage):
        return random.choice(topology.group(task, stage))

    cascades = [
        cascade
        if cascade.stage is None
        else Cascade(
            source=cascade.source,
            target=anyone(cascade.target, cascade.stage),
            carries=cascade.carries,
            stage=cascade.stage,
            gradient=cascade.gradient,
        )
        for cascade in topology.cascades
    ]
    exchanges = []
    for link in topology.exchanges:
        ends = [anyone(task, link.stage) for task in (link.source, link.target)]
        ends = ends[::-1] if link.both_ways and random.random() < 0.5 else ends
        source, target = ends
        exchanges.append(exchange(source, target, link.stage, link.unit, both_ways=link.both_ways))
    random.shuffle(cascades)
    random.shuffle(exchanges)
    again = Topology(
        tuple(tuple(random.sample(stage, len(stage))) for stage in topology.encoder),
        topology.decoder,
        tuple(cascades),
        tuple(exchanges),
    )
    assert again == topology


@given(any_topology)
def test_every_computation_follows_what_it_reads_and_serves_a_task(topology):
    sequence = order(topology)
    assert sorted(sequence) == sorted(nodes(topology))
    for position, node in enumerate(sequence):
        assert set(reads(topology, node)) <= set(sequence[:position])
    assert frozenset().union(*(ancestors(topology, task) for task in topology.tasks)) == set(sequence)


def test_two_one_way_exchanges_are_one_both_ways():
    both = linked(BRANCHED, exchange(both_ways=True))
    assert linked(BRANCHED, exchange(both_ways=False), exchange("b", "a", both_ways=False)) == both
    assert len(both.exchanges) == 1


@pytest.mark.parametrize(
    ("base", "links", "message"),
    [
        (SHARED, [cascade(stage=1)], "they share encoder stage 1"),
        (SHARED, [cascade("c", "a", "features", stage=4)], "share encoder stage 2, so 'a' has these features already"),
        (SHARED, [cascade("a", "a")], "cannot receive its own output"),
        (SHARED, [cascade("a", "d")], "there is no task 'd'"),
        (SEPARATE, [cascade(stage=3)], "'c' has stages 0 to 2"),
        (SEPARATE, [cascade("c", "a", "measurements")], "'c' passes no decoder"),
        (SEPARATE, [cascade(carries="masked_features", stage=0)], "go to the head"),
        (SEPARATE, [cascade("a", "b", stage=0), cascade("b", "a", stage=1)], "needed before it is computed: .*head of"),
        (SEPARATE, [cascade(), cascade(gradient=False)], "both with and without gradient"),
        (SEPARATE, [cascade("a", "b", stage=0), exchange("b", "a")], "needed before it is computed"),
        (BRANCHED, [exchange(stage=1)], "encoder stage 1: 'a' and 'b' share it"),
        (BRANCHED, [exchange(target="c", stage=3)], "'c' has stages 0 to 2"),
        (BRANCHED, [exchange(), exchange(unit="nddr")], "both cross_stitch and nddr"),
        (BRANCHED, [exchange("b", "a", both_ways=False), exchange("c", "a", unit="nddr")], "mixes by one unit"),
        (BRANCHED, [exchange("c", "a", unit="concatenation")], "the branch of 'c' ends there"),
    ],
)
def test_errors_name_stage_and_tasks(base, links, message):
    with pytest.raises(ValueError, match=message):
        linked(base, *links)


@pytest.mark.parametrize(
    ("topology", "family"),
    [
        (Topology.shared("a", "a", 3, 2), "single"),
        (SEPARATE, "single"),
        (SHARED, "parallel"),
        (BRANCHED, "parallel"),
        (linked(SEPARATE, cascade(stage=0)), "cascaded"),
        (linked(SEPARATE, cascade(carries="measurements")), "cascaded"),
        (linked(BRANCHED, exchange(), exchange("b", "c")), "interacted"),
        (linked(SEPARATE, exchange(both_ways=False)), "interacted"),
        (linked(BRANCHED, exchange()), "hybrid"),  # c is parallel to the interacting a and b
        (linked(SHARED, cascade()), "hybrid"),  # review, fig. 1 (d)
        (linked(SEPARATE, cascade(stage=0), exchange("a", "b")), "hybrid"),
        (Topology([[["a", "b"], ["c"]]]), "parallel"),
    ],
)
def test_family_is_that_of_the_review(topology, family):
    assert topology.family == family


def test_head_is_the_last_computation_of_its_task():
    assert order(SHARED)[-1].kind == "head"
    assert head_node(SHARED, "c").stage == 3
