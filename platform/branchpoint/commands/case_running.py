"""Runs cases one after the other or on Ray, and says what came of each: for `branchpoint predict` and `explain`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

if TYPE_CHECKING:
    from branchpoint.deploy.prediction.cases import Case
    from branchpoint.deploy.prediction.runner import CaseOutcome
    from branchpoint.deploy.prediction.settings import Settings

SOME_FAILED = 3
"""Exit code where some cases failed; 2 is a mistake that was found before anything started."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What every worker is told."""

    bundle: Path
    out: Path
    settings: Settings

    def predictor(self) -> Any:
        """Predicts one case after the other."""
        from branchpoint.deploy.bundle.bundle import Bundle
        from branchpoint.deploy.prediction.runner import Predictor

        return Predictor(Bundle.open(self.bundle), self.out, self.settings)


def run_cases(request: Request, cases: Sequence[Case], *, ray: bool, address: str | None, as_json: bool) -> int:
    """Predict the cases; gives the exit code."""
    request.out.mkdir(parents=True, exist_ok=True)
    outcomes = _on_ray(request, cases, address) if ray else map(request.predictor(), cases)
    return _report(outcomes, request.out, [case.id for case in cases], as_json)


def _on_ray(request: Request, cases: Sequence[Case], address: str | None) -> Iterable[CaseOutcome]:
    from branchpoint.deploy.prediction.output import write_failure
    from branchpoint.deploy.prediction.runner import CaseOutcome
    from branchpoint.execution.resources import Resources, preflight
    from branchpoint.on_ray.pool import map_on_ray
    from branchpoint.on_ray.session import living_nodes, session

    gpu = request.settings.device.startswith("cuda")
    with session(address):
        resources = Resources(cpus=1, gpus=1.0 if gpu else 0.0)
        for case, answer in map_on_ray(request.predictor, cases, resources, preflight(resources, living_nodes())):
            if isinstance(answer, Exception):
                content = write_failure(case.id, answer, request.out)
                answer = CaseOutcome(case.id, "failed", f"{case.id}: {content['found']}")
            yield answer


def _report(outcomes: Iterable[CaseOutcome], out: Path, ids: Sequence[str], as_json: bool) -> int:
    """Print each case as it ends and a line that counts them; gives the exit code."""
    from branchpoint.deploy.prediction.output import read_result
    from branchpoint.deploy.prediction.runner import write_tables

    counts: dict[Literal["done", "kept", "failed"], int] = {"done": 0, "kept": 0, "failed": 0}
    for outcome in outcomes:
        counts[outcome.state] += 1
        if not as_json and outcome.state != "kept":
            typer.echo(outcome.line, err=outcome.state == "failed")
    write_tables(out, ids)
    if as_json:
        print(
            json.dumps([read_result(out / name) or _failure(out, name) for name in ids], indent=1, ensure_ascii=False)
        )
    else:
        noun = "case" if len(ids) == 1 else "cases"
        parts = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        print(f"{len(ids)} {noun}: {parts}; results in {out}")
        if len(ids) == 1 and (out / ids[0] / "page.html").exists():
            print(f"page: {out / ids[0] / 'page.html'}")
    return SOME_FAILED if counts["failed"] else 0


def _failure(out: Path, name: str) -> Any:
    from branchpoint.deploy.prediction.output import FAILED

    file = out / FAILED / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else {"case": name}
