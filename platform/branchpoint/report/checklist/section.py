"""The section of the report: both checklists, each behind a fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from branchpoint.report.checklist.facts import facts
from branchpoint.report.checklist.items import CLAIM, TRIPOD, Item
from branchpoint.report.parts import Fold, Part, Section, Table, Text
from branchpoint.report.results import Results

GUIDELINES = {"TRIPOD+AI (Collins et al. 2024)": ("tripod-ai", TRIPOD), "CLAIM (2024 update)": ("claim", CLAIM)}
COLUMNS = ["item", "asks for", "known to the study", "to be written by"]


def checklist_section(results: Results) -> Section:
    """What the study knows beside each item, and who writes the rest; nothing for a study without test figures."""
    if not results.pooled_test:
        return Section("")
    known = facts(results)
    parts: list[Part] = []
    for title, (name, items) in GUIDELINES.items():
        rows = [checklist_row(item, known) for item in items]
        complete = sum(bool(row[2]) and not row[3] for row in rows)
        partly = sum(bool(row[2]) and bool(row[3]) for row in rows)
        said = f"{title}: {complete} of {len(rows)} items are known to the study, {partly} in part"
        parts.append(Fold(said, [Table(name, COLUMNS, rows)]))
    note = (
        "Items are named in short: the guidelines' own texts say in full what each asks for. What the study knows is a "
        "draft for the author to check; the last column names who has to write the rest."
    )
    return Section("Reporting checklists", [Text(note), *parts])


def checklist_row(item: Item, known: Mapping[str, str]) -> Sequence[str]:
    """Number, topic, what is known, and who writes the rest: the author where nothing is known and nobody is named."""
    said = " ".join(known[name] for name in item.facts if name in known)
    return [item.number, item.topic, said, item.by or ("" if said else "author")]
