"""Warnings that a user knows and accepts, with a reason, in the ``[accept]`` table of ``dataset.toml``."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.problems.rulebook import PICTURE_RULES, RULES


def acceptances(plain: Any) -> dict[str, str]:
    """Rule to reason, of a table ``rule = "reason"``.

    Raises:
        ValueError: there is no such rule, a rule is an error, or a reason is missing; the message names the rule.
    """
    if not isinstance(plain, Mapping):
        raise ValueError(f"accept: expected a table, [accept], found {plain!r}")
    rules = RULES | PICTURE_RULES
    for name, reason in plain.items():
        if name not in rules:
            near = difflib.get_close_matches(name, rules, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ", see docs/reference/datasets.md"
            raise ValueError(f"accept.{name}: no rule of check-data{hint}")
        if rules[name].severity == "error":
            raise ValueError(f"accept.{name}: an error cannot be accepted: {rules[name].fix}")
        if not isinstance(reason, str) or not reason.strip():
            raise ValueError(f'accept.{name}: give the reason as text, {name} = "why the data are right"')
    return {name: reason.strip() for name, reason in plain.items()}


def accept(problems: Iterable[Problem], accepted: Mapping[str, str]) -> list[Problem]:
    """``problems``, where the warnings that are accepted say so, with the reason."""
    return [
        replace(row, severity="accepted", fix=f"accepted: {accepted[row.rule]}")
        if row.severity == "warning" and row.rule in accepted
        else row
        for row in problems
    ]
