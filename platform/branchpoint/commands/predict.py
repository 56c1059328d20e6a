"""``branchpoint predict``: a bundle on the files of new patients."""

from __future__ import annotations

from typing import Annotated

import typer

from branchpoint.commands import case_options as given


def predict(
    bundle: given.BundlePath,
    out: given.Out,
    inputs: given.Inputs = None,
    table: given.Table = None,
    case_id: given.CaseId = None,
    grid: given.GridOf = "",
    locate: given.Locate = "",
    center: given.Center = "",
    box: given.BoxText = "",
    series: given.Series = None,
    weight_kg: given.WeightKg = None,
    folds: given.Folds = "",
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Write probabilities too (float16).")] = False,
    dicom_seg: Annotated[bool, typer.Option("--dicom-seg", help="Write masks as DICOM segmentations too.")] = False,
    tta: Annotated[
        bool, typer.Option("--tta", help="Predict mirrored copies too, as in training, and take the mean.")
    ] = False,
    identify: given.Identify = False,
    no_page: given.NoPage = False,
    device: given.Device = "auto",
    ray: given.OnRay = False,
    address: given.Address = None,
    as_json: given.AsJson = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
) -> None:
    """Predict new cases; again, it goes on with what is missing. Exit code 3: some cases failed, see failed/ID.json."""
    from branchpoint.commands.case_running import Request, run_cases
    from branchpoint.deploy.bundle.bundle import Bundle
    from branchpoint.deploy.prediction.options import settings_of
    from branchpoint.deploy.prediction.runner import refuse_other_results

    opened = Bundle.open(bundle)
    settings = settings_of(opened, locals())
    cases = given.cases_of(opened, inputs or [], table, case_id, box)
    out = out.expanduser().resolve()
    refuse_other_results(out, opened, settings)
    if dry_run:
        from branchpoint.deploy.prediction.dry_run import explain

        print("\n".join(explain(opened, cases, settings)))
        return
    request = Request(bundle=bundle.expanduser().resolve(), out=out, settings=settings)
    raise typer.Exit(run_cases(request, cases, ray=ray, address=address, as_json=as_json))
