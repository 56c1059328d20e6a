"""The parts of ``benchmarks/recipe.py``."""
