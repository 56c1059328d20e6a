"""Affinities find planted families, and the tree search parts them: two seeds of the benchmark."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.planted_relations import found_families, mean_affinities, parting_depth, planted_config
from branchpoint.commands.affinity import measure_relations
from branchpoint.phantoms import make_phantom
from branchpoint.store import Store


@pytest.mark.parametrize("seed", [2, 8])
def test_families_and_branching_are_found(tmp_path: Path, seed: int) -> None:
    torch.set_num_threads(1)
    root = make_phantom("relations", tmp_path / "phantom", patients=96, seed=seed, progress=False)
    store, config = Store(str(tmp_path / "results")), planted_config(root, seed, epochs=60)
    affinities, proposals = measure_relations(config, store, "planted", tmp_path / "cache", every=2)
    within, across = mean_affinities(affinities)
    assert across < 0 < within
    assert found_families(proposals)
    assert parting_depth(proposals) in (0, 1)
