"""Groups of tasks: published groupings, brute force, budgets."""

import itertools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from branchpoint.affinity.grouping import best_grouping, group_scores

ORACLE = Path(os.environ.get("BRANCHPOINT_DATA", "")) / "oracles" / "tag_affinity.json"
TASKONOMY = ("ss_l", "depth_l", "norm_l", "key_l", "edge2d_l")
PUBLISHED = [
    ("taskonomy", 2, 0.321696, [{"ss_l", "depth_l", "norm_l"}, {"key_l", "edge2d_l"}]),
    ("taskonomy", 3, 0.348670, [{"ss_l", "depth_l"}, {"depth_l", "norm_l"}, {"key_l", "edge2d_l"}]),
    ("taskonomy", 4, 0.348670, [{"ss_l", "depth_l"}, {"depth_l", "norm_l"}, {"key_l", "edge2d_l"}]),
    ("celeba", 2, -99.441818, None),
    (
        "celeba",
        3,
        -92.438427,
        [
            {"5_o_Clock_Shadow", "No_Beard"},
            {"Black_Hair", "Brown_Hair"},
            {"Black_Hair", "Blond_Hair", "Goatee", "Mustache", "No_Beard", "Rosy_Cheeks", "Wearing_Hat"},
        ],
    ),
]
TRANSPOSED = [("taskonomy", 3, 0.383878), ("celeba", 2, -85.722593)]


def published(name: str) -> tuple[list[str], np.ndarray]:
    if not ORACLE.exists():
        pytest.skip(f"the published matrices are not at {ORACLE}; set BRANCHPOINT_DATA")
    table = json.loads(ORACLE.read_text())[name]
    tasks = list(table)
    return tasks, np.array([[table[row][column] for column in tasks] for row in tasks])


@pytest.mark.parametrize(("name", "networks", "score", "groups"), PUBLISHED)
def test_published_matrices_give_the_known_groupings(
    name: str, networks: int, score: float, groups: list | None
) -> None:
    tasks, matrix = published(name)
    found = best_grouping(tasks, matrix, networks)
    assert found.score == pytest.approx(score, abs=1e-6)
    if groups is not None:
        assert sorted(map(sorted, found.groups)) == sorted(map(sorted, groups))
    else:
        assert {"5_o_Clock_Shadow", "No_Beard"} in [set(group) for group in found.groups]
        assert set(tasks) - {"5_o_Clock_Shadow"} in [set(group) for group in found.groups]


@pytest.mark.parametrize(("name", "networks", "score"), TRANSPOSED)
def test_orientation_matters(name: str, networks: int, score: float) -> None:
    """Rows are helped, columns help: the transpose has another optimum, so that a mistake would show."""
    tasks, matrix = published(name)
    assert best_grouping(tasks, matrix.T, networks).score == pytest.approx(score, abs=1e-6)


def brute_force(
    size: int, affinity: np.ndarray, networks: int, costs: dict, budget: float, alone: list | None
) -> float:
    groups, scores = group_scores(size, affinity, alone)
    best = -np.inf
    for count in range(1, networks + 1):
        for picked in itertools.combinations(range(len(groups)), count):
            if sum(costs[groups[g]] for g in picked) <= budget:
                best = max(best, scores[list(picked)].max(0).mean())
    return best


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 4), st.integers(1, 3), st.integers(0, 2**32), st.booleans(), st.booleans())
def test_equals_brute_force(size: int, networks: int, seed: int, budgeted: bool, singles: bool) -> None:
    generator = np.random.default_rng(seed)
    affinity = generator.normal(size=(size, size)).round(1)  # ties too
    alone = generator.normal(size=size).tolist() if singles else None
    groups, _ = group_scores(size, affinity, alone)
    costs = {group: float(generator.integers(1, 9)) for group in groups}
    budget = float(generator.integers(3, 15)) if budgeted else float("inf")
    tasks = [f"t{i}" for i in range(size)]
    expected = brute_force(size, affinity, networks, costs, budget, alone)

    def find() -> object:
        return best_grouping(
            tasks,
            affinity,
            networks,
            cost=lambda group: costs[tuple(int(t[1]) for t in group)],
            budget=budget,
            alone=alone,
        )

    if expected == -np.inf:
        with pytest.raises(ValueError, match="allow more networks or cost"):
            find()
        return
    found: Any = find()
    assert found.score == pytest.approx(expected)
    assert found.cost == sum(costs[tuple(int(t[1]) for t in group)] for group in found.groups) <= budget
    assert set(found.serves) == set(tasks)
    assert all(task in group and group in found.groups for task, group in found.serves.items())


def test_a_budget_of_macs_forces_sharing() -> None:
    affinity = np.array([[0, 1, -1], [1, 0, -1], [-1, -1, 0.0]])
    free = best_grouping("abc", affinity, 2, alone=[0, 0, 0], cost=lambda group: 1.0)
    assert free.groups == (("a", "b"), ("c",))
    assert free.cost == 2
    assert best_grouping("abc", affinity, 2, alone=[0, 0, 0], cost=lambda group: 1.0, budget=1).groups == (
        ("a", "b", "c"),
    )


def test_of_equal_groupings_the_smaller_one() -> None:
    assert best_grouping("ab", np.zeros((2, 2)), 2, alone=[0, 0]).groups == (("a", "b"),)


def test_ten_tasks_in_three_networks() -> None:
    """Three planted families among 10 tasks: 1013 groups, 173 million sets of three."""
    family = np.arange(10) % 3
    affinity = np.where(family[:, None] == family, 1.0, -0.5) + np.random.default_rng(0).normal(size=(10, 10)) * 0.1
    found = best_grouping([f"t{i}" for i in range(10)], affinity, 3)
    assert {frozenset(int(t[1:]) % 3 for t in group) for group in found.groups} == {frozenset([k]) for k in range(3)}


@pytest.mark.parametrize(
    ("affinity", "networks", "message"),
    [(np.zeros((2, 3)), 1, r"shape \(2, 3\): 3 tasks need"), (np.zeros((3, 3)), 0, "networks is 0")],
)
def test_refusals(affinity: np.ndarray, networks: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        best_grouping("abc", affinity, networks)
