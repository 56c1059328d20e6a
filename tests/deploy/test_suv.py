"""SUV by body weight: eight scanners' headers with known factors, and every refusal of the rules."""

import json
import os
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from branchpoint.deploy.dicom.pet_header import date_time, time_of_day
from branchpoint.deploy.dicom.suv import PetHeader, suv_scale
from branchpoint.deploy.errors import CaseError

NOON = datetime(2024, 5, 1, 12)
GOOD = PetHeader(
    units="BQML",
    decay_correction="START",
    weight_kg=70,
    dose_bq=3.5e8,
    half_life_s=6586.2,
    series=NOON,
    acquisition=NOON,
    injection=NOON - timedelta(hours=1),
)
ORACLES = Path(os.environ.get("BRANCHPOINT_DATA", "/nowhere")) / "oracles" / "suv"


def header_of(row: dict, earliest: datetime | None) -> PetHeader:
    philips = row["PhilipsPETPrivateGroup"]
    return PetHeader(
        units=row["Units"],
        decay_correction=row["DecayCorrection"],
        weight_kg=row["PatientWeight"],
        dose_bq=row["RadionuclideTotalDose"],
        half_life_s=row["RadionuclideHalfLife"],
        series=date_time(row["SeriesDate"] + row["SeriesTime"]),
        acquisition=earliest,
        injection=date_time(row.get("RadiopharmaceuticalStartDateTime", "")),
        injection_time=time_of_day(row["RadiopharmaceuticalStartTime"]),
        philips_suv=float(philips["SUVScaleFactor"]) if "SUVScaleFactor" in philips else None,
        philips_activity=float(philips.get("ActivityConcentrationScaleFactor", 0)) or None,
    )


def test_eight_scanners() -> None:
    if not ORACLES.is_dir():
        pytest.skip("BRANCHPOINT_DATA does not name the folder with oracles/suv: no vendor header was compared")
    expected = dict(line.split(",") for line in (ORACLES / "expected.csv").read_text().split()[1:])
    assert len(expected) == 8
    for case, factor in expected.items():
        rows = json.loads((ORACLES / f"{case}-instances.json").read_text())
        times = [date_time(row["AcquisitionDate"] + row["AcquisitionTime"]) for row in rows]
        earliest = min(time for time in times if time is not None)
        assert suv_scale(header_of(rows[0], earliest)).factor == pytest.approx(float(factor), rel=1e-6), case


def test_formula() -> None:
    expected = 1000 * 70 / (3.5e8 * 2 ** (-3600 / 6586.2))
    assert suv_scale(GOOD).factor == pytest.approx(expected, rel=1e-12)
    assert suv_scale(replace(GOOD, decay_correction="ADMIN")).factor == pytest.approx(1000 * 70 / 3.5e8, rel=1e-12)


def test_series_time_of_a_later_reconstruction_is_not_the_scan() -> None:
    late = replace(GOOD, series=NOON + timedelta(minutes=40))
    assert suv_scale(late).uptake_s == 3600
    assert suv_scale(replace(late, ge_scan=NOON - timedelta(minutes=5))).uptake_s == 3300


def test_injection_before_midnight() -> None:
    scan = datetime(2024, 5, 2, 0, 20)
    header = replace(GOOD, series=scan, acquisition=scan, injection=None, injection_time=23.5 * 3600)
    assert suv_scale(header).uptake_s == 50 * 60


def test_weight_of_the_user_is_recorded() -> None:
    scale = suv_scale(replace(GOOD, weight_kg=None), weight_kg=80)
    assert scale.weight_kg == 80
    assert "80 kg was given by the user" in scale.warnings[0]


@pytest.mark.parametrize("minutes", [30, 130])
def test_unusual_uptake_is_a_warning(minutes: int) -> None:
    assert "outside 40 to 120 min" in suv_scale(replace(GOOD, injection=NOON - timedelta(minutes=minutes))).warnings[0]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"weight_kg": None}, "suv-weight"),
        ({"weight_kg": 0.0}, "suv-weight"),
        ({"weight_kg": 70000.0}, "suv-weight"),
        ({"dose_bq": None}, "suv-dose"),
        ({"dose_bq": 350.0}, "suv-dose"),
        ({"half_life_s": 0.0}, "suv-half-life"),
        ({"decay_correction": "NONE"}, "decay-correction"),
        ({"decay_correction": ""}, "decay-correction"),
        ({"units": "PROPCNTS"}, "pet-units"),
        ({"units": "CNTS"}, "philips-scale"),
        ({"units": "GML", "suv_type": "LBM"}, "suv-type"),
        ({"injection": NOON + timedelta(minutes=1)}, "uptake-time"),
        ({"injection": NOON - timedelta(hours=7)}, "uptake-time"),
        ({"injection": None}, "injection-time"),
        ({"series": None, "acquisition": None}, "scan-time"),
        ({"siemens_reference": NOON - timedelta(minutes=20)}, "scan-time"),
    ],
)
def test_doubt_is_refused(change: dict, rule: str) -> None:
    with pytest.raises(CaseError) as caught:
        suv_scale(replace(GOOD, **change))
    assert caught.value.rule == rule
    assert caught.value.fix


def test_philips_scales() -> None:
    activity = suv_scale(GOOD).factor * 2
    both = replace(GOOD, units="CNTS", philips_suv=activity * 1.005, philips_activity=2.0)
    assert suv_scale(both).factor == activity * 1.005
    assert suv_scale(replace(both, philips_suv=0.0)).factor == pytest.approx(activity, rel=1e-12)
    with pytest.raises(CaseError, match="apart"):
        suv_scale(replace(both, philips_suv=activity * 1.02))
    # In BQML Philips' private scales play no part.
    assert suv_scale(replace(both, units="BQML")).factor == suv_scale(GOOD).factor


def test_gml_is_taken_as_it_is() -> None:
    assert suv_scale(PetHeader(units="GML")).factor == 1
    assert suv_scale(PetHeader(units="GML", suv_type="BW")).factor == 1
