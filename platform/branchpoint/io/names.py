"""Names that become one folder or file name on every system: of studies, runs and bundles."""

from __future__ import annotations

import re

MAX_LENGTH = 100
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)
RULE = (
    f"must be 1 to {MAX_LENGTH} letters (a-z, A-Z), digits, '.', '_' or '-', start with a letter or digit, "
    "not end with '.', and not be a name that Windows reserves"
)


def check_name(name: str, what: str = "study") -> str:
    """``name``, where it is one path component that every file system and object store takes.

    Args:
        name: the text that a user gave.
        what: the thing that is named, for the message.

    Raises:
        ValueError: it is not; the message says the rule.

    Example:
        >>> check_name("hecktor-2021.v2")
        'hecktor-2021.v2'
    """
    fits = isinstance(name, str) and len(name) <= MAX_LENGTH and _NAME.fullmatch(name)
    if not fits or _RESERVED.fullmatch(name):
        raise ValueError(f"{what} is {name!r}: a name {RULE}")
    return name
