"""A DICOM study as volumes: CT in HU, PET in SUV by body weight, MR as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from branchpoint.deploy.dicom.geometry import Grid, order_slices
from branchpoint.deploy.dicom.instances import Instance
from branchpoint.deploy.dicom.pet_header import pet_header
from branchpoint.deploy.dicom.series import Series, choose, list_series
from branchpoint.deploy.dicom.suv import SuvScale, suv_scale
from branchpoint.deploy.errors import CaseError


@dataclass(frozen=True)
class DicomVolume:
    """One modality of a study.

    Attributes:
        modality: as in the dataset, such as ``PET``.
        series_uid, description: of the series.
        slices: its instances, ordered along the normal, so that slice k of the image is ``slices[k]``.
        grid: origin, spacing and direction of the image.
        suv: how PET pixels become SUV; ``None`` for other modalities.
        warnings: what a reader should know.
    """

    modality: str
    series_uid: str
    description: str
    slices: tuple[Instance, ...]
    grid: Grid
    suv: SuvScale | None
    warnings: tuple[str, ...]

    def read(self) -> Any:
        """The pixels as a SimpleITK.Image of float32, in HU, SUV or the unit of the series.

        Raises:
            CaseError: a file cannot be decoded.
        """
        import SimpleITK as sitk

        reader = sitk.ImageSeriesReader()
        reader.SetImageIO("GDCMImageIO")  # files without the DICOM prefix are not recognised otherwise
        reader.SetFileNames([str(instance.path) for instance in self.slices])
        # Otherwise the first slice's slope decides the type of all: up to 1 unit of the others is cut off.
        reader.SetOutputPixelType(sitk.sitkFloat32)
        shown = sitk.ProcessObject.GetGlobalWarningDisplay()
        sitk.ProcessObject.SetGlobalWarningDisplay(False)  # uneven steps within our tolerance; we checked them
        try:
            image = reader.Execute()
        except RuntimeError as problem:
            raise CaseError(
                "unreadable-pixels",
                f"{self.modality} {self.description}: {str(problem).strip().splitlines()[-1]}",
                "export the series again, uncompressed",
            ) from None
        finally:
            sitk.ProcessObject.SetGlobalWarningDisplay(shown)
        image.SetOrigin(self.grid.origin_mm)
        image.SetSpacing(self.grid.spacing_mm)
        image.SetDirection(self.grid.direction)
        return image if self.suv is None else image * self.suv.factor


@dataclass(frozen=True)
class DicomStudy:
    """The volumes chosen for a case, and what was left out."""

    volumes: Mapping[str, DicomVolume]
    dropped: tuple[str, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Of all volumes."""
        return tuple(f"{name}: {text}" for name, volume in self.volumes.items() for text in volume.warnings)


def open_study(
    folder: Path,
    modalities: Sequence[str],
    chosen: Mapping[str, str] | None = None,
    weight_kg: float | None = None,
) -> DicomStudy:
    """Find the series of each modality below ``folder`` and check them; no pixel is read.

    Args:
        folder: one patient's study.
        modalities: such as ``("CT", "PET")``.
        chosen: modality to SeriesInstanceUID, number or description, where several are possible.
        weight_kg: replaces the weight in the header.

    Raises:
        CaseError: a rule of this package is broken.
    """
    listing = list_series(folder)
    volumes = {
        modality: _open_volume(modality, choose(listing, modality, (chosen or {}).get(modality)), weight_kg)
        for modality in modalities
    }
    _refuse_other_frame(list(volumes.values()))
    taken = {volume.series_uid for volume in volumes.values()}
    others = [f"{series.describe()}: not used" for series in listing.volumes if series.uid not in taken]
    return DicomStudy(volumes, (*others, *listing.dropped))


def _open_volume(modality: str, series: Series, weight_kg: float | None) -> DicomVolume:
    cut = [instance.path.name for instance in series.instances if instance.truncated]
    if cut:
        raise CaseError(
            "truncated-file", f"{len(cut)} files of {series.describe()} are cut short: {cut[0]}", "copy them again"
        )
    kinds = set(series.first.words("SeriesType")) & {"DYNAMIC", "GATED"}
    if kinds:
        raise CaseError("dynamic-series", f"{series.describe()} is {' '.join(sorted(kinds))}", "give a static series")
    if inverted := [one for one in series.instances if one.text("PhotometricInterpretation") == "MONOCHROME1"]:
        raise CaseError(
            "inverted-pixels",
            f"{len(inverted)} files of {series.describe()} are MONOCHROME1: their grey levels are inverted",
            "export the series as MONOCHROME2",
        )
    slices, grid = order_slices(series.instances)
    suv = suv_scale(pet_header(slices), weight_kg) if series.modality == "PT" else None
    if series.modality == "CT":
        _refuse_other_units(series)
    return DicomVolume(
        modality,
        series.uid,
        series.first.text("SeriesDescription"),
        tuple(slices),
        grid,
        suv,
        (*_fewer_than_counted(slices), *(suv.warnings if suv else ())),
    )


def _fewer_than_counted(slices: Sequence[Instance]) -> list[str]:
    """A slice missing at either end leaves no gap, but PET headers count their slices."""
    counted = slices[0].numbers("NumberOfSlices", 1)
    if counted is None or counted[0] <= len(slices):
        return []
    return [f"the header counts {counted[0]:.0f} slices, {len(slices)} are here: the scan may be cut at an end"]


def _refuse_other_units(series: Series) -> None:
    kind = series.first.text("RescaleType").upper()
    if kind not in ("", "HU", "US") or "RescaleSlope" not in series.first.header:
        found = f"rescale type (0028,1054) {kind}" if kind else "no rescale slope (0028,1053)"
        raise CaseError("ct-not-hu", f"{series.describe()} has {found}", "give a CT series in Hounsfield units")


def _refuse_other_frame(volumes: Sequence[DicomVolume]) -> None:
    frames = {volume.modality: volume.slices[0].text("FrameOfReferenceUID") for volume in volumes}
    if len(set(frames.values())) > 1 or (len(frames) > 1 and "" in frames.values()):
        listed = "; ".join(f"{name} {uid or 'has none'}" for name, uid in frames.items())
        raise CaseError(
            "frame-of-reference",
            f"the series do not share a FrameOfReferenceUID: {listed}",
            "give series of one examination, or register them and give NIfTI files",
        )
