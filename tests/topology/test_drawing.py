"""Text trees and drawings."""

from xml.etree import ElementTree

from hypothesis import given

from branchpoint.topology import Cascade, Exchange, Topology
from branchpoint.topology.segments import leaves, segments
from branchpoint.topology.svg import svg_drawing
from branchpoint.topology.text import text_tree
from tests.topology.topology_strategies import sharing_trees, topologies

BASE = Topology.branching(["tumour", "survival", "grade"], ["tumour"], 3, 5, 4)
HYBRID = Topology(
    BASE.encoder,
    BASE.decoder,
    (Cascade(source="tumour", target="survival", carries="measurements", gradient=False),),
    (Exchange(stage=3, source="tumour", target="grade", unit="cross_stitch"),),
)
SVG = "{http://www.w3.org/2000/svg}"


def test_text_tree_shows_sharing_and_links():
    assert text_tree(HYBRID).splitlines() == [
        "hybrid network of grade, survival and tumour",
        "└─ encoder 0-2: grade, survival, tumour",
        "   ├─ encoder 3-4: grade",
        "   │  └─ head of grade",
        "   ├─ encoder 3-4: survival",
        "   │  └─ head of survival",
        "   └─ encoder 3-4, decoder 0-3: tumour",
        "      └─ head of tumour",
        "survival's head receives measurements from tumour (without gradient)",
        "cross-stitch after encoder stage 3: grade <-> tumour",
    ]


@given(sharing_trees().flatmap(topologies))
def test_every_topology_is_drawn(topology):
    assert sorted(leaves(segments(topology))) == list(topology.tasks)
    assert len(text_tree(topology).splitlines()) >= 2 * len(topology.encoder[0]) + 1
    drawing = ElementTree.fromstring(svg_drawing(topology))
    boxes = sum(len(partition) for partition in topology.stages) + len(topology.tasks)
    assert len(drawing.findall(f"{SVG}g/{SVG}rect")) == boxes
    links = len(topology.cascades) + len(topology.exchanges)
    assert len(drawing.findall(f"{SVG}g/{SVG}path")) == links


def test_names_and_notes_are_escaped():
    text = svg_drawing(Topology.shared(["<a>"], [], 2), {"<a>": "R&D"})
    assert {element.text for element in ElementTree.fromstring(text).iter(f"{SVG}text")} >= {"<a>", "R&D"}
