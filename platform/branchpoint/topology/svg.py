"""A topology as a drawing in SVG."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from branchpoint.topology.dataflow import Node, head_node, passed_on, stage_node
from branchpoint.topology.segments import leaves, segments
from branchpoint.topology.topology import Topology

COLUMN, ROW, BOX_WIDTH, BOX_HEIGHT, LEFT, TOP, HEAD_WIDTH = 62, 58, 40, 26, 24, 64, 118
COLORS = ("#4c78a8", "#e45756", "#54a24b", "#b279a2", "#eeca3b", "#72b7b2", "#ff9da6", "#9d755d")
SHARED = "#8a94a6"
INK = "#1f2430"
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#1f2430}.in{fill:#fff;font-weight:600}"
    ".small{font-size:10px;fill:#5a6272;paint-order:stroke;stroke:#fff;stroke-width:3px}"
    ".mix{fill:none;stroke:#1f2430;stroke-width:1.6}"
    ".link{fill:none;stroke:#5a6272;stroke-width:1.6}.pass{fill:none;stroke-width:1.6;stroke-dasharray:5 3}"
)


def svg_drawing(topology: Topology, notes: Mapping[str, str] | None = None) -> str:
    """``topology`` as an SVG document: stages from left to right, a row for each task.

    Grey boxes are shared, coloured ones belong to one task; dashed arrows are cascades, solid arrows exchanges.

    Args:
        topology: what to draw.
        notes: task to a short text under its head, such as its figure.
    """
    drawing = _Drawing(topology)
    parts = [*drawing.titles(), *drawing.paths(), *drawing.boxes(), *drawing.exchanges(), *drawing.cascades()]
    for task, note in (notes or {}).items():
        x, y = drawing.center(head_node(topology, task))
        parts.append(_text(x, y + BOX_HEIGHT / 2 + 12, note, "small"))
    marker = (
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto-start-reverse"><path d="M0,0L8,4L0,8z" fill="{INK}"/></marker></defs>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {drawing.width} {drawing.height}" '
        f'width="{drawing.width}" height="{drawing.height}" role="img" '
        f'aria-label="{escape(topology.family)} network of {escape(", ".join(topology.tasks))}">'
        f'<style>{STYLE}</style>{marker}<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>'
    )


class _Drawing:
    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        order = leaves(segments(topology))
        self.row = {task: position for position, task in enumerate(order)}
        self.color = {task: COLORS[i % len(COLORS)] for i, task in enumerate(topology.tasks)}
        columns = len(topology.stages)
        # Cascades to heads bow out to the right of the heads.
        self.width = LEFT + columns * COLUMN + HEAD_WIDTH + (90 if topology.cascades else 16)
        self.height = TOP + len(order) * ROW + 8

    def center(self, node: Node) -> tuple[float, float]:
        y = TOP + ROW * (sum(self.row[task] for task in node.tasks) / len(node.tasks)) + BOX_HEIGHT / 2
        if node.kind == "head":
            return LEFT + len(self.topology.stages) * COLUMN + HEAD_WIDTH / 2, y
        return LEFT + node.stage * COLUMN + BOX_WIDTH / 2, y

    def titles(self) -> list[str]:
        encoder, stages = self.topology.n_encoder, len(self.topology.stages)
        texts = [_text(LEFT, 20, f"{self.topology.family} network", anchor="start")]
        for stage in range(stages):
            part, number = ("enc", stage) if stage < encoder else ("dec", stage - encoder)
            texts.append(_text(LEFT + stage * COLUMN + BOX_WIDTH / 2, 46, f"{part} {number}", "small"))
        return texts

    def _nodes(self) -> list[Node]:
        topology = self.topology
        stages = [Node("stage", stage, group) for stage, groups in enumerate(topology.stages) for group in groups]
        return [*stages, *(head_node(topology, task) for task in topology.tasks)]

    def paths(self) -> list[str]:
        """Lines from each stage to those that follow it."""
        lines = []
        for node in self._nodes():
            if node.stage:
                before = stage_node(self.topology, node.tasks[0], node.stage - 1)
                lines.append(f'<path class="link" d="{self._curve(before, node)}"/>')
        return lines

    def boxes(self) -> list[str]:
        found = []
        for node in self._nodes():
            x, y = self.center(node)
            head = node.kind == "head"
            width = HEAD_WIDTH if head else BOX_WIDTH
            color = self.color[node.tasks[0]] if len(node.tasks) == 1 else SHARED
            title = escape(f"{'head' if head else self.topology.place(node.stage)}: {', '.join(node.tasks)}")
            found.append(
                f'<g><title>{title}</title><rect x="{x - width / 2:g}" y="{y - BOX_HEIGHT / 2:g}" width="{width}" '
                f'height="{BOX_HEIGHT}" rx="{13 if head else 4}" fill="{color}"/></g>'
            )
            if head:
                name = node.tasks[0] if len(node.tasks[0]) <= 16 else node.tasks[0][:15] + "…"
                found.append(_text(x, y + 4, name, "in"))
            elif len(node.tasks) > 1:
                found.append(_text(x, y + 4, str(len(node.tasks)), "in"))
        return found

    def exchanges(self) -> list[str]:
        found = []
        for link in self.topology.exchanges:
            (x, top), (_, bottom) = (
                self.center(stage_node(self.topology, task, link.stage)) for task in (link.source, link.target)
            )
            right, bow = x + BOX_WIDTH / 2, x + BOX_WIDTH / 2 + 22
            both = ' marker-start="url(#arrow)"' if link.both_ways else ""
            title = escape(f"{link.unit} after {self.topology.place(link.stage)}: {link.source}, {link.target}")
            found.append(
                f'<g><title>{title}</title><path d="M{right:g},{top:g}C{bow:g},{top:g} {bow:g},{bottom:g} '
                f'{right:g},{bottom:g}" class="mix" marker-end="url(#arrow)"{both}/></g>'
            )
            found.append(_text(bow, min(top, bottom) + ROW / 2 + 3, link.unit.replace("_", "-"), "small", "start"))
        return found

    def cascades(self) -> list[str]:
        found = []
        for link in self.topology.cascades:
            start = passed_on(self.topology, link)
            if start.kind == "exchange":
                start = Node("stage", start.stage, start.tasks)
            end = (
                head_node(self.topology, link.target)
                if link.stage is None
                else stage_node(self.topology, link.target, link.stage)
            )
            (x0, y0), (x1, y1) = self.center(start), self.center(end)
            out = x0 + (HEAD_WIDTH if start.kind == "head" else BOX_WIDTH) / 2
            middle = (y0 + y1) / 2
            if end.kind == "head" and start.kind == "head":
                into, bow = x1 + HEAD_WIDTH / 2, out + 46
                path = f"M{out:g},{y0:g}C{bow:g},{y0:g} {bow:g},{y1:g} {into:g},{y1:g}"
                label = (bow - 8, middle + 3)
            else:
                side = BOX_HEIGHT / 2 if y1 <= y0 else -BOX_HEIGHT / 2
                into = x1 - (HEAD_WIDTH / 2 if end.kind == "head" else 0)
                path = f"M{x0:g},{y0 - side:g}C{x0:g},{middle:g} {into:g},{middle:g} {into:g},{y1 + side:g}"
                label = ((x0 + into) / 2, middle - 4)
            title = escape(f"{link.carries} of {link.source} to {link.target}")
            found.append(
                f'<g><title>{title}</title><path class="pass" d="{path}" stroke="{self.color[link.source]}" '
                f'marker-end="url(#arrow)"/></g>'
            )
            found.append(_text(*label, link.carries.replace("_", " "), "small"))
        return found

    def _curve(self, start: Node, end: Node) -> str:
        (x0, y0), (x1, y1) = self.center(start), self.center(end)
        x0, x1 = x0 + BOX_WIDTH / 2, x1 - (HEAD_WIDTH if end.kind == "head" else BOX_WIDTH) / 2
        middle = (x0 + x1) / 2
        return f"M{x0:g},{y0:g}C{middle:g},{y0:g} {middle:g},{y1:g} {x1:g},{y1:g}"


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "middle") -> str:
    kind = f' class="{style}"' if style else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{kind}>{escape(text)}</text>'
