"""``Study``: dataset, tasks, objective, space and budget; run it, and it gives the best few configurations.

Candidates are compared on the validation patients of one fold (``base.split.fold``) alone; test patients are not
looked at here. See :mod:`branchpoint.search.final` for what follows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from branchpoint.config import SCORE, Config
from branchpoint.config.serialization import to_plain
from branchpoint.datasets.content import accepted_warnings, content_keys
from branchpoint.execution.attempt import package_versions
from branchpoint.execution.halving import Halving, HalvingConfig
from branchpoint.execution.progress import Progress
from branchpoint.execution.resources import Resources, memory_limit, preflight
from branchpoint.execution.run_spec import Outcome, Setup, known_outcomes
from branchpoint.execution.runs import NoResultError
from branchpoint.execution.state import StudyFolder
from branchpoint.io.names import check_name
from branchpoint.on_ray.cohort_server import cohort_here, cohort_source
from branchpoint.on_ray.session import living_nodes, session
from branchpoint.search.budget import Spent, duration
from branchpoint.search.space.points import Space, check_points
from branchpoint.search.suggest.feasibility import CostLimits, fits, load_ahead
from branchpoint.search.suggest.runs import SearchRuns, TimeLimit
from branchpoint.search.suggest.samplers import TPE, check_sampler
from branchpoint.search.suggest.suggestions import Known, Suggestions
from branchpoint.store import Store, StudyRecord, TrialRecord

PROTOCOL = (
    "Candidates were compared on the validation patients of one fold; these patients are left out of every test "
    "figure, as their labels chose the candidates. Each test patient was predicted by a network that had not seen "
    "them. The recommended finalist is the simplest within one standard error of the best, by the validation patients "
    "of all folds. Validation patients of one fold are test patients of another: where a choice for each fold, made "
    "without its test patients, names other finalists, the figures of these choices are given, too, and the "
    "differences are theirs."
)


@dataclass(frozen=True)
class Candidate:
    """A configuration that a search found; ``value`` is its objective on the validation patients of the search."""

    trial: str
    config: Config
    value: float


@dataclass(frozen=True, kw_only=True)
class Study:
    """A search.

    Attributes:
        name: unique in the store; the same name goes on with the same study.
        base: dataset, tasks, budget, split and seed, which every candidate shares.
        space: gives a Config for a trial; raises ValueError where values do not fit together.
        points: parameter values that are tried first, such as published configurations.
        prior: values of some parameters that are tried next, see :mod:`branchpoint.search.space.prior`.
        fixed: values of parameters that all candidates share, such as which tasks they learn.
        sampler: proposes candidates, one of :data:`branchpoint.search.suggest.samplers.SAMPLERS`.
        prepared: manifest of the prepared cohort.
        cohorts: bucket (URI) from which nodes that do not see ``prepared`` take the cohort; ``None``: from this driver.
        store: URI of the results store.
        state: folder for journal, locks and checkpoints, seen by every worker; see
            :class:`branchpoint.execution.state.StudyFolder`.
        trials: how many to start. May be raised later.
        search_epochs: no trial starts once all together were trained for so many epochs; ``None``: no limit.
        seconds: for search and what follows it; no trial starts that would not leave enough; ``None``: no limit.
        later_epochs: of the finals and references that follow, for which ``seconds`` must last.
        objective: metric of an epoch that ranks candidates.
        maximize: whether greater values are better.
        halving: stops trials early; ``None`` trains each to its end.
        limits: of a network's cost; what is beyond them is not trained.
        resources: of a trial.
        keep_networks: complete trials keep their weights and predictions for validation patients, so that their value
            has a standard error, and finals of the same budget need not train them again.
        excluded: patients left out on purpose, for the record.
        address: of the Ray cluster; see :func:`branchpoint.on_ray.session.session`.
        hooks: fields of :class:`branchpoint.execution.run_spec.Setup` to replace, such as ``fit``.
    """

    name: str
    base: Config
    space: Space
    points: Sequence[Mapping[str, Any]] = ()
    prior: Sequence[Mapping[str, Any]] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    sampler: str = TPE
    prepared: Path
    cohorts: str | None = None
    store: str
    state: Path
    trials: int = 20
    search_epochs: int | None = None
    seconds: float | None = None
    later_epochs: int = 0
    objective: str = SCORE
    maximize: bool = True
    halving: HalvingConfig | None = field(default_factory=HalvingConfig)
    limits: CostLimits = field(default_factory=CostLimits)
    resources: Resources = field(default_factory=Resources)
    keep_networks: bool = False
    excluded: Sequence[str] = ()
    address: str | None = None
    hooks: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name)
        check_sampler(self.sampler)

    def run(self, top: int = 3) -> list[Candidate]:
        """Search, and give the ``top`` best candidates; started again after a kill, it goes on where it was.

        Raises:
            ValueError: a starting point, a changed setting or a request that no node can meet; nothing has started.
            NoResultError: no trial completed.
        """
        with self.running() as concurrency:
            self.search(concurrency)
        return self.best(top)

    @contextmanager
    def running(self) -> Iterator[int]:
        """Holds the study's lock and a connection to Ray; gives how many runs fit at once.

        Everything that can be known to fail fails here, before a worker starts.
        """
        check_points(self.space, self.base, self.points)
        with self.folder.lock():
            self.folder.remember(self.settings)
            here = cohort_here(self.prepared, self.cohorts)
            if here.is_file():  # a folder is no prepared cohort: its fit function reads what it likes
                self.folder.remember_data(content_keys(here))
            loading = load_ahead()
            with session(self.address):
                loading.join()
                concurrency = preflight(self.resources, living_nodes())
                self._describe()
                yield concurrency

    def search(self, concurrency: int) -> None:
        """Run trials until the budget is spent or the space holds nothing new."""
        from branchpoint.on_ray.pruner_actor import RemotePruner
        from branchpoint.on_ray.tune_runner import run_all

        before = self._ended()
        if self.seconds is not None and self.folder.begun("finals"):
            return  # another start takes another time: what finals chose from must not change
        self.folder.plan("search", self.trials)
        suggestions = self._suggestions(before)
        if suggestions.exhausted:
            return
        progress = Progress("trial", self.trials, self.objective, maximize=self.maximize, before=[*before.values()])
        progress.say(f"study {self.name!r}: {self.trials} trials, {concurrency} at once; results in {self.store}")
        setup = self.setup(keep_network=self.keep_networks)
        if self.halving:
            training = self.base.training
            keep_best = training.select_by in ("loss", "score")
            rule = Halving(self.halving, training.epochs, self.maximize, keep_best=keep_best)
            setup = replace(setup, pruner=RemotePruner(rule, setup))
        runs = self._runs(suggestions, concurrency)
        run_all(runs, setup, self.resources, concurrency, progress)
        if not suggestions.exhausted:
            later = duration(runs.seconds_for(self.later_epochs) / concurrency)
            progress.say(f"the search ends here, for the study's time; finals and references need about {later}")
        elif suggestions.started < suggestions.trials:
            progress.say(f"the space holds no more than {suggestions.started} different configurations")
        progress.finish()

    def best(self, top: int) -> list[Candidate]:
        """The best ``top`` distinct candidates of the search by validation, best first.

        Raises:
            NoResultError: no trial completed; the message holds the reasons.
        """
        ended = self._ended()
        if not any(outcome.state == "COMPLETE" for outcome in ended.values()):
            reasons = sorted({outcome.reason for outcome in ended.values() if outcome.reason})
            raise NoResultError(f"study {self.name!r}: no trial completed. Reasons: {'; '.join(reasons[:5]) or 'none'}")
        rows = Store(self.store).best(self.name, self.objective, top, self.maximize, stage="search")
        return [Candidate(row["trial"], Config.from_json(json.dumps(row["config"])), row["value"]) for row in rows]

    def setup(self, **changes: Any) -> Setup:
        """What its runs share."""
        return Setup(
            study=self.name,
            store=self.store,
            folder=self.state,
            prepared=self.prepared,
            objective=self.objective,
            source=cohort_source(self.prepared, self.cohorts),
            cpus=self.resources.cpus,
            gpus=self.resources.gpus,
            **{**self.hooks, **changes},
        )

    @property
    def folder(self) -> StudyFolder:
        """Its state folder."""
        return StudyFolder(self.state)

    @property
    def settings(self) -> dict[str, Any]:
        """What must not change between starts; the number of trials and the resources may."""
        return {
            "study": self.name,
            "base": to_plain(self.base, identity_only=True),
            "space": f"{self.space.__module__}.{self.space.__qualname__}",
            "objective": self.objective,
            "maximize": self.maximize,
            "halving": asdict(self.halving) if self.halving else None,
            "excluded": sorted(self.excluded),
            **({"sampler": self.sampler} if self.sampler != TPE else {}),
        }

    def _ended(self) -> dict[str, Outcome]:
        ended = known_outcomes(Store(self.store), self.name, self.objective, stage="search")
        return dict(sorted(ended.items()))

    def _runs(self, suggestions: Suggestions, concurrency: int) -> SearchRuns:
        """Its trials, within what earlier starts left of epochs and time."""
        if self.search_epochs is None and self.seconds is None:
            return SearchRuns(suggestions)
        spent = Spent.of(Store(self.store), self.name)
        if self.seconds is None:
            return SearchRuns(suggestions, self.search_epochs, spent)
        limit = TimeLimit(
            seconds=self.seconds,
            trial_epochs=self.base.training.epochs,
            later_epochs=self.later_epochs,
            concurrency=concurrency,
        )
        return SearchRuns(suggestions, self.search_epochs, spent, limit)

    def _suggestions(self, before: Mapping[str, Outcome]) -> Suggestions:
        limit = memory_limit(self.resources, living_nodes())
        return Suggestions(
            self.folder.journal,
            self.name,
            self.space,
            self.base,
            points=self.points,
            prior=self.prior,
            fixed=self.fixed,
            sampler=self.sampler,
            trials=self.trials,
            seed=self.base.seed,
            maximize=self.maximize,
            feasible=fits(limit, self.resources.workers, self.limits),
            finished={name: Known(outcome.state, outcome.value) for name, outcome in before.items()},
            reject=self._reject,
        )

    def _reject(self, name: str, config: Config | None, parameters: Mapping[str, Any], reason: str) -> None:
        """An INFEASIBLE row; without a Config (the space refused) the reason bears the parameters."""
        now = datetime.now(UTC)
        record = TrialRecord(
            study=self.name,
            trial=name,
            stage="search",
            state="INFEASIBLE",
            reason=reason,
            started=now,
            finished=now,
            fold=self.base.split.fold,
            seed=self.base.seed,
            versions=package_versions(),
        )
        if config is None:
            record = replace(record, reason=f"{reason}; parameters {dict(parameters)}")
        else:
            record = replace(
                record, config=config.to_json(), fingerprint=config.fingerprint, candidate=config.candidate
            )
        Store(self.store).writer(self.name).trial(record)

    def _describe(self) -> None:
        store = Store(self.store)
        if self.name in store.studies()["study"].to_pylist():
            return
        accepted = accepted_warnings(cohort_here(self.prepared, self.cohorts))
        settings = json.dumps({**self.settings, "protocol": PROTOCOL, "accepted": accepted})
        store.writer(self.name).study(
            StudyRecord(
                study=self.name,
                dataset=self.base.dataset.name,
                release=self.base.dataset.release,
                config=self.base.to_json(),
                settings=settings,
                excluded=sorted(self.excluded),
                versions=package_versions(),
                started=datetime.now(UTC),
            )
        )
