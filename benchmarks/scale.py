"""What a search of many trials costs its driver, the rule that stops trials, and the store: real code, fake trials.

    python benchmarks/scale.py --trials 1000 --concurrent 100 --every 250 [--no-store | --random]

Searcher, suggestions, journal, rule and store are those of a search; the trials only report. Ray's own controller and
processes are not part of it. All runs in one process, so that the parts' processor time can be told apart: `suggest`,
`report` and `tell` are the driver's, `prune` is one process of the cluster's, `store` is shared by the workers.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import resource
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from branchpoint.config import DatasetConfig
from branchpoint.execution.attempt import running_record
from branchpoint.execution.halving import Halving, HalvingConfig
from branchpoint.execution.run_spec import Outcome, RunSpec, Setup
from branchpoint.on_ray.start_barrier import StartBarrier
from branchpoint.on_ray.tune_searcher import TuneSearcher, WorkerFailures
from branchpoint.search.suggest.runs import SearchRuns
from branchpoint.search.suggest.suggestions import Suggestions
from branchpoint.store import EpochRecord, Store, Writer
from search_spaces import hecktor


class AtRandom(Suggestions):
    """Suggestions that cost next to nothing, to look at the store of a long search."""

    def _sampler(self, number: int, at_random: bool) -> Any:
        return super()._sampler(number, True)


class FakeTune:
    """Hands out runs as Ray Tune does, ``concurrent`` at once, on a clock of its own."""

    def __init__(
        self, folder: Path, trials: int, concurrent: int, epochs: int, writes: bool = True, at_random: bool = False
    ) -> None:
        base = hecktor.base(DatasetConfig(name="hecktor", root="/data", release="2021"))
        self.base = replace(base, training=replace(base.training, epochs=epochs))
        self.epochs, self.concurrent, self.writes = epochs, concurrent, writes
        setup = Setup(study="scale", store=str(folder / "results"), folder=folder / "state", prepared=folder)
        (folder / "state").mkdir()
        self.store = Store(setup.store)
        self.journal = folder / "state" / "journal.log"
        kind = AtRandom if at_random else Suggestions
        self.suggestions = kind(self.journal, "scale", hecktor.space, self.base, trials=trials)
        barrier = StartBarrier(folder / "barrier")
        self.barrier = barrier
        self.searcher = TuneSearcher(
            SearchRuns(self.suggestions), setup, WorkerFailures(), barrier, lambda outcome: None
        )
        self.rule = Halving(HalvingConfig(grace=max(1, epochs // 3)), epochs)
        self.random = random.Random(0)
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()
        self.ended = 0

    def write(self, call: Callable[[Any], None], record: Any) -> None:
        """As a worker does, unless the driver alone is looked at."""
        if self.writes:
            with self.part("store"):
                call(record)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        began = time.process_time()
        yield
        self.seconds[name] += time.process_time() - began
        self.calls[name] += 1

    def run(self) -> Iterator[int]:
        """Gives the number of trials that have ended, after each."""
        queue: list[tuple[float, int, FakeTrial]] = []
        clock, handed_out = 0.0, 0
        while True:
            while len(queue) < self.concurrent:
                with self.part("suggest"):
                    given = self.searcher.suggest(f"{handed_out}")
                if not isinstance(given, dict):
                    break
                trial = FakeTrial(self, f"{handed_out}", given["spec"])
                heapq.heappush(queue, (clock + self.random.uniform(5, 15), handed_out, trial))
                handed_out += 1
            if not queue:
                return
            clock, number, trial = heapq.heappop(queue)
            if trial.epoch_ends():
                heapq.heappush(queue, (clock + self.random.uniform(5, 15), number, trial))
            else:
                self.ended += 1
                yield self.ended


class FakeTrial:
    """Reports a value that grows towards its quality, and writes the rows that a real one writes."""

    def __init__(self, tune: FakeTune, trial_id: str, spec: RunSpec) -> None:
        self.tune, self.trial_id, self.spec = tune, trial_id, spec
        self.quality = tune.random.random()
        self.epoch = 0
        tune.barrier.begun(spec.name)
        self.record = running_record("scale", spec.name, spec.config, "search", 1)
        self.writer: Writer = tune.store.writer("scale")
        tune.write(self.writer.trial, self.record)

    def epoch_ends(self) -> bool:
        """Whether another epoch follows."""
        tune = self.tune
        self.epoch += 1
        value = self.quality * (1 - 0.5**self.epoch) + 0.02 * tune.random.random()
        names = ("score", "tumour/dice", "survival/c_index", "loss", "loss/tumour", "loss/survival")
        metrics = {f"validation/{name}": value for name in names}
        tune.write(
            self.writer.epoch,
            EpochRecord(study="scale", trial=self.spec.name, epoch=self.epoch, metrics=metrics, seconds=10.0),
        )
        with tune.part("report"):
            tune.searcher.on_trial_result(self.trial_id, {"epoch": self.epoch, "value": value})
        with tune.part("prune"):
            reason = tune.rule.stop_reason(self.spec.name, self.epoch, value)
        if not reason and self.epoch < tune.epochs:
            return True
        state = "PRUNED" if reason else "COMPLETE"
        tune.write(
            self.writer.trial,
            replace(self.record, state=state, reason=reason or "", metrics=metrics, finished=datetime.now(UTC)),
        )
        outcome = Outcome(name=self.spec.name, state=state, value=value, reason=reason or "", epochs=self.epoch)
        with tune.part("tell"):
            tune.searcher.on_trial_complete(self.trial_id, {"outcome": json.dumps(asdict(outcome))})
        return False


def measure(trials: int, concurrent: int, epochs: int, every: int, writes: bool, at_random: bool) -> None:
    """One table; each row is about the trials since the row before."""
    parts = ("suggest", "report", "tell", "prune", "store")
    print(f"{trials} trials, {concurrent} at once, up to {epochs} epochs; processor milliseconds per call")
    print(
        f"{'ended':>8} {'driver ms/trial':>16}"
        + "".join(f"{part:>9}" for part in parts)
        + f"{'store rows/s':>14} {'files':>6} {'journal MB':>11} {'memory MB':>10}"
    )
    with tempfile.TemporaryDirectory() as folder:
        tune = FakeTune(Path(folder), trials, concurrent, epochs, writes, at_random)
        last = 0
        for ended in tune.run():
            if ended % every and ended != trials:
                continue
            driver = sum(tune.seconds[part] for part in parts[:3]) / (ended - last) * 1000
            each = [tune.seconds[part] / max(tune.calls[part], 1) * 1000 for part in parts]
            rows = tune.calls["store"] / max(tune.seconds["store"], 1e-9)
            files = sum(1 for _ in Path(folder, "results").rglob("*.parquet"))
            megabytes = tune.journal.stat().st_size / 1e6
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
            print(
                f"{ended:>8} {driver:>16.2f}"
                + "".join(f"{value:>9.3f}" for value in each)
                + f"{rows:>14.0f} {files:>6} {megabytes:>11.1f} {memory:>10.0f}",
                flush=True,
            )
            tune.seconds.clear()
            tune.calls.clear()
            last = ended
        if not writes:
            return
        began = time.process_time()
        best = tune.store.best("scale", "validation/score", top=3)
        print(f"best of the store in {time.process_time() - began:.2f} s: {[row['trial'] for row in best]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--concurrent", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--every", type=int, default=250, help="Trials of a row.")
    parser.add_argument("--no-store", action="store_true", help="Leave out the rows that workers write.")
    parser.add_argument("--random", action="store_true", help="Draw suggestions at random: the store alone counts.")
    given = parser.parse_args()
    measure(given.trials, given.concurrent, given.epochs, given.every, not given.no_store, given.random)
