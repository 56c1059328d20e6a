"""Tables of the report as LaTeX."""

from __future__ import annotations

import re

from branchpoint.report.parts import Table

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_TYPESET = {
    "±": r"$\pm$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "²": r"$^2$",
    "…": r"\dots{}",
    "<": "$<$",
    ">": "$>$",
}
_MINUS = re.compile(r"(?<![\w.-])-(?=[\d.]|$)")


def latex(table: Table) -> str:
    """``table`` as a ``tabular`` of booktabs, for ``\\input`` within a ``table``; the row of the best is bold."""
    columns = "l" * len(table.columns)
    head = " & ".join(escape(column) for column in table.columns)
    rows = [" & ".join(_bold(escape(cell), mark == "best") for cell in cells) for mark, cells in table.marked]
    lines = [
        "% needs \\usepackage{booktabs}",
        f"\\begin{{tabular}}{{{columns}}}",
        "\\toprule",
        f"{head} \\\\",
        "\\midrule",
        *(f"{row} \\\\" for row in rows),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    r"""``text`` as LaTeX prints it; a minus before a number becomes a mathematical one.

    >>> escape("95 % of best_run: -0.02 ± 0.01")
    '95 \\% of best\\_run: $-$0.02 $\\pm$ 0.01'
    """
    signed = _MINUS.sub("\0", " ".join(text.split()))
    return "".join("$-$" if c == "\0" else _SPECIAL.get(c) or _TYPESET.get(c, c) for c in signed)


def _bold(text: str, best: bool) -> str:
    return f"\\textbf{{{text}}}" if best and text else text
