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
    from branchpoint.deploy.prediction.runner import refuse_other_results

    opened = Bundle.open(bundle)
    settings = _settings(opened, locals())
    cases = _cases(opened, inputs or [], table, case_id, box)
    out = out.expanduser().resolve()
    refuse_other_results(out, opened, settings)
    if dry_run:
        _explain(opened, cases, settings)
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
        from branchpoint.deploy.prediction.runner import Predictor

        return Predictor(self.bundle, self.out, self.settings)


def _settings(bundle: Bundle, given: dict[str, Any]) -> Settings:
    from branchpoint.deploy.prediction.inputs import Reading
    from branchpoint.deploy.prediction.settings import Settings

    modalities = bundle.preparation.modalities
    if given["grid"] not in ("", "each", *modalities):
        raise ValueError(f"--grid is {given['grid']!r}: give {', '.join(modalities)} or each")
    if given["locate"] not in ("", "tiles"):
        raise ValueError(f"--locate is {given['locate']!r}: the only way is tiles")
    settings = Settings(
        folds=tuple(int(part) for part in given["folds"].split(",") if part.strip()) or None,
        grid=given["grid"],
        center_mm=_center(given["center"]),
        locate=given["locate"],
        reading=Reading(series=_series(given["series"] or [], modalities), weight_kg=given["weight_kg"]),
        probabilities=given["probabilities"],
        dicom_seg=given["dicom_seg"],
        page=not given["no_page"],
        identify=given["identify"],
        device=_device(given["device"]),
    )
    bundle.chosen(settings.folds)
    return settings


def _center(text: str) -> tuple[float, float, float] | None:
    if not text:
        return None
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--center is {text!r}: give x,y,z in millimetres") from None
    return x, y, z


def _series(given: Sequence[str], modalities: Sequence[str]) -> dict[str, str]:
    chosen = {}
    for text in given:
        modality, _, name = text.partition("=")
        if modality not in modalities or not name:
            raise ValueError(f"--series is {text!r}: give MODALITY=UID with one of {', '.join(modalities)}")
        chosen[modality] = name
    return chosen


def _device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"--device is {name!r}: this machine has no GPU that torch can use; give cpu")
    return str(torch.device(name))


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


def _explain(bundle: Bundle, cases: Sequence[Case], settings: Settings) -> None:
    """``--dry-run``: cases, the series that would be taken, and memory."""
    from branchpoint.deploy.dicom.study import open_study
    from branchpoint.deploy.errors import CaseError

    for case in cases:
        if case.study is None:
            print(f"{case.id}: " + ", ".join(f"{name} {path}" for name, path in case.images.items()))
            continue
        try:
            reading = settings.reading
            study = open_study(case.study, bundle.preparation.modalities, reading.series, reading.weight_kg)
        except CaseError as problem:
            print(f"{case.id}: {problem}")
            continue
        for name, volume in study.volumes.items():
            suv = f", SUV factor {volume.suv.factor:.4g} ({volume.suv.rule})" if volume.suv else ""
            print(f"{case.id}: {name} {volume.description or volume.series_uid}, {len(volume.slices)} slices{suv}")
        for line in (*study.warnings, *(f"left out: {text}" for text in study.dropped)):
            print(f"{case.id}:   {line}")
    networks = bundle.chosen(settings.folds)
    size = sum(len(bundle.files.read(f"{name}/weights.safetensors")) for name in networks)
    voxels = 1
    for edge in bundle.preparation.size_voxels:
        voxels *= edge
    print(
        f"{len(cases)} case{'s' * (len(cases) != 1)}, {len(networks)} networks of {size / 2**20:.0f} MiB in memory on "
        f"{settings.device}, a window of {' x '.join(map(str, bundle.preparation.size_voxels))} "
        f"({voxels * 4 * sum(bundle.preparation.channels) / 2**20:.0f} MiB)"
    )


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
