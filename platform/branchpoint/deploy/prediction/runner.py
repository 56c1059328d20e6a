"""Many cases: what is done already is kept, a bad case stops no other, and one table holds all results."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.errors import CaseError
from branchpoint.deploy.prediction.cases import Case
from branchpoint.deploy.prediction.inputs import input_digests
from branchpoint.deploy.prediction.networks import Ensemble
from branchpoint.deploy.prediction.output import read_result, write_case, write_failure
from branchpoint.deploy.prediction.predict import predict_case
from branchpoint.deploy.prediction.settings import Settings
from branchpoint.deploy.prediction.words import summary_line, table_rows

State = Literal["done", "kept", "failed"]
COLUMNS = ("case", "task", "quantity", "value", "low", "high", "unit", "fold")


@dataclass(frozen=True)
class CaseOutcome:
    """How a case ended.

    Attributes:
        line: for people: the result in one line, or what is wrong and what to do.
        folder: of the results; ``None`` for a failed case.
    """

    case: str
    state: State
    line: str
    folder: Path | None = None


class Predictor:
    """Predicts cases one by one with networks that stay in memory; one for each worker.

    Args:
        bundle: opened.
        out: folder of all results.
        settings: of all cases.
        ensemble: its networks, where they are in memory already.
    """

    def __init__(self, bundle: Bundle, out: Path, settings: Settings, ensemble: Ensemble | None = None) -> None:
        self.bundle, self.out, self.settings = bundle, out, settings
        self._ensemble = ensemble

    @property
    def ensemble(self) -> Ensemble:
        """Loaded when the first case needs it."""
        if self._ensemble is None:
            self._ensemble = self._load(self.settings)
        return self._ensemble

    def _load(self, settings: Settings) -> Ensemble:
        return Ensemble(self.bundle, self.bundle.chosen(settings.folds), settings.device, settings.mirrored)

    def __call__(self, case: Case) -> CaseOutcome:
        """Predict ``case`` unless its result is there; whatever goes wrong with it stays with it."""
        try:
            if self._is_kept(case):
                return CaseOutcome(case.id, "kept", f"{case.id}  kept", self.out / case.id)
            predicted = _on_what_fits(lambda settings: predict_case(case, self._on(settings), settings), self.settings)
            folder = write_case(predicted, self.out, self.settings, self.bundle)
            return CaseOutcome(case.id, "done", summary_line(case.id, predicted.result), folder)
        except Exception as problem:
            content = write_failure(case.id, problem, self.out)
            return CaseOutcome(case.id, "failed", f"{case.id}: {content['rule']}: {content['found']}; {content['fix']}")

    def _on(self, settings: Settings) -> Ensemble:
        if settings.device != self.settings.device:
            return self._load(settings)
        return self.ensemble

    def _is_kept(self, case: Case) -> bool:
        """Whether the result there was made from the same bytes with the same bundle and settings."""
        known = read_result(self.out / case.id)
        if known is None:
            return False
        try:
            digests = {name: list(found) for name, found in input_digests(case).items()}
        except CaseError:
            return False
        same = known.get("bundle", {}).get("digest") == self.bundle.digest
        return same and known.get("settings") == _plain(self.settings) and known.get("inputs") == digests


def _plain(settings: Settings) -> Any:
    return json.loads(json.dumps(settings.plain()))


def _on_what_fits(run: Callable[[Settings], Any], settings: Settings) -> Any:
    """On the GPU; where its memory does not suffice, on the CPU, and the result says so."""
    import torch

    try:
        return run(settings)
    except torch.OutOfMemoryError:
        if settings.device == "cpu":
            raise
        from dataclasses import replace

        torch.cuda.empty_cache()
        predicted = run(replace(settings, device="cpu"))
        predicted.result["warnings"].append("the GPU's memory did not suffice: predicted on the CPU")
        return predicted


def refuse_other_results(out: Path, bundle: Bundle, settings: Settings) -> None:
    """Results of another bundle or other settings in ``out`` would be mixed with the new ones.

    Raises:
        ValueError: there are such results.
    """
    for folder in sorted(out.iterdir()) if out.is_dir() else ():
        known = read_result(folder) if folder.is_dir() and not folder.name.startswith(".") else None
        if known is None:
            continue
        if known.get("bundle", {}).get("digest") != bundle.digest:
            raise ValueError(f"{out} holds results of another bundle ({folder.name}); give another --out")
        if known.get("settings") != _plain(settings):
            raise ValueError(f"{out} holds results made with other settings ({folder.name}); give another --out")


def write_tables(out: Path, cases: Sequence[str]) -> int:
    """``predictions.csv`` and ``predictions.parquet`` over all cases that have results; gives the number of rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = []
    for case in cases:
        result = read_result(out / case)
        rows += table_rows(case, result) if result is not None else []
    with (out / "predictions.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    kinds = {name: pa.float64() if name in ("value", "low", "high") else pa.string() for name in COLUMNS}
    schema = pa.schema(list(kinds.items()))
    pq.write_table(pa.Table.from_pylist(rows, schema), out / "predictions.parquet")
    return len(rows)
