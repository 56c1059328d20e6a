"""What `branchpoint bundle create` reads of a finished study: weights, cohort, figures, provenance."""

from __future__ import annotations

import io
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from branchpoint.config import Config
    from branchpoint.datasets.prepared import PreparedCohort
    from branchpoint.deploy.bundle.create import Trained
    from branchpoint.store import Store


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be bundled; see ``branchpoint bundle create --help``."""

    store: str
    home: Path
    study: str | None = None
    candidate: str | None = None
    folds: tuple[int, ...] | None = None
    refit: bool = False
    data_root: Path | None = None
    card: Path | None = None
    without_reference: bool = False


def make_bundle(request: Request, out: Path) -> str:
    """Write the bundle to ``out``; gives what was written, in words.

    Raises:
        ValueError: the study has no finished finalist with weights, the cohort is gone, or the card is incomplete.
    """
    from branchpoint.deploy.bundle.card import Card, read_card
    from branchpoint.deploy.bundle.create import Material, create
    from branchpoint.deploy.bundle.tasks import predicted_tasks
    from branchpoint.store import Store

    card = read_card(request.card) if request.card else Card()
    store = Store(request.store)
    study = request.study or only_study(store)
    label, candidate = _candidate(store, study, request.candidate)
    trained = _trained(store, study, candidate, request)
    record: Mapping[str, Any] = next((row for row in store.studies().to_pylist() if row["study"] == study), {})
    cohort, digests = _cohort(trained[0].config, record.get("excluded") or (), request)
    material = Material(
        study=study,
        trained=trained,
        cohort=cohort,
        with_reference=not request.without_reference,
        figures=_figures(store, study, label),
        provenance={**_provenance(store, study, record, trained), **({"refit_of": candidate} if request.refit else {})},
        file_digests=digests,
        card=card,
    )
    parity = create(material, out)
    names = ", ".join(task.name for task in predicted_tasks(trained[0].config.tasks))
    checked = parity if parity is not None else "parity: the study kept no predictions to compare with"
    return f"{len(trained)} networks; {names}; {checked}\nbundle: {out}"


def only_study(store: Store) -> str:
    """The only study of the store.

    Raises:
        ValueError: there is none, or several.
    """
    known = sorted(set(store.studies()["study"].to_pylist()))
    if len(known) == 1:
        return str(known[0])
    raise ValueError(f"name one study of {store.uri} with --study: it holds {', '.join(known) or 'none'}")


def _candidate(store: Store, study: str, given: str | None) -> tuple[str, str]:
    """Label in the figures (the candidate itself where it was not tested) and candidate."""
    from branchpoint.execution.recommendation import recommended

    if given is not None:
        rows = [row for row in store.figures(study).to_pylist() if row["kind"] == "model"]
        return next((row["label"] for row in rows if row["candidate"] == given), given), given
    try:
        return recommended(store, study)
    except ValueError as problem:
        raise ValueError(f"{problem}, or name a candidate with --candidate") from None


def _trained(store: Store, study: str, candidate: str, request: Request) -> list[Trained]:
    import torch

    from branchpoint.config import Config
    from branchpoint.deploy.bundle.create import Trained
    from branchpoint.execution.held_out import kept_as, load_summaries
    from branchpoint.execution.recommendation import final_runs, refit_runs
    from branchpoint.execution.state import NETWORK, run_folder, store_and_state
    from branchpoint.training.state.warm_start import CONFIG_FILE

    where, state = store_and_state(store.uri, request.home, study)
    rows = refit_runs(store, study, candidate) if request.refit else final_runs(store, study, candidate)
    if request.refit and (request.folds is not None or not rows):
        raise ValueError(
            "--refit takes networks that learned from all folds: leave --folds out"
            if rows
            else f"study {study!r} has no network of {candidate} on all cases: run its command again with --refit"
        )
    chosen = [row for row in rows if request.folds is None or row["fold"] in request.folds]
    if unfinished := [row["trial"] for row in chosen if row["state"] != "COMPLETE"]:
        raise ValueError(f"study {study!r}: {', '.join(unfinished)} did not finish; leave the fold out with --folds")
    trained = []
    for row in chosen:
        place = run_folder(state, where, study, row["trial"]).place
        if not place.holds(NETWORK):
            raise ValueError(f"study {study!r}: the weights of {row['trial']} are gone from {place}")
        weights = torch.load(io.BytesIO(place.read(NETWORK)), map_location="cpu", weights_only=True)
        tested = load_summaries(place.read(kept_as("test"))) if place.holds(kept_as("test")) else None
        trained.append(
            Trained(config=Config.from_json(place.read(CONFIG_FILE).decode()), weights=weights, tested=tested)
        )
    if not trained:
        raise ValueError(f"study {study!r} has no finished run of candidate {candidate} on the folds asked for")
    return trained


def _cohort(config: Config, excluded: Sequence[str], request: Request) -> tuple[PreparedCohort, dict[str, list[str]]]:
    """The prepared cohort, from the cache where it is whole, and the content hashes of each patient's images."""
    from branchpoint.datasets.input_hashes import InputHashes
    from branchpoint.datasets.prepared import prepare
    from branchpoint.datasets.readers.registry import read_cohort

    dataset, cache = config.dataset, request.home / "cache"
    if request.data_root is not None:
        dataset = replace(dataset, root=str(request.data_root.expanduser().resolve()))
    try:
        cohort = read_cohort(dataset)
        prepared = prepare(cohort, dataset, cache, progress=False, excluded=excluded)
    except (OSError, ValueError) as problem:
        if not request.without_reference:
            raise ValueError(
                f"the cohort is gone ({str(problem).splitlines()[0]}); give --data-root, or go on "
                "--without-reference: no percentiles, no survival probabilities"
            ) from None
        return _manifest(dataset.name, config, cache), {}
    hashes = InputHashes(cache, cohort.root)
    digests = {patient.id: [hashes.of(path) for path in patient.images.values()] for patient in cohort.patients}
    return prepared, digests


def _manifest(name: str, config: Config, cache: Path) -> PreparedCohort:
    """What the cache remembers of a cohort whose files are gone: the newest manifest with the study's grid."""
    from branchpoint.datasets.prepared import PreparedCohort

    grid = (config.dataset.spacing_mm, config.dataset.size_voxels)
    for path in sorted((cache / "cohorts").glob(f"{name}*.json"), key=lambda path: -path.stat().st_mtime):
        found = PreparedCohort.open(path)
        if (found.spacing_mm, found.size_voxels) == grid and found.release == config.dataset.release:
            return found
    raise ValueError(f"{cache} does not remember how cohort {name!r} was prepared; give --data-root")


def _figures(store: Store, study: str, label: str) -> list[dict[str, Any]]:
    """Pooled figures on test patients of the candidate and of the references."""
    rows = [row for row in store.figures(study).to_pylist() if row["split"] == "test" and row["fold"] == -1]
    wanted = [row for row in rows if row["kind"] == "reference" or (row["kind"] == "model" and row["label"] == label)]
    return [{name: _finite(value) for name, value in row.items() if name != "study"} for row in wanted]


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _provenance(store: Store, study: str, record: Mapping[str, Any], trained: Sequence[Trained]) -> dict[str, Any]:
    rows = store.trials(study, columns=["stage", "state", "gpu_seconds"]).to_pylist()
    settings = json.loads(record.get("settings") or "{}")
    return {
        "study": study,
        "dataset": record.get("dataset", trained[0].config.dataset.name),
        "release": record.get("release", trained[0].config.dataset.release),
        "protocol": settings.get("protocol", ""),
        "trials": dict(Counter(f"{row['stage']} {row['state']}" for row in rows)),
        "seeds": sorted({one.config.seed for one in trained}),
        "versions": dict(record.get("versions") or {}),
        "excluded": list(record.get("excluded") or ()),
        "gpu_seconds": sum(row["gpu_seconds"] or 0 for row in rows),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
