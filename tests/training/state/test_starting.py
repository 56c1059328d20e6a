"""Weights of another run to start from: what loads is copied and told, what does not is drawn anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from branchpoint.networks import build
from branchpoint.topology import Topology
from branchpoint.training.loop import fit
from branchpoint.training.state.warm_start import CONFIG_FILE, NETWORK_FILE, start_from
from tests.training.flat_cohort import DISC, LARGE, FlatCohort, flat_config


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_a_checkpoint_of_another_study_is_where_a_run_starts(tmp_path: Path) -> None:
    """One task's network gives its encoder and decoder to one that learns two; its best epoch is taken."""
    parent = fit(flat_config(DISC, epochs=2), FlatCohort(), checkpoint_dir=tmp_path / "parent", device="cpu")
    config = flat_config(DISC, LARGE, epochs=1)
    config = replace(config, training=replace(config.training, start_from=str(tmp_path / "parent")))
    child = build(config)
    note = start_from(config.training.start_from, child)
    own, given = child.state_dict(), parent.network.state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in given.items())
    count = len(own)
    assert f"{count - 4} of {count} tensors" in note
    assert note.endswith("drawn anew: heads.large (4)")
    assert f"(candidate {flat_config(DISC, epochs=2).candidate}, unet)" in note
    result = fit(config, FlatCohort(), device="cpu")
    assert note in result.notes
    fresh = fit(flat_config(DISC, LARGE, epochs=1), FlatCohort(), device="cpu")
    assert result.history[0].metrics["train/disc/loss"] < fresh.history[0].metrics["train/disc/loss"]


def test_a_run_that_went_on_after_a_kill_is_an_unbroken_one(tmp_path: Path) -> None:
    fit(flat_config(DISC, epochs=1), FlatCohort(), checkpoint_dir=tmp_path / "parent", device="cpu")
    config = flat_config(DISC, LARGE, epochs=2)
    config = replace(config, training=replace(config.training, start_from=str(tmp_path / "parent")))
    whole = fit(config, FlatCohort(), device="cpu")
    fit(config, FlatCohort(), checkpoint_dir=tmp_path / "run", report=lambda entry: False, device="cpu")
    resumed = fit(config, FlatCohort(), checkpoint_dir=tmp_path / "run", device="cpu")
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name]), name


def test_plain_weights_are_matched_by_name_and_shape(tmp_path: Path) -> None:
    parent, child = build(flat_config(DISC, LARGE)), build(replace(flat_config(DISC, LARGE), seed=5))
    torch.save(parent.state_dict(), tmp_path / "weights.pt")
    assert "100.0% of the numbers; nothing drawn anew" in start_from(str(tmp_path / "weights.pt"), child)
    assert all(torch.equal(child.state_dict()[name], tensor) for name, tensor in parent.state_dict().items())


def test_the_folder_of_a_finished_run_tells_its_topology(tmp_path: Path) -> None:
    """Two separate networks both start from one shared one, which names alone would not tell."""
    shared = flat_config(DISC, LARGE)
    apart = Topology.separate(["disc", "large"], ["disc"], 2, 1)
    torch.save(build(shared).state_dict(), tmp_path / NETWORK_FILE)
    names = start_from(str(tmp_path), build(replace(shared, network=replace(shared.network, topology=apart))))
    assert "drawn anew: encoder.0" in names
    (tmp_path / CONFIG_FILE).write_text(shared.to_json())
    child = build(replace(shared, network=replace(shared.network, topology=apart)))
    assert "nothing drawn anew" in start_from(str(tmp_path), child)
    first, second = child.encoder[0]
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file or folder"),
        ({"features.0.weight": torch.ones(3)}, "none of the .* tensors of this network .* holds features.0.weight"),
        (torch.ones(2), "holds Tensor, not weights by name"),
        ("text", "is no file of weights that torch can read"),
    ],
)
def test_what_cannot_be_started_from_is_named(content: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    if isinstance(content, str):
        path.write_text(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(ValueError, match=message) as problem:
        start_from(str(path), build(flat_config(DISC)))
    assert str(path) in str(problem.value)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"holds neither a checkpoint nor {NETWORK_FILE}"):
        start_from(str(tmp_path), build(flat_config(DISC)))
