"""What a search job may be told about its study."""

from __future__ import annotations

from typing import Any

import pytest

from branchpoint.commands.choices import with_choices
from branchpoint.commands.search_options import SearchOptions
from branchpoint.config import Config, DatasetConfig
from branchpoint.networks import estimate
from branchpoint.search.space.points import check_points
from search_spaces import busi, hecktor, ph2, sts

SPACES: dict[str, Any] = {"busi": busi, "ph2": ph2, "hecktor": hecktor, "sts": sts}


def base(name: str) -> Config:
    size = (48, 48, 48) if name in ("hecktor", "sts") else (64, 64)
    dataset = DatasetConfig(name=name, release="2021" if name == "hecktor" else "", size_voxels=size)
    found: Config = SPACES[name].base(dataset)
    return found


def chosen(name: str, **options: Any) -> Config:
    return with_choices(base(name), SearchOptions(**options))


@pytest.mark.parametrize(
    ("name", "tasks", "labels"),
    [
        ("hecktor", "survival", ["survival only"]),
        ("hecktor", "tumour", ["segmentation only"]),
        ("sts", "tumour, lung_metastasis", ["multi-task, all shared", "segmentation only", "lung metastasis only"]),
        ("ph2", "lesion,diagnosis", ["multi-task, all shared", "lesion only", "diagnosis only"]),
        ("busi", "diagnosis,hog", ["diagnosis only", "diagnosis only, with hog"]),
    ],
)
def test_a_study_of_some_tasks_has_points_of_these_alone(name: str, tasks: str, labels: list[str]) -> None:
    config, space = chosen(name, tasks=tasks), SPACES[name]
    assert [task.name for task in config.tasks] == [part.strip() for part in tasks.split(",")]
    published = space.published(config)
    assert [label for label in published if label != "segment, measure, predict"] == labels
    check_points(space.space, config, space.starting_points(config))


def test_objective_sets_what_counts_in_the_score() -> None:
    config = chosen("sts", objective="tumour=2, recurrence")
    assert [task.importance for task in config.tasks] == [2.0, 1.0, 0.0]
    assert config.fingerprint != base("sts").fingerprint
    assert chosen("sts", objective="tumour=1,recurrence=1,lung_metastasis=1") == base("sts")


@pytest.mark.parametrize(
    ("encoder", "depth"), [("resnet18", 5), ("efficientnet_b0", 5), ("convnext_tiny", 4), ("u2net", 6)]
)
def test_an_encoder_brings_its_depth(encoder: str, depth: int) -> None:
    config = chosen("ph2", encoder=encoder)
    assert (config.network.encoder, config.network.depth) == (encoder, depth)
    assert estimate(config).parameters > 0
    assert ph2.published(config)["multi-task, all shared"]["encoder"] == encoder


def test_validation_share() -> None:
    assert chosen("ph2", validation_share=0.3).split.validation_fraction == 0.3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": "lesion,magic"}, r"--tasks is 'lesion,magic': the study has the tasks lesion, diagnosis, hog"),
        ({"tasks": "hog"}, r"--tasks is 'hog': these are auxiliary"),
        ({"objective": "lesion=x"}, r"--objective is 'lesion=x': the weight of 'lesion' is 'x', not a number"),
        ({"objective": "magic"}, r"--objective is 'magic': the study has the tasks"),
        ({"objective": "lesion=0"}, r"importance of at least one task"),
        ({"objective": "lesion=-1"}, r"tasks\.lesion\.importance is -1\.0: must be at least 0"),
        ({"validation_share": 1.0}, r"split\.validation_fraction is 1\.0"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        chosen("busi", **options)
