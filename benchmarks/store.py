"""Writing and ranking trials: our Parquet store against Optuna's journal and SQLite, deltalake and MLflow.

Append: one finished trial (seven metrics, a config of 1 kB) per call, on the disk when the call returns; contenders
take turns, a few rows each. Best: the best of 2,000 and of 1,000,000 trials with its whole row, by a reader that just
opened the store, as another process would ("again": by the same reader once more). All must find the same trial.

Our store of 2,000 trials is written one row at a time (RUNNING, then the end), that of 1,000,000 in files of 65,536
rows, as its merging leaves them, and the last 16,960 rows one at a time. The others are filled in bulk with the rows
that they write themselves. A contender that is not installed is named and left out.

    python benchmarks/store.py                              # an hour at most, 6 GB of disk, 8 GB of memory
    python benchmarks/store.py --large 0 --folder /mnt/disk # without the million, on another disk
    python benchmarks/store.py --quick                      # a few seconds, to see that it runs
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peers.stores import PEERS, Branchpoint, BranchpointEpochs, Trials

from branchpoint.store import encoding

APPEND_TARGET_MS = 1.0
BEST_TARGET_MS = {"2,000": 20.0, "1,000,000": 150.0}


def milliseconds(work: Any, *arguments: Any) -> tuple[float, float]:
    """How long one call takes, and how much processor time of all threads that is."""
    start, used = time.perf_counter(), time.process_time()
    work(*arguments)
    return (time.perf_counter() - start) * 1e3, (time.process_time() - used) * 1e3


def installed(folder: Path, trials: Trials, skip: Sequence[str]) -> list[Any]:
    """Types of the peers that can be used here."""
    found = []
    for peer in PEERS:
        if peer.name in skip:
            print(f"{peer.name}: left out as asked")
            continue
        try:
            peer(new_folder(folder, "probe"), trials)
        except ImportError as problem:
            print(f"{peer.name}: left out, {problem.name} is not installed")
        else:
            found.append(peer)
    return found


def new_folder(folder: Path, name: str) -> Path:
    """An empty folder of its own."""
    return Path(tempfile.mkdtemp(prefix=name.replace(" ", "-").replace(",", "") + "-", dir=folder))


def measure_appends(folder: Path, contenders: list[Any], trials: Trials, rows: int) -> None:
    """Prints the time of a row for each contender, and how many times ours it is."""
    opened = [contender(new_folder(folder, "append"), trials) for contender in contenders]
    taken: dict[str, list[tuple[float, float]]] = {contender.name: [] for contender in contenders}
    for start in range(0, rows, 20):
        for contender in opened:
            taken[contender.name] += [
                milliseconds(contender.write_trial, n) for n in range(start, min(start + 20, rows))
            ]
    ours = statistics.median(wall for wall, _ in taken[Branchpoint.name])
    head = f"append, {rows} rows, ms"
    print(f"\n{head:24}{'median':>10}{'CPU':>10}{'mean':>10}{'p99':>10}{'/ ours':>10}")
    for contender in opened:
        times = taken[contender.name][1:]  # the first one makes the folders and tables
        walls, used = sorted(wall for wall, _ in times), statistics.median(cpu for _, cpu in times)
        median, synced = statistics.median(walls), "" if contender.synced else "   (not synced to the disk)"
        print(
            f"{contender.name:24}{median:10.2f}{used:10.2f}{statistics.fmean(walls):10.2f}"
            f"{walls[int(len(walls) * 0.99)]:10.2f}{median / ours:10.1f}{synced}"
        )
    print(f"target {APPEND_TARGET_MS:.1f} ms: {'reached' if ours <= APPEND_TARGET_MS else 'missed'}")


def measure_parts(folder: Path, trials: Trials, rows: int) -> None:
    """Prints where the time of a row of ours goes."""
    parts: dict[str, list[float]] = {}

    def timed(name: str, work: Any) -> Any:
        def call(*arguments: Any) -> Any:
            start = time.perf_counter()
            result = work(*arguments)
            parts.setdefault(name, []).append((time.perf_counter() - start) * 1e3)
            return result

        return call

    contender = Branchpoint(new_folder(folder, "parts"), trials)
    contender.writer = type(contender.writer)(contender.writer._files, "study", merge_every=0)
    originals = os.fsync, encoding.encode
    os.fsync, encoding.encode = timed("sync", originals[0]), timed("encoding", originals[1])
    try:
        whole = [milliseconds(contender.write_trial, number)[0] for number in range(rows)]
    finally:
        os.fsync, encoding.encode = originals
    sync = statistics.median(parts["sync"][-rows:])  # before them, those of new folders
    encode, total = statistics.median(parts["encoding"]), statistics.median(whole)
    rest = total - encode - sync
    print(
        f"a row of ours without merging, {total:.2f} ms: Parquet encoding {encode:.2f}, "
        f"fsync {sync:.2f}, record, Arrow row, new file and rename {rest:.2f}"
    )


def measure_best(folder: Path, contenders: list[Any], trials: Trials, count: int) -> None:
    """Prints the time to the best of ``count`` trials for each contender, and how many times ours it is."""
    head = f"best of {count:,}, ms"
    print(f"\n{head:24}{'median':>10}{'CPU':>10}{'again':>10}{'/ ours':>10}")
    ours = 0.0
    for contender in contenders:
        place = new_folder(folder, "best")
        opened = contender(place, trials)
        start = time.perf_counter()
        layout = opened.fill(count)
        filled = time.perf_counter() - start
        first: list[tuple[float, float]] = []
        again: list[tuple[float, float]] = []
        while len(first) < 9 and sum(wall for wall, _ in first) < 10_000:
            reader = opened.reader()
            first.append(milliseconds(check, reader, trials.best, contender.name))
            again.append(milliseconds(reader))
        median, used = (statistics.median(times) for times in zip(*first, strict=True))
        once_more = statistics.median(wall for wall, _ in again)
        ours = ours or median
        print(
            f"{contender.name:24}{median:10.1f}{used:10.1f}{once_more:10.1f}{median / ours:10.1f}"
            f"   ({layout}; filled in {filled:.0f} s)",
            flush=True,
        )
        del opened
        shutil.rmtree(place)
    target = BEST_TARGET_MS.get(f"{count:,}")
    if target:
        print(f"target {target:.0f} ms: {'reached' if ours <= target else 'missed'}")


def check(reader: Any, expected: float, name: str) -> None:
    """Reads, and refuses a wrong answer."""
    found = reader()
    if found != expected:
        raise RuntimeError(f"{name} found a best score of {found}, but it is {expected}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=400, help="rows to append")
    parser.add_argument("--small", type=int, default=2_000, help="trials to rank")
    parser.add_argument("--large", type=int, default=1_000_000, help="trials to rank; 0 leaves it out")
    parser.add_argument("--skip", action="append", default=[], help="name of a contender to leave out")
    parser.add_argument("--folder", type=Path, help="where to write; the default is the folder for temporary files")
    parser.add_argument("--quick", action="store_true", help="40 rows, 60 and 300 trials")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rows, options.small, options.large = 40, 60, 300
    print(
        f"{os.cpu_count()} processors, load average {os.getloadavg()[0]:.1f}: on a busy machine most of a median is "
        "waiting for a processor, also after an fsync; the column CPU leaves that out"
    )
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        peers = installed(folder, Trials(1000), options.skip)
        measure_appends(folder, [Branchpoint, BranchpointEpochs, *peers], Trials(options.rows), options.rows)
        measure_parts(folder, Trials(options.rows), options.rows)
        for count in (options.small, options.large):
            if count:
                measure_best(folder, [Branchpoint, *peers], Trials(count), count)


if __name__ == "__main__":
    main()
