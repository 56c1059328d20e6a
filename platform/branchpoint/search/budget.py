"""One budget for search, finals and references, and the plan that is printed before anything starts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """What a study trains, in epochs: every run of a study takes as many steps for an epoch.

    Attributes:
        budget: for everything; ``None``: no limit.
        trials: of the search, at most.
        trial_epochs: of a trial that is not stopped early.
        grace: epochs before which no trial is stopped.
        candidates: the best few of the search, trained on all folds.
        references: networks that are trained for comparison.
        runs: of each finalist, folds times seeds.
        final_epochs: of a run of the finals.
        compared: validation patients of the search's fold.
        compared_in_finals: validation patients of all folds together.
    """

    budget: int | None = None
    trials: int
    trial_epochs: int
    grace: int
    candidates: int
    references: int
    runs: int
    final_epochs: int
    compared: int
    compared_in_finals: int

    @property
    def finals(self) -> int:
        """Epochs of the finals of the search's candidates; a run that the search trained is not trained again."""
        taken_over = self.trial_epochs == self.final_epochs
        return self.candidates * (self.runs - taken_over) * self.final_epochs

    @property
    def for_references(self) -> int:
        """Epochs of the references."""
        return self.references * self.runs * self.final_epochs

    @property
    def search(self) -> int | None:
        """Epochs that are left for the search; ``None``: no limit but the number of trials.

        Raises:
            ValueError: too few are left for a single trial of each candidate of the finals.
        """
        if self.budget is None:
            return None
        left = self.budget - self.finals - self.for_references
        least = self.candidates * self.trial_epochs
        if left < least:
            raise ValueError(
                f"--budget is {self.budget} epochs: finals take {self.finals} and references {self.for_references}, "
                f"and the search needs at least {least}; give --budget {self.budget - left + least} or more, or fewer "
                "--references, --seeds, --top or --final-epochs"
            )
        return left

    def text(self) -> str:
        """The plan in sentences."""
        most = self.trials * self.trial_epochs
        search = most if self.search is None else min(self.search, most)
        total = search + self.finals + self.for_references
        least = max(1, search // self.trial_epochs)
        trials = f"{least} to {self.trials}" if least < self.trials else str(self.trials)
        shares = ", ".join(
            f"{name} {epochs:,} ({epochs / total:.0%})"
            for name, epochs in (("search", search), ("finals", self.finals), ("references", self.for_references))
        )
        return (
            f"plan: at most {total:,} epochs: {shares}. The search trains {trials} trials, halving stops them "
            f"from epoch {self.grace} on, and they are compared on {self.compared} validation samples of one "
            f"fold; {self.candidates} candidate(s) and {self.references} reference(s) are compared on "
            f"{self.compared_in_finals} samples of all folds"
        )
