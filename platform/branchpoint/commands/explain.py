"""``branchpoint explain``: what the predictions of a bundle rest on, as maps on the images and as numbers."""

from __future__ import annotations

from typing import Annotated

import typer

from branchpoint.commands import case_options as given


def explain(
    bundle: given.BundlePath,
    out: given.Out,
    inputs: given.Inputs = None,
    table: given.Table = None,
    case_id: given.CaseId = None,
    method: Annotated[
        list[str] | None, typer.Option(help="gradcam, integrated-gradients or rollout; repeatable; default all.")
    ] = None,
    task: Annotated[list[str] | None, typer.Option(help="Task to explain; repeatable; default all.")] = None,
    label: Annotated[str, typer.Option(help="Class or label to explain; by default the predicted one.")] = "",
    baseline: Annotated[
        str, typer.Option(help="Where integrated gradients begin: blurred, zero (the normalised mean) or air.")
    ] = "blurred",
    grid: given.GridOf = "",
    locate: given.Locate = "",
    center: given.Center = "",
    box: given.BoxText = "",
    series: given.Series = None,
    weight_kg: given.WeightKg = None,
    folds: given.Folds = "",
    identify: given.Identify = False,
    no_page: given.NoPage = False,
    device: given.Device = "auto",
    ray: given.OnRay = False,
    address: given.Address = None,
    as_json: given.AsJson = False,
) -> None:
    """Predict cases, and write maps that say what each prediction rests on; give it a folder of its own."""
    from branchpoint.commands.case_running import Request, run_cases
    from branchpoint.deploy.bundle.bundle import Bundle
    from branchpoint.deploy.prediction.options import explaining_of, settings_of
    from branchpoint.deploy.prediction.runner import refuse_other_results

    opened = Bundle.open(bundle)
    options = {**locals(), "probabilities": False, "dicom_seg": False}
    settings = settings_of(opened, options, explaining_of(opened, options))
    cases = given.cases_of(opened, inputs or [], table, case_id, box)
    out = out.expanduser().resolve()
    refuse_other_results(out, opened, settings)
    request = Request(bundle=bundle.expanduser().resolve(), out=out, settings=settings)
    raise typer.Exit(run_cases(request, cases, ray=ray, address=address, as_json=as_json))
