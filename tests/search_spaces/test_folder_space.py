"""The space of a user's own folder follows from its declaration alone."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from branchpoint.config import Config, DatasetConfig
from branchpoint.networks import estimate
from branchpoint.search.space.parts import learned
from branchpoint.search.space.points import check_points, config_at
from search_spaces import folder

PICTURES = """
[images]
photo = "pictures/{id}.png"
ultrasound = { files = "us/{id}.png", channels = 1 }
[table]
file = "labels.csv"
id = "picture"
covariates = ["age"]
[targets.diagnosis]
kind = "classification"
column = "diagnosis"
classes = ["nevus", "melanoma", "other"]
[targets.signs]
kind = "multilabel"
columns = ["veil", "streaks"]
[targets.diameter]
kind = "regression"
column = "diameter_mm"
range = [0, 40]
[targets.lesion]
kind = "segmentation"
files = "masks/{id}.png"
"""
VOLUMES = """
[images]
CT = "{id}/ct.nii.gz"
PET = "{id}/pet.nii.gz"
[table]
file = "labels.csv"
id = "patient"
covariates = ["age"]
[targets.relapse]
kind = "survival"
time = "days"
event = "relapsed"
[targets.tumour]
kind = "segmentation"
files = "{id}/mask.nii.gz"
values = [1, 2]
"""


@pytest.fixture(params=[(PICTURES, (48, 48)), (VOLUMES, (16, 16, 16))], ids=["pictures", "volumes"])
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> DatasetConfig:
    text, size = request.param
    (tmp_path / "dataset.toml").write_text(text)
    return DatasetConfig(name="folder", root=str(tmp_path), size_voxels=size)


def test_each_target_is_a_task_and_masks_come_first(dataset: DatasetConfig) -> None:
    base = folder.base(dataset)
    if len(dataset.size_voxels) == 2:
        assert [task.name for task in base.tasks] == ["lesion", "diagnosis", "signs", "diameter"]
        assert base.network.in_channels == 4
        regression = base.task("diameter")
        assert (getattr(regression, "center", 0), getattr(regression, "scale", 0)) == (20, 10)
    else:
        assert [task.name for task in base.tasks] == ["tumour", "relapse"]
        assert (base.network.in_channels, base.network.measured_channel) == (2, 1)
        assert base.training.event_fraction is not None


def test_every_proposal_describes_a_network(dataset: DatasetConfig) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    base = folder.base(dataset)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    configs = [folder.space(study.ask(), base) for _ in range(25)]
    for config in configs:
        assert Config.from_json(config.to_json()) == config
    assert estimate(configs[0]).parameters > 0
    assert {config.network.head_inputs for config in configs} == {"image", "clinical", "both"}


def test_the_first_points_are_all_tasks_and_each_alone(dataset: DatasetConfig) -> None:
    base = folder.base(dataset)
    points = folder.published(base)
    configs = check_points(folder.space, base, folder.starting_points(base))
    assert configs[: len(points)] == [config_at(folder.space, base, point) for point in points.values()]
    names = {
        label: [task.name for task in learned(config_at(folder.space, base, point).tasks)]
        for label, point in points.items()
    }
    every = [task.name for task in base.tasks]
    assert names["multi-task, all shared"] == every
    assert [names[f"{name} only"] for name in every] == [[name] for name in every]


def test_a_number_without_range_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "dataset.toml").write_text(PICTURES.replace("range = [0, 40]\n", ""))
    with pytest.raises(ValueError, match=r"targets\.diameter of the declaration has no range: .*range = \[0, 50\]"):
        folder.base(DatasetConfig(name="folder", root=str(tmp_path), size_voxels=(32, 32)))
