"""From the best few candidates of a search to honest test figures.

The best few by validation, and the references, are trained anew on every fold with one budget and the same seeds; their
scores on validation patients choose the best found (:mod:`branchpoint.evaluation.selection`); it, the references and
the trivial references are evaluated on the test patients, once.

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

from branchpoint.config import SCORE, Config
from branchpoint.datasets.prepared import PreparedCohort
from branchpoint.datasets.splits import split
from branchpoint.evaluation.estimates import figure_records
from branchpoint.evaluation.selection import Contender, choose_by_fold, recommend
from branchpoint.execution.adoption import adopt
from branchpoint.execution.ensembles import mirrored_axes
from branchpoint.execution.held_out import Summaries
from branchpoint.execution.progress import Progress
from branchpoint.execution.recommendation import ensemble_label
from branchpoint.execution.refit import OBJECTIVE, refit_specs
from branchpoint.execution.run_spec import Outcome, RunSpec, known_outcomes, open_prepared
from branchpoint.execution.runs import ListedRuns, NoResultError
from branchpoint.on_ray.held_out_runs import (
    ensemble_summaries,
    fold_references,
    test_summaries,
    untrained_summaries,
    validation_summaries,
)
from branchpoint.on_ray.tune_runner import run_all
from branchpoint.search.finalists import Finalist, contenders, score_records, titles
from branchpoint.search.study import Candidate, Study
from branchpoint.store import Store

BEST = "best found"
BY_FOLD = "best found, chosen fold by fold"
UNTRAINED = "untrained network"


@dataclass(frozen=True, kw_only=True)
class Finals:
    """The second half of a study.

    Attributes:
        study: the search, see :class:`branchpoint.search.study.Study`.
        epochs: budget of a run, the same for all.
        published: label to Config, compared beside the best found.
        seeds: networks of each finalist on each fold; intervals are over seeds and patients.
        known_risk: patient to true log-hazard, where a phantom tells; its C-index is what can be attained.
        resamples: of the bootstrap.
        refit: train the best found on all cases, too, once for each seed.
    """

    study: Study
    epochs: int
    published: Mapping[str, Config] = field(default_factory=dict)
    known_risk: Mapping[str, float] = field(default_factory=dict)
    seeds: int = 1
    resamples: int = 1000
    refit: bool = False

    def run(self, candidates: Sequence[Candidate], concurrency: int) -> Finalist:
        """Train, choose, test and write figures to the store; gives the best found. Call it in ``study.running()``.

        A finished (candidate, fold) is never trained again, nor a test set evaluated again; a trial of the search that
        kept its network and had the budget of the finals is such a one.

        Raises:
            ValueError: finals of this study were begun with other finalists or another budget.
            NoResultError: no finalist completed all folds.
        """
        finalists = self.finalists(candidates)
        self._remember(finalists)
        self._train(finalists, concurrency)
        complete = self._complete(finalists)
        best, choices = self._choose(complete, concurrency)
        tested = {label: finalist for finalist in complete.values() for label in finalist.labels}
        self._test({BEST: best, **tested}, choices, concurrency)
        if self.refit:
            self._refit(best, concurrency)
        return best

    def finalists(self, candidates: Sequence[Candidate]) -> list[Finalist]:
        """Candidates and published configurations, each once, with the budget of the finals."""
        found: dict[str, Finalist] = {}
        named = [("", candidate.config) for candidate in candidates] + [*self.published.items()]
        for label, config in named:
            config = replace(config, training=replace(config.training, epochs=self.epochs))
            config = replace(config, split=replace(config.split, fold=0))
            known = found.get(config.candidate, Finalist(config, seeds=self.seeds))
            found[config.candidate] = replace(known, labels=(*known.labels, *([label] if label else [])))
        return list(found.values())

    def _complete(self, finalists: Sequence[Finalist]) -> dict[str, Finalist]:
        """Name in words to each finalist whose runs are all complete.

        Raises:
            NoResultError: there is none.
        """
        ended = self._ended()
        complete = {
            finalist.name(rank): finalist
            for rank, finalist in enumerate(finalists, 1)
            if all(spec.name in ended and ended[spec.name].state == "COMPLETE" for spec in finalist.specs())
        }
        if not complete:
            reasons = sorted({outcome.reason for outcome in ended.values() if outcome.reason})
            raise NoResultError(f"study {self.study.name!r}: no finalist completed all folds. {'; '.join(reasons[:5])}")
        return complete

    def _choose(self, complete: Mapping[str, Finalist], concurrency: int) -> tuple[Finalist, list[Finalist]]:
        """The best found, and the finalist that each fold chooses without its test patients.

        Where the study's objective is not the score, the best mean over folds and seeds, for every fold.
        """
        rounds = self.study.base.split.rounds
        if self.study.objective != SCORE:
            best = self._best_by_objective(complete)
            return best, [best] * len(rounds)
        cohort, compared = self._cohort(), self._contenders(complete, concurrency)
        found = recommend(compared, groups=cohort.groups)
        print(found.text(), flush=True)
        Store(self.study.store).writer(self.study.name).figures(score_records(self.study.name, complete, found))
        best = complete[found.chosen]
        if len(rounds) == 1:
            return best, [best]
        tested = [split(cohort, replace(best.config.split, fold=fold)).test for fold in rounds]
        return best, [complete[name] for name in choose_by_fold(compared, tested, groups=cohort.groups)]

    def _best_by_objective(self, complete: Mapping[str, Finalist]) -> Finalist:
        sign, ended = 1.0 if self.study.maximize else -1.0, self._ended()

        def mean_validation(finalist: Finalist) -> float:
            return sign * float(np.mean([ended[spec.name].value for spec in finalist.specs()]))

        return max(complete.values(), key=mean_validation)

    def _contenders(self, complete: Mapping[str, Finalist], concurrency: int) -> list[Contender]:
        """The finalists with their predictions for validation patients."""
        study, specs = self.study, [spec for finalist in complete.values() for spec in finalist.specs()]
        found = validation_summaries(specs, study.setup(), study.resources, concurrency)
        return contenders(complete, dict(zip([spec.name for spec in specs], found, strict=True)))

    def _remember(self, finalists: Sequence[Finalist]) -> None:
        """A second choice after test figures were seen would not be honest."""
        settings = {
            "epochs": self.epochs,
            "finalists": sorted(finalist.config.candidate for finalist in finalists),
            **({"seeds": self.seeds} if self.seeds > 1 else {}),
        }
        self.study.folder.remember(settings, part="finals")

    def _ended(self) -> dict[str, Outcome]:
        return known_outcomes(Store(self.study.store), self.study.name, self.study.objective, stage="final")

    def _train(self, finalists: Sequence[Finalist], concurrency: int) -> None:
        specs = [spec for finalist in finalists for spec in finalist.specs()]
        self.study.folder.plan("final", len(specs))
        adopted = adopt(specs, self.study.setup())
        ended = self._ended()
        waiting = [spec for spec in specs if not self._done(spec, ended.get(spec.name))]
        if not waiting:
            return
        study = self.study
        progress = Progress(
            "fold",
            len(specs),
            study.objective,
            titles=titles(finalists),
            maximize=study.maximize,
            before=[*ended.values()],
        )
        folds = len(self.study.base.split.rounds)
        seeds = f" with {self.seeds} seeds" if self.seeds > 1 else ""
        progress.say(f"{len(finalists)} finalists on {folds} folds{seeds}, {self.epochs} epochs each")
        if adopted:
            progress.say(f"{len(adopted)} of these runs are trials of the search and are not trained again")
        run_all(ListedRuns(waiting), study.setup(keep_network=True), study.resources, concurrency, progress)
        progress.finish()

    def _refit(self, best: Finalist, concurrency: int) -> None:
        """Networks of ``best`` on all cases; nobody is left to test them, so they get no figures of their own."""
        study, setup = self.study, replace(self.study.setup(keep_network=True), objective=OBJECTIVE)
        specs = refit_specs(best.specs(), setup)
        study.folder.plan("refit", len(specs))
        ended = known_outcomes(Store(study.store), study.name, OBJECTIVE, stage="refit")
        waiting = [spec for spec in specs if not self._done(spec, ended.get(spec.name))]
        if waiting:
            progress = Progress("refit", len(specs), OBJECTIVE, maximize=False, before=[*ended.values()])
            progress.say(f"{len(specs)} network(s) on all cases, {specs[0].config.training.epochs} epochs each")
            run_all(ListedRuns(waiting), setup, study.resources, concurrency, progress)
            progress.finish()

    def _done(self, spec: RunSpec, known: Outcome | None) -> bool:
        if known is None:
            return False
        return known.state != "COMPLETE" or self.study.setup().run_folder(spec.name).has_network

    def _test(self, tested: Mapping[str, Finalist], choices: Sequence[Finalist], concurrency: int) -> None:
        study, setup, best = self.study, self.study.setup(), tested[BEST]
        runs = {label: finalist.by_seed() for label, finalist in tested.items()}
        configs = {label: finalist.config for label, finalist in tested.items()}
        if any(choice is not best for choice in choices):
            of_folds = [list(zip(*choice.by_seed(), strict=True))[fold] for fold, choice in enumerate(choices)]
            runs = {BY_FOLD: [list(folds) for folds in zip(*of_folds, strict=True)], **runs}
            configs = {BY_FOLD: best.config, **configs}
        unique = {spec.name: spec for seeds in runs.values() for folds in seeds for spec in folds}
        found = dict(zip(unique, test_summaries([*unique.values()], setup, study.resources, concurrency), strict=True))
        models: dict[str, list[list[Summaries]]] = {
            label: [[found[spec.name] for spec in folds] for folds in seeds] for label, seeds in runs.items()
        }
        for label, folds in self._ensembles(best, concurrency).items():
            models[label], configs[label] = [folds], best.config
        drawn = [spec.config for spec in best.by_seed()[0]]
        untrained = untrained_summaries(drawn, setup, study.resources, concurrency)
        references = fold_references(best.config, setup, study.resources)
        records = figure_records(
            study=study.name,
            configs=configs,
            models=models,
            references={UNTRAINED: untrained},
            trivial=references,
            excluded=self._chose_candidates(),
            known_risk=self._risk_by_position(),
            groups=self._cohort().groups,
            centers=self._cohort().centers,
            resamples=self.resamples,
        )
        Store(study.store).writer(study.name).figures(records)

    def _ensembles(self, best: Finalist, concurrency: int) -> dict[str, list[Summaries]]:
        """Label to the test patients of each fold, predicted by its seeds together, and with mirrored copies, too."""
        study, setup = self.study, self.study.setup()
        folds = [*zip(*best.by_seed(), strict=True)]
        ways = [False] * (best.seeds > 1) + [True] * bool(mirrored_axes(best.config, self._cohort()))
        return {
            ensemble_label(BEST, best.seeds, mirrored=mirrored): ensemble_summaries(
                folds, setup, study.resources, concurrency, mirrored=mirrored
            )
            for mirrored in ways
        }

    def _chose_candidates(self) -> np.ndarray:
        """Positions of the patients whose labels chose the candidates."""
        return split(self._cohort(), self.study.base.split).validation

    def _cohort(self) -> PreparedCohort:
        return open_prepared(self.study.prepared, self.study.setup().source)

    def _risk_by_position(self) -> dict[int, float]:
        ids = self._cohort().patient_ids
        return {i: self.known_risk[name] for i, name in enumerate(ids) if name in self.known_risk}
