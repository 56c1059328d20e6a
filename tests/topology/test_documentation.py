"""The drawings of the documentation are those of the code."""

from pathlib import Path

import pytest

from branchpoint.topology.svg import svg_drawing
from docs.drawings.families import FAMILIES

FOLDER = Path(__file__).parents[2] / "docs" / "drawings"


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_is_drawn_as_documented(name):
    assert FAMILIES[name].family == name
    drawn = (FOLDER / f"{name}.svg").read_text(encoding="utf-8")
    assert drawn == svg_drawing(FAMILIES[name]) + "\n", "run python docs/drawings/families.py"
