"""How tasks affect each other: matrices and proposals, for the terminal and as heat maps and drawings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from branchpoint.config.serialization import from_plain
from branchpoint.report.tables import number, print_rows
from branchpoint.topology import Topology
from branchpoint.topology.svg import svg_drawing
from branchpoint.topology.text import text_tree

if TYPE_CHECKING:
    from branchpoint.affinity.grouping import Grouping
    from branchpoint.affinity.matrices import Affinities
    from branchpoint.affinity.pairs import PairQualities
    from branchpoint.affinity.relations import Proposals
    from branchpoint.affinity.sharing_tree import TreeProposal

Row = Mapping[str, Any]

MEASURES = {
    "excess": "a step by the source lowers the recipient's loss by this share, less what momentum alone does",
    "lookahead": "the same with momentum's part (TAG)",
    "cosine": "between the gradients of both",
}
WHOLE = "all"
_COLUMNS = 4
_CELL = 200


def print_relations(affinities: Affinities, proposals: Proposals) -> None:
    """Cost, the matrices of everything shared, those of each stage in short, and the proposals."""
    print(affinities.cost())
    for measure, meaning in MEASURES.items():
        matrix = affinities.matrix(measure)
        rows = [
            [task, *(f"{matrix.mean[i, j]:+.4f} ± {matrix.error[i, j]:.4f}" for j in range(len(affinities.tasks)))]
            for i, task in enumerate(affinities.tasks)
        ]
        print_rows(["recipient", *(f"from {task}" for task in affinities.tasks)], rows, title=f"{measure}: {meaning}")
    rows = [
        [
            f"{affinities.tasks[j]} for {affinities.tasks[i]}",
            *(f"{affinities.matrix('excess', stage).mean[i, j]:+.2g}" for stage in affinities.stages),
        ]
        for i, j in permutations(range(len(affinities.tasks)), 2)
    ]
    print_rows(["excess", *affinities.stages], rows, title="by stage")
    for most, grouping in enumerate(proposals.groupings, start=1):
        print(f"at most {most} network{'s' * (most > 1)}: {grouping_text(grouping)}")
    print(f"proposed grouping: {' | '.join('+'.join(group) for group in proposals.grouping.groups)}")
    print("proposed tree:")
    print(text_tree(proposals.tree.topology))


def print_pairs(qualities: PairQualities, tree: TreeProposal) -> None:
    """Qualities of tasks beside each partner where all stages are shared and where none are, and the best tree."""
    names, places = qualities.trees.tasks, range(len(qualities.trees.tasks))
    for depth, title in ((0, "apart"), (-1, "sharing all stages")):
        rows = [[names[i], *(number(qualities.quality[i, j, depth]) for j in places)] for i in places]
        print_rows(["task", *(f"beside {name}" for name in names)], rows, title=f"validation, {title}")
    print(f"unknown pairs: {', '.join(qualities.unknown) or 'none'}")
    print("predicted:", ", ".join(f"{task} {number(v)}" for task, v in qualities.predict(tree.topology).items()))
    print(text_tree(tree.topology))


def grouping_text(grouping: Grouping) -> str:
    """``a+b | c (score 0.012, 3.4e+06 MACs)``."""
    groups = " | ".join("+".join(group) for group in grouping.groups)
    return f"{groups} (score {grouping.score:.4g}, {grouping.cost:.3g} MACs)"


@dataclass(frozen=True)
class RelationsSection:
    """What the report shows: heat maps as figures, groupings as rows of texts, the tree as SVG and in words."""

    note: str
    maps: list[go.Figure]
    groupings: list[tuple[str, str, str, str]]
    drawing: str
    tree: str


def relations_sections(affinities: Sequence[Row], proposals: Sequence[Row]) -> list[RelationsSection]:
    """One for each measured Config and kind of evidence, the newest first."""
    keys = list(dict.fromkeys((row["fingerprint"], row["evidence"]) for row in reversed(proposals)))
    return [
        _section(
            [row for row in affinities if row["fingerprint"] == fingerprint],
            [row for row in proposals if (row["fingerprint"], row["evidence"]) == (fingerprint, evidence)],
        )
        for fingerprint, evidence in keys
    ]


def _section(entries: Sequence[Row], proposals: Sequence[Row]) -> RelationsSection:
    measures = [measure for measure in MEASURES if any(row["measure"] == measure for row in entries)]
    whole = [row for row in entries if row["stage"] == WHOLE]
    maps = [heat_maps({m: [row for row in whole if row["measure"] == m] for m in measures})] if measures else []
    stages = sorted({row["stage"] for row in entries} - {WHOLE}, key=lambda name: (not name.startswith("enc"), name))
    if stages:
        excess = [row for row in entries if row["measure"] == "excess"]
        maps.append(heat_maps({f"excess, {s}": [row for row in excess if row["stage"] == s] for s in stages}))
    groupings = sorted((row for row in proposals if row["kind"] == "grouping"), key=lambda row: row["networks"])
    best = max((row["gain"] for row in groupings), default=0.0)
    first = next((row["networks"] for row in groupings if row["gain"] >= best - 1e-12), 0)
    rows = [
        (
            "best" if row["networks"] == first else "",
            " | ".join("+".join(g) for g in json.loads(row["proposal"])),
            f"{row['gain']:.4g}",
            f"{row['macs']:.3g}",
        )
        for row in groupings
    ]
    tree = next((row for row in reversed(proposals) if row["kind"] == "tree"), None)
    topology = from_plain(Topology, json.loads(tree["proposal"])) if tree else None
    return RelationsSection(
        note=proposals[-1]["note"],
        maps=maps,
        groupings=rows,
        drawing=svg_drawing(topology) if topology else "",
        tree=text_tree(topology) if topology else "",
    )


def heat_maps(matrices: Mapping[str, Sequence[Row]]) -> go.Figure:
    """A map for each matrix, [recipient, source]: red hurts, blue helps; each on its own scale, without diagonal."""
    columns = min(_COLUMNS, len(matrices))
    lines = -(-len(matrices) // columns)
    drawn = make_subplots(
        rows=lines,
        cols=columns,
        subplot_titles=list(matrices),
        shared_yaxes=True,
        vertical_spacing=0.25 / lines,
        horizontal_spacing=0.04,
    )
    for place, entries in enumerate(matrices.values()):
        tasks = sorted({row["recipient"] for row in entries})
        cells = {(row["recipient"], row["source"]): row for row in entries}
        values = [[None if a == b else _finite(cells[a, b]["mean"]) for b in tasks] for a in tasks]
        texts = [["" if a == b else f"{cells[a, b]['mean']:+.2g}" for b in tasks] for a in tasks]
        hover = [[f"{b} for {a}: {_entry(cells[a, b])}" for b in tasks] for a in tasks]
        most = max((abs(value) for line in values for value in line if value is not None), default=1.0) or 1.0
        drawn.add_heatmap(
            z=values,
            x=tasks,
            y=tasks,
            text=texts,
            texttemplate="%{text}",
            customdata=hover,
            hovertemplate="%{customdata}<extra></extra>",
            colorscale="RdBu",
            zmin=-most,
            zmax=most,
            showscale=False,
            row=place // columns + 1,
            col=place % columns + 1,
        )
    drawn.update_yaxes(autorange="reversed")
    drawn.update_layout(
        template="plotly_white", height=120 + _CELL * lines, margin={"l": 110, "r": 20, "t": 40, "b": 60}
    )
    return drawn


def _finite(value: float) -> float | None:
    return value if value == value else None


def _entry(row: Row) -> str:
    return f"{row['mean']:+.4g} ± {row['error']:.2g} (n={row['n']})"
