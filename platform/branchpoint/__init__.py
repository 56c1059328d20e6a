"""Branchpoint: trains, and searches for, multi-task networks on medical images."""

__version__ = "0.1.0"
