"""Problems of a cohort: rows that name patient, rule, finding and remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One row of ``branchpoint check-data``.

    Attributes:
        severity: errors refuse training; warnings do not; accepted ones are warnings that the declaration accepts.
        patient: identifier, or ``""`` where the whole cohort is concerned.
        task: label or modality concerned (``CT``, ``gtvt``, ``pfs``), or ``""``.
        rule: short stable name, such as ``grid-mismatch``.
        found: what the data hold.
        expected: what they should hold.
        fix: what the user can do.
    """

    severity: Literal["error", "warning", "accepted"]
    patient: str
    task: str
    rule: str
    found: str
    expected: str
    fix: str


_SHOWN = 100
"""Problems that the text of an error names."""


class CohortError(ValueError):
    """A cohort with errors; ``problems`` holds every row, so that they can be shown as one table."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        shown = [
            f"{p.patient or 'cohort'} {p.task}: {p.rule}: found {p.found}, expected {p.expected}; {p.fix}"
            for p in self.problems[:_SHOWN]
        ]
        if len(self.problems) > _SHOWN:
            shown.append(f"and {len(self.problems) - _SHOWN:,} more: `branchpoint check-data` lists them")
        super().__init__(f"{len(self.problems)} problem(s) in the cohort:\n" + "\n".join(shown))
