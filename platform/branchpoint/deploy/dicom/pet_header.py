"""What a PET series' DICOM headers say about its units, as a :class:`PetHeader`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from branchpoint.deploy.dicom.instances import Header, Instance
from branchpoint.deploy.dicom.suv import PetHeader, same_of_all
from branchpoint.deploy.errors import CaseError


def pet_header(instances: Sequence[Instance]) -> PetHeader:
    """The header of a series; ``instances`` are all of its slices.

    Raises:
        CaseError: slices disagree, or the series names several tracers.
    """
    headers = [instance.header for instance in instances]
    first = headers[0]
    for name in ("Units", "DecayCorrection", "PatientWeight", "SeriesDate", "SeriesTime"):
        same_of_all(name, [header.get(name) for header in headers])
    tracers = [_tracer(header) for header in headers]
    for name in ("RadionuclideTotalDose", "RadionuclideHalfLife"):
        same_of_all(name, [tracer.get(name) for tracer in tracers])
    philips = [_private(header, 0x7053, "Philips PET Private Group", 0x00) for header in headers]
    same_of_all("(7053,xx00)", philips)
    acquired = [when for header in headers if (when := _moment(header, "Acquisition")) is not None]
    tracer = tracers[0]
    return PetHeader(
        units=str(first.get("Units") or ""),
        suv_type=str(first.get("SUVType") or ""),
        decay_correction=str(first.get("DecayCorrection") or ""),
        weight_kg=_number(first.get("PatientWeight")),
        dose_bq=_number(tracer.get("RadionuclideTotalDose")),
        half_life_s=_number(tracer.get("RadionuclideHalfLife")),
        series=_moment(first, "Series"),
        acquisition=min(acquired, default=None),
        injection=date_time(str(tracer.get("RadiopharmaceuticalStartDateTime") or "")),
        injection_time=time_of_day(str(tracer.get("RadiopharmaceuticalStartTime") or "")),
        ge_scan=date_time(_private(first, 0x0009, "GEMS_PETD_01", 0x0D)),
        siemens_reference=date_time(_private(first, 0x0071, "SIEMENS MED PT", 0x22)),
        philips_suv=_number(philips[0]),
        philips_activity=_number(_private(first, 0x7053, "Philips PET Private Group", 0x09)),
    )


def date_time(text: str) -> datetime | None:
    """A DICOM DT such as ``20201217083045.000000``, without its offset from UTC; ``None`` where it is not one.

    The scanner's clock is behind all times of a header, so an offset changes none of their differences.
    """
    text = text.strip().split("+")[0].split("-")[0]
    seconds = time_of_day(text[8:])
    day = _day(text[:8])
    return None if day is None or seconds is None else day + timedelta(seconds=seconds)


def time_of_day(text: str) -> float | None:
    """Seconds since midnight of a DICOM TM such as ``095621.5``; ``None`` where it is not one.

    >>> time_of_day("010203.5")
    3723.5
    """
    text = text.strip().replace(":", "")
    try:
        hours, minutes, seconds = int(text[:2]), int(text[2:4] or 0), float(text[4:] or 0)
    except ValueError:
        return None
    valid = hours < 24 and minutes < 60 and seconds < 61
    return hours * 3600 + minutes * 60 + seconds if valid else None


def _day(text: str) -> datetime | None:
    try:
        return datetime.strptime(text.strip(), "%Y%m%d")
    except ValueError:
        return None


def _moment(header: Header, part: str) -> datetime | None:
    day, seconds = _day(str(header.get(f"{part}Date") or "")), time_of_day(str(header.get(f"{part}Time") or ""))
    return None if day is None or seconds is None else day + timedelta(seconds=seconds)


def _tracer(header: Header) -> Header:
    items = header.get("RadiopharmaceuticalInformationSequence") or []
    if len(items) > 1:
        raise CaseError("several-tracers", f"{len(items)} radiopharmaceuticals in one series", "give one tracer")
    return items[0] if len(items) else {}


def _private(header: Header, group: int, creator: str, element: int) -> str:
    try:
        value = header.private_block(group, creator)[element].value
    except KeyError:
        return ""
    return value.decode(errors="replace").strip("\0 ") if isinstance(value, bytes) else str(value or "").strip()


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
