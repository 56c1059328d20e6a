"""The table: what each network predicts for each held-out picture after some of its epochs, and scores that follow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

KEPT = (1, 2, 3, 4, 6, 9, 12)
"""Epochs after which predictions are kept."""
PREDICTIONS = ("dice", "log_odds", "log_hazard")
LABELS = ("malignant", "time_days", "event")


def write_table(runs: Path, points: Sequence[dict[str, Any]], labels: dict[str, np.ndarray], out: Path) -> int:
    """One Parquet file from the runs of a training; gives how many configurations it holds.

    Args:
        runs: folder of ``NNNN.npz``, one for each configuration.
        points: parameter values of each configuration.
        labels: of all pictures, by name.
        out: the file. A row is a network after an epoch; labels of each fold's held-out pictures are in the metadata.
    """
    rows: dict[str, list[Any]] = {name: [] for name in ("configuration", "fold", "epoch", "seconds", *PREDICTIONS)}
    files, held_out = sorted(runs.glob("[0-9][0-9][0-9][0-9].npz")), {}
    for file in files:
        with np.load(file) as run:
            folds = sum(name.startswith("seconds_") for name in run.files)
            for fold in range(folds):
                held_out[fold] = run[f"positions_{fold}"]
                spent = run[f"seconds_{fold}"].cumsum()
                for number, epoch in enumerate(KEPT):
                    for name, value in (
                        ("configuration", int(file.stem)),
                        ("fold", fold),
                        ("epoch", epoch),
                        ("seconds", spent[epoch - 1]),
                        *((name, run[f"{name}_{fold}"][number]) for name in PREDICTIONS),
                    ):
                        rows[name].append(value)
    types = {"configuration": pa.int16(), "fold": pa.int8(), "epoch": pa.int8(), "seconds": pa.float32()}
    columns = {name: pa.array(rows[name], types.get(name, pa.list_(pa.float16()))) for name in rows}
    fold_labels = {str(fold): {name: labels[name][at].tolist() for name in LABELS} for fold, at in held_out.items()}
    table = pa.table(columns).replace_schema_metadata(
        {"points": json.dumps(list(points)), "labels": json.dumps(fold_labels)}
    )
    pq.write_table(table, out, compression="zstd", compression_level=15)
    return len(files)


@dataclass(frozen=True)
class Table:
    """Trained networks.

    Attributes:
        points: parameter values, by configuration.
        predictions: name to (configurations, folds, epochs, N) float32.
        labels: name to (folds, N).
        seconds: (configurations, folds, epochs) of processor time up to each epoch.
    """

    points: list[dict[str, Any]]
    predictions: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    seconds: np.ndarray
    _comparable: np.ndarray = field(repr=False)

    @classmethod
    def read(cls, file: Path) -> Table:
        """Of configurations that were trained on every fold."""
        rows = pq.read_table(file)
        points, held_out = (json.loads(rows.schema.metadata[name]) for name in (b"points", b"labels"))
        folds = sorted(map(int, held_out))
        labels = {name: np.array([held_out[str(fold)][name] for fold in folds], float) for name in LABELS}
        found = np.unique(rows["configuration"].to_numpy())
        shape = (len(found), len(folds), len(KEPT))
        predictions = {
            name: rows[name].combine_chunks().values.to_numpy().astype(np.float32).reshape(*shape, -1)
            for name in PREDICTIONS
        }
        time, event = labels["time_days"], labels["event"]
        later = (time[:, :, None] < time[:, None]) | ((time[:, :, None] == time[:, None]) & (event[:, None] == 0))
        comparable = (event[:, :, None] == 1) & later
        return cls(
            [points[number] for number in found],
            predictions,
            labels,
            rows["seconds"].to_numpy().reshape(shape),
            comparable,
        )

    @property
    def folds(self) -> int:
        """How many training sets there are."""
        return self.seconds.shape[1]

    @property
    def held_out(self) -> int:
        """Pictures of a fold."""
        return self.labels["event"].shape[1]

    def shares(self, configuration: int, fold: int, epoch: int, rows: np.ndarray) -> tuple[float, float, float]:
        """Dice, and AUC and C-index corrected for chance, over the fold's held-out pictures ``rows``."""
        at = (configuration, fold, KEPT.index(epoch))
        dice = float(self.predictions["dice"][at][rows].mean())
        malignant = self.labels["malignant"][fold][rows] == 1
        auc = _concordance(self.predictions["log_odds"][at][rows], malignant[:, None] & ~malignant[None])
        pairs = self._comparable[fold][np.ix_(rows, rows)]
        return dice, auc, _concordance(self.predictions["log_hazard"][at][rows], pairs)

    def score(self, configuration: int, fold: int, epoch: int, rows: np.ndarray) -> float:
        """The mean of :meth:`shares`, as a study's score is."""
        return float(np.mean(self.shares(configuration, fold, epoch, rows)))

    def truth(self) -> np.ndarray:
        """(configurations,) score after the last epoch over all held-out pictures, mean over folds."""
        everyone = np.arange(self.held_out)
        return np.array(
            [
                np.mean([self.score(number, fold, KEPT[-1], everyone) for fold in range(self.folds)])
                for number in range(len(self.points))
            ]
        )


def _concordance(values: np.ndarray, pairs: np.ndarray) -> float:
    """Share of ``pairs`` (first higher than second) that ``values`` order rightly, corrected for chance, at least 0."""
    count = pairs.sum()
    if not count:
        return 0.0
    difference = values[:, None] - values[None]
    right = ((difference > 0) + 0.5 * (difference == 0))[pairs].sum() / count
    return max(0.0, 2 * float(right) - 1)
