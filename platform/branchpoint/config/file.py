"""A Config as a file: its JSON, or what ``branchpoint best --json`` prints."""

from __future__ import annotations

import json
from pathlib import Path

from branchpoint.config.config import Config
from branchpoint.config.serialization import parse_json


def read_config(file: Path) -> Config:
    """The Config in ``file``: its JSON, or the first row of what ``branchpoint best --json`` prints.

    Raises:
        ValueError: there is none; the message names the file and the place in it.
    """
    try:
        text = file.read_text(encoding="utf-8")
        found = parse_json(text)
        if isinstance(found, list) and found and isinstance(found[0], dict) and "config" in found[0]:
            text = json.dumps(found[0]["config"])
        return Config.from_json(text)
    except OSError as problem:
        raise ValueError(f"--config {file}: {problem.strerror}") from None
    except ValueError as problem:
        raise ValueError(f"--config {file}: {problem}") from None
