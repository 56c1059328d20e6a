"""``branchpoint predict``: a bundle on the files of new patients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from branchpoint.commands.case_options import CaseOptions
from branchpoint.commands.options import with_options


@dataclass(frozen=True, kw_only=True)
class Options(CaseOptions):
    """Options of ``branchpoint predict``."""

    probabilities: Annotated[bool, typer.Option("--probabilities", help="Write probabilities too (float16).")] = False
    dicom_seg: Annotated[bool, typer.Option("--dicom-seg", help="Write masks as DICOM segmentations too.")] = False
    tta: Annotated[
        bool, typer.Option("--tta", help="Predict mirrored copies too, as in training, and take the mean.")
    ] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False


@with_options(Options)
def predict(options: Options) -> None:
    """Predict new cases; again, it goes on with what is missing. Exit code 3: some cases failed, see failed/ID.json."""
    from branchpoint.deploy.bundle.bundle import Bundle
    from branchpoint.deploy.prediction.options import settings_of
    from branchpoint.deploy.prediction.runner import refuse_other_results

    opened = Bundle.open(options.bundle)
    settings = settings_of(opened, options.predict_options())
    cases = options.cases(opened)
    refuse_other_results(options.out.expanduser().resolve(), opened, settings)
    if options.dry_run:
        from branchpoint.deploy.prediction.dry_run import explain

        print("\n".join(explain(opened, cases, settings)))
        return
    raise typer.Exit(options.run(cases, settings))
