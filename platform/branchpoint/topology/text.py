"""A topology as text."""

from __future__ import annotations

from branchpoint.topology.segments import Segment, segments
from branchpoint.topology.topology import Topology


def text_tree(topology: Topology) -> str:
    """``topology`` as a tree of lines: who shares which stages, then cascades and exchanges.

    For example::

        hybrid network of survival and tumour
        └─ encoder 0-4: survival, tumour
           ├─ head of survival
           └─ decoder 0-3: tumour
              └─ head of tumour
        survival's head receives measurements from tumour
    """
    names = list(topology.tasks)
    together = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
    lines = [f"{topology.family} network of {together}"]
    lines += _branches([(_title(topology, tree), tree) for tree in segments(topology)], topology)
    for cascade in topology.cascades:
        place = "head" if cascade.stage is None else topology.place(cascade.stage)
        lines.append(
            f"{cascade.target}'s {place} receives {cascade.carries.replace('_', ' ')} from {cascade.source}"
            + ("" if cascade.gradient else " (without gradient)")
        )
    for exchange in topology.exchanges:
        arrow = "<->" if exchange.both_ways else "->"
        unit = exchange.unit.replace("_", "-")
        lines.append(f"{unit} after {topology.place(exchange.stage)}: {exchange.source} {arrow} {exchange.target}")
    return "\n".join(lines)


def _title(topology: Topology, tree: Segment) -> str:
    split = topology.n_encoder
    runs = []
    if tree.first < split:
        runs.append(f"encoder {_span(tree.first, min(tree.last, split - 1))}")
    if tree.last >= split:
        runs.append(f"decoder {_span(max(tree.first, split) - split, tree.last - split)}")
    return f"{', '.join(runs)}: {', '.join(tree.tasks)}"


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _branches(items: list[tuple[str, Segment | None]], topology: Topology) -> list[str]:
    lines = []
    for position, (title, tree) in enumerate(items):
        last = position == len(items) - 1
        lines.append(("└─ " if last else "├─ ") + title)
        if tree is None:
            continue
        below: list[tuple[str, Segment | None]] = [(f"head of {task}", None) for task in tree.heads]
        below += [(_title(topology, child), child) for child in tree.children]
        lines += [("   " if last else "│  ") + line for line in _branches(below, topology)]
    return lines
