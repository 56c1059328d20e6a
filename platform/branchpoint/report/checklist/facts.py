"""What a study knows of itself, in sentences that answer items of reporting guidelines; empty where it is not known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from branchpoint import __version__
from branchpoint.evaluation.estimates import ATTAINABLE
from branchpoint.execution.recommendation import is_ensemble
from branchpoint.report.checklist.config_facts import OF_CONFIG
from branchpoint.report.results import Results
from branchpoint.report.tables import interval
from branchpoint.report.words import metric_name

Row = Mapping[str, Any]
EXTERNAL = ", external cohort "
"""In the labels of figures on a cohort from elsewhere (``branchpoint evaluate``)."""
MOST_LISTED = 12


def facts(results: Results) -> dict[str, str]:
    """Name to sentence, of all that is known."""
    found = {name: of_results(results) for name, of_results in OF_RESULTS.items()}
    if results.config:
        found |= {name: of_config(results.config) for name, of_config in OF_CONFIG.items()}
    return {name: text for name, text in found.items() if text}


def _source(results: Results) -> str:
    named = f"{results.about.get('dataset') or ''} {results.about.get('release') or ''}".strip()
    return f"Cohort: {named}." if named else ""


def _centres(results: Results) -> str:
    names = sorted({str(row["center"]) for row in results.by_center})
    more = f" and {len(names) - MOST_LISTED} others" if len(names) > MOST_LISTED else ""
    return f"{len(names)} centres: {', '.join(names[:MOST_LISTED])}{more}." if names else ""


def _left_out(results: Results) -> str:
    faulty = results.excluded
    return f"Left out for faulty files: {len(faulty)}." if faulty else "Nobody was left out for faulty files."


def _checks(results: Results) -> str:
    accepted = f"; warnings accepted: {', '.join(sorted(results.accepted))}" if results.accepted else ""
    return f"Files, geometry, labels and tables were checked before the start{accepted}."


def _missing(results: Results) -> str:
    notes = [note for note in results.notes if "missing" in note]
    return " ".join(["A sample without a label teaches the other tasks and is in no figure of its own.", *notes])


def _own(results: Results) -> list[Row]:
    return [row for row in results.recommended_test if row["metric"] in results.primary_metrics]


def _tested(results: Results) -> str:
    counts = {row["metric"]: row["n"] for row in _own(results)}
    return " ".join(f"{metric_name(metric)}: {n} test samples." for metric, n in counts.items())


def _events(results: Results) -> str:
    rows = [row for row in results.recommended_test if row["metric"].endswith("/n_events")]
    return " ".join(f"{row['metric'].split('/')[0]}: {row['value']:.0f} events." for row in rows)


def _search(results: Results) -> str:
    trials = len(results.search_trials)
    return f"{trials} configurations were tried; each with its state below." if trials else ""


def _metrics(results: Results) -> str:
    names = dict.fromkeys(row["metric"] for row in results.pooled_test)
    return f"Primary: {'; '.join(map(metric_name, results.primary_metrics))}; {len(names)} in all." if names else ""


def _references(results: Results) -> str:
    labels = dict.fromkeys(
        r["label"] for r in results.pooled_test if r["kind"] == "reference" and r["label"] != ATTAINABLE
    )
    return f"Compared with {'; '.join(labels)}." if labels else ""


def _clusters(results: Results) -> str:
    return "Primary metrics of each centre's patients are above." if results.by_center else ""


def _external(results: Results) -> str:
    names = {row["label"].split(EXTERNAL)[1] for row in results.figures if EXTERNAL in row["label"]}
    return f"Tested on {', '.join(sorted(names))}." if names else ""


def _ensembles(results: Results) -> str:
    single = "Test figures are of single networks, means over seeds where several"
    others = {row["label"] for row in results.pooled_test if row["candidate"] == results.best_candidate}
    named = sorted(label for label in others if is_ensemble(label))
    return f"{single}; of ensembles: {'; '.join(named)}." if named else f"{single}; none is of an ensemble."


def _performance(results: Results) -> str:
    rows = {row["metric"]: row for row in _own(results)}
    return " ".join(f"{metric_name(metric)} on test samples: {interval(row)}." for metric, row in rows.items())


def _limits(results: Results) -> str:
    largest = max((row["n"] for row in _own(results)), default=0)
    if not largest:
        return ""
    outside = "" if _external(results) else " and no cohort from elsewhere"
    return f"{largest} test patients of one cohort{outside}."


def _software(results: Results) -> str:
    versions = (results.best or {}).get("versions") or {"branchpoint": __version__}
    return f"{', '.join(f'{name} {version}' for name, version in versions.items())}."


OF_RESULTS: Mapping[str, Callable[[Results], str]] = {
    "source": _source,
    "centres": _centres,
    "left_out": _left_out,
    "checks": _checks,
    "missing": _missing,
    "tested": _tested,
    "events": _events,
    "protocol": lambda results: (
        "How test patients were kept apart stands under the test figures." if results.protocol else ""
    ),
    "search": _search,
    "metrics": _metrics,
    "uncertainty": lambda results: (
        f"95 % bootstrap intervals (resampled: {results.resampled}); p-values of comparisons corrected by Holm."
    ),
    "references": _references,
    "clusters": _clusters,
    "external": _external,
    "performance": _performance,
    "limits": _limits,
    "disjoint": lambda _: "Patients, or the groups that the cohort names (volumes, videos), are in one part alone.",
    "ensembles": _ensembles,
    "failures": lambda _: "For dense tasks the worst test case is shown.",
    "software": _software,
    "access": lambda results: (
        f"`branchpoint bundle create --study {results.study}` writes the networks with their use."
    ),
    "input_checks": lambda _: "`branchpoint predict` checks files and refuses those that it cannot read rightly.",
    "configuration": lambda _: "The whole configuration is at the end of this page.",
}
