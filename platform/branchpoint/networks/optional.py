"""Packages that only some encoders need."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


def require(module: str, package: str, extra: str, encoder: str) -> ModuleType:
    """The imported ``module``.

    Raises:
        ModuleNotFoundError: it is not installed; the message names encoder, package, extra and command.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as problem:
        raise ModuleNotFoundError(
            f"network.encoder {encoder!r} needs {package}, which is not installed: pip install 'branchpoint[{extra}]'"
        ) from problem
