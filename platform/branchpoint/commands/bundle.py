"""``branchpoint bundle``: from a study's store and state to one folder or file that predicts on new patients."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Bundles: a study's networks, ready to predict on new patients.")

BundleArgument = Annotated[Path, typer.Argument(help="Folder or .zip of the bundle.")]


@app.command()
def create(
    out: Annotated[Path, typer.Option(help="Folder to write, or a file ending with .zip.")],
    study: Annotated[str | None, typer.Option(help="Name of the study; needed where the store has several.")] = None,
    store: Annotated[str | None, typer.Option(help="Results store: folder or URI; else `results` in --home.")] = None,
    home: Annotated[Path | None, typer.Option(help="Folder of the job: results, cache and weights.")] = None,
    candidate: Annotated[str | None, typer.Option(help="Candidate to bundle; by default the best found.")] = None,
    folds: Annotated[str, typer.Option(help="Folds to take, such as 0,2; by default all.")] = "",
    refit: Annotated[
        bool, typer.Option("--refit", help="Take the networks that learned from all cases, not the folds'.")
    ] = False,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the release; by default the study's.")] = None,
    card: Annotated[Path | None, typer.Option(help="TOML file with what people must say; see docs.")] = None,
    without_reference: Annotated[
        bool, typer.Option("--without-reference", help="Go on where the cohort is gone: no percentiles.")
    ] = False,
) -> None:
    """Write the networks of a finished study, with all that is needed to run them on the next patient."""
    from branchpoint.commands.bundle_study import Request, make_bundle
    from branchpoint.execution.state import home_folder

    request = Request(
        store=str(store or home_folder(home) / "results"),
        study=study,
        home=home_folder(home),
        candidate=candidate,
        folds=tuple(int(part) for part in folds.split(",") if part.strip()) or None,
        refit=refit,
        data_root=data_root,
        card=card,
        without_reference=without_reference,
    )
    print(make_bundle(request, out.expanduser().resolve()))


@app.command()
def verify(bundle: BundleArgument) -> None:
    """Check every byte, and predict the bundle's own example again. Exit code 2: something differs."""
    from branchpoint.deploy.bundle.bundle import Bundle
    from branchpoint.deploy.bundle.example import differences, predict_example

    opened = Bundle.open(bundle)
    lines = differences(opened.files.read_json("example/expected.json"), predict_example(opened))
    if lines:
        raise ValueError(f"{bundle}: the example is predicted otherwise on this machine: {'; '.join(lines)}")
    print(f"{bundle}: whole; {len(opened.networks)} networks predict the example as on the machine that made it")


@app.command()
def show(bundle: BundleArgument, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Print the model card; with --json the manifest and the provenance."""
    from branchpoint.deploy.bundle.bundle import Bundle

    opened = Bundle.open(bundle)
    if as_json:
        content = {**opened.manifest, "digest": opened.digest, "provenance": opened.files.read_json("provenance.json")}
        print(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        print(opened.files.read("card.md").decode())


@app.command()
def export(
    bundle: BundleArgument,
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    format_: Annotated[str, typer.Option("--format", help="pt2 (torch.export), onnx or monai.")] = "pt2",
) -> None:
    """Write the networks for other tools, and say how far what was written is from the networks in torch."""
    from branchpoint.deploy.bundle.bundle import Bundle
    from branchpoint.deploy.export.export import export as export_bundle

    if format_ not in ("pt2", "onnx", "monai"):
        raise ValueError(f"--format is {format_!r}: give pt2, onnx or monai")
    out = out.expanduser().resolve()
    written = export_bundle(Bundle.open(bundle), format_, out)  # type: ignore[arg-type]
    for one in written:
        print(f"{one.file}: max |d| {one.difference:.1e}")
    print(f"{len(written)} networks as {format_}: {out}")
