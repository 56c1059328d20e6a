"""Dataclasses that check and normalise their fields on construction, in Python as from JSON."""

from branchpoint.values.checked import ADDED, Checked
from branchpoint.values.conform import conform, refuse, require, shown
from branchpoint.values.registry import add_plugins, look_up
from branchpoint.values.rules import Distinct, Length, Range

__all__ = [
    "ADDED",
    "Checked",
    "Distinct",
    "Length",
    "Range",
    "add_plugins",
    "conform",
    "look_up",
    "refuse",
    "require",
    "shown",
]
