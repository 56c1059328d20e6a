"""How a command ends: exit codes, messages with brackets, signals sent to a real process with a real Ray."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
import typer

from branchpoint.commands.running import run_command
from branchpoint.execution.runs import NoResultError
from branchpoint.report.tables import print_rows
from branchpoint.store import Store
from tests.processes import ray_processes, start, wait_until, workers

DRIVER = Path(__file__).parent / "interrupted_driver.py"


def ended_with(problem: Exception, monkeypatch: pytest.MonkeyPatch) -> object:
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def fail() -> None:
        raise problem

    monkeypatch.setattr("sys.argv", ["branchpoint"])
    with pytest.raises(SystemExit) as stopped:
        run_command(app)
    return stopped.value.code


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (NoResultError("study 'a': no trial completed"), 1),
        (ValueError("wrong"), 2),
        (FileNotFoundError(2, "No such file", "x"), 2),
    ],
)
def test_exit_codes(problem: Exception, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ended_with(problem, monkeypatch) == code


def test_brackets_are_printed_as_they_are(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    ended_with(ValueError("no patient [red]P1[/red] in /data/[a]/[/b]"), monkeypatch)
    assert "error: no patient [red]P1[/red] in /data/[a]/[/b]" in capsys.readouterr().err
    print_rows(["[bold]", "n"], [["[red]P1[/x]", "1"]], title="[/title]")
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("[bold]", "[red]P1[/x]", "[/title]"))


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_with_one_sentence_and_no_process(
    number: int,
    code: int,
    tmp_path: Path,
    ray_folder: Path,
) -> None:
    driver = start(DRIVER, tmp_path, ray_folder=ray_folder)
    store = Store(str(tmp_path / "results"))
    wait_until(lambda: "RUNNING" in store.trials("killed")["state"].to_pylist(), driver, 300)
    assert workers(ray_folder)
    driver.send_signal(number)
    sent = time.monotonic()
    said, _ = driver.communicate(timeout=60)
    assert driver.returncode == code, said
    assert said.count("the same command continues where this one stopped") == 1
    assert "Traceback" not in said
    wait_until(lambda: not ray_processes(ray_folder), seconds=max(0.1, 10 - (time.monotonic() - sent)))
