"""The 14 shape features of PyRadiomics 3.0.1."""

from __future__ import annotations

import numpy as np

from branchpoint.radiomics.mesh import area_and_volume, vertices
from branchpoint.radiomics.region import Region


def shape(region: Region) -> dict[str, float]:
    """Feature to value, in millimetres, square and cubic millimetres.

    Volume and area are those of the marching-cubes surface; the diameters are the largest distances between its
    vertices, of all of them or within one plane; the axes are those of the principal components of the voxel centres.
    """
    spacing = region.spacing_mm
    faces, volumes = area_and_volume(region.mask)
    area, volume = faces * spacing**2, volumes * spacing**3
    points = vertices(region.mask)
    slices, columns, rows = (_largest_in_plane(points, axis) * spacing / 2 for axis in range(3))
    least, minor, major = np.sqrt(np.clip(_variances(region.coordinates * spacing), 0.0, None))
    return {
        "Elongation": minor / major if major else 0.0,
        "Flatness": least / major if major else 0.0,
        "LeastAxisLength": 4 * least,
        "MajorAxisLength": 4 * major,
        "Maximum2DDiameterColumn": columns,
        "Maximum2DDiameterRow": rows,
        "Maximum2DDiameterSlice": slices,
        "Maximum3DDiameter": _largest_distance(points) * spacing / 2,
        "MeshVolume": volume,
        "MinorAxisLength": 4 * minor,
        "Sphericity": (36 * np.pi * volume**2) ** (1 / 3) / area,
        "SurfaceArea": area,
        "SurfaceVolumeRatio": area / volume,
        "VoxelVolume": region.size * spacing**3,
    }


def _variances(points: np.ndarray) -> np.ndarray:
    """(3,), along the principal axes, ascending."""
    centred = points - points.mean(0)
    return np.linalg.eigvalsh(centred.T @ centred / len(points))


def _outermost(points: np.ndarray) -> np.ndarray:
    """The first and last point of each line along the last axis: the farthest two are always among them."""
    points = points[np.lexsort(points.T[::-1])]
    changes = (np.diff(points[:, :-1], axis=0) != 0).any(1)
    return points[np.append(True, changes) | np.append(changes, True)]


def _largest_distance(points: np.ndarray) -> float:
    from scipy.spatial import ConvexHull
    from scipy.spatial.distance import pdist

    candidates = _outermost(points)
    return float(pdist(candidates[ConvexHull(candidates).vertices]).max())


def _largest_in_plane(points: np.ndarray, axis: int) -> float:
    """Largest distance between two points with the same coordinate ``axis``."""
    from scipy.spatial.distance import pdist

    ordered = points[np.argsort(points[:, axis], kind="stable")]
    planes = np.split(ordered, np.flatnonzero(np.diff(ordered[:, axis])) + 1)
    others = [other for other in range(3) if other != axis]
    return max(float(pdist(_outermost(plane[:, others])).max()) if len(plane) > 1 else 0.0 for plane in planes)
