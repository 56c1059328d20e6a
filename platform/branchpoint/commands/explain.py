"""``branchpoint explain``: what the predictions of a bundle rest on, as maps on the images and as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from branchpoint.commands.case_options import CaseOptions
from branchpoint.commands.options import with_options


@dataclass(frozen=True, kw_only=True)
class Options(CaseOptions):
    """Options of ``branchpoint explain``."""

    method: Annotated[
        list[str] | None, typer.Option(help="gradcam, integrated-gradients or rollout; repeatable; default all.")
    ] = None
    task: Annotated[list[str] | None, typer.Option(help="Task to explain; repeatable; default all.")] = None
    label: Annotated[str, typer.Option(help="Class or label to explain; by default the predicted one.")] = ""
    baseline: Annotated[
        str, typer.Option(help="Where integrated gradients begin: blurred, zero (the normalised mean) or air.")
    ] = "blurred"


@with_options(Options)
def explain(options: Options) -> None:
    """Predict cases, and write maps that say what each prediction rests on; give it a folder of its own."""
    from branchpoint.deploy.bundle.bundle import Bundle
    from branchpoint.deploy.prediction.options import explaining_of, settings_of
    from branchpoint.deploy.prediction.runner import refuse_other_results

    opened = Bundle.open(options.bundle)
    explaining = explaining_of(
        opened,
        methods=options.method or (),
        tasks=options.task or (),
        label=options.label,
        baseline=options.baseline,
        grid=options.grid,
    )
    settings = settings_of(opened, options.predict_options(), explaining)
    cases = options.cases(opened)
    refuse_other_results(options.out.expanduser().resolve(), opened, settings)
    raise typer.Exit(options.run(cases, settings))
