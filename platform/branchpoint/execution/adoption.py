"""A run that was trained under one name, taken over under another: no fold of a configuration is trained twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from branchpoint.execution.held_out import kept_as
from branchpoint.execution.run_spec import RunSpec, Setup
from branchpoint.execution.state import NETWORK
from branchpoint.store import Store, TrialRecord
from branchpoint.training.state.warm_start import CONFIG_FILE


def adopt(specs: Sequence[RunSpec], setup: Setup) -> list[str]:
    """Give ``specs`` the results of complete runs of the study with the same fingerprint; names of those that got them.

    Runs that are there already, and Configs whose network was not kept, are left alone. The epochs stay with the run
    that trained them, so that its time counts once.
    """
    rows = Store(setup.store).trials(setup.study).to_pylist(maps_as_pydicts="strict")
    known = {row["trial"] for row in rows}
    complete = {row["fingerprint"]: row for row in rows if row["state"] == "COMPLETE" and row["fingerprint"]}
    adopted = []
    for spec in specs:
        row = complete.get(spec.config.fingerprint)
        if row is None or spec.name in known or not setup.run_folder(row["trial"]).has_network:
            continue
        source, target = setup.run_folder(row["trial"]).place, setup.run_folder(spec.name)
        for name in (CONFIG_FILE, kept_as("validation"), NETWORK):  # the network last: with it, the run counts as kept
            if source.holds(name):
                target.place.write(name, source.read(name))
        target.begin_attempt()
        Store(setup.store).writer(setup.study).trial(_record(row, spec))
        adopted.append(spec.name)
    return adopted


def _record(row: Mapping[str, Any], spec: RunSpec) -> TrialRecord:
    given = {each.name: row[each.name] for each in fields(TrialRecord) if row.get(each.name) is not None}
    notes = (*(row["notes"] or ()), f"trained as run {row['trial']}")
    record = TrialRecord(**given)
    return replace(record, trial=spec.name, stage=spec.stage, attempt=1, config=spec.config.to_json(), notes=notes)
