"""Starting points are checked before anything starts."""

from __future__ import annotations

import pytest

from branchpoint.config import Config
from branchpoint.search.space.points import check_points, config_at
from tests.search.search_toys import toy_space


def test_valid_point(base: Config) -> None:
    assert config_at(toy_space, base, {"width": 3, "depth": 2}).network.width == 3


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"width": 9, "depth": 2}, "width is 9, outside of IntDistribution"),
        ({"width": 2.5, "depth": 2}, "width is 2.5, outside of"),
        ({"width": "3", "depth": 2}, "starting point"),
        ({"width": 3}, "'depth' is not found"),
        ({"width": 3, "depth": 2, "dropout": 0.1}, "never asks for 'dropout'; it asks for width, depth"),
        ({"width": 7, "depth": 4}, "does not fit depth 4"),
    ],
)
def test_invalid_points_are_named(base: Config, point: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config_at(toy_space, base, point)


def test_equal_points_are_refused(base: Config) -> None:
    with pytest.raises(ValueError, match="give the same configuration"):
        check_points(toy_space, base, [{"width": 3, "depth": 2}, {"depth": 2, "width": 3}])
