"""The factor that turns a rescaled PET pixel into the standardised uptake value by body weight.

    SUVbw = (pixel x slope + intercept) x 1000 x weight_kg / (dose_Bq x 2^(-dt / half_life_s))

Follows the vendor-neutral pseudocode of the Quantitative Imaging Biomarkers Alliance (QIBA, FDG-PET, 2018-06-26), with
refusals where a header leaves room for a guess. Slope and intercept are those of each slice and are applied when the
pixels are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from branchpoint.deploy.errors import CaseError

LEAST_DOSE_BQ = 1e4
MOST_WEIGHT_KG = 500.0
LONGEST_UPTAKE_S = 6 * 3600
USUAL_UPTAKE_S = (40 * 60, 120 * 60)
MOST_DISAGREEMENT = 0.01
"""Two statements of one header about the same factor may differ by this share."""


@dataclass(frozen=True, kw_only=True)
class PetHeader:
    """What the headers of a PET series say about its units; ``None`` or ``""`` where they say nothing.

    Attributes:
        units: (0054,1001).
        suv_type: (0054,1006).
        decay_correction: (0054,1102).
        weight_kg: (0010,1030).
        dose_bq: (0018,1074).
        half_life_s: (0018,1075).
        series: (0008,0021) with (0008,0031).
        acquisition: earliest (0008,0022) with (0008,0032) of all slices.
        injection: (0018,1078).
        injection_time: (0018,1072), a time of day: seconds since midnight.
        ge_scan: (0009,xx0D) of GEMS_PETD_01.
        siemens_reference: (0071,xx22) of SIEMENS MED PT.
        philips_suv: (7053,xx00) of Philips PET Private Group.
        philips_activity: (7053,xx09) of the same.
    """

    units: str
    suv_type: str = ""
    decay_correction: str = ""
    weight_kg: float | None = None
    dose_bq: float | None = None
    half_life_s: float | None = None
    series: datetime | None = None
    acquisition: datetime | None = None
    injection: datetime | None = None
    injection_time: float | None = None
    ge_scan: datetime | None = None
    siemens_reference: datetime | None = None
    philips_suv: float | None = None
    philips_activity: float | None = None


@dataclass(frozen=True, kw_only=True)
class SuvScale:
    """The factor, and where it came from; plain values that a report can show.

    Attributes:
        factor: rescaled pixel to SUV.
        rule: the branch that was taken, such as ``BQML, decay-corrected to the start of the scan``.
        weight_kg, dose_bq, half_life_s, uptake_s: inputs of the formula; ``None`` where the factor needed none.
        warnings: what a reader should know.
    """

    factor: float
    rule: str
    weight_kg: float | None = None
    dose_bq: float | None = None
    half_life_s: float | None = None
    uptake_s: float | None = None
    warnings: tuple[str, ...] = ()


def suv_scale(header: PetHeader, weight_kg: float | None = None) -> SuvScale:
    """The scale of a PET series.

    Args:
        header: of the series.
        weight_kg: replaces the weight in the header, and the warnings record it.

    Raises:
        CaseError: the header does not give the factor beyond doubt.

    Example:
        >>> noon = datetime(2024, 5, 1, 12)
        >>> header = PetHeader(units="BQML", decay_correction="START", weight_kg=70, dose_bq=3.5e8, half_life_s=6586.2,
        ...     series=noon, acquisition=noon, injection=noon - timedelta(hours=1))
        >>> round(suv_scale(header).factor * 1e4, 4)
        2.9213
    """
    notes: tuple[str, ...] = ()
    if weight_kg is not None:
        notes = (f"weight {weight_kg:g} kg was given by the user; the header has {header.weight_kg}",)
        header = replace(header, weight_kg=weight_kg)
    units = header.units.strip().upper()
    if units == "BQML":
        scale = _by_activity(header, 1.0, "BQML")
    elif units == "GML":
        scale = _already_suv(header)
    elif units == "CNTS":
        scale = _by_philips(header, weight_kg is not None)
    else:
        raise CaseError(
            "pet-units",
            f"PET units (0054,1001) are {header.units or 'missing'}",
            "give a series in BQML, GML or Philips CNTS, or PET in SUV as NIfTI",
        )
    return replace(scale, warnings=(*notes, *scale.warnings))


def _already_suv(header: PetHeader) -> SuvScale:
    kind = header.suv_type.strip().upper()
    if kind not in ("", "BW"):
        raise CaseError(
            "suv-type", f"SUV type (0054,1006) is {kind}", "give SUV by body weight (BW), or activity in BQML"
        )
    return SuvScale(factor=1.0, rule="GML: already SUV by body weight")


def _by_philips(header: PetHeader, weight_given: bool) -> SuvScale:
    direct, activity = header.philips_suv or 0.0, header.philips_activity or 0.0
    if direct < 0 or activity < 0 or not (direct or activity):
        raise CaseError(
            "philips-scale",
            "units are CNTS, with neither a positive SUV scale (7053,xx00) nor an activity scale (7053,xx09)",
            "export the series in BQML, or with the private group 'Philips PET Private Group'",
        )
    if not direct or weight_given:
        if not activity:
            raise CaseError(
                "philips-scale",
                "a weight was given, but the SUV scale (7053,xx00) has the scanner's own weight built in",
                "leave out the weight, or export the series in BQML",
            )
        return _by_activity(header, activity, "CNTS, Philips activity scale")
    scale = SuvScale(factor=direct, rule="CNTS, Philips SUV scale", weight_kg=header.weight_kg)
    if not activity:
        return scale
    try:
        other = _by_activity(header, activity, "").factor
    except CaseError as problem:
        return replace(scale, warnings=(f"the SUV scale could not be cross-checked: {problem.found}",))
    if abs(other / direct - 1) > MOST_DISAGREEMENT:
        raise CaseError(
            "philips-scale",
            f"SUV scale (7053,xx00) {direct:g} and activity scale (7053,xx09) give {other:g}: "
            f"{abs(other / direct - 1):.1%} apart",
            "check weight, dose and times in the header, or export the series in BQML",
        )
    return scale


def _by_activity(header: PetHeader, bq_per_ml: float, rule: str) -> SuvScale:
    weight, dose = _positive(header.weight_kg, "weight (0010,1030)"), _positive(header.dose_bq, "dose (0018,1074)")
    half_life = _positive(header.half_life_s, "half-life (0018,1075)")
    if weight > MOST_WEIGHT_KG:
        raise CaseError("suv-weight", f"weight (0010,1030) is {weight:g} kg", "is it grams? give --weight-kg")
    if dose < LEAST_DOSE_BQ:
        raise CaseError("suv-dose", f"dose (0018,1074) is {dose:g} Bq", "is it MBq? correct the header to becquerels")
    uptake, decay, warnings = _decay(header, half_life)
    return SuvScale(
        factor=bq_per_ml * 1000 * weight / (dose * 2 ** (-decay / half_life)),
        rule=f"{rule}, {_REFERENCES[header.decay_correction.strip().upper()]}",
        weight_kg=weight,
        dose_bq=dose,
        half_life_s=half_life,
        uptake_s=uptake,
        warnings=warnings,
    )


_REFERENCES = {
    "START": "decay-corrected to the start of the scan",
    "ADMIN": "decay-corrected to the injection",
}


def _decay(header: PetHeader, half_life_s: float) -> tuple[float | None, float, tuple[str, ...]]:
    """Seconds from injection to scan, seconds of decay in the formula, warnings."""
    correction = header.decay_correction.strip().upper()
    if correction not in _REFERENCES:
        raise CaseError(
            "decay-correction",
            f"decay correction (0054,1102) is {correction or 'missing'}",
            "give a series corrected to START or ADMIN",
        )
    if correction == "ADMIN":
        return None, 0.0, ()
    scan = _scan_time(header)
    if header.siemens_reference is not None:
        apart = abs((header.siemens_reference - scan).total_seconds())
        if 2 ** (apart / half_life_s) - 1 > MOST_DISAGREEMENT:
            raise CaseError(
                "scan-time",
                f"the scan starts at {scan}, Siemens' (0071,xx22) says {header.siemens_reference}: {apart:.0f} s apart",
                "check the dates and times of the series",
            )
    uptake = (scan - _injection_time(header, scan)).total_seconds()
    if uptake < 0 or uptake > LONGEST_UPTAKE_S:
        raise CaseError(
            "uptake-time",
            f"the scan starts {abs(uptake) / 60:.0f} min {'before' if uptake < 0 else 'after'} the injection",
            "check the dates and times of injection (0018,1078), (0018,1072) and series (0008,0021), (0008,0031)",
        )
    low, high = USUAL_UPTAKE_S
    usual = low <= uptake <= high
    return uptake, uptake, () if usual else (f"uptake time {uptake / 60:.0f} min is outside 40 to 120 min",)


def _scan_time(header: PetHeader) -> datetime:
    """When the scan started, to which its slices are decay-corrected.

    A series time after the earliest acquisition is that of a later reconstruction. The scan is not computed backwards
    from FrameReferenceTime: on GE scanners that is 20 minutes off.
    """
    if header.series is not None and (header.acquisition is None or header.series <= header.acquisition):
        return header.series
    scan = header.ge_scan or header.acquisition
    if scan is None:
        raise CaseError(
            "scan-time",
            "neither series (0008,0021), (0008,0031) nor acquisition (0008,0022), (0008,0032) has date and time",
            "restore them: the dose decays between injection and scan",
        )
    return scan


def _injection_time(header: PetHeader, scan: datetime) -> datetime:
    if header.injection is not None:
        return header.injection
    day = header.series or scan
    if header.injection_time is None:
        raise CaseError(
            "injection-time",
            "neither (0018,1078) nor (0018,1072) says when the dose was injected",
            "restore one of them: the dose decays between injection and scan",
        )
    midnight = day.replace(hour=0, minute=0, second=0, microsecond=0)
    injection = midnight + timedelta(seconds=header.injection_time)
    return injection - timedelta(days=1) if injection > scan else injection


def _positive(value: float | None, name: str) -> float:
    if value is None or not value > 0:
        flag = "give --weight-kg" if name.startswith("weight") else "restore it in the header"
        raise CaseError("suv-" + name.split()[0], f"{name} is {'missing' if value is None else value}", flag)
    return value


def same_of_all(name: str, values: Sequence[object]) -> None:
    """Refuse a series whose slices disagree about ``name``."""
    different = sorted({str(value) for value in values})
    if len(different) > 1:
        raise CaseError(
            "suv-header", f"slices disagree about {name}: {', '.join(different[:3])}", "export the series again"
        )
