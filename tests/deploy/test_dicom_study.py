"""DICOM studies: what is found, put in order, read and refused."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from branchpoint.deploy.dicom.study import open_study
from branchpoint.deploy.errors import CaseError
from tests.deploy.dicom_builder import write_series

SHAPE = (9, 12, 10)


def voxels(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 3000, SHAPE).astype(np.int16)


def write_study(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    ct, pet = voxels(0), voxels(1)
    write_series(folder / "ct", "CT", ct, number=1, intercept=-1024)
    write_series(
        folder / "pet", "PT", pet, number=2, spacing_mm=(4, 4, 3), slopes=np.linspace(0.3, 2.7, SHAPE[0]).round(4)
    )
    return ct, pet


def refusal(folder: Path, modalities: tuple[str, ...] = ("CT", "PET"), **options: Any) -> CaseError:
    with pytest.raises(CaseError) as caught:
        open_study(folder, modalities, **options)
    return caught.value


def test_values_and_geometry(tmp_path: Path) -> None:
    import SimpleITK as sitk

    ct, pet = write_study(tmp_path)
    study = open_study(tmp_path, ("CT", "PET"))
    image = study.volumes["CT"].read()
    assert image.GetPixelID() == sitk.sitkFloat32
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), ct.astype(np.float32) - 1024)
    assert image.GetOrigin() == (-20, -30, 100)
    assert image.GetSpacing() == pytest.approx((2, 2, 3))
    suv = study.volumes["PET"]
    assert suv.suv is not None
    slopes = np.array([float(s) for s in np.linspace(0.3, 2.7, SHAPE[0]).round(4)])
    expected = pet * slopes[:, None, None] * suv.suv.factor
    # Slopes differ: had the first slice's type been kept, up to 1 unit would be cut off.
    np.testing.assert_allclose(sitk.GetArrayFromImage(suv.read()), expected, rtol=1e-6)
    assert [s.numbers("ImagePositionPatient", 3)[2] for s in suv.slices] == [100 + 3 * k for k in range(9)]


def test_oblique_and_feet_first(tmp_path: Path) -> None:
    """Slices along a turned normal, against the order of their positions."""
    import SimpleITK as sitk

    row, column = np.array([0.0, 0.0, -1.0]), np.array([0.6, 0.8, 0.0])
    normal = np.cross(row, column)

    def turn(header: Any, k: int) -> None:
        header.ImageOrientationPatient = [*row, *column]
        header.ImagePositionPatient = [float(v) for v in np.array([5.0, 6.0, 7.0]) - 3.0 * k * normal]

    ct = voxels()
    write_series(tmp_path, "CT", ct, edit=turn)
    image = open_study(tmp_path, ("CT",)).volumes["CT"].read()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), ct[::-1])
    corner = image.TransformIndexToPhysicalPoint((9, 11, 0))
    expected = np.array([5.0, 6.0, 7.0]) - 3 * 8 * normal + 9 * 2 * row + 11 * 2 * column
    assert corner == pytest.approx(tuple(expected))


def test_what_is_no_volume_is_listed(tmp_path: Path) -> None:
    write_study(tmp_path)

    def localizer(header: Any, k: int) -> None:
        header.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    write_series(tmp_path / "scout", "CT", voxels()[:2], number=7, edit=localizer)
    write_series(tmp_path / "one", "CT", voxels()[:1], number=8)
    (tmp_path / "notes.txt").write_text("to be read by nobody")
    dropped = " | ".join(open_study(tmp_path, ("CT", "PET")).dropped)
    assert "series 7 (CT): a localizer (2 files)" in dropped
    assert "a single image" in dropped
    assert "notes.txt: not a DICOM file" in dropped


def test_two_series_are_listed_and_one_is_asked_for(tmp_path: Path) -> None:
    write_study(tmp_path)
    write_series(tmp_path / "lung", "CT", voxels(3), number=9)
    problem = refusal(tmp_path)
    assert problem.rule == "several-series"
    assert "series 1 (CT" in problem.found
    assert "series 9 (CT" in problem.found
    study = open_study(tmp_path, ("CT", "PET"), {"CT": "9"})
    assert study.volumes["CT"].series_uid.endswith(".9")
    assert refusal(tmp_path, chosen={"CT": "11"}).rule == "no-series"


def shift(k: int, axis: int, mm: float) -> Any:
    def edit(header: Any, number: int) -> None:
        if number >= k:
            position = [float(value) for value in header.ImagePositionPatient]
            position[axis] += mm * (number - k + 1)
            header.ImagePositionPatient = position

    return edit


def header(**values: Any) -> Any:
    def edit(target: Any, k: int) -> None:
        for name, value in values.items():
            setattr(target, name, value)

    return edit


def one_slice(k: int, **values: Any) -> Any:
    return lambda target, number: header(**values)(target, number) if number == k else None


@pytest.mark.parametrize(
    ("edit", "rule"),
    [
        (one_slice(4, ImagePositionPatient=[-20, -30, 112.9]), "irregular-slices"),
        (one_slice(4, ImagePositionPatient=[-20, -30, 109]), "duplicate-slices"),
        (shift(0, 1, 0.5), "gantry-tilt"),
        (header(GantryDetectorTilt="12.5"), "gantry-tilt"),
        (header(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "no-geometry"),
        (header(NumberOfFrames=4), "multiframe"),
        (header(SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1"), "multiframe"),
        (header(RescaleType="MGML"), "ct-not-hu"),
        (header(PhotometricInterpretation="MONOCHROME1"), "inverted-pixels"),
        (one_slice(3, PatientID="P2"), "several-patients"),
    ],
)
def test_series_that_are_refused(tmp_path: Path, edit: Any, rule: str) -> None:
    write_series(tmp_path, "CT", voxels(), intercept=-1024, edit=edit)
    assert refusal(tmp_path, ("CT",)).rule == rule


def compress_slice(path: Path, compressor: str) -> None:
    """Encode the pixels of a file again, by the encoder of SimpleITK."""
    import pydicom
    import SimpleITK as sitk

    data = pydicom.dcmread(path)
    image = sitk.GetImageFromArray(data.pixel_array[None].astype(np.int16))
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetFileName(str(path.with_suffix(".tmp.dcm")))
    writer.UseCompressionOn()
    writer.SetCompressor(compressor)
    writer.Execute(image)
    encoded = pydicom.dcmread(path.with_suffix(".tmp.dcm"))
    assert encoded.file_meta.TransferSyntaxUID.is_compressed
    data.file_meta.TransferSyntaxUID = encoded.file_meta.TransferSyntaxUID
    data.PixelData = encoded.PixelData
    data["PixelData"].is_undefined_length = True
    data.save_as(path)
    path.with_suffix(".tmp.dcm").unlink()


@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000", "RLE", "JPEG-LS"])
def test_compressed_without_loss(tmp_path: Path, compressor: str) -> None:
    """As archives keep slices; values are those of the uncompressed series."""
    import pydicom
    import SimpleITK as sitk

    ct = voxels()
    for path in write_series(tmp_path, "CT", ct, intercept=-1024):
        if compressor in ("RLE", "JPEG-LS"):
            data = pydicom.dcmread(path)
            data.compress(pydicom.uid.RLELossless if compressor == "RLE" else pydicom.uid.JPEGLSLossless)
            data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID
            data.save_as(path)
        else:
            compress_slice(path, compressor)
    image = open_study(tmp_path, ("CT",)).volumes["CT"].read()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), ct.astype(np.float32) - 1024)


def test_deflated_and_bare_files(tmp_path: Path) -> None:
    """Deflated as a whole; and without preamble and prefix."""
    import pydicom
    import SimpleITK as sitk

    ct = voxels()
    for path in write_series(tmp_path / "deflated", "CT", ct, intercept=-1024):
        data = pydicom.dcmread(path)
        data.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
        data.save_as(path)
    for path in write_series(tmp_path / "bare", "CT", ct, intercept=-1024):
        path.write_bytes(path.read_bytes()[132:])
    for name in ("deflated", "bare"):
        image = open_study(tmp_path / name, ("CT",)).volumes["CT"].read()
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), ct.astype(np.float32) - 1024)


def test_copies_of_files_and_reconstructions_without_attenuation(tmp_path: Path) -> None:
    write_study(tmp_path)
    shutil.copytree(tmp_path / "ct", tmp_path / "ct again")
    write_series(tmp_path / "nac", "PT", voxels(5), number=12, edit=header(CorrectedImage=["DECY"]))
    study = open_study(tmp_path, ("CT", "PET"))
    assert study.volumes["PET"].series_uid.endswith(".2")
    assert "9 files are copies of others" in study.dropped
    assert any("series 12" in line and "not used" in line for line in study.dropped)


def test_mr_beside_ct_and_pet(tmp_path: Path) -> None:
    write_study(tmp_path)
    mr = {"Modality": "MR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4", "FrameOfReferenceUID": "1.9"}
    write_series(tmp_path / "mr", "CT", voxels(6), number=13, edit=header(**mr))
    assert set(open_study(tmp_path, ("CT", "PET")).volumes) == {"CT", "PET"}
    assert refusal(tmp_path, ("MR", "PET")).rule == "frame-of-reference"


def test_slice_of_another_orientation_in_the_series(tmp_path: Path) -> None:
    """A localizer that no word gives away, in the series of the scan."""
    turned = one_slice(0, ImageOrientationPatient=[0, 1, 0, 0, 0, -1], ImagePositionPatient=[0, 0, 0])
    write_series(tmp_path, "CT", voxels(), intercept=-1024, edit=turned)
    study = open_study(tmp_path, ("CT",))
    assert len(study.volumes["CT"].slices) == 8
    assert any("a single image" in line for line in study.dropped)


@pytest.mark.parametrize("lost", [[4], [3, 4], [1], [7]])
def test_missing_slices(tmp_path: Path, lost: list[int]) -> None:
    paths = write_series(tmp_path, "CT", voxels())
    for k in lost:
        paths[k].unlink()
    problem = refusal(tmp_path, ("CT",))
    assert problem.rule == "missing-slice"
    assert problem.found.startswith(f"{len(lost)} of 9 slices missing")


@pytest.mark.parametrize(
    ("edit", "rule"),
    [
        (header(SeriesType=["DYNAMIC", "IMAGE"]), "dynamic-series"),
        (
            lambda h, k: header(AcquisitionTime=f"12{k:02d}00", ImagePositionPatient=[0, 0, 3 * (k % 3)])(h, k),
            "dynamic-series",
        ),
        (header(CorrectedImage=["DECY"]), "pet-not-corrected"),
        (header(CorrectedImage=["ATTN"]), "pet-not-corrected"),
        (header(PatientWeight=0), "suv-weight"),
        (one_slice(2, PatientWeight=71), "suv-header"),
        (header(Units="CNTS"), "philips-scale"),
    ],
)
def test_pet_that_is_refused(tmp_path: Path, edit: Any, rule: str) -> None:
    write_series(tmp_path, "PT", voxels(), edit=edit)
    assert refusal(tmp_path, ("PET",)).rule == rule


def test_philips_private_group(tmp_path: Path) -> None:
    def philips(header: Any, k: int) -> None:
        header.Units = "CNTS"
        block = header.private_block(0x7053, "Philips PET Private Group", create=True)
        block.add_new(0x00, "DS", "0.000551")

    write_series(tmp_path, "PT", voxels(), edit=philips)
    suv = open_study(tmp_path, ("PET",)).volumes["PET"].suv
    assert suv is not None
    assert suv.factor == 0.000551


def test_other_frame_of_reference(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", "CT", voxels(), number=1)
    write_series(tmp_path / "pet", "PT", voxels(), number=2, edit=header(FrameOfReferenceUID="1.2.3"))
    assert refusal(tmp_path).rule == "frame-of-reference"


def test_truncated_file(tmp_path: Path) -> None:
    path = write_series(tmp_path, "CT", voxels())[3]
    path.write_bytes(path.read_bytes()[:-20])
    assert refusal(tmp_path, ("CT",)).rule == "truncated-file"


def test_folder_without_dicom(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    assert refusal(tmp_path).rule == "no-dicom"


@pytest.fixture(scope="module")
def sts() -> Path:
    folder = Path(os.environ.get("BRANCHPOINT_DATA", "/nowhere"))
    if not (folder / "sts_dicom").is_dir():
        pytest.skip("BRANCHPOINT_DATA does not name the folder with sts_dicom: no real series was read")
    return folder


def test_real_ge_series(sts: Path) -> None:
    """The scanner's own DICOM gives the SUV that the collection's NIfTI holds (cropped around the tumour)."""
    import SimpleITK as sitk

    study = open_study(sts / "sts_dicom" / "STS_001", ("PET",))
    image = study.volumes["PET"].read()
    known = sitk.ReadImage(str(sts / "sts" / "STS_001" / "PET_image.nii.gz"), sitk.sitkFloat32)
    start = image.TransformPhysicalPointToContinuousIndex(known.GetOrigin())
    assert np.abs(np.array(start) - np.round(start)).max() < 1e-3
    part = sitk.RegionOfInterest(image, known.GetSize(), [round(value) for value in start])
    apart = np.abs(sitk.GetArrayFromImage(part) - sitk.GetArrayFromImage(known))
    assert apart.max() <= 0.01
    assert "RTSTRUCT" in " ".join(study.dropped)


def test_real_series_with_a_slice_lost(sts: Path, tmp_path: Path) -> None:
    shutil.copytree(sts / "sts_dicom" / "STS_001" / "FDG_PET" / "image", tmp_path / "pet")
    (tmp_path / "pet" / "1-100.dcm").unlink()
    assert refusal(tmp_path, ("PET",)).rule == "missing-slice"
