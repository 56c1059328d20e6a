"""Where the window is placed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from branchpoint.config import DatasetConfig
from branchpoint.datasets.cohort import Box
from branchpoint.datasets.preparation.regions import cut_margins, find_region, head_and_neck_box
from tests.datasets.scans import DIRECTIONS, ball, scan

CROP = Box((0.0, 0.0, 0.0), (200.0, 180.0, 160.0))
TUMOUR = Box((50.0, 50.0, 50.0), (150.0, 130.0, 110.0))


def cuts(crop: Box, tumour: Box | None, salt: str) -> np.ndarray:
    cut = cut_margins(crop, tumour, 45.0, salt)
    return np.concatenate([np.subtract(cut.lower_mm, crop.lower_mm), np.subtract(crop.upper_mm, cut.upper_mm)])


def test_margins_are_cut_uniformly_and_independently() -> None:
    drawn = np.stack([cuts(CROP, TUMOUR, f"0/P{number}") for number in range(4000)])
    assert drawn.min() >= 0
    assert drawn.max() <= 45
    np.testing.assert_allclose(drawn.mean(axis=0), 22.5, atol=1.0)
    np.testing.assert_allclose(np.quantile(drawn, [0.1, 0.5, 0.9]), [4.5, 22.5, 40.5], atol=0.8)
    assert np.abs(np.corrcoef(drawn.T) - np.eye(6)).max() < 0.06


def test_cuts_depend_on_patient_and_seed_alone() -> None:
    assert (cuts(CROP, TUMOUR, "0/P1") == cuts(CROP, TUMOUR, "0/P1")).all()
    assert (cuts(CROP, TUMOUR, "0/P1") != cuts(CROP, TUMOUR, "1/P1")).all()
    assert (cuts(CROP, TUMOUR, "0/P1") != cuts(CROP, TUMOUR, "0/P2")).all()
    larger = Box((46.0, 47.0, 48.0), (151.0, 131.0, 111.0))
    assert (cuts(CROP, TUMOUR, "0/P1") == cuts(CROP, larger, "0/P1")).all()
    assert (cuts(CROP, TUMOUR, "0/P1") == cuts(CROP, None, "0/P1")).all()


def test_sides_where_the_scan_ended_are_left_whole() -> None:
    at_the_end = Box((50.0, 50.0, 50.0), (150.0, 130.0, 158.0))
    whole, cut = cuts(CROP, at_the_end, "0/P1"), cuts(CROP, TUMOUR, "0/P1")
    assert whole[5] == 0
    assert (whole[:5] == cut[:5]).all()


def test_the_cut_never_enters_the_tumour() -> None:
    generator = np.random.default_rng(0)
    for number in range(300):
        lower = generator.uniform(0, 60, 3)
        tumour = Box(tuple(lower), tuple(np.maximum(lower + 5, np.array(CROP.upper_mm) - generator.uniform(0, 60, 3))))
        cut = cut_margins(CROP, tumour, 45.0, str(number))
        assert (np.array(cut.lower_mm) <= tumour.lower_mm).all()
        assert (np.array(cut.upper_mm) >= tumour.upper_mm).all()


def test_which_rule_applies() -> None:
    image = scan(ball((0, 0, 0), 5), size=(100, 100, 100))
    images = {"CT": image, "PET": scan(ball((0, 0, 0), 5), size=(40, 40, 40), spacing_mm=(5, 5, 4))}
    shared = Box((-100.0, -100.0, -80.0), (100.0, 100.0, 80.0))
    whole = find_region(None, "extent", images)
    assert (whole.box, whole.rule, whole.bounded) == (shared, "extent", False)
    given = Box((0, 0, 0), (1, 1, 1))
    assert find_region(given, "head_and_neck", images).box == given
    assert find_region(given, "extent", images).rule == "box"
    with pytest.raises(ValueError, match="neither a brain"):
        find_region(None, "head_and_neck", {"PET": images["PET"]})


def body(points: np.ndarray) -> np.ndarray:
    """A head (vertex at z = 90), a neck and shoulders down to z = -300; the brain's middle is (0, 10, 20)."""
    x, y, z = np.moveaxis(points, -1, 0)
    head = (x / 75) ** 2 + (y / 95) ** 2 + ((z - 0) / 90) ** 2 <= 1
    neck = (x**2 + (y - 10) ** 2 <= 60**2) & (z < 0)
    shoulders = ((x / 200) ** 2 + (y / 100) ** 2 <= 1) & (z < -180)
    return head | neck | shoulders


def uptake(points: np.ndarray) -> np.ndarray:
    x, y, z = np.moveaxis(points, -1, 0)
    brain = (x / 60) ** 2 + ((y - 10) / 75) ** 2 + ((z - 20) / 60) ** 2 <= 1
    tumour = np.linalg.norm(points - np.array([20, -20, -75]), axis=-1) <= 18
    heart = np.linalg.norm(points - np.array([30, -20, -260]), axis=-1) <= 50
    return np.where(brain, 7.0, np.where(tumour, 15.0, np.where(heart, 6.0, body(points) * 0.8)))


@pytest.mark.parametrize("direction", [DIRECTIONS["identity"], DIRECTIONS["flipped"], DIRECTIONS["oblique"]])
def test_box_below_the_brain(direction: np.ndarray) -> None:
    pet = scan(uptake, size=(100, 100, 100), spacing_mm=(4.2, 4.2, 4.2), centre_mm=(0, 0, -110), direction=direction)
    box, rule = head_and_neck_box({"PET": pet})
    assert rule == "brain"
    expected = Box((-72.0, -92.0, -154.0), (72.0, 52.0, -10.0))
    np.testing.assert_allclose(box.lower_mm, expected.lower_mm, atol=8)
    np.testing.assert_allclose(np.subtract(box.upper_mm, box.lower_mm), 144.0)


def test_box_stays_in_the_scan() -> None:
    pet = scan(uptake, size=(100, 100, 60), spacing_mm=(4.2, 4.2, 4.0), centre_mm=(0, 0, -20))
    box, _ = head_and_neck_box({"PET": pet})
    assert box.lower_mm[2] == pytest.approx(-140.0)


def test_without_a_brain_the_head_in_ct_is_used() -> None:
    def hounsfield(points: np.ndarray) -> np.ndarray:
        couch = (np.abs(points[..., 1] - 110) < 6) & (np.abs(points[..., 0]) < 200)
        return np.where(body(points) | couch, 40.0, -1000.0)

    pet = scan(lambda points: body(points) * 0.8, size=(100, 100, 100), spacing_mm=(4.2,) * 3, centre_mm=(0, 0, -110))
    ct = scan(hounsfield, size=(200, 200, 100), spacing_mm=(2.1, 2.1, 4.2), centre_mm=(0, 0, -110))
    box, rule = head_and_neck_box({"CT": ct, "PET": pet})
    assert rule == "head"
    np.testing.assert_allclose(box.lower_mm, (-72.0, -87.0, -154.0), atol=16)
    with pytest.raises(ValueError, match="neither a brain in PET nor a head in CT"):
        head_and_neck_box({"PET": pet})
    with pytest.raises(ValueError, match="no PET"):
        head_and_neck_box({"CT": ct})


def test_phantoms_published_boxes_agree_with_the_automatic_ones(tmp_path: Path) -> None:
    from branchpoint.datasets.preparation.volume_files import read_image
    from branchpoint.datasets.readers.registry import read_cohort
    from branchpoint.phantoms.hecktor import make_hecktor_phantom

    make_hecktor_phantom(tmp_path, patients=2, spacing_scale=2.0, progress=False)
    for patient in read_cohort(DatasetConfig(name="hecktor", release="2021", root=str(tmp_path))).patients:
        box, rule = head_and_neck_box({name: read_image(path) for name, path in patient.images.items()})
        assert patient.box is not None
        assert rule == "brain"
        np.testing.assert_allclose(box.lower_mm, patient.box.lower_mm, atol=15)
