"""Weights of another run to start from: what loads is copied and told, what does not is drawn anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from branchpoint.config import AugmentationConfig, IntensityAugmentationConfig, ReconstructionConfig
from branchpoint.datasets.batch import UNCHANGED_IMAGE, Batch
from branchpoint.networks import build
from branchpoint.tasks import build_task
from branchpoint.topology import Topology
from branchpoint.training.batches.augmentation import augment_rows
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


def test_restoring_changed_images_is_a_pre_training_without_labels(tmp_path: Path) -> None:
    """No label is left; encoder and decoder go to a network that segments."""
    images = FlatCohort()
    images.labelled = {name: np.zeros_like(known) for name, known in images.labelled.items()}
    changes = IntensityAugmentationConfig(probability=1.0, noise=0.5, cutout=0.5)
    restoring = flat_config(ReconstructionConfig(name="image", channels=3, restore=True), epochs=8)
    restoring = replace(
        restoring, training=replace(restoring.training, augmentation=AugmentationConfig(intensity=changes))
    )
    parent = fit(restoring, images, checkpoint_dir=tmp_path / "pretrained", device="cpu")
    losses = [entry.metrics["train/image/loss"] for entry in parent.history]
    assert losses[-1] < 0.8 * losses[0]
    config = flat_config(DISC, epochs=1)
    config = replace(config, training=replace(config.training, start_from=str(tmp_path / "pretrained")))
    note = start_from(config.training.start_from, child := build(config))
    assert "drawn anew: heads.disc" in note
    encoder = {name: tensor for name, tensor in parent.network.state_dict().items() if not name.startswith("heads")}
    assert {name.split(".")[0] for name in encoder} == {"encoder", "decoder"}
    assert all(torch.equal(child.state_dict()[name], tensor) for name, tensor in encoder.items())


def test_what_is_restored_is_the_moved_image_before_its_intensities_changed() -> None:
    batch = FlatCohort().batch([0, 1, 2])
    config = AugmentationConfig(shift_mm=3, intensity=IntensityAugmentationConfig(probability=1.0, noise=0.5))
    plain = replace(config, intensity=None)

    def augmented(config: AugmentationConfig, **options: bool) -> Batch:
        generator = torch.Generator().manual_seed(0)
        return augment_rows(batch, config, 1.0, generator, len(batch), slice(0, len(batch)), **options)

    changed, moved = augmented(config, keep_unchanged=True), augmented(plain)
    assert UNCHANGED_IMAGE not in augmented(config).inputs, "other tasks do not need the memory"
    restore, copy = (
        build_task(ReconstructionConfig(name="image", channels=3, restore=restore)) for restore in (True, False)
    )
    assert torch.equal(restore.target(changed)[0], moved.inputs["image"])
    assert torch.equal(copy.target(changed)[0], changed.inputs["image"])
    assert not torch.equal(changed.inputs["image"], moved.inputs["image"])
    assert torch.equal(restore.target(batch)[0], batch.inputs["image"]), "validation changes nothing"


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
