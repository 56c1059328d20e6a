"""Options that `branchpoint predict` and `explain` share: which cases, and where the networks look."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from branchpoint.deploy.bundle.bundle import Bundle
    from branchpoint.deploy.prediction.cases import Case
    from branchpoint.deploy.prediction.options import PredictOptions
    from branchpoint.deploy.prediction.settings import Settings

BundlePath = Annotated[Path, typer.Argument(help="Folder or .zip that `branchpoint bundle create` wrote.")]


@dataclass(frozen=True, kw_only=True)
class CaseOptions:
    """Options of a command that predicts cases."""

    bundle: BundlePath
    out: Annotated[Path, typer.Option(help="Folder for the results, one folder in it for each case.")]
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", help="CT=FILE,PET=FILE, a picture, a folder of pictures or a DICOM study; repeatable."),
    ] = None
    table: Annotated[
        Path | None, typer.Option(help="CSV: id, a column of paths for each modality (or `study`), covariates, box.")
    ] = None
    case_id: Annotated[str | None, typer.Option("--id", help="Identifier of the case of --input.")] = None
    grid: Annotated[str, typer.Option(help="Modality whose grid masks are written on, or `each`.")] = ""
    locate: Annotated[str, typer.Option(help="`tiles`: search a scan larger than the window for the lesion.")] = ""
    center: Annotated[str, typer.Option(help="x,y,z in mm (LPS): where the window is centred.")] = ""
    box: Annotated[str, typer.Option(help="x1,y1,z1,x2,y2,z2 in mm (LPS): the window is centred on it.")] = ""
    series: Annotated[
        list[str] | None, typer.Option(help="PET=UID (or number): which of several DICOM series; repeatable.")
    ] = None
    weight_kg: Annotated[float | None, typer.Option(help="Body weight, in place of the one in PET headers.")] = None
    folds: Annotated[str, typer.Option(help="Networks of these folds alone, such as 0,2.")] = ""
    identify: Annotated[bool, typer.Option("--identify", help="Write patient names and paths into the results.")] = (
        False
    )
    no_page: Annotated[bool, typer.Option("--no-page", help="Write no HTML pages.")] = False
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: the GPU where there is one.")] = "auto"
    ray: Annotated[bool, typer.Option("--ray", help="Spread the cases over a Ray cluster, or this machine.")] = False
    address: Annotated[str | None, typer.Option(help="Ray cluster; else $RAY_ADDRESS, else this machine.")] = None
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False

    def predict_options(self) -> PredictOptions:
        """Those that decide how a case is read and predicted."""
        from branchpoint.deploy.prediction.options import PredictOptions

        names = [field.name for field in fields(PredictOptions) if hasattr(self, field.name)]
        return PredictOptions(**{name: getattr(self, name) for name in names})

    def cases(self, bundle: Bundle) -> list[Case]:
        """The cases that the command line names.

        Raises:
            ValueError: they are named twice or not at all, or a table or name is wrong.
        """
        from branchpoint.deploy.prediction.cases import case_of, check_ids, parse_box, read_table

        modalities, inputs = bundle.preparation.modalities, self.inputs or []
        if bool(inputs) == (self.table is not None):
            raise ValueError("give either --input (once or more) or --table")
        if self.table is not None:
            covariates = [covariate["name"] for covariate in bundle.preprocessing["covariates"]]
            cases = read_table(self.table, modalities, covariates)
        else:
            if self.case_id is not None and len(inputs) > 1:
                raise ValueError("--id names one case, but --input was given several times; use --table")
            cases = [case for text in inputs for case in case_of(text, modalities, self.case_id)]
        if self.box:
            placed: Any = parse_box(self.box)
            cases = [replace(case, box=case.box or placed) for case in cases]
        check_ids(cases)
        return cases

    def run(self, cases: list[Case], settings: Settings) -> int:
        """Predict the cases into :attr:`out`; gives the exit code."""
        from branchpoint.commands.case_running import Request, run_cases

        request = Request(
            bundle=self.bundle.expanduser().resolve(), out=self.out.expanduser().resolve(), settings=settings
        )
        return run_cases(request, cases, ray=self.ray, address=self.address, as_json=self.as_json)
