"""Evaluation: whole folds in any batch size, figures, pooling over folds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from branchpoint.config import Config, DatasetConfig, SegmentationConfig, SurvivalConfig, TrainingConfig
from branchpoint.datasets.batch import Batch
from branchpoint.evaluation.evaluation import evaluate, metric_values, pool
from branchpoint.tasks import build_task

CONFIG = Config(
    dataset=DatasetConfig(),
    tasks=(SegmentationConfig(name="tumour", target="tumour"), SurvivalConfig(name="survival", target="survival")),
    training=TrainingConfig(batch_size=3),
)
TASKS = [build_task(task) for task in CONFIG.tasks]


class Cohort:
    """Ten patients; the image is the mask, its size the risk, and patient 4 has no survival label."""

    def __init__(self) -> None:
        self.masks = torch.zeros(10, 1, 4, 4, 4, dtype=torch.uint8)
        for patient in range(10):
            self.masks[patient].view(-1)[: 3 + 4 * patient] = 1

    def batch(self, indices: np.ndarray) -> Batch:
        index = torch.as_tensor(indices)
        time, event = 100.0 - 5 * index, (index % 3 > 0).float()
        return Batch(
            inputs={"image": self.masks[index].float()},
            targets={"tumour": self.masks[index], "survival": torch.stack([time, event], 1)},
            labelled={"tumour": torch.ones(len(index), dtype=torch.bool), "survival": index != 4},
            index=index,
        )


class Network(nn.Module):
    """Segments its input and reads the log-hazard off the volume; the dropout must be off in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.dropout = nn.Dropout(0.5)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        image = self.dropout(inputs["image"])
        return {"tumour": self.scale * (image - 0.5), "survival": image.flatten(1).sum(1, keepdim=True)}


def test_a_perfect_network_is_perfect_in_any_batch_size() -> None:
    network = Network().train()
    whole = evaluate(network, CONFIG, Cohort(), range(10), batch_size=10)
    assert metric_values(TASKS, whole) == {
        "tumour/dice": 1.0,
        "tumour/dice_aggregated": 1.0,
        "tumour/n_empty": 0.0,
        "tumour/ji": 1.0,
        "tumour/ji_aggregated": 1.0,
        "survival/c_index": 1.0,
        "survival/n_events": 5.0,
    }
    assert network.training
    for task, summary in evaluate(network, CONFIG, Cohort(), range(10)).items():
        for name, values in summary.items():
            np.testing.assert_array_equal(values, whole[task][name], err_msg=f"{task} {name}")


def test_summaries_keep_the_order_of_the_indices() -> None:
    summary = evaluate(Network(), CONFIG, Cohort(), [7, 2, 5, 0])["survival"]
    assert summary["index"].tolist() == [7, 2, 5, 0]
    assert summary["time_days"].tolist() == [65, 90, 75, 100]


def test_nobody_to_evaluate_is_an_error() -> None:
    with pytest.raises(ValueError, match="no patients"):
        evaluate(Network(), CONFIG, Cohort(), [])


def test_bfloat16_is_used_where_configured() -> None:
    config = Config(dataset=DatasetConfig(), tasks=CONFIG.tasks, training=TrainingConfig(precision="bf16"))
    seen = []

    class Linear(Network):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(64, 1)

        def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
            head = self.head(inputs["image"].flatten(1))
            seen.append(head.dtype)
            return {**super().forward(inputs), "survival": head}

    evaluate(Linear(), config, Cohort(), [0, 1])
    assert seen == [torch.bfloat16] * 2, "one pass for each sample"


def test_pooled_folds_are_compared_within_each_fold() -> None:
    """The second model's log-hazards lie 1000 higher throughout: across folds half of the pairs would be wrong."""
    first, second = (evaluate(Network(), CONFIG, Cohort(), part)["survival"] for part in (range(5), range(5, 10)))
    first = {**first, "log_hazard": first["log_hazard"] + 1000}
    pooled = pool([first, second])
    assert pooled["fold"].tolist() == [0] * 5 + [1] * 5
    survival = TASKS[1]
    assert survival.metrics(pooled)["c_index"] == 1.0
    assert pool({3: first})["fold"].tolist() == [3] * 5
