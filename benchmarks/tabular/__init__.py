"""The parts of ``benchmarks/tabular.py``: a table of trained networks, and searches that are replayed on it."""
