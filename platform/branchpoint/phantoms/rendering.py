"""From a patient's truth to CT, PET, mask and bounding box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from branchpoint.phantoms.anatomy import Anatomy
from branchpoint.phantoms.grid import Grid, Point, point
from branchpoint.phantoms.lesions import Lesion, grow
from branchpoint.phantoms.patients import PhantomPatient
from branchpoint.phantoms.scanners import SCANNERS, ct_image, pet_image

BODY, LESIONS, FIELD, CT_NOISE, PET_NOISE = range(1, 6)  # streams of a patient's random numbers; 0 is the disease

BOX_MM = 144.0
_BRAIN_BOTTOM_MM, _BRAIN_MIDDLE_Y_MM = 45.0, 12.0  # patient frame

_PRIMARY_SITES: tuple[tuple[float, Point], ...] = (
    (0.50, (19.0, -5.0, 0.0)),  # tonsil
    (0.34, (10.0, -20.0, -13.0)),  # base of the tongue
    (0.08, (10.0, -14.0, 18.0)),  # soft palate
    (0.08, (14.0, -6.0, -30.0)),  # vallecula and lateral wall below it
)
_NODE_SITES: tuple[Point, ...] = ((35.0, 12.0, -24.0), (33.0, 5.0, -43.0), (-35.0, 12.0, -26.0))
"""Levels II and III on the tumour's side, level II on the other: the order in which nodes are involved."""


@dataclass(frozen=True)
class Scan:
    """A patient's images.

    Attributes:
        ct: HU, int16 (z, y, x) on ``ct_grid``.
        pet: SUV, float32 (z, y, x) on ``pet_grid``.
        mask: 1 primary tumour, 2 lymph node, uint8 (z, y, x) on ``mask_grid``.
        box: corners of the published bounding box.
    """

    ct: np.ndarray
    ct_grid: Grid
    pet: np.ndarray
    pet_grid: Grid
    mask: np.ndarray
    mask_grid: Grid
    box: tuple[Point, Point]


def scan(patient: PhantomPatient, seed: int, mask_on: Literal["ct", "own"], spacing_scale: float = 1.0) -> Scan:
    """The images of ``patient``; they depend on nothing but the arguments.

    Args:
        patient: one of ``sample_patients(..., seed=seed)``.
        seed: of the cohort.
        mask_on: masks on the grid of the CT, or on their own: the CT's spacing over the field of the PET.
        spacing_scale: voxel size against that of the scanner; 2 makes an eighth of the voxels.
    """

    def random(stream: int) -> np.random.Generator:
        return np.random.default_rng((seed, patient.index, stream))

    scanner = SCANNERS[patient.center]
    anatomy = Anatomy.sample((seed, patient.index, BODY), patient.clinical.man)
    primary, nodes = _lesions(patient, anatomy, random(LESIONS))
    ct_grid, pet_grid = scanner.grids(anatomy.pose.origin_mm, spacing_scale, random(FIELD))
    own = Grid.covering(pet_grid.origin_mm, point([axis[-1] for axis in pet_grid.axes]), ct_grid.spacing_mm)
    mask_grid = ct_grid if mask_on == "ct" else own
    lesions = [*nodes, primary]  # the primary last: its uptake is set when the nodes' is there
    peaks = [*patient.node_suv, patient.suv_max]
    return Scan(
        ct=ct_image(scanner, anatomy, lesions, ct_grid, random(CT_NOISE)),
        ct_grid=ct_grid,
        pet=pet_image(scanner, anatomy, lesions, peaks, pet_grid, random(PET_NOISE)),
        pet_grid=pet_grid,
        mask=_mask(anatomy, primary, nodes, mask_grid),
        mask_grid=mask_grid,
        box=_box(anatomy, pet_grid, random(FIELD)),
    )


def _lesions(patient: PhantomPatient, anatomy: Anatomy, rng: np.random.Generator) -> tuple[Lesion, list[Lesion]]:
    side = 1.0 if rng.random() < 0.5 else -1.0
    shares = [share for share, _ in _PRIMARY_SITES]
    site = _PRIMARY_SITES[int(rng.choice(len(shares), p=shares))][1]
    primary = grow(anatomy, _near(site, side, rng), patient.volume_ml, patient.heterogeneity, rng)
    nodes = [
        grow(anatomy, _near(place, side, rng), volume, 0.6 * patient.heterogeneity, rng)
        for place, volume in zip(_NODE_SITES, patient.node_ml, strict=False)
    ]
    return primary, nodes


def _near(site: Point, side: float, rng: np.random.Generator) -> Point:
    return point(np.add(site, rng.normal(0.0, (2.0, 2.5, 4.0))) * (side, 1.0, 1.0))


def _mask(anatomy: Anatomy, primary: Lesion, nodes: list[Lesion], grid: Grid) -> np.ndarray:
    mask = np.zeros(grid.shape, dtype=np.uint8)
    for value, lesion in (*((2, node) for node in nodes), (1, primary)):
        box, share, _ = lesion.on(anatomy, grid, edge_mm=0.01)
        mask[box][share >= 0.5] = value
    return mask


def _box(anatomy: Anatomy, grid: Grid, rng: np.random.Generator) -> tuple[Point, Point]:
    """A cube of 144 mm placed by the brain alone: 30 mm of it above the brain's lower edge, its middle 30 mm further
    to the front than the brain's, as the organisers do it, with the few millimetres of play that PET voxels leave."""
    middle = anatomy.pose.to_scanner(np.array([0.0, _BRAIN_MIDDLE_Y_MM, _BRAIN_BOTTOM_MM]))
    middle += np.array([0.0, -30.0, 30.0 - BOX_MM / 2]) + rng.uniform(-0.5, 0.5, 3) * grid.spacing_mm
    x, y, z = (round(float(value), 3) for value in middle - BOX_MM / 2)
    return (x, y, z), (round(x + BOX_MM, 3), round(y + BOX_MM, 3), round(z + BOX_MM, 3))
