"""One row for one network: what the search found may be one of the references, and is then named by both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]

_PLACE = ("split", "fold", "center", "metric")


def without_doubles(figures: Sequence[Row]) -> list[dict[str, Any]]:
    """``figures`` where labels of one candidate with the same values are one label: ``best found = all shared``.

    Figures of choices made fold by fold bear the candidate of the recommended network, but other values: they stay.
    """
    values: dict[tuple[str, str], dict[tuple[Any, ...], Any]] = {}
    for row in figures:
        if row["candidate"] and row["kind"] == "model":
            of_label = values.setdefault((row["candidate"], row["label"]), {})
            of_label[tuple(row.get(name) for name in _PLACE)] = row["value"]
    first: dict[tuple[str, str], str] = {}
    for candidate, label in values:
        same = (one for c, one in first if c == candidate and _agree(values[c, one], values[candidate, label]))
        first[candidate, label] = next(same, label)
    names = {
        key: " = ".join(dict.fromkeys(label for c, label in first if (c, first[c, label]) == (key[0], key[1])))
        for key in first
    }
    kept = []
    for row in figures:
        key = (row["candidate"], row["label"])
        if key not in first or row["kind"] != "model":
            kept.append(dict(row))
            continue
        holds = values[key[0], first[key]]
        place = tuple(row.get(name) for name in _PLACE)
        if first[key] == row["label"] or place not in holds:
            kept.append({**row, "label": names[key[0], first[key]]})
    return kept


def _agree(some: Mapping[tuple[Any, ...], Any], others: Mapping[tuple[Any, ...], Any]) -> bool:
    """Whether two labels have the same value wherever both have one, and have some in common."""
    common = some.keys() & others.keys()
    return bool(common) and all(some[key] == others[key] or some[key] != some[key] for key in common)


def labels_of_candidates(figures: Sequence[Row]) -> dict[str, str]:
    """Candidate to its name for readers, that in the test figures where there is one."""
    models = [row for row in figures if row["kind"] == "model" and row["candidate"]]
    found = {row["candidate"]: row["label"] for row in models if row["split"] != "test"}
    tested = {row["candidate"]: row["label"] for row in reversed(models) if row["split"] == "test"}
    return {**found, **tested}
