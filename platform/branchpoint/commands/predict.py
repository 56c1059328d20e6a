"""``branchpoint predict``: a bundle on the files of new patients."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from branchpoint.deploy.bundle.bundle import Bundle
    from branchpoint.deploy.prediction.cases import Case
    from branchpoint.deploy.prediction.runner import CaseOutcome
    from branchpoint.deploy.prediction.settings import Settings

SOME_FAILED = 3
"""Exit code where some cases failed; 2 is a mistake that was found before anything started."""


def predict(
    bundle: Annotated[Path, typer.Argument(help="Folder or .zip that `branchpoint bundle create` wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for the results, one folder in it for each case.")],
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", help="CT=FILE,PET=FILE, a picture, a folder of pictures or a DICOM study; repeatable."),
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="CSV: id, a column of paths for each modality (or `study`), covariates, box.")
    ] = None,
    case_id: Annotated[str | None, typer.Option("--id", help="Identifier of the case of --input.")] = None,
    grid: Annotated[str, typer.Option(help="Modality whose grid masks are written on, or `each`.")] = "",
    locate: Annotated[str, typer.Option(help="`tiles`: search a scan larger than the window for the lesion.")] = "",
    center: Annotated[str, typer.Option(help="x,y,z in mm (LPS): where the window is centred.")] = "",
    box: Annotated[str, typer.Option(help="x1,y1,z1,x2,y2,z2 in mm (LPS): the window is centred on it.")] = "",
    series: Annotated[
        list[str] | None, typer.Option(help="PET=UID (or number): which of several DICOM series; repeatable.")
    ] = None,
    weight_kg: Annotated[float | None, typer.Option(help="Body weight, in place of the one in PET headers.")] = None,
    folds: Annotated[str, typer.Option(help="Networks of these folds alone, such as 0,2.")] = "",
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Write probabilities too (float16).")] = False,
    dicom_seg: Annotated[bool, typer.Option("--dicom-seg", help="Write masks as DICOM segmentations too.")] = False,
    identify: Annotated[
        bool, typer.Option("--identify", help="Write patient names and paths into the results.")
    ] = False,
    no_page: Annotated[bool, typer.Option("--no-page", help="Write no HTML pages.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: the GPU where there is one.")] = "auto",
    ray: Annotated[bool, typer.Option("--ray", help="Spread the cases over a Ray cluster, or this machine.")] = False,
    address: Annotated[str | None, typer.Option(help="Ray cluster; else $RAY_ADDRESS, else this machine.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
) -> None:
    """Predict new cases; again, it goes on with what is missing. Exit code 3: some cases failed, see failed/ID.json."""
    from branchpoint.deploy.bundle.bundle import Bundle
    from branchpoint.deploy.prediction.options import settings_of
    from branchpoint.deploy.prediction.runner import refuse_other_results

    opened = Bundle.open(bundle)
    settings = settings_of(opened, locals())
    cases = _cases(opened, inputs or [], table, case_id, box)
    out = out.expanduser().resolve()
    refuse_other_results(out, opened, settings)
    if dry_run:
        from branchpoint.deploy.prediction.dry_run import explain

        print("\n".join(explain(opened, cases, settings)))
        return
    out.mkdir(parents=True, exist_ok=True)
    request = Request(bundle=bundle.expanduser().resolve(), out=out, settings=settings)
    outcomes = _on_ray(request, cases, address) if ray else map(request.predictor(), cases)
    raise typer.Exit(_report(outcomes, out, [case.id for case in cases], as_json))


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


def _cases(bundle: Bundle, inputs: Sequence[str], table: Path | None, case_id: str | None, box: str) -> list[Case]:
    from branchpoint.deploy.prediction.cases import case_of, check_ids, parse_box, read_table

    if bool(inputs) == (table is not None):
        raise ValueError("give either --input (once or more) or --table")
    modalities = bundle.preparation.modalities
    if table is not None:
        covariates = [covariate["name"] for covariate in bundle.preprocessing["covariates"]]
        cases = read_table(table, modalities, covariates)
    else:
        if case_id is not None and len(inputs) > 1:
            raise ValueError("--id names one case, but --input was given several times; use --table")
        cases = [case for text in inputs for case in case_of(text, modalities, case_id)]
    if box:
        placed: Any = parse_box(box)
        cases = [replace(case, box=case.box or placed) for case in cases]
    check_ids(cases)
    return cases


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
