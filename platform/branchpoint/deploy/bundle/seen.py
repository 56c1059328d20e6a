"""Which images a network has learned from, as keyed hashes (HMAC-SHA256): no image and no name can be read off them.

A training image is known again by the bytes of its files, and by what the network was given (the prepared image), which
stays the same where a file was only compressed anew.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np


def new_key() -> str:
    """A random key, 64 hex digits; a bundle holds its own."""
    return secrets.token_hex(32)


def keyed(key: str, digest: str) -> str:
    """32 hex digits of the HMAC of ``digest``."""
    return hmac.new(bytes.fromhex(key), digest.encode(), hashlib.sha256).hexdigest()[:32]


def image_digest(image: np.ndarray) -> str:
    """SHA-256 of a prepared image (C, [D,] H, W) as it is stored, shape included."""
    digest = hashlib.sha256(repr((image.shape, image.dtype.str)).encode())
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, which results record."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash(path: Path) -> str:
    """The hash by which the cache of a cohort knows a file (:class:`branchpoint.datasets.input_hashes.InputHashes`)."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]


def seen_by(seen: Mapping[str, Any], digests: Iterable[str]) -> set[str]:
    """Names of the networks that learned from an image with one of ``digests``.

    Args:
        seen: content of ``seen.json``: ``key``, and ``networks`` with a list of hashes for each.
    """
    hashes = {keyed(seen["key"], digest) for digest in digests}
    return {name for name, known in seen["networks"].items() if hashes & set(known)}
