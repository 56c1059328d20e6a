"""Every row of the published tables is a network that can be built, with the hyper-parameters that the papers give."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from branchpoint.commands.cli import app
from branchpoint.config import Config, HogConfig, MultilabelConfig, SegmentationConfig, SplitConfig
from branchpoint.networks import Network
from branchpoint.published import Experiment, Shrunk, experiments, find

ALL = experiments()
ROWS = {row.config.candidate: row.config for experiment in ALL for row in experiment.rows}


@pytest.mark.parametrize("experiment", ALL, ids=lambda e: e.name)
def test_a_table_is_consistent(experiment: Experiment) -> None:
    labels = [row.label for row in experiment.rows]
    assert len(set(labels)) == len(labels)
    titles = {column.title for column in experiment.columns}
    names = {row.name for row in experiment.rows}
    assert experiment.compared
    assert {name for pair in experiment.compared for name in pair} <= names
    assert experiment.deviations
    for row in experiment.rows:
        assert Config.from_json(row.config.to_json()) == row.config
        assert row.config.dataset.name == experiment.dataset
        assert all(0 < value < 1 for value in row.paper.values())
        named = [column.task_of(row.config) for column in experiment.columns]
        assert any(named), "a row has at least one of the table's figures"
    assert {title for row in experiment.rows for title in row.paper} & titles or experiment.table in ("fig4", "fig5")


@pytest.mark.parametrize("candidate", ROWS)
def test_every_row_is_a_network(candidate: str) -> None:
    with torch.device("meta"):
        network = Network(ROWS[candidate])
    assert sum(parameter.numel() for parameter in network.parameters()) > 1_000_000


def test_resformer_has_the_papers_hyper_parameters() -> None:
    configs = [row.config for e in ALL if e.paper == "resformer" for row in e.rows]
    for config in configs:
        optimizer, training = config.optimizer, config.training
        assert (optimizer.name, optimizer.learning_rate, optimizer.weight_decay) == ("adamw", 3e-3, 1e-4)
        assert optimizer.betas == (0.9, 0.999)
        assert (training.epochs, training.batch_size, training.select_by) == (100, 8, "loss")
        assert config.dataset.size_voxels == ((224, 224) if config.dataset.name == "isic2017" else (512, 512))
        weights = {task.kind: task.weight for task in config.tasks}
        assert weights.get("multilabel", 0.25) == 0.25
        assert weights.get("segmentation", 1.0) == 1.0
        assert training.augmentation is not None
        assert training.augmentation.mirror
        assert training.augmentation.flip
    assert {e.seeds for e in ALL if e.paper == "resformer"} == {5}
    own = [config.network for config in configs if config.network.encoder.startswith("resformer")]
    assert {(n.width, n.depth, n.taps) for n in own} == {(64, 4, (2, 3))}
    assert {n.encoder for n in own} == {"resformer_sequential", "resformer_parallel"}
    assert {n.dilated_skips for n in own} == {True, False}


def test_the_effect_of_tasks_differs_in_tasks_alone() -> None:
    table = find("resformer", "retouch", "8")
    assert len(table.rows) == 2 * 3 * 3
    by_label = {row.label: row.config for row in table.rows}
    both, masks = by_label["parallel, both, Topcon"], by_label["parallel, segmentation only, Topcon"]
    assert replace(both, tasks=both.tasks[:1]) == masks
    assert {type(task) for task in both.tasks} == {SegmentationConfig, MultilabelConfig}
    assert both.dataset.release == "Topcon"
    paper = {row.label: row.paper for row in table.rows}
    assert paper["sequential, both, Spectralis"] == pytest.approx(
        {"JI": 0.704, "DSC": 0.803, "Acc": 0.978, "Sen": 0.968, "Spe": 0.983}
    )
    assert paper["parallel, classification only, Topcon"] == pytest.approx({"Acc": 0.978, "Sen": 0.956, "Spe": 0.984})
    assert paper["sequential, segmentation only, Cirrus"] == pytest.approx({"JI": 0.730, "DSC": 0.825})


def test_tables_share_their_runs() -> None:
    """The full network of tables 8 and 9 is trained once."""
    both = {row.config.candidate for row in find("resformer", "isic2017", "8").rows if row.name.endswith("both")}
    enhanced = {row.config.candidate for row in find("resformer", "isic2017", "9").rows if "with DFE" in row.name}
    assert both == enhanced & both
    assert len(both) == 2


def test_hog_has_the_papers_hyper_parameters() -> None:
    for experiment in (e for e in ALL if e.paper == "hog"):
        for row in experiment.rows:
            config = row.config
            optimizer = config.optimizer
            assert (optimizer.name, optimizer.learning_rate, optimizer.schedule) == ("adam", 2e-4, "halving")
            assert optimizer.halving_share == pytest.approx(1 / 3)
            frames = {"cadis": 3550, "endovis2017": 1800}[experiment.dataset] * config.split.training_fraction
            assert config.training.epochs * math.ceil(frames / 16) == pytest.approx(150_000, rel=0.003)
            assert config.tasks[0].loss == "ce"  # type: ignore[attr-defined]
            assert config.tasks[0].metric == "miou"  # type: ignore[attr-defined]
            assert config.training.select_by == "score"
    table = find("hog", "cadis", "2")
    assert [row.label for row in table.rows][:3] == [
        "U2-Net, task_1",
        "U2-Net + HOG, task_1",
        "U2-Net + zero targets, task_1",
    ]
    hog, zeros = (row.config.task("hog") for row in table.rows[1:3])
    assert isinstance(hog, HogConfig)
    assert replace(hog, zero_target=True) == zeros, "the control differs in its target alone"
    assert [row.config.tasks[0].foreground_classes + 1 for row in table.rows[::3]] == [8, 17, 25]  # type: ignore[attr-defined]
    lengths = {row.name.split()[-1] for row in find("hog", "cadis", "fig5").rows}
    assert lengths == {"3780", "2520", "1680", "756", "504"}
    assert {row.config.split.training_fraction for row in find("hog", "cadis", "fig4").rows} == {0.25, 0.5, 0.75, 1.0}
    weights = [tuple(task.weight for task in row.config.tasks) for row in find("hog", "cadis", "4").rows]
    assert weights == [(0.01, 1.0), (0.1, 1.0), (1.0, 1.0), (1.0, 0.1), (1.0, 0.01)]


def test_hecktor_has_the_papers_hyper_parameters() -> None:
    table = find("hecktor", "hecktor", "1")
    for row in table.rows:
        config = row.config
        assert config.dataset.size_voxels == (144, 144, 144)
        assert (config.optimizer.name, config.optimizer.learning_rate, config.optimizer.schedule) == (
            "adam",
            1e-3,
            "cosine",
        )
        assert (config.training.epochs, config.training.batch_size, config.training.event_fraction) == (60, 10, 0.5)
        assert (config.network.width, config.network.depth, config.network.dropout) == (8, 5, 0.5)
        assert (config.split.folds, config.split.validation_fraction) == (5, 0.2)
    weights = {row.name: (row.config.task("survival").weight, row.config.task("tumour").weight) for row in table.rows}
    assert list(weights.values()) == [(1, 0), (1, 1), (0, 1)]
    assert [(missing.name, missing.paper) for missing in table.unavailable] == [
        ("standard radiomics", {"C-index": 0.695})
    ]


def test_rows_are_chosen_by_label_name_or_subset() -> None:
    table = find("resformer", "retouch", "8")
    assert [row.subset for row in table.chosen(["sequential, both"]).rows] == ["Cirrus", "Spectralis", "Topcon"]
    assert len(table.chosen(["Topcon"]).rows) == 6
    assert [row.label for row in table.chosen(["Parallel, Both, Cirrus"]).rows] == ["parallel, both, Cirrus"]
    with pytest.raises(ValueError, match="has no row 'both'; it has sequential, classification only, Cirrus;"):
        table.chosen(["both"])
    with pytest.raises(ValueError, match="there is no published experiment 'hog', 'retouch', table '2'; there are"):
        find("hog", "retouch", "2")


def test_a_shrunk_experiment_keeps_what_makes_a_row() -> None:
    limits = Shrunk(edge=32, spacing_mm=9.0, width=4, epochs=1, batch_size=8, folds=2)
    for experiment in ALL:
        shrunk = {limits.of(row.config).candidate for row in experiment.rows}
        assert len(shrunk) == len({row.config.candidate for row in experiment.rows}), experiment.name
    small = limits.of(find("hecktor", "hecktor", "1").rows[0].config)
    assert (small.dataset.size_voxels, small.split) == ((16, 16, 16), SplitConfig(folds=2))


def test_the_list_names_tables_rows_and_deviations() -> None:
    short = CliRunner().invoke(app, ["published", "list"])
    assert short.exit_code == 0, short.output
    assert "effect" not in short.output
    assert short.output.count("resformer") == 10
    long = CliRunner().invoke(app, ["published", "list", "--paper", "hecktor", "--long"])
    assert "deep multi-task (1, 1)" in long.output
    assert "HECKTOR 2021" in long.output
    assert "72.3" in long.output
