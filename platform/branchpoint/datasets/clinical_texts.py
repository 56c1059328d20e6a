"""Texts of clinical tables as numbers: sexes, answers, sides, smoking, stages, grades and ages of DICOM headers."""

from __future__ import annotations

import re
from collections.abc import Mapping

VOCABULARIES: Mapping[str, Mapping[str, float]] = {
    "sex": {
        **dict.fromkeys(("m", "male", "man", "männlich", "maennlich", "mann"), 1.0),
        **dict.fromkeys(("f", "w", "female", "woman", "weiblich", "frau"), 0.0),
    },
    "yes or no": {
        **dict.fromkeys(("yes", "y", "true", "positive", "ja", "j"), 1.0),
        **dict.fromkeys(("no", "n", "false", "negative", "nein"), 0.0),
    },
    "side": {**dict.fromkeys(("left", "l", "links"), 0.0), **dict.fromkeys(("right", "r", "rechts"), 1.0)},
    "smoking": {
        **dict.fromkeys(("never", "never smoker", "non-smoker", "nonsmoker", "nie"), 0.0),
        **dict.fromkeys(("former", "former smoker", "ex", "ex-smoker", "ehemalig"), 1.0),
        **dict.fromkeys(("current", "current smoker", "smoker", "aktuell"), 2.0),
    },
    "degree": {"low": 1.0, "intermediate": 2.0, "medium": 2.0, "high": 3.0},
}
"""Kind of text to its texts, in lower case, and their numbers."""

_ROMAN = {"i": 1.0, "ii": 2.0, "iii": 3.0, "iv": 4.0}
_YEARS = {"y": 1.0, "m": 1 / 12, "w": 7 / 365.25, "d": 1 / 365.25}
UNDERSTOOD = (
    "numbers; sex (M, F, male, weiblich); yes or no (ja, positive); side (left, right); smoking (never, former, "
    "current); low, intermediate, high; stages and grades (T2a, IVB, G3); ages such as 054Y"
)
"""For messages: the texts that :func:`ordinal` understands."""


def kind_of_text(text: str) -> str:
    """The vocabulary that ``text`` belongs to, ``age``, ``stage`` or ``number``; ``""`` where it is not understood."""
    return _read(text)[0]


def ordinal(value: float | str | None) -> float:
    """A stage, grade, sex, side, age or answer as a number, NaN where missing or not understood.

    ``T4a`` is 4, ``N2b`` 2, ``Tis`` 0, ``IVA`` and ``stage IV`` 4, ``G2`` 2, ``Intermediate`` 2; subdivisions are
    dropped: editions of TNM disagree on them. ``M`` (male), ``yes``, ``positive`` and ``right`` are 1, their opposites
    0; ``never``, ``former`` and ``current`` 0, 1 and 2. Ages as DICOM writes them (PS3.5, section 6.2, AS: ``054Y``,
    ``018M``) are years.
    """
    if value is None or not isinstance(value, str):
        return float("nan") if value is None else float(value)
    return _read(value)[1]


def _read(value: str) -> tuple[str, float]:
    text = " ".join(value.lower().split())
    for kind, known in VOCABULARIES.items():
        if text in known:
            return kind, known[text]
    if age := re.fullmatch(r"(\d{3})([ymwd])", text):
        return "age", float(age[1]) * _YEARS[age[2]]
    text = text.removeprefix("stage").strip()
    if re.fullmatch(r"t?is", text):
        return "stage", 0.0
    if roman := re.fullmatch(r"(iv|i{1,3})[abc]?\d?", text):
        return "stage", _ROMAN[roman[1]]
    digit = re.fullmatch(r"([ctnmgp]*)\s*([0-9]+(?:\.[0-9]+)?)([a-d]?)", text)
    if digit is None:
        return "", float("nan")
    return "stage" if digit[1] or digit[3] else "number", float(digit[2])
