"""Images of a phantom: what a reader of scans would look for."""

import numpy as np
import pytest

from branchpoint.phantoms.patients import sample_patients
from branchpoint.phantoms.rendering import BOX_MM, scan
from branchpoint.phantoms.scanners import SCANNERS

COARSE = 2.0


@pytest.fixture(scope="module")
def scans():
    patients = sample_patients(12, seed=1)
    return patients, [scan(patient, 1, "ct", COARSE) for patient in patients]


def resampled(values: np.ndarray, source, target) -> np.ndarray:
    import SimpleITK

    moved = SimpleITK.Resample(source.image(values), target.image(np.zeros(target.shape, np.float32)))
    return SimpleITK.GetArrayFromImage(moved)


def test_masks_hold_the_volumes_of_the_truth(scans) -> None:
    for patient, images in zip(*scans, strict=True):
        voxel = images.mask_grid.voxel_ml
        primary, nodes = (float((images.mask == value).sum()) * voxel for value in (1, 2))
        assert primary == pytest.approx(patient.volume_ml, rel=0.1, abs=5 * voxel)
        assert 0.3 * sum(patient.node_ml) <= nodes <= 1.1 * sum(patient.node_ml) + 5 * voxel


def test_suv_max_in_the_mask_is_the_truth_up_to_noise(scans) -> None:
    measured, true = [], []
    for patient, images in zip(*scans, strict=True):
        inside = resampled((images.mask == 1).astype(np.float32), images.mask_grid, images.pet_grid) > 0.3
        measured.append(images.pet[inside].max())
        true.append(patient.suv_max)
    np.testing.assert_allclose(measured, true, rtol=0.3)
    assert np.corrcoef(np.log(measured), np.log(true))[0, 1] > 0.95


def test_units_and_types(scans) -> None:
    for images in scans[1]:
        assert images.ct.dtype == np.int16
        assert images.pet.dtype == np.float32
        assert images.ct.min() < -950
        assert 800 < images.ct.max() < 3072
        assert images.pet.min() >= 0
        assert np.isfinite(images.pet).all()
        assert images.pet.max() < 60


def test_ct_and_pet_lie_on_different_grids_of_five_scanners(scans) -> None:
    assert len({(s.ct_spacing_mm, s.pet_spacing_mm, s.ct_noise_hu, s.pet_blur_mm) for s in SCANNERS}) == 5
    for patient, images in zip(*scans, strict=True):
        assert images.ct_grid.spacing_mm == tuple(COARSE * s for s in SCANNERS[patient.center].ct_spacing_mm)
        assert all(a != b for a, b in zip(images.ct_grid.origin_mm, images.pet_grid.origin_mm, strict=True))
        assert images.ct_grid.size != images.pet_grid.size


def test_box_is_a_cube_around_the_lesions_within_both_images(scans) -> None:
    for images in scans[1]:
        lower, upper = (np.array(corner) for corner in images.box)
        np.testing.assert_allclose(upper - lower, BOX_MM, atol=1e-6)
        places = np.argwhere(images.mask > 0)[:, ::-1] * images.mask_grid.spacing_mm + images.mask_grid.origin_mm
        assert (places.min(axis=0) > lower).all()
        assert (places.max(axis=0) < upper).all()
        for grid in (images.ct_grid, images.pet_grid):
            x, y, z = grid.axes
            assert (lower > [x[0], y[0], z[0]]).all()
            assert (upper < [x[-1], y[-1], z[-1]]).all()


def test_tumours_stand_out_on_pet_among_confounders_and_hardly_on_ct(scans) -> None:
    brighter, contrast = [], []
    for images in scans[1]:
        tumour = resampled((images.mask == 1).astype(np.float32), images.mask_grid, images.pet_grid) > 0.5
        if not tumour.any():
            continue
        body = (images.pet > 0.3) & (images.pet < 3.0) & ~tumour
        brighter.append(images.pet[tumour].mean() / images.pet[body].mean())
        elsewhere = resampled((images.mask > 0).astype(np.float32), images.mask_grid, images.pet_grid) == 0
        assert images.pet[elsewhere].max() > 4.0  # the brain
        inside = images.ct[images.mask == 1]
        muscle = images.ct[(images.ct > 20) & (images.ct < 100)]
        contrast.append(np.median(inside) - np.median(muscle))
    assert np.median(brighter) > 3
    assert np.abs(np.median(contrast)) < 20


def test_lesions_leave_bone_and_the_open_airway_alone(scans) -> None:
    for images in scans[1]:
        inside = images.ct[images.mask == 1]
        assert np.mean(inside > 300) < 0.05
        assert np.mean(inside < -500) < 0.05


def test_masks_on_their_own_grid_show_the_same_lesions(scans) -> None:
    patients, images = scans
    other = scan(patients[0], 1, "own", COARSE)
    assert other.mask_grid.size not in (other.ct_grid.size, other.pet_grid.size)
    assert other.mask_grid.origin_mm == other.pet_grid.origin_mm
    volumes = [(s.mask == 1).sum() * s.mask_grid.voxel_ml for s in (images[0], other)]
    assert volumes[0] == pytest.approx(volumes[1], rel=0.1)
    assert np.array_equal(images[0].ct, other.ct)
