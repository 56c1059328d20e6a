"""The model card: a Hugging Face front matter, what people must say, and what the study measured."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from branchpoint.deploy.bundle.tasks import TaskInfo

REQUIRED = {
    "name": "of the model",
    "licence": "of the weights",
    "contact": "whom to ask",
    "intended_use": "what the model may be used for, and by whom",
    "out_of_scope": "what it must not be used for",
    "data": "whose images it learned from, and how they were labelled",
}
"""Field of ``card.toml`` to what it says."""
UNSAID = "Not stated by the author of this bundle."


@dataclass(frozen=True)
class Card:
    """What people say about a bundle.

    Attributes:
        fields: each of :data:`REQUIRED`.
        tasks: task to ``event`` (of survival tasks) or ``unit`` (of regressions).
    """

    fields: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(REQUIRED, UNSAID))
    tasks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def read_card(path: Path) -> Card:
    """The card's human part from a TOML file.

    Raises:
        ValueError: the file is no TOML, or a field is missing, blank or unknown; the message names all of them.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise ValueError(f"--card {path}: {problem}") from None
    tasks = content.pop("tasks", {})
    blank = [name for name in REQUIRED if not str(content.get(name, "")).strip()]
    blank += [f"tasks.{task}.{name}" for task, said in tasks.items() for name in said if not str(said[name]).strip()]
    if blank:
        hints = ", ".join(f"{name} ({REQUIRED[name]})" if name in REQUIRED else name for name in blank)
        raise ValueError(f"--card {path}: fill in {hints}")
    if unknown := sorted(set(content) - set(REQUIRED)):
        raise ValueError(f"--card {path}: unknown field {unknown[0]!r}; the fields are {', '.join(REQUIRED)}, tasks")
    return Card({name: str(content[name]).strip() for name in REQUIRED}, tasks)


def card_markdown(
    card: Card, study: str, tasks: Sequence[TaskInfo], figures: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]
) -> str:
    """``card.md``.

    Args:
        card: what people said.
        study: its name.
        tasks: that give results.
        figures: rows of the store, references included.
        facts: ``provenance.json``.
    """
    said = card.fields
    about = "\n".join(f"- **{task.name}** ({task.kind}): {_about(task)}" for task in tasks)
    return f"""---
library_name: branchpoint
license: {said["licence"] if said["licence"] != UNSAID else "other"}
tags: [medical, multi-task, research]
---
# {said["name"] if said["name"] != UNSAID else study}

**Not for clinical use.** A research model of {len(facts["networks"])} networks, found and tested by the study
`{study}` with Branchpoint {facts["versions"].get("branchpoint", "")}.

## Intended use
{said["intended_use"]}

## Out of scope
{said["out_of_scope"]}

## Results it gives
{about}

## Data
{said["data"]}

Cohort: {facts["dataset"]} {facts["release"]}; {facts["patients"]} patients{_centres(facts)}; left out as faulty:
{", ".join(facts["excluded"]) or "nobody"}.

## Figures on test patients
{_tested(facts)}

{_table(figures)}

## Contact
{said["contact"]}
"""


def _tested(facts: Mapping[str, Any]) -> str:
    once = (
        "Each patient was predicted once, by a network that had not seen them, beside trivial references on the same "
        "patients. 95 % intervals. "
    )
    if "refit_of" not in facts:
        return f"{once}The ensemble itself is untested: it averages networks that were tested one by one."
    return (
        f"These are figures of the folds' networks of candidate {facts['refit_of']}, not of the networks in this "
        "bundle: those learned from all cases, and none is left to test them. What the folds' networks reach, having "
        f"learned from fewer cases, is their estimate. {once}"
    )


def _about(task: TaskInfo) -> str:
    if task.kind == "survival":
        return f"risk of {task.meaning}"
    if task.labels:
        return ", ".join(task.labels)
    return f"a value{f' in {task.unit}' if task.unit else ''}"


def _centres(facts: Mapping[str, Any]) -> str:
    centres = facts.get("centers") or {}
    listed = ", ".join(f"{name} ({count})" for name, count in sorted(centres.items()))
    return f" from {len(centres)} centres: {listed}" if len(centres) > 1 else ""


def _table(figures: Sequence[Mapping[str, Any]]) -> str:
    rows = ["| who | task | metric | value [interval] | patients |", "|---|---|---|---|---|"]
    for row in figures:
        centre = f" ({row['center']})" if row["center"] else ""
        value = "undefined" if row["value"] is None else f"{row['value']:.3f}"
        within = "" if row["low"] is None or row["high"] is None else f" [{row['low']:.3f}, {row['high']:.3f}]"
        rows.append(f"| {row['label']}{centre} | {row['task']} | {row['metric']} | {value}{within} | {row['n']} |")
    return "\n".join(rows)
