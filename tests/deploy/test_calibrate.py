"""``branchpoint calibrate``: known miscalibration is found again, too little is refused, and the new bundle uses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from branchpoint.commands import cli
from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.bundle.local_fit import fit_classes, fit_survival
from branchpoint.deploy.bundle.outcomes import read_outcomes
from branchpoint.deploy.bundle.reference import survival_at
from branchpoint.deploy.bundle.tasks import TaskInfo
from branchpoint.deploy.prediction.results import value_result
from tests.deploy.conftest import Finished
from tests.deploy.test_predict import given


class Known:
    """A bundle of which only the reference is asked."""

    def __init__(self, **reference: Any) -> None:
        self.reference = reference


GRADE = TaskInfo(name="grade", kind="classification", target="grade", weight=1.0, labels=("low", "high"))
RISK = TaskInfo(name="risk", kind="survival", target="risk", weight=1.0, meaning="death")


def test_temperature_of_networks_that_are_too_sure_is_found_again() -> None:
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 1, 2000)
    label = rng.random(2000) < 1 / (1 + np.exp(-logit))
    sure = 1 / (1 + np.exp(-3 * logit))
    results = {str(i): {"tasks": {"grade": {"probabilities": {"low": 1 - p, "high": p}}}} for i, p in enumerate(sure)}
    outcomes = {str(i): {"grade": "high" if one else "low"} for i, one in enumerate(label)}
    fitted, report = fit_classes(GRADE, Known(), results, outcomes)  # type: ignore[arg-type]
    assert fitted["temperature"] == pytest.approx(3, rel=0.15)
    assert report["after"]["brier"] < report["before"]["brier"] - 0.01
    assert report["after"]["ece"] < 0.05 < report["before"]["ece"]
    bundle: Any = Known(grade=fitted)
    found = value_result(GRADE, {"a": np.array([1 - sure[0], sure[0]])}, bundle)["probabilities"]["high"]
    assert found == pytest.approx(1 / (1 + np.exp(-3 * logit[0] / fitted["temperature"])), abs=1e-9)


def cohort(count: int, seed: int = 0) -> tuple[dict[str, Any], dict[str, Any], np.ndarray]:
    """Exponential survival with hazard exp(0.8 z) / 1000 a day, followed for up to 1500 days."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 1, count)
    time, end = rng.exponential(1000 / np.exp(0.8 * z)), rng.uniform(300, 1500, count)
    results = {str(i): {"tasks": {"risk": {"z": {"a": v - 0.2, "b": v + 0.2}}}} for i, v in enumerate(z)}
    outcomes = {
        str(i): {"risk_days": str(min(t, e)), "risk_event": str(int(t <= e))}
        for i, (t, e) in enumerate(zip(time, end, strict=True))
    }
    return results, outcomes, z


def test_survival_of_a_place_with_other_risks_is_found_again() -> None:
    results, outcomes, _ = cohort(1500)
    optimistic = {"coefficient": 0.1, "times_days": [1.0, 3000.0], "cumulative_hazard": [0.01, 0.02]}
    bundle: Any = Known(risk={"calibrator": optimistic, "networks": {}})
    fitted, report = fit_survival(RISK, bundle, results, outcomes)
    assert fitted["calibrator"]["coefficient"] == pytest.approx(0.8, abs=0.1)
    for z in (-1.0, 0.0, 1.0):
        expected = np.exp(-500 / 1000 * np.exp(0.8 * z))
        assert survival_at(fitted["calibrator"], [z - 0.2, z + 0.2], 500) == pytest.approx(expected, abs=0.05)
    assert report["after"]["brier"] < report["before"]["brier"] - 0.05


def test_too_few_events_and_risks_that_order_nobody_are_refused() -> None:
    results, outcomes, z = cohort(60)
    bundle: Any = Known(risk={"calibrator": {"reason": "none"}, "networks": {}})
    few = {case: {**row, "risk_event": "1" if int(case) < 9 else "0"} for case, row in outcomes.items()}
    with pytest.raises(ValueError, match="9 of 60 patients with the event; 10 are needed"):
        fit_survival(RISK, bundle, results, few)
    turned = {case: {"tasks": {"risk": {"z": {"a": -z[int(case)]}}}} for case in results}
    with pytest.raises(ValueError, match="did not go with earlier events here"):
        fit_survival(RISK, bundle, turned, outcomes)
    with pytest.raises(ValueError, match="risk_event 0 or 1"):
        fit_survival(RISK, bundle, results, {**outcomes, "3": {"risk_days": "5", "risk_event": "2"}})
    with pytest.raises(ValueError, match="without reference"):
        fit_survival(RISK, Known(), results, outcomes)  # type: ignore[arg-type]


def test_command_writes_a_bundle_that_predicts_by_the_new_baseline(
    finished: Finished, strangers: Path, tmp_path: Path
) -> None:
    def run(*arguments: object) -> Any:
        return CliRunner().invoke(cli.app, [*map(str, arguments)])

    assert (
        run("predict", finished.bundle, "--input", given(strangers), "--id", "0", "--out", tmp_path / "out").exit_code
        == 0
    )
    whole = json.loads((tmp_path / "out/0/result.json").read_text())
    _, outcomes, z = cohort(60)
    rows = ["id,survival_days,survival_event"]
    for case, row in outcomes.items():  # one real prediction, with the z of a cohort that is known
        whole["tasks"]["survival"]["z"] = {name: float(z[int(case)]) for name in ("fold0", "fold1")}
        (tmp_path / "out" / case).mkdir(exist_ok=True)
        (tmp_path / "out" / case / "result.json").write_text(json.dumps(whole))
        rows.append(f"{case},{row['risk_days']},{row['risk_event']}")
    table = tmp_path / "outcomes.csv"
    table.write_text("\n".join([*rows, "gone,100,1"]))
    new = tmp_path / "local.bp"
    command = ("calibrate", finished.bundle, "--results", tmp_path / "out", "--outcomes", table, "--out", new)
    done = run(*command)
    assert done.exit_code == 0, done.output + str(done.exception)
    assert "60 patients" in done.output
    assert "1 cases of the table have no result" in done.output
    opened = Bundle.open(new)
    assert opened.reference["survival"]["calibrator"]["on"] == "mean z"
    provenance = opened.files.read_json("provenance.json")
    assert provenance["recalibrated"][0]["of"] == Bundle.open(finished.bundle).digest
    assert "## Recalibrated" in opened.files.read("card.md").decode()
    assert run("bundle", "verify", new).exit_code == 0
    again = run("predict", new, "--input", given(strangers), "--id", "0", "--out", tmp_path / "again", "--no-page")
    assert again.exit_code == 0
    found = json.loads((tmp_path / "again/0/result.json").read_text())["tasks"]["survival"]
    expected = survival_at(opened.reference["survival"]["calibrator"], list(found["z"].values()), 365.25)
    assert found["survival"]["1 year"]["value"] == pytest.approx(expected)
    mixed = run("calibrate", new, *command[2:-1], tmp_path / "more.bp")
    assert "predicted by another bundle" in str(mixed.exception)
    table.write_text("id,colour\n0,red\n")
    assert "unknown column 'colour'" in str(run(*command[:-1], tmp_path / "x.bp").exception)


def test_table_of_outcomes_is_read_as_clinical_tables_are(tmp_path: Path) -> None:
    table = tmp_path / "outcomes.csv"
    table.write_bytes("id;Grade;risk_days;risk_event\nMüller;high;100;1\nb;;;\n".encode("latin-1"))
    assert read_outcomes(table, [GRADE, RISK]) == {
        "Müller": {"grade": "high", "risk_days": "100", "risk_event": "1"},
        "b": {"grade": "", "risk_days": "", "risk_event": ""},
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("patient,grade\na,low\n", r"no column 'id'; the columns are id, grade"),
        ("id,grade,stage\na,low,2\n", r"unknown column 'stage'; it may have grade, id"),
        ("id,grade,grade\na,low,low\n", r"column 'grade' may be 'grade' \(column 2\) and 'grade' \(column 3\)"),
        ("id,grade\na,low\na,high\n", r"a : duplicate-row: found outcomes.csv line 3 is a second row"),
        ("id,grade\na\n", r"ragged-row"),
    ],
)
def test_faulty_tables_of_outcomes_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "outcomes.csv").write_text(text)
    with pytest.raises(ValueError, match=reason):
        read_outcomes(tmp_path / "outcomes.csv", [GRADE])
