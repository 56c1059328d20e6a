"""The lines that a user reads."""

from __future__ import annotations

import io
import math

from branchpoint.execution.progress import Progress
from branchpoint.execution.run_spec import Outcome


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_lines_of_a_search() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = Progress("trial", 4, "validation/score", stream=stream, clock=clock)
    clock.now = 30
    progress.ended(Outcome(name="0000", state="COMPLETE", value=0.5, epochs=6))
    clock.now = 75
    progress.tick(running=2)
    clock.now = 91
    progress.tick(running=2)
    progress.ended(Outcome(name="0001", state="PRUNED", value=0.25, epochs=2))
    trace = "trial 0002 failed\nTraceback ...\nValueError: CHGJ007: the mask is empty"
    failed = {"state": "FAILED", "reason": "ValueError: CHGJ007: the mask is empty", "traceback": trace}
    progress.ended(Outcome(name="0002", **failed))  # type: ignore[arg-type]
    progress.ended(Outcome(name="0003", **failed))  # type: ignore[arg-type]
    progress.finish()
    assert stream.getvalue().splitlines() == [
        "[00:30] trial 0000: complete, validation score 0.5000 in 6 epochs, the best so far",
        "[01:31] 1 of 4 trials ended (1 complete); best validation score 0.5000 (trial 0000); 2 running; "
        "about 5 min left",
        "[01:31] trial 0001: pruned, validation score 0.2500 in 2 epochs, best 0.5000 (trial 0000)",
        "[01:31] trial 0002: failed, ValueError: CHGJ007: the mask is empty",
        "[01:31] trial 0003: failed, ValueError: CHGJ007: the mask is empty",
        "[01:31] 4 of 4 trials ended (1 complete, 2 failed, 1 pruned); best validation score 0.5000 (trial 0000)",
        "",
        *trace.splitlines(),
    ]


def test_going_on_counts_what_was_before_and_nan_is_never_best() -> None:
    stream = io.StringIO()
    before = [Outcome(name="0000", state="COMPLETE", value=math.nan), Outcome(name="0001", state="INFEASIBLE")]
    progress = Progress("trial", 3, "loss", maximize=False, before=before, stream=stream, clock=Clock())
    progress.ended(Outcome(name="0002", state="COMPLETE", value=2.0, epochs=1))
    progress.ended(Outcome(name="0003", state="COMPLETE", value=1.0, epochs=1))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "[00:00] going on after 1 of 3 trials ended (1 complete, 1 infeasible)"
    assert lines[-1].endswith("loss 1.0000 in 1 epoch, the best so far")


def test_a_titled_run_is_named_in_words_and_its_id_comes_last() -> None:
    stream = io.StringIO()
    titles = {"9b2864-fold0": "all shared, fold 1 of 3", "9b2864-fold1": "all shared, fold 2 of 3"}
    progress = Progress("fold", 2, "loss", titles=titles, maximize=False, stream=stream, clock=Clock())
    progress.ended(Outcome(name="9b2864-fold0", state="COMPLETE", value=1.0, epochs=3))
    progress.ended(Outcome(name="9b2864-fold1", state="COMPLETE", value=2.0, epochs=3))
    progress.finish()
    assert stream.getvalue().splitlines() == [
        "[00:00] all shared, fold 1 of 3: complete, loss 1.0000 in 3 epochs, the best so far (run 9b2864-fold0)",
        "[00:00] all shared, fold 2 of 3: complete, loss 2.0000 in 3 epochs, "
        "best 1.0000 (all shared, fold 1 of 3) (run 9b2864-fold1)",
        "[00:00] 2 of 2 folds ended (2 complete); best loss 1.0000 (all shared, fold 1 of 3)",
    ]
