"""Rules over the identifiers of a cohort: samples and groups that are one and the same, but are written in two ways.

Two spellings of one patient are two groups, and their samples may fall into training and test.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from branchpoint.datasets.cohort import Cohort
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.problems.rulebook import problem

_NUMBER = re.compile(r"0*(\d+)(?:\.0+)?")


def loose_key(text: str) -> str:
    """What is left of an identifier where case, Unicode form, invisible characters, spaces and zeros do not count.

    Leading zeros and ``.0``, which spreadsheets lose and add, are dropped from whole numbers alone.

    >>> loose_key(" P\\u200b1 ") == loose_key("p1"), loose_key("0012.0"), loose_key("M01") == loose_key("M1")
    (True, '12', False)
    """
    kept = text
    for _ in range(2):  # what is composed after the first round may be folded once more
        plain = unicodedata.normalize("NFKC", kept).casefold()
        kept = "".join(c for c in plain if unicodedata.category(c) not in ("Cf", "Cc") and not c.isspace())
    kept = unicodedata.normalize("NFKC", kept)
    number = _NUMBER.fullmatch(kept)
    return number[1] if number else kept


def alike(texts: Iterable[str]) -> list[list[str]]:
    """Those of ``texts`` that are different and have one :func:`loose_key`, sorted."""
    found: dict[str, set[str]] = {}
    for text in texts:
        found.setdefault(loose_key(text), set()).add(text)
    return [sorted(each) for each in found.values() if len(each) > 1]


def identifier_problems(cohort: Cohort) -> list[Problem]:
    """Rows of samples and groups whose identifiers are alike, and of samples that lack the group others have."""
    groups = {patient.group for patient in cohort.patients if patient.group}
    rows = [
        problem("similar-ids", each[-1], "", f"{_quoted(each)} may be one patient")
        for each in alike(patient.id for patient in cohort.patients)
    ]
    rows += [
        problem("similar-groups", "", "", f"groups {_quoted(each)} may be one patient, of whom folds see two")
        for each in alike(groups)
    ]
    rows += [
        problem("similar-centers", "", "", f"centres {_quoted(each)} may be one")
        for each in alike(patient.center for patient in cohort.patients if patient.center)
    ]
    unreadable = {row.patient for row in cohort.problems if row.rule == "ragged-row"}
    without = [p.id for p in cohort.patients if groups and not p.group and p.id not in unreadable]
    return rows + [problem("missing-group", sample, "", "no group, where others have one") for sample in without]


def _quoted(texts: Sequence[str]) -> str:
    """With characters that cannot be seen written out."""
    return " and ".join(ascii(text) if not text.isprintable() or not text.isascii() else repr(text) for text in texts)
