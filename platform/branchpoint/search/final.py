"""From the best few candidates of a search to honest test figures.

The best few by validation, and the published configurations, are trained anew on every fold with one budget; the mean
validation objective over the folds chooses the best found; it, the published ones and the trivial references are
evaluated on the test patients, once.

What is clean and what is not (:data:`branchpoint.search.study.PROTOCOL` says it in the report):

- A network never sees a test patient of its fold: neither in training, nor in choosing its epoch.
- The search compared candidates on the validation patients of one fold. These are test patients of other folds, and
  their labels chose the candidates: they are left out of all test figures, for models and references alike.
- The training patients of the search's fold are test patients of other folds too. They shaped the candidates only
  through networks that were thrown away; they stay in.
- The finalist is chosen by validation patients who are test patients of other folds. So each fold also makes a choice
  of its own, without its test patients (:mod:`branchpoint.evaluation.selection`). Where these name other finalists, the
  figures and differences of the study are those of the choices fold by fold; the recommended finalist's stand beside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from branchpoint.config import Config
from branchpoint.datasets.prepared import PreparedCohort
from branchpoint.datasets.splits import split
from branchpoint.evaluation.estimates import figure_records
from branchpoint.evaluation.selection import choose_by_fold
from branchpoint.execution.held_out import Summaries
from branchpoint.execution.progress import Progress
from branchpoint.execution.run_spec import SCORE, Outcome, RunSpec, known_outcomes, open_prepared
from branchpoint.execution.runs import ListedRuns, NoResultError
from branchpoint.networks import name_of
from branchpoint.on_ray.held_out_runs import fold_references, test_summaries, untrained_summaries, validation_summaries
from branchpoint.on_ray.tune_runner import run_all
from branchpoint.search.study import Candidate, Study
from branchpoint.store import Store
from branchpoint.tasks import build_task

BEST = "best found"
BY_FOLD = "best found, chosen fold by fold"
UNTRAINED = "untrained network"


@dataclass(frozen=True)
class Finalist:
    """A configuration that is trained on all folds.

    Attributes:
        config: with the budget of the finals, fold 0.
        labels: names it is known by, such as ``multi-task, all shared``; empty for those that the search found.
    """

    config: Config
    labels: tuple[str, ...] = ()

    def specs(self) -> list[RunSpec]:
        """One run for each fold."""
        specs = []
        for fold in self.config.split.rounds:
            config = replace(self.config, split=replace(self.config.split, fold=fold))
            specs.append(RunSpec(f"{self.config.candidate}-fold{fold}", config, stage="final"))
        return specs


@dataclass(frozen=True, kw_only=True)
class Finals:
    """The second half of a study.

    Attributes:
        study: the search, see :class:`branchpoint.search.study.Study`.
        epochs: budget of a run, the same for all.
        published: label to Config, compared beside the best found.
        known_risk: patient to true log-hazard, where a phantom tells; its C-index is what can be attained.
        resamples: of the bootstrap.
    """

    study: Study
    epochs: int
    published: Mapping[str, Config] = field(default_factory=dict)
    known_risk: Mapping[str, float] = field(default_factory=dict)
    resamples: int = 1000

    def run(self, candidates: Sequence[Candidate], concurrency: int) -> Finalist:
        """Train, choose, test and write figures to the store; gives the best found. Call it in ``study.running()``.

        A finished (candidate, fold) is never trained again, nor a test set evaluated again.

        Raises:
            ValueError: finals of this study were begun with other finalists or another budget.
            NoResultError: no finalist completed all folds.
        """
        finalists = self.finalists(candidates)
        self._remember(finalists)
        self._train(finalists, concurrency)
        best = self.choose(finalists)
        complete = [finalist for finalist in finalists if self._complete(finalist)]
        tested = {label: finalist for finalist in complete for label in finalist.labels}
        self._test({BEST: best, **tested}, self._choices(complete, best, concurrency), concurrency)
        return best

    def finalists(self, candidates: Sequence[Candidate]) -> list[Finalist]:
        """Candidates and published configurations, each once, with the budget of the finals."""
        found: dict[str, Finalist] = {}
        named = [("", candidate.config) for candidate in candidates] + [*self.published.items()]
        for label, config in named:
            config = replace(config, training=replace(config.training, epochs=self.epochs))
            config = replace(config, split=replace(config.split, fold=0))
            known = found.get(config.candidate, Finalist(config))
            found[config.candidate] = replace(known, labels=(*known.labels, *([label] if label else [])))
        return list(found.values())

    def choose(self, finalists: Sequence[Finalist]) -> Finalist:
        """The finalist with the best mean validation objective over the folds, among those with every fold complete."""
        sign = 1.0 if self.study.maximize else -1.0
        ended = self._ended()
        complete = [finalist for finalist in finalists if self._complete(finalist, ended)]
        if not complete:
            reasons = sorted({outcome.reason for outcome in ended.values() if outcome.reason})
            raise NoResultError(f"study {self.study.name!r}: no finalist completed all folds. {'; '.join(reasons[:5])}")

        def mean_validation(finalist: Finalist) -> float:
            return sign * float(np.mean([ended[spec.name].value for spec in finalist.specs()]))

        return max(complete, key=mean_validation)

    def _choices(self, finalists: Sequence[Finalist], best: Finalist, concurrency: int) -> list[Finalist]:
        """The finalist that each fold chooses without its test patients.

        ``best`` in each fold where there is one fold only, or the objective is not the score.
        """
        rounds = best.config.split.rounds
        if self.study.objective != SCORE or len(rounds) == 1:
            return [best] * len(rounds)
        setup, study = self.study.setup(), self.study
        specs = [spec for finalist in finalists for spec in finalist.specs()]
        seen = iter(validation_summaries(specs, setup, study.resources, concurrency))
        by_name = {finalist.config.candidate: finalist for finalist in finalists}
        chosen = choose_by_fold(
            {
                name: [build_task(task) for task in finalist.config.tasks if not task.auxiliary]
                for name, finalist in by_name.items()
            },
            {name: [next(seen) for _ in rounds] for name in by_name},
            [split(self._cohort(), replace(best.config.split, fold=fold)).test for fold in rounds],
            groups=self._cohort().groups,
        )
        return [by_name[name] for name in chosen]

    def _remember(self, finalists: Sequence[Finalist]) -> None:
        """A second choice after test figures were seen would not be honest."""
        settings = {"epochs": self.epochs, "finalists": sorted(finalist.config.candidate for finalist in finalists)}
        self.study.folder.remember(settings, part="finals")

    def _ended(self) -> dict[str, Outcome]:
        return known_outcomes(Store(self.study.store), self.study.name, self.study.objective, stage="final")

    def _complete(self, finalist: Finalist, ended: Mapping[str, Outcome] | None = None) -> bool:
        ended = self._ended() if ended is None else ended
        return all(spec.name in ended and ended[spec.name].state == "COMPLETE" for spec in finalist.specs())

    def _train(self, finalists: Sequence[Finalist], concurrency: int) -> None:
        specs = [spec for finalist in finalists for spec in finalist.specs()]
        ended = self._ended()
        waiting = [spec for spec in specs if not self._done(spec, ended.get(spec.name))]
        if not waiting:
            return
        study = self.study
        progress = Progress(
            "fold",
            len(specs),
            study.objective,
            titles=_titles(finalists),
            maximize=study.maximize,
            before=[*ended.values()],
        )
        folds = len(self.study.base.split.rounds)
        progress.say(f"{len(finalists)} finalists on {folds} folds, {self.epochs} epochs each")
        run_all(ListedRuns(waiting), study.setup(keep_network=True), study.resources, concurrency, progress)
        progress.finish()

    def _done(self, spec: RunSpec, known: Outcome | None) -> bool:
        if known is None:
            return False
        return known.state != "COMPLETE" or self.study.setup().run_folder(spec.name).has_network

    def _test(self, tested: Mapping[str, Finalist], choices: Sequence[Finalist], concurrency: int) -> None:
        study, setup, best = self.study, self.study.setup(), tested[BEST]
        flat = [(label, spec) for label, finalist in tested.items() for spec in finalist.specs()]
        configs = {label: finalist.config for label, finalist in tested.items()}
        if any(choice is not best for choice in choices):
            flat += [(BY_FOLD, choice.specs()[fold]) for fold, choice in enumerate(choices)]
            configs = {BY_FOLD: best.config, **configs}
        unique = {spec.name: spec for _, spec in flat}
        found = dict(zip(unique, test_summaries([*unique.values()], setup, study.resources, concurrency), strict=True))
        models: dict[str, list[Summaries]] = {}
        for label, spec in flat:
            models.setdefault(label, []).append(found[spec.name])
        drawn = [spec.config for spec in best.specs()]
        untrained = untrained_summaries(drawn, setup, study.resources, concurrency)
        references = fold_references(best.config, setup, study.resources)
        records = figure_records(
            study=study.name,
            configs=configs,
            models={label: [folds] for label, folds in models.items()},
            references={UNTRAINED: untrained},
            trivial=references,
            excluded=self._chose_candidates(),
            known_risk=self._risk_by_position(),
            groups=self._cohort().groups,
            centers=self._cohort().centers,
            resamples=self.resamples,
        )
        Store(study.store).writer(study.name).figures(records)

    def _chose_candidates(self) -> np.ndarray:
        """Positions of the patients whose labels chose the candidates."""
        return split(self._cohort(), self.study.base.split).validation

    def _cohort(self) -> PreparedCohort:
        return open_prepared(self.study.prepared, self.study.setup().source)

    def _risk_by_position(self) -> dict[int, float]:
        ids = self._cohort().patient_ids
        return {i: self.known_risk[name] for i, name in enumerate(ids) if name in self.known_risk}


def _titles(finalists: Sequence[Finalist]) -> dict[str, str]:
    """Run to its network and fold in words; those that the search found come first, best first."""
    titles: dict[str, str] = {}
    for rank, finalist in enumerate(finalists, 1):
        name = " = ".join(finalist.labels) or f"number {rank} of the search ({name_of(finalist.config)})"
        specs = finalist.specs()
        titles |= {spec.name: f"{name}, fold {fold} of {len(specs)}" for fold, spec in enumerate(specs, 1)}
    return titles
