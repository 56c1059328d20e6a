"""Where the window is placed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from branchpoint.config import DatasetConfig
from branchpoint.datasets.cohort import Box
from branchpoint.datasets.preparation.regions import find_region, head_and_neck_box, largest_cuts
from tests.datasets.scans import DIRECTIONS, ball, scan

CROP = Box((0.0, 0.0, 0.0), (200.0, 180.0, 160.0))
TUMOUR = Box((50.0, 50.0, 50.0), (150.0, 130.0, 110.0))


def test_what_may_be_cut_off_a_crop_around_the_tumour() -> None:
    assert (largest_cuts(CROP, TUMOUR, 45.0) == 45).all()
    assert (largest_cuts(CROP, None, 45.0) == 45).all()
    at_the_end = Box((50.0, 50.0, 44.0), (150.0, 130.0, 158.0))
    assert largest_cuts(CROP, at_the_end, 45.0).tolist() == [[45, 45], [45, 45], [0, 0]]


def test_a_cut_never_enters_the_tumour() -> None:
    generator = np.random.default_rng(0)
    for _ in range(300):
        lower = generator.uniform(0, 60, 3)
        upper = np.maximum(lower + 5, np.array(CROP.upper_mm) - generator.uniform(0, 60, 3))
        cuts = largest_cuts(CROP, Box(tuple(lower), tuple(upper)), 45.0)
        assert (np.array(CROP.lower_mm) + cuts[:, 0] <= lower).all()
        assert (np.array(CROP.upper_mm) - cuts[:, 1] >= upper).all()


def test_which_rule_applies() -> None:
    image = scan(ball((0, 0, 0), 5), size=(100, 100, 100))
    images = {"CT": image, "PET": scan(ball((0, 0, 0), 5), size=(40, 40, 40), spacing_mm=(5, 5, 4))}
    shared = Box((-100.0, -100.0, -80.0), (100.0, 100.0, 80.0))
    whole = find_region(None, "extent", images)
    assert (whole.box, whole.rule) == (shared, "extent")
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
