"""Runs a command line: mistakes end in one sentence, interruptions leave no process behind, exit codes say which.

Exit codes: 0 success; 1 the work was done but has no result (every candidate failed, a fold failed); 2 a mistake in the
input, found before or during the work; 130 after Ctrl-C and 143 after SIGTERM.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

_SENTENCES = {
    signal.SIGINT: "interrupted; the same command continues where this one stopped",
    signal.SIGTERM: "terminated; the same command continues where this one stopped",
}
_received: list[int] = []


def run_command(app: typer.Typer) -> None:
    """Run ``app`` on the arguments of this process."""
    from branchpoint.datasets.problems.problem import CohortError
    from branchpoint.execution.runs import NoResultError

    try:
        with interruptible():
            app()
    except CohortError as problem:
        from branchpoint.datasets.problems.table import print_problems

        print_problems(problem.problems, title="the cohort has errors")
        sys.exit(2)
    except NoResultError as problem:
        _fail(problem, 1)
    except (ValueError, OSError, ModuleNotFoundError) as problem:
        _fail(problem, 2)


def _fail(problem: Exception, code: int) -> NoReturn:
    from rich.console import Console
    from rich.text import Text

    # A Text, not a str: names in messages may hold brackets, which Rich would take for markup.
    Console(stderr=True, soft_wrap=True).print(Text.assemble(("error: ", "red"), str(problem)))
    sys.exit(code)


@contextmanager
def interruptible() -> Iterator[None]:
    """End this process on SIGINT and SIGTERM with one sentence and exit code 130 or 143, after all clean-up.

    The signal raises ``SystemExit``, so that every ``finally`` and ``with`` is run; a second signal kills at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _stop) for number in _SENTENCES}
    _received.clear()
    try:
        yield
    except SystemExit:
        if _received:  # Ray's waiting calls pass SystemExit on without its code
            raise SystemExit(128 + _received[0]) from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: Any) -> NoReturn:
    for known in _SENTENCES:
        signal.signal(known, signal.SIG_DFL)
    _received.append(number)
    print(f"\n{_SENTENCES[signal.Signals(number)]}", file=sys.stderr, flush=True)
    raise SystemExit(128 + number)
