"""Every feature against PyRadiomics 3.0.1, the IBSI digital phantom, and closed forms."""

from __future__ import annotations

import csv
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from branchpoint.radiomics.cooccurrence import cooccurrence, matrices
from branchpoint.radiomics.discretisation import FixedBinNumber, FixedBinSize
from branchpoint.radiomics.features import extract
from branchpoint.radiomics.first_order import first_order
from branchpoint.radiomics.mesh import area_and_volume
from branchpoint.radiomics.region import Region
from branchpoint.radiomics.runs_and_zones import run_lengths, size_zones
from branchpoint.radiomics.shape import shape
from tests.radiomics.wavy_tumour import SPACING_MM, wavy_tumour

PYRADIOMICS = json.loads((Path(__file__).parent / "pyradiomics_3.0.1.json").read_text())
"""What PyRadiomics 3.0.1 (numpy 1.23, Python 3.9) gives for :func:`wavy_tumour`, all feature classes enabled."""

IBSI_SHAPE = {
    "MeshVolume": "morph_volume",
    "VoxelVolume": "morph_vol_approx",
    "SurfaceArea": "morph_area_mesh",
    "SurfaceVolumeRatio": "morph_av",
    "Sphericity": "morph_sphericity",
    "Maximum3DDiameter": "morph_diam",
    "MajorAxisLength": "morph_pca_maj_axis",
    "MinorAxisLength": "morph_pca_min_axis",
    "LeastAxisLength": "morph_pca_least_axis",
    "Elongation": "morph_pca_elongation",
    "Flatness": "morph_pca_flatness",
}
IBSI_FIRST_ORDER = {
    "Mean": "stat_mean",
    "Variance": "stat_var",
    "Skewness": "stat_skew",
    "Median": "stat_median",
    "Minimum": "stat_min",
    "Maximum": "stat_max",
    "10Percentile": "stat_p10",
    "90Percentile": "stat_p90",
    "InterquartileRange": "stat_iqr",
    "Range": "stat_range",
    "MeanAbsoluteDeviation": "stat_mad",
    "RobustMeanAbsoluteDeviation": "stat_rmad",
    "Energy": "stat_energy",
    "RootMeanSquared": "stat_rms",
    "Entropy": "ih_entropy",
    "Uniformity": "ih_uniformity",
}
IBSI_GLCM = {
    "MaximumProbability": "joint_max",
    "JointAverage": "joint_avg",
    "SumSquares": "joint_var",
    "JointEntropy": "joint_entr",
    "DifferenceAverage": "diff_avg",
    "DifferenceVariance": "diff_var",
    "DifferenceEntropy": "diff_entr",
    "SumAverage": "sum_avg",
    "SumEntropy": "sum_entr",
    "JointEnergy": "energy",
    "Contrast": "contrast",
    "Id": "inv_diff",
    "Idn": "inv_diff_norm",
    "Idm": "inv_diff_mom",
    "Idmn": "inv_diff_mom_norm",
    "InverseVariance": "inv_var",
    "Correlation": "corr",
    "Autocorrelation": "auto_corr",
    "ClusterTendency": "clust_tend",
    "ClusterShade": "clust_shade",
    "ClusterProminence": "clust_prom",
    "Imc1": "info_corr1",
    "Imc2": "info_corr2",
}
IBSI_RUNS = (
    *("sre", "lre", "glnu", "glnu_norm", "rlnu", "rlnu_norm", "r_perc", "gl_var", "rl_var", "rl_entr"),
    *("lgre", "hgre", "srlge", "srhge", "lrlge", "lrhge"),
)
IBSI_ZONES = (
    *("sze", "lze", "glnu", "glnu_norm", "zsnu", "zsnu_norm", "z_perc", "gl_var", "zs_var", "zs_entr"),
    *("lgze", "hgze", "szlge", "szhge", "lzlge", "lzhge"),
)


def test_all_274_agree_with_pyradiomics() -> None:
    found = extract(*wavy_tumour(), spacing_mm=SPACING_MM)
    assert found is not None
    assert set(found) == set(PYRADIOMICS)
    assert len(found) == 274
    for name, value in PYRADIOMICS.items():
        assert found[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name


@pytest.fixture(scope="module")
def ibsi() -> tuple[Region, np.ndarray, dict[str, tuple[float, float]]]:
    """The digital phantom, its grey levels, and tag to consensus value and tolerance."""
    import SimpleITK as sitk

    folder = Path(os.environ.get("BRANCHPOINT_DATA", "")) / "oracles" / "ibsi_digital_phantom"
    if not folder.is_dir():
        pytest.skip("BRANCHPOINT_DATA names no folder with oracles/ibsi_digital_phantom")
    image, mask = (sitk.GetArrayFromImage(sitk.ReadImage(folder / f"{name}.nii.gz")) for name in ("phantom", "mask"))
    with (folder / "reference_values.csv").open() as file:
        rows = [row for row in csv.DictReader(file, delimiter=";") if row["reference value"]]
    consensus = {row["tag"]: (float(row["reference value"]), float(row["tolerance"] or 0)) for row in rows}
    region = Region(mask > 0, spacing_mm=2.0)
    return region, region.values(image), consensus


def agrees(value: float, reference: tuple[float, float]) -> bool:
    """Within IBSI's tolerance, or within the rounding of its three significant digits where it gives none."""
    consensus, tolerance = reference
    rounding = 0.5 * 10 ** (math.floor(math.log10(abs(consensus))) - 2) if consensus else 1e-9
    return abs(value - consensus) <= max(tolerance, rounding * 1.01)


def test_ibsi_shape_and_statistics(ibsi: tuple) -> None:
    region, values, consensus = ibsi
    found = {**shape(region), **first_order(values, values.astype(int), 8.0)}
    for axis in ("MajorAxisLength", "MinorAxisLength", "LeastAxisLength"):
        # PyRadiomics divides the covariance by N, IBSI's consensus by N - 1.
        found[axis] *= math.sqrt(region.size / (region.size - 1))
    wrong = {
        name: (found[name], consensus[tag])
        for name, tag in {**IBSI_SHAPE, **IBSI_FIRST_ORDER}.items()
        if not agrees(found[name], consensus[tag])
    }
    assert not wrong
    # PyRadiomics' kurtosis is not the excess.
    assert agrees(found["Kurtosis"] - 3, consensus["stat_kurt"])


def test_ibsi_texture(ibsi: tuple) -> None:
    region, values, consensus = ibsi
    levels = values.astype(int)
    of_pairs, of_runs, of_zones = cooccurrence(region, levels), run_lengths(region, levels), size_zones(region, levels)
    pairs = [(name, of_pairs[name], f"cm_{tag}_3D_avg") for name, tag in IBSI_GLCM.items()]
    runs = [(name, value, f"rlm_{tag}_3D_avg") for (name, value), tag in zip(of_runs.items(), IBSI_RUNS, strict=True)]
    zones = [(name, value, f"szm_{tag}_3D") for (name, value), tag in zip(of_zones.items(), IBSI_ZONES, strict=True)]
    wrong = {
        tag: (name, value, consensus[tag])
        for name, value, tag in [*pairs, *runs, *zones]
        if not agrees(value, consensus[tag])
    }
    assert not wrong


def test_maximal_correlation_of_two_levels_is_their_correlation() -> None:
    """With two grey levels the maximal correlation is the absolute ordinary one (Renyi 1959)."""
    rng = np.random.default_rng(0)
    region = Region(np.ones((5, 6, 7), bool), 1.0)
    levels = rng.integers(1, 3, region.size)
    p, present = matrices(region, levels)
    i, j = present[:, None] - 0.0, present[None, :] - 0.0
    mean = (p * i).sum((1, 2))
    variance = (p * (i - mean[:, None, None]) ** 2).sum((1, 2))
    covariance = (p * (i - mean[:, None, None]) * (j - mean[:, None, None])).sum((1, 2))
    assert cooccurrence(region, levels)["MCC"] == pytest.approx(np.abs(covariance / variance).mean(), rel=1e-9)


def test_kurtosis_of_a_coin_is_one_and_its_skewness_zero() -> None:
    found = first_order(np.array([0.0, 1.0] * 8), np.array([1, 2] * 8), 1.0)
    assert found["Kurtosis"] == pytest.approx(1.0)
    assert found["Skewness"] == pytest.approx(0.0)
    assert found["Entropy"] == pytest.approx(1.0)


def test_a_region_of_one_grey_level() -> None:
    region = Region(np.ones((3, 3, 3), bool), 1.0)
    levels = np.ones(27, int)
    pairs, runs, zones = cooccurrence(region, levels), run_lengths(region, levels), size_zones(region, levels)
    assert (pairs["Contrast"], pairs["JointEntropy"]) == pytest.approx((0.0, 0.0), abs=1e-12)
    assert pairs["Correlation"] == pairs["MCC"] == pairs["JointEnergy"] == 1.0
    assert zones["LargeAreaEmphasis"] == 27**2
    assert zones["ZonePercentage"] == pytest.approx(1 / 27)
    # 9 lines along each of the 3 axes, 15 along each of the 6 face diagonals, 19 along each of the 4 space diagonals.
    assert runs["RunPercentage"] == pytest.approx((3 * 9 + 6 * 15 + 4 * 19) / 13 / 27)


def test_ball_and_box_have_their_volume_area_and_axes() -> None:
    z, y, x = np.indices((45, 45, 45)) - 22
    ball = Region(z**2 + y**2 + x**2 <= 20**2, 1.5)
    found = shape(ball)
    radius = 20 * 1.5
    assert found["MeshVolume"] == pytest.approx(4 / 3 * math.pi * radius**3, rel=0.01)
    assert found["Maximum3DDiameter"] == pytest.approx(2 * radius, rel=0.03)
    assert found["MajorAxisLength"] == pytest.approx(4 * radius / math.sqrt(5), rel=0.01)
    assert found["Flatness"] == pytest.approx(1, abs=1e-6)
    # Marching cubes of a binary mask overestimate a ball's area by about a tenth, at any resolution.
    assert 1.0 < found["SurfaceArea"] / (4 * math.pi * radius**2) < 1.12
    box = shape(Region(np.ones((4, 6, 8), bool), 2.0))
    assert box["VoxelVolume"] == 4 * 6 * 8 * 8
    assert box["MajorAxisLength"] == pytest.approx(4 * math.sqrt((8**2 - 1) / 12) * 2)
    assert box["Maximum2DDiameterSlice"] == pytest.approx(2 * math.hypot(6 - 1, 8 - 1 + 1))


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_the_surface_is_closed(seed: int) -> None:
    """Whatever the mask: a closed surface has the same volume wherever it lies, and that of its complement in a box."""
    mask = np.random.default_rng(seed).random((5, 6, 4)) < 0.5
    area, volume = area_and_volume(mask)
    moved = area_and_volume(np.pad(mask, ((3, 0), (1, 2), (0, 4))))
    assert moved == pytest.approx((area, volume))
    for axes in ((1, 0, 2), (2, 1, 0)):
        assert area_and_volume(mask.transpose(axes)) == pytest.approx((area, volume))
    assert 0 < volume <= mask.sum()


@given(st.integers(0, 10_000), st.floats(0.1, 9))
@settings(max_examples=20, deadline=None)
def test_textures_do_not_depend_on_where_and_how_bright(seed: int, gain: float) -> None:
    """A fixed number of bins follows any linear change of intensity; shifting by whole bins changes no fixed size."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=60)
    number, size = FixedBinNumber(8), FixedBinSize(0.5)
    levels = number.levels(values)
    assert (levels.min(), levels.max()) == (1, 8)
    assert np.mean(number.levels(gain * values + 3) == levels) > 0.95  # but for values on an edge
    assert np.mean(size.levels(values + 4.0) == size.levels(values)) > 0.95


def test_small_regions_have_no_features_and_strange_modalities_are_refused() -> None:
    images, mask = wavy_tumour()
    few = np.zeros_like(mask)
    few[5, 6, 1:8] = True
    assert extract(images, few, SPACING_MM) is None
    with pytest.raises(ValueError, match="CT and PET, not for MR"):
        extract({"MR": images["CT"]}, mask, SPACING_MM)
    images["PET"][5, 5, 5] = np.nan
    with pytest.raises(ValueError, match="1 voxels of PET"):
        extract(images, mask, SPACING_MM)
