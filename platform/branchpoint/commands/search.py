"""What the jobs share: cohort -> check -> prepared cache -> search -> finals -> report -> table.

A job is started with ``python jobs/<job>.py``, with ``ray job submit -- python jobs/<job>.py`` or with
``ray job submit --working-dir . -- python jobs/<job>.py``; started again, it goes on where it was.

Where results, cache, phantom and report go: ``--home``, else ``$BRANCHPOINT_HOME``, else the folder the job was
started in. A job submitted with ``--working-dir`` runs in an unpacked copy that Ray deletes later, so its home is
``~/.branchpoint`` then. On a cluster of several machines the home must be on a disk that all of them see; the prepared
cohort is brought, once, to nodes that do not see it, and where the store is a bucket, what trials keep lies beside it:
then the home may be the driver's own disk.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import typer

from branchpoint.config import Config, DatasetConfig
from branchpoint.execution.halving import HalvingConfig
from branchpoint.execution.resources import Resources
from branchpoint.execution.state import home_folder, store_and_state
from branchpoint.io.storage import is_uri
from branchpoint.search.final import Finals
from branchpoint.search.space.points import config_at
from branchpoint.search.space.prior import measured_prior
from branchpoint.search.study import NoResultError, Study
from branchpoint.store import Store

SCHEMES = ("cross_validation", "official", "paper")


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much of everything; what the command line leaves open.

    Attributes:
        size: one edge for a cube or square, or every edge.
        patients: of the phantom: pictures or volumes, where it is of these.
        phantom_scale: voxel size of the phantom's scans, or size of its pictures, against real ones.
        censoring: share of the phantom's patients without an event.
        learning_rate: of the published configurations; the search varies it.
    """

    spacing_mm: float = 1.0
    size: int | tuple[int, ...] = 144
    patients: int = 60
    phantom_scale: float = 1.0
    censoring: float = 0.8
    folds: int = 5
    trials: int = 60
    epochs: int = 60
    final_epochs: int = 60
    top: int = 3
    width: int = 8
    batch_size: int = 10
    learning_rate: float = 1e-3


@dataclass(frozen=True, kw_only=True)
class Job:
    """One study as a script.

    Attributes:
        dataset: name of the reader.
        release: by default.
        space: module of ``search_spaces``.
        scales: name to scale; ``paper`` is taken with ``--data-root``, else ``default``.
        dimensions: 3 for volumes, 2 for pictures, which have no millimetres.
        phantom: settings of the phantom that follow from the scale, beside patients and seed; ``None`` where the
            dataset has no phantom.
        of_folder: the job for a folder and a release, where the folder says what its data are.
    """

    dataset: str
    release: str
    space: ModuleType
    scales: Mapping[str, Scale]
    default: str
    dimensions: Literal[2, 3] = 3
    phantom: Callable[[Scale], dict[str, Any]] | None = None
    of_folder: Callable[[Path, str], Job] | None = None

    def at(self, root: Path | None, release: str) -> Job:
        """This job on the data in ``root``."""
        return self if root is None or self.of_folder is None else self.of_folder(root.expanduser().resolve(), release)

    def scale(self, name: str, given: Mapping[str, Any]) -> Scale:
        """The scale ``name`` with what ``given`` says of its fields; ValueError for millimetres of pictures."""
        chosen = {f.name: given[f.name] for f in fields(Scale) if given.get(f.name) is not None}
        if self.dimensions == 2 and "spacing_mm" in chosen:
            raise ValueError(
                f"--spacing-mm is {chosen['spacing_mm']:g}: pictures of {self.dataset} have no millimetres, use --size"
            )
        return replace(self.scales[name], **chosen)

    def grid(self, scale: Scale) -> tuple[int, ...]:
        """Edges of a sample; ValueError where their number is not that of the dimensions."""
        edges = (scale.size,) * self.dimensions if isinstance(scale.size, int) else scale.size
        if len(edges) != self.dimensions:
            raise ValueError(f"--size gives {len(edges)} edges; samples of {self.dataset} have {self.dimensions}")
        return edges


def picture_phantom(scale: Scale) -> dict[str, Any]:
    """Settings that the phantoms of pictures have."""
    return {"size_scale": scale.phantom_scale}


def small_picture_scales(paper: int, demo: int) -> dict[str, Scale]:
    """Scales for real releases of some hundred pictures, with these edges."""
    return {
        "paper": Scale(size=paper, width=16, batch_size=8, trials=40, epochs=60, final_epochs=80),
        "demo": Scale(size=demo, width=8, batch_size=8, trials=16, epochs=24, final_epochs=48, top=2),
        "smoke": Scale(size=32, folds=2, trials=2, epochs=1, final_epochs=1, top=1, width=4),
    }


def edges(text: str) -> int | tuple[int, ...]:
    """``96`` or ``270x480``, as ``--size`` gives it."""
    try:
        found = tuple(int(part) for part in text.lower().split("x"))
    except ValueError:
        raise ValueError(f"--size is {text!r}: give a number, or one for each edge with x between") from None
    return found[0] if len(found) == 1 else found


def main(job: Job) -> None:
    """The command line of ``job``."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

    @app.command(help=sys.modules["__main__"].__doc__)
    def command(
        data_root: Annotated[Path | None, typer.Option(help="Folder of the release.")] = None,
        release: Annotated[str, typer.Option(help="Release of the dataset.")] = job.release,
        demo: Annotated[bool, typer.Option("--demo", help="Minutes on two cores.")] = False,
        smoke: Annotated[bool, typer.Option("--smoke", help="The smallest run through everything.")] = False,
        trials: Annotated[int | None, typer.Option(help="Trials of the search.")] = None,
        epochs: Annotated[int | None, typer.Option(help="Epochs of a trial.")] = None,
        final_epochs: Annotated[int | None, typer.Option(help="Epochs of a finalist.")] = None,
        top: Annotated[int | None, typer.Option(help="Best candidates that are trained on all folds.")] = None,
        folds: Annotated[int | None, typer.Option(help="Folds of the cross-validation.")] = None,
        scheme: Annotated[str | None, typer.Option(help="cross_validation, official or paper; see docs.")] = None,
        spacing_mm: Annotated[float | None, typer.Option(help="Isotropic spacing after resampling (volumes).")] = None,
        size: Annotated[str | None, typer.Option(help="Voxels along each edge, or along all: 270x480.")] = None,
        patients: Annotated[int | None, typer.Option(help="Patients of the phantom.")] = None,
        width: Annotated[int | None, typer.Option(help="Channels of the first level that widths vary about.")] = None,
        batch_size: Annotated[int | None, typer.Option(help="Samples of a training step.")] = None,
        censoring: Annotated[float | None, typer.Option(help="Share of phantom patients without an event.")] = None,
        learning_rate: Annotated[float | None, typer.Option(help="Of the published configurations.")] = None,
        workers_per_trial: Annotated[int, typer.Option(help="Workers that train one network together.")] = 1,
        cpus_per_trial: Annotated[int, typer.Option(help="Cores of a trial (of each worker).")] = 1,
        gpus_per_trial: Annotated[float, typer.Option(help="GPUs of a trial (of each worker), or a fraction.")] = 0.0,
        memory_gb: Annotated[float | None, typer.Option(help="Memory that a trial may need.")] = None,
        concurrency: Annotated[int | None, typer.Option(help="Trials at once; by default what fits.")] = None,
        growing: Annotated[bool, typer.Option("--growing", help="The cluster adds nodes as trials wait.")] = False,
        address: Annotated[str | None, typer.Option(help="Ray cluster; else $RAY_ADDRESS, else its own.")] = None,
        store: Annotated[str | None, typer.Option(help="Results store: folder or URI.")] = None,
        cohorts: Annotated[
            str | None, typer.Option(help="Bucket (URI) that brings the prepared cohort to nodes; else Ray does.")
        ] = None,
        study: Annotated[str | None, typer.Option(help="Name of the study; the same name goes on with it.")] = None,
        home: Annotated[Path | None, typer.Option(help="Folder for results, cache, phantom and report.")] = None,
        skip_faulty: Annotated[bool, typer.Option("--skip-faulty", help="Leave patients with errors out.")] = False,
        start_from: Annotated[
            str | None, typer.Option(help="Weights to start from: path or URI of a checkpoint, run's folder or file.")
        ] = None,
        seed: Annotated[int, typer.Option(help="Of folds, networks, search and phantom.")] = 0,
    ) -> None:
        asked = job.at(data_root, release)
        name = "smoke" if smoke else "demo" if demo else asked.default if data_root is None else "paper"
        given: dict[str, Any] = {**locals(), "size": None if size is None else edges(size)}
        scale, place = asked.scale(name, given), home_folder(home)
        resources = Resources(
            cpus=cpus_per_trial,
            gpus=gpus_per_trial,
            concurrency=concurrency,
            memory_gb=memory_gb,
            growing=growing,
            workers=workers_per_trial,
        )
        run(
            asked,
            scale,
            place,
            resources,
            data_root=data_root,
            release=release,
            seed=seed,
            skip_faulty=skip_faulty,
            scheme=scheme,
            store=store,
            study=study,
            address=address,
            start_from=start_from,
            cohorts=cohorts,
        )

    try:
        app()
    except (ValueError, ConnectionError, NoResultError) as problem:
        raise SystemExit(f"error: {problem}") from None


def run(
    job: Job,
    scale: Scale,
    home: Path,
    resources: Resources,
    *,
    data_root: Path | None,
    release: str,
    seed: int,
    skip_faulty: bool,
    scheme: str | None,
    store: str | None,
    study: str | None,
    address: str | None,
    start_from: str | None = None,
    cohorts: str | None = None,
) -> None:
    """The whole way of the job."""
    root = data_root.expanduser().resolve() if data_root else phantom_root(job, scale, home, release, seed)
    base = base_config(job, scale, root, release=release, seed=seed, scheme=scheme)
    manifest, excluded = prepared_cohort(base.dataset, scale.folds, home / "cache", skip_faulty)
    if start_from is not None:
        weights = start_from if is_uri(start_from) else str(Path(start_from).expanduser().resolve())
        base = replace(base, training=replace(base.training, start_from=weights))
    name = study or "-".join(filter(None, (job.dataset, release)))
    where, state = store_and_state(store, home, name)
    searched = Study(
        name=name,
        base=base,
        space=job.space.space,
        points=job.space.starting_points(base),
        prepared=manifest,
        cohorts=cohorts,
        store=where,
        state=state,
        trials=scale.trials,
        halving=HalvingConfig(grace=max(1, scale.epochs // 3)),
        resources=resources,
        excluded=excluded,
        address=address,
        prior=measured_prior(Store(where), name, base, job.space.starting_points(base), scale.trials),
    )
    published = {label: config_at(job.space.space, base, point) for label, point in job.space.published(base).items()}
    finals = Finals(study=searched, epochs=scale.final_epochs, published=published, known_risk=_known_risk(root))
    with searched.running() as concurrency:
        searched.search(concurrency)
        finals.run(searched.best(scale.top), concurrency)
    _show(searched, home / "report.html")


def phantom_root(job: Job, scale: Scale, home: Path, release: str, seed: int) -> Path:
    """Folder of the job's phantom, written where it is not there yet."""
    from branchpoint.phantoms import make_phantom

    if job.phantom is None:
        raise SystemExit(f"there is no phantom of {job.dataset}: give --data-root, the folder of the release")
    settings = job.phantom(scale)
    name = "-".join([f"{scale.patients}-{seed}", *(f"{value:g}" for value in settings.values())])
    return make_phantom(
        job.dataset,
        home / "phantom" / f"{job.dataset}-{release or 'all'}-{name}",
        release=release,
        patients=scale.patients,
        seed=seed,
        **settings,
    )


def _known_risk(root: Path) -> Mapping[str, float]:
    """Patient to true log-hazard, where the cohort is a phantom with outcomes."""
    from branchpoint.phantoms import read_truth
    from branchpoint.phantoms.completion import TRUTH

    truth = read_truth(root) if (root / TRUTH).exists() else ()
    return {row["PatientID"]: float(row["log_hazard"]) for row in truth if "log_hazard" in row}


def prepared_cohort(dataset: DatasetConfig, folds: int, cache: Path, skip_faulty: bool) -> tuple[Path, tuple[str, ...]]:
    """Manifest of the prepared cohort, and who was left out; exits with the table where the cohort has errors."""
    from branchpoint.datasets.pipeline import checked_cohort
    from branchpoint.datasets.problems.problem import CohortError
    from branchpoint.datasets.problems.table import print_problems

    try:
        prepared, excluded = checked_cohort(dataset, cache, folds=folds, without_faulty=skip_faulty)
    except CohortError as faulty:
        print_problems(faulty.problems, title=f"{dataset.name} {dataset.release}: errors")
        print("Training is refused: correct the errors above, or leave these patients out with --skip-faulty.")
        raise SystemExit(2) from None
    return prepared.path, excluded


def base_config(
    job: Job, scale: Scale, root: Path, *, release: str = "", seed: int = 0, scheme: str | None = None
) -> Config:
    """What all candidates of the job share.

    Raises:
        ValueError: a setting is out of range.
    """
    dataset = DatasetConfig(
        name=job.dataset,
        root=str(root),
        release=release,
        spacing_mm=scale.spacing_mm,
        size_voxels=job.grid(scale),
    )
    base: Config = job.space.base(dataset)
    parts: Any = scheme or base.split.scheme
    if parts not in SCHEMES:
        raise ValueError(f"--scheme is {parts!r}: choose {', '.join(SCHEMES)}")
    return replace(
        base,
        network=replace(base.network, width=scale.width),
        training=replace(base.training, epochs=scale.epochs, batch_size=scale.batch_size),
        optimizer=replace(base.optimizer, learning_rate=scale.learning_rate),
        split=replace(base.split, folds=scale.folds, seed=seed, scheme=parts),
        seed=seed,
    )


def _show(study: Study, report: Path) -> None:
    from branchpoint.report import write_report
    from branchpoint.report.results import load_results
    from branchpoint.report.tables import print_best, print_test_figures

    store = Store(study.store)
    path = write_report(store, study.name, report)
    print_best(store.best(study.name, study.objective, top=3, stage="search"), study.objective)
    results = load_results(store, study.name)
    print_test_figures([*results.pooled_test, *results.differences], results.primary_metrics)
    print(f"results: {study.store}")
    print(f"report:  {path}")
    print(f"again:   branchpoint best --store {study.store} --study {study.name}")
