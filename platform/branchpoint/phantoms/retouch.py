"""A phantom of RETOUCH: OCT volumes of three vendors with intraretinal and subretinal fluid and detachments."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from branchpoint.phantoms.completion import begin, finish
from branchpoint.phantoms.drawing import mesh, radius_map, require, texture
from branchpoint.phantoms.writing import shown, write_text

VENDORS = ("Cirrus", "Spectralis", "Topcon")
_FIRST = {"Cirrus": 1, "Spectralis": 25, "Topcon": 49}
"""Number of each vendor's first volume, as in the release."""
_WIDTH, _HEIGHTS = 512, {"Cirrus": (1024,), "Spectralis": (496,), "Topcon": (885, 650)}
_SPECKLE = {"Cirrus": 0.45, "Spectralis": 0.15, "Topcon": 0.3}
_GAIN = {"Cirrus": (0.75, 0.10), "Spectralis": (1.0, 0.0), "Topcon": (0.85, 0.16)}
"""Factor and offset of the grey levels."""
IRF, SRF, PED = 1, 2, 3


def make_retouch_phantom(
    out: Path,
    *,
    release: str = "",
    patients: int = 6,
    seed: int = 0,
    slices: int = 8,
    size_scale: float = 0.25,
    progress: bool = True,
) -> Path:
    """Write a phantom in the challenge's layout: volumes of the three vendors in turn, 16 bits for Spectralis.

    Retina, pigment epithelium and choroid are bands. Intraretinal fluid makes dark holes in the retina, subretinal
    fluid a dark lens above the epithelium, a detachment a grey dome below it that lifts it. Every volume has one to
    three of them, each in a run of neighbouring slices; vendors differ in size, speckle and grey levels.

    Args:
        out: new or empty folder, or one that holds this phantom.
        release: not used; there is one training set.
        patients: volumes, at most 70.
        seed: same seed, same bytes.
        slices: of each volume (the real ones have 49 or 128).
        size_scale: of the slices, against the vendors' own.
        progress: show a bar.

    Raises:
        ValueError: a setting is out of range, or ``out`` holds something else.
    """
    require(1 <= patients <= 70, "patients", patients, "must lie from 1 to 70 volumes, as in the challenge")
    require(slices >= 2, "slices", slices, "must be at least 2")
    require(0.1 <= size_scale <= 1, "size_scale", size_scale, "must lie from 0.1 to 1")
    out = Path(out).resolve()
    settings = {
        "phantom": "retouch",
        "version": 1,
        "patients": patients,
        "seed": seed,
        "slices": slices,
        "size_scale": size_scale,
    }
    if begin(out, settings):
        return out
    truth: list[tuple[object, ...]] = []
    for number in shown(range(patients), patients, "Phantom of RETOUCH", progress):
        vendor = VENDORS[number % 3]
        volume, reference = draw_volume(number, seed, vendor, slices, size_scale)
        name = f"TRAIN{_FIRST[vendor] + number // 3:03d}"
        folder = out / f"RETOUCH-TrainingSet-{vendor}" / name
        spacing = (0.0117 / size_scale, 0.0039 / size_scale, 0.12)
        write_metaimage(folder / "oct.mhd", volume, spacing)
        write_metaimage(folder / "reference.mhd", reference, spacing)
        truth += [
            (f"{vendor}-{name}-{index:03d}", *(int((plane == fluid).sum()) for fluid in (IRF, SRF, PED)))
            for index, plane in enumerate(reference)
        ]
    finish(out, ("sample", "irf_pixels", "srf_pixels", "ped_pixels"), truth)
    return out


def draw_volume(number: int, seed: int, vendor: str, slices: int, size_scale: float) -> tuple[np.ndarray, np.ndarray]:
    """The scan (slices, H, W), uint8 or uint16, and its reference, uint8."""
    generator = np.random.default_rng((seed, number, 2))
    heights = _HEIGHTS[vendor]
    size = (round(heights[number // 3 % len(heights)] * size_scale), round(_WIDTH * size_scale))
    fluids = {fluid for fluid in (IRF, SRF, PED) if generator.uniform() < 0.45} or {int(generator.integers(1, 4))}
    runs = {fluid: sorted(generator.integers(0, slices, 2)) for fluid in sorted(fluids)}
    places = {fluid: generator.uniform(0.25, 0.75) for fluid in sorted(fluids)}
    tilt, depth = generator.uniform(-0.06, 0.06), generator.uniform(0.42, 0.52)
    planes = []
    for index in range(slices):
        slice_generator = np.random.default_rng((seed, number, 3, index))
        shown_here = {fluid: places[fluid] for fluid, (first, last) in runs.items() if first <= index <= last + 1}
        planes.append(_draw_slice(slice_generator, size, shown_here, tilt, depth, _SPECKLE[vendor]))
    factor, offset = _GAIN[vendor]
    scan = np.clip(np.stack([plane for plane, _ in planes]) * factor + offset, 0, 1)
    dtype = np.uint16 if vendor == "Spectralis" else np.uint8
    return np.round(scan * np.iinfo(dtype).max).astype(dtype), np.stack([reference for _, reference in planes])


def _draw_slice(
    generator: np.random.Generator,
    size: tuple[int, int],
    fluids: dict[int, float],
    tilt: float,
    depth: float,
    speckle: float,
) -> tuple[np.ndarray, np.ndarray]:
    height, width = size
    rows, columns = mesh(size)
    x = columns / width - 0.5
    epithelium = height * (depth + 0.18 + tilt * x)
    reference = np.zeros(size, np.uint8)
    lifted = epithelium.copy()
    if PED in fluids:
        dome = height * 0.09 * np.clip(1 - ((columns / width - fluids[PED]) / 0.13) ** 2, 0, None)
        lifted = epithelium - dome
        reference[(rows > lifted) & (rows < epithelium)] = PED
    pit = 0.05 * np.exp(-((x / 0.08) ** 2))
    surface = np.minimum(height * (depth - 0.1 + tilt * x + pit), lifted - 0.1 * height)
    band = (rows - surface) / (lifted - surface)
    picture = 0.08 + 0.03 * texture(generator, size, 30)
    picture = np.where((band > 0) & (band < 1), 0.42 + 0.12 * np.cos(band * 14), picture)
    below = (rows - lifted) / height
    picture = np.where(below >= 0, 0.5 * np.exp(-np.clip(below, 0, None) / 0.18), picture)
    picture[reference == PED] = 0.3
    picture[np.abs(rows - lifted) < 0.012 * height] = 0.95
    _fluid_in_retina(generator, size, fluids, band, lifted, picture, reference)
    noise = generator.gamma(1 / speckle**2, speckle**2, size)
    return picture * noise, reference


def _fluid_in_retina(
    generator: np.random.Generator,
    size: tuple[int, int],
    fluids: dict[int, float],
    band: np.ndarray,
    lifted: np.ndarray,
    picture: np.ndarray,
    reference: np.ndarray,
) -> None:
    height, width = size
    inside = (band > 0.06) & (band < 0.94)
    if SRF in fluids:
        column = int(fluids[SRF] * (width - 1))
        lens = radius_map(size, (lifted[0, column] - 0.03 * height, column), (0.045 * height, 0.14 * width)) < 1
        lens &= (band > 0.3) & (band < 0.99)
        reference[lens], picture[lens] = SRF, 0.12
    if IRF in fluids:
        for _ in range(4):
            column = int(np.clip(fluids[IRF] + generator.uniform(-0.12, 0.12), 0.02, 0.98) * (width - 1))
            centre = np.abs(band[:, column] - generator.uniform(0.3, 0.55)).argmin()
            hole = radius_map(size, (float(centre), column), (0.028 * height, 0.035 * width)) < 1
            hole &= inside & (reference == 0)
            reference[hole], picture[hole] = IRF, 0.15


def write_metaimage(path: Path, voxels: np.ndarray, spacing_mm: tuple[float, float, float]) -> None:
    """An uncompressed MetaImage: a header and ``NAME.raw`` beside it, which is written first."""
    kinds = {np.dtype(np.uint8): "MET_UCHAR", np.dtype(np.uint16): "MET_USHORT"}
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = path.with_suffix(".raw")
    raw.write_bytes(np.ascontiguousarray(voxels).astype(voxels.dtype.newbyteorder("<")).tobytes())
    size = " ".join(map(str, voxels.shape[::-1]))
    write_text(
        path,
        f"""ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
CompressedData = False
TransformMatrix = 1 0 0 0 1 0 0 0 1
Offset = 0 0 0
CenterOfRotation = 0 0 0
ElementSpacing = {" ".join(f"{value:.6g}" for value in spacing_mm)}
DimSize = {size}
ElementType = {kinds[voxels.dtype]}
ElementDataFile = {raw.name}
""",
    )
