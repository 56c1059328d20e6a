"""Draws one network of each family, for the documentation.

python docs/drawings/families.py
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from branchpoint.topology import Cascade, Exchange, Topology
from branchpoint.topology.svg import svg_drawing

ENCODER, DECODER = 5, 4
TASKS = ("survival", "tumour")
MEASURE = Cascade(source="tumour", target="survival", carries="measurements")
SEPARATE = Topology.separate(TASKS, ["tumour"], ENCODER, DECODER)
BRANCHED = Topology.branching(TASKS, ["tumour"], 2, ENCODER, DECODER)

FAMILIES = {
    "single": Topology.shared(["tumour"], ["tumour"], ENCODER, DECODER),
    "parallel": Topology.shared(TASKS, ["tumour"], ENCODER, DECODER),
    "cascaded": replace(SEPARATE, cascades=(replace(MEASURE, carries="probabilities", stage=0),)),
    "interacted": replace(
        BRANCHED, exchanges=(Exchange(stage=3, source="survival", target="tumour", unit="cross_stitch"),)
    ),
    "hybrid": replace(BRANCHED, cascades=(MEASURE,)),
}
"""A network of each family, by the name that :attr:`Topology.family` must give it."""


def main() -> None:
    for name, topology in FAMILIES.items():
        path = Path(__file__).with_name(f"{name}.svg")
        path.write_text(svg_drawing(topology) + "\n", encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
