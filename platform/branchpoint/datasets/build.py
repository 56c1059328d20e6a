"""Builds the volumes that the cache lacks, several patients at a time, with a progress bar.

Patients are prepared by threads: SimpleITK and numpy release the interpreter's lock while they work (12 STS scans on
2 cores: 0.96 s by threads, 0.96 s by processes, 2.0 s one by one). Threads need no pickling and no guard in the
calling script, and work inside a Ray worker.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager

from branchpoint.datasets.cache.store import VolumeCache
from branchpoint.datasets.cohort import MaskLabel, Patient
from branchpoint.datasets.preparation.preparation import Preparation


def build_missing(
    cache: VolumeCache,
    patients: Mapping[str, Patient],
    preparation: Preparation,
    mask_targets: Sequence[str],
    *,
    workers: int = 0,
    progress: bool = True,
) -> None:
    """Prepare the patients, by key, that ``cache`` does not hold.

    Raises:
        ValueError: patients could not be prepared; all others are, and the message names each with its file.
    """
    missing = [key for key in patients if not cache.holds(key)]
    if not missing:
        return
    # Jobs that start together go through the patients in different orders, and so share the work.
    random.Random(os.getpid()).shuffle(missing)

    def build(key: str) -> None:
        if not cache.holds(key):
            cache.add(key, preparation.prepare(patients[key], mask_targets, with_margin=True))

    failures: dict[str, BaseException] = {}
    with _progress(len(missing), len(patients), progress) as advance, ThreadPoolExecutor(workers or _cores()) as pool:
        running = {pool.submit(build, key): patients[key] for key in missing}
        try:
            for future in as_completed(running):
                problem = future.exception()
                if problem is not None:
                    failures[running[future].id] = problem
                advance()
        finally:
            pool.shutdown(cancel_futures=True)  # after Ctrl-C, let only what has begun come to its end
    if failures:
        raise _failure(failures, {patient.id: patient for patient in patients.values()})


def _failure(failures: Mapping[str, BaseException], patients: Mapping[str, Patient]) -> ValueError:
    lines = []
    for name, problem in sorted(failures.items()):
        labels = patients[name].labels.values()
        masks = [layer.path for label in labels if isinstance(label, MaskLabel) for layer in label.files]
        files = [*patients[name].images.values(), *masks]
        known = isinstance(problem, ValueError)
        lines.append(str(problem) if known else f"patient {name} ({', '.join(map(str, files))}): {problem!r}")
    failure = ValueError(f"{len(lines)} patient(s) could not be prepared:\n" + "\n".join(lines))
    failure.__cause__ = next(iter(failures.values()))
    return failure


def _cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _progress(count: int, total: int, shown: bool) -> Iterator[Callable[[], None]]:
    """A function to call after each patient: it moves a bar on a terminal; elsewhere one line is printed at the end."""
    if shown and sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task("Preparing patients", total=count)
            yield lambda: bar.advance(task)
        return
    start = time.monotonic()
    yield lambda: None
    if shown:
        print(f"Prepared {count} of {total} patients in {time.monotonic() - start:.0f} s", file=sys.stderr)
