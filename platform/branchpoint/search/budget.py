"""One budget for search, finals and references, and the plan that is printed before anything starts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from branchpoint.store import Store

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Of a whole study; ``None``: no limit of this kind.

    Attributes:
        epochs: of all runs together.
        seconds: from the first start of the search to the end of the finals, while the job runs.
    """

    epochs: int | None = None
    seconds: float | None = None

    @classmethod
    def parse(cls, text: str | None) -> Budget:
        """``2000`` epochs, or a time such as ``8h``, ``90m`` or ``1.5d``.

        Raises:
            ValueError: ``text`` is neither.
        """
        if text is None:
            return cls()
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", text.strip().lower())
        number, unit = (float(found[1]), found[2]) if found else (0.0, "")
        if number <= 0 or (not unit and not number.is_integer()):
            raise ValueError(f"--budget is {text!r}: give epochs, such as 2000, or a time, such as 90m, 8h or 1.5d")
        return cls(seconds=number * _UNITS[unit]) if unit else cls(epochs=int(number))


def duration(seconds: float) -> str:
    """``seconds`` in words: ``45 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@dataclass(frozen=True, kw_only=True)
class Spent:
    """By all attempts at the trials of a search, added up.

    Attributes:
        epochs: that were trained.
        training_seconds: that these took.
        seconds: of the attempts, from their start to their end; of those that were killed, the training alone.
        complete: trials that were trained to their end.
    """

    epochs: int = 0
    training_seconds: float = 0.0
    seconds: float = 0.0
    complete: int = 0

    @classmethod
    def of(cls, store: Store, study: str) -> Spent:
        """What the store holds of ``study``."""
        rows = store.trials(study, attempts="all", columns=["stage", "state", "started", "finished"]).to_pylist()
        attempts = {(row["trial"], row["attempt"]): row for row in rows if row["stage"] == "search"}
        trained = dict.fromkeys(attempts, 0.0)
        epochs = 0
        for row in store.epochs(study, columns=["seconds"]).to_pylist():
            if (key := (row["trial"], row["attempt"])) in trained:
                trained[key] += row["seconds"]
                epochs += 1
        lasted = {
            key: (row["finished"] - row["started"]).total_seconds() if row["finished"] else trained[key]
            for key, row in attempts.items()
        }
        return cls(
            epochs=epochs,
            training_seconds=sum(trained.values()),
            seconds=sum(lasted.values()),
            complete=sum(row["state"] == "COMPLETE" for row in attempts.values()),
        )


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """What a study trains, in epochs: every run of a study takes as many steps for an epoch.

    Attributes:
        budget: for everything, in epochs; ``None``: no limit.
        seconds: for everything; ``None``: no limit.
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
    seconds: float | None = None
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
    def later(self) -> int:
        """Epochs of finals and references together."""
        return self.finals + self.for_references

    @property
    def search(self) -> int | None:
        """Epochs that are left for the search; ``None``: no limit but the number of trials.

        Raises:
            ValueError: too few are left for a single trial of each candidate of the finals.
        """
        if self.budget is None:
            return None
        left = self.budget - self.later
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
        if self.seconds is not None:
            shares = (
                f"{duration(self.seconds)}, of which finals take {self.finals:,} epochs and references "
                f"{self.for_references:,}; the search ends when a further trial would not leave the time for these"
            )
            trials = "trials"
        else:
            shares, trials = self._shares()
        return (
            f"plan: {shares}. The search trains {trials}, halving stops them from epoch {self.grace} on, and they are "
            f"compared on {self.compared} validation samples of one fold; {self.candidates} candidate(s) and "
            f"{self.references} reference(s) are compared on {self.compared_in_finals} samples of all folds"
        )

    def _shares(self) -> tuple[str, str]:
        """Epochs by what they are for, and the number of trials."""
        most = self.trials * self.trial_epochs
        search = most if self.search is None else min(self.search, most)
        total = search + self.later
        parts = (("search", search), ("finals", self.finals), ("references", self.for_references))
        shares = ", ".join(f"{name} {epochs:,} ({epochs / total:.0%})" for name, epochs in parts)
        least = max(1, search // self.trial_epochs)
        trials = f"{least} to {self.trials}" if least < self.trials else str(self.trials)
        return f"at most {total:,} epochs: {shares}", f"{trials} trials"
