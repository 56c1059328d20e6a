"""What a prepared cohort holds, patient by patient, as short keys: a study compares them at each start."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from branchpoint.datasets.files import listed
from branchpoint.datasets.input_hashes import fingerprint

_PARTS = {"labels": "labels", "volume": "images or masks", "covariates": "clinical values", "place": "centre or group"}

Content = Mapping[str, Mapping[str, str]]
"""Patient to the key of each of its parts."""


def content_keys(manifest: Path) -> Content:
    """Keys of all that trials learn from: labels, images and masks (by their files' content), clinical values, parts.

    Args:
        manifest: of :func:`branchpoint.datasets.prepared.prepare`.
    """
    plain = json.loads(manifest.read_text())
    keys = {
        entry["id"]: {
            "labels": fingerprint(entry["labels"])[:12],
            "volume": str(entry["volume"])[-12:],
            "covariates": fingerprint(entry.get("covariates", {}))[:12],
            "place": fingerprint([entry.get("center"), entry.get("group")])[:12],
        }
        for entry in plain["patients"]
    }
    return {**keys, "": {"splits": fingerprint(plain.get("splits", {}))[:12]}}


def accepted_warnings(manifest: Path) -> dict[str, str]:
    """Rule of the check to the reason for which the user accepts its warnings; empty where there is no manifest.

    Args:
        manifest: of :func:`branchpoint.datasets.prepared.prepare`.
    """
    return dict(json.loads(manifest.read_text()).get("accepted", {})) if manifest.is_file() else {}


def changes(before: Content, now: Content) -> list[str]:
    """What differs, in words that name the patients: ``other labels of P1, P2``; empty where nothing does."""
    both = sorted((before.keys() & now.keys()) - {""})
    found = {
        f"other {words} of": [name for name in both if before[name].get(part) != now[name].get(part)]
        for part, words in _PARTS.items()
    }
    found |= {"added": sorted(now.keys() - before.keys()), "no longer there:": sorted(before.keys() - now.keys())}
    said = [f"{words} {listed(names)}" for words, names in found.items() if names]
    return said + (["other parts of the official split"] if before.get("") != now.get("") and not said else [])
