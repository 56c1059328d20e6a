"""The patients of a HECKTOR-like phantom: disease, outcome and clinical covariates, without images."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from branchpoint.phantoms import survival

CENTER_SHARES = (0.24, 0.32, 0.12, 0.22, 0.10)
"""Share of patients from each of the five centres, in the order of the releases' tables."""

_HPV_KNOWN = (0.69, 0.46, 0.12, 0.39, 0.83)
_STREAM = 0  # of a patient's random numbers; images use others


@dataclass(frozen=True, kw_only=True)
class Clinical:
    """Covariates as a chart would hold them; ``None`` where nobody wrote them down."""

    man: bool
    age: int
    weight_kg: int
    t_stage: str
    n_stage: str
    m_stage: str
    group: str
    hpv: bool | None
    chemotherapy: bool
    tobacco: bool | None
    alcohol: bool | None
    performance_status: int | None
    surgery: bool | None
    followed_up: bool


@dataclass(frozen=True, kw_only=True)
class PhantomPatient:
    """The truth about one patient.

    Attributes:
        index: position in the cohort; with the seed it determines everything but the follow-up.
        center: 0 to 4.
        number: running number in the centre, from 1.
        volume_ml: primary tumour.
        suv_max: largest uptake in the primary tumour, after the scanner's blur and before its noise.
        heterogeneity: 0 (even uptake) to 1 (patchy, necrotic core).
        node_ml: volumes of the involved lymph nodes, none to three.
        node_suv: largest uptake of each node.
        log_hazard: of the Cox model that made the outcome.
        time_days: to the event or to the end of the follow-up.
        event: progression or relapse.
        clinical: covariates.
    """

    index: int
    center: int
    number: int
    volume_ml: float
    suv_max: float
    heterogeneity: float
    node_ml: tuple[float, ...]
    node_suv: tuple[float, ...]
    log_hazard: float
    time_days: int
    event: bool
    clinical: Clinical


def sample_patients(patients: int, *, seed: int = 0, censoring: float = 0.8) -> tuple[PhantomPatient, ...]:
    """The patients of a phantom, in milliseconds: no image is drawn.

    Disease and covariates of patient i depend on ``seed`` and i alone; the length of the follow-up, and with it who
    has an event, depends on the whole cohort, so that the censoring wanted is met.

    Raises:
        ValueError: no patients, a negative seed, or ``censoring`` not in [0, 1).
    """
    if patients < 1:
        raise ValueError(f"patients is {patients}: must be at least 1")
    if seed < 0:
        raise ValueError(f"seed is {seed}: must not be negative")
    numbers = [0] * len(CENTER_SHARES)
    cohort, exponential, normal = [], np.empty(patients), np.empty(patients)
    for index in range(patients):
        rng = np.random.default_rng((seed, index, _STREAM))
        center = int(rng.choice(len(CENTER_SHARES), p=CENTER_SHARES))
        numbers[center] += 1
        exponential[index], normal[index] = rng.exponential(), rng.normal()
        cohort.append(_patient(rng, index, center, numbers[center]))
    eta = np.array([patient.log_hazard for patient in cohort])
    days, event = survival.observe(eta, exponential, normal, censoring)
    return tuple(replace(p, time_days=int(d), event=bool(e)) for p, d, e in zip(cohort, days, event, strict=True))


def _patient(rng: np.random.Generator, index: int, center: int, number: int) -> PhantomPatient:
    size = float(rng.normal())  # standardised log volume: uptake, heterogeneity and stage lean on it
    uptake = 0.25 * size + np.sqrt(1 - 0.25**2) * rng.normal()
    volume = _lognormal(size, survival.VOLUME_ML)
    suv_max = _lognormal(float(uptake), survival.SUV_MAX)
    heterogeneity = float(1.0 / (1.0 + np.exp(0.25 - 0.8 * size - 0.8 * rng.normal())))
    nodes = int(rng.choice(4, p=(0.2, 0.35, 0.28, 0.17)))
    node_ml = np.clip(3.0 * np.exp(rng.normal(0.25 * size, 0.75, 3)), 0.4, 14.0)[:nodes]
    node_suv = np.clip(suv_max * np.exp(rng.normal(-0.45, 0.35, 3)), 3.0, 25.0)[:nodes]
    eta = survival.log_hazard(np.array([volume]), np.array([suv_max]), np.array([heterogeneity]))
    return PhantomPatient(
        index=index,
        center=center,
        number=number,
        volume_ml=volume,
        suv_max=suv_max,
        heterogeneity=heterogeneity,
        node_ml=tuple(map(float, node_ml)),
        node_suv=tuple(map(float, node_suv)),
        log_hazard=float(eta[0]),
        time_days=0,
        event=False,
        clinical=_clinical(rng, center, size, nodes),
    )


def _lognormal(standard: float, distribution: tuple[float, float, float, float]) -> float:
    median, spread, least, largest = distribution
    return float(np.clip(median * np.exp(spread * standard), least, largest))


def _clinical(rng: np.random.Generator, center: int, size: float, nodes: int) -> Clinical:
    """Covariates that lean on the size of the tumour no more than staging does."""
    man = bool(rng.random() < 0.78)
    t_stage = _t_stage(rng, size)
    n_stage = str(rng.choice(("N0", "N1", "N2", "N2a", "N2b", "N2c", "N3"), p=_N_STAGES[nodes]))
    m_stage = "M1" if rng.random() < 0.02 else "M0"
    hpv = bool(rng.random() < 1.0 / (1.0 + np.exp(-1.05 + 0.6 * size)))
    hpv_known = rng.random() < _HPV_KNOWN[center]
    habits, operated, lost = rng.random(3), bool(rng.random() < 0.17), bool(rng.random() < 0.35)
    return Clinical(
        man=man,
        age=int(np.clip(np.rint(rng.normal(62.0 + 1.5 * size, 9.5)), 34, 90)),
        weight_kg=int(np.clip(np.rint(rng.normal(83.0 if man else 68.0, 15.0)), 40, 150)),
        t_stage=t_stage,
        n_stage=n_stage,
        m_stage=m_stage,
        group=_group(t_stage, n_stage, m_stage),
        hpv=hpv if hpv_known else None,
        chemotherapy=bool(rng.random() < 0.88),
        tobacco=bool(habits[0] < 0.75) if center == 4 else None,
        alcohol=bool(habits[1] < 0.52) if center == 4 else None,
        performance_status=int(np.searchsorted((0.3, 0.85, 0.96), habits[2])) if center == 4 else None,
        surgery=operated if center == 0 else None,
        followed_up=not (center == 4 and lost),
    )


_N_STAGES = (
    (0.82, 0.12, 0.04, 0.02, 0.0, 0.0, 0.0),
    (0.04, 0.34, 0.3, 0.16, 0.06, 0.02, 0.08),
    (0.0, 0.04, 0.46, 0.0, 0.28, 0.16, 0.06),
    (0.0, 0.0, 0.5, 0.0, 0.2, 0.22, 0.08),
)  # rows: number of nodes on the scan


def _t_stage(rng: np.random.Generator, size: float) -> str:
    seen = (size + 1.2 * rng.normal()) / np.sqrt(1 + 1.2**2)
    stage = ("T1", "T2", "T3", "T4")[int(np.searchsorted((-1.2, 0.08, 0.82), seen))]
    detail = str(rng.choice(("T4", "T4a", "T4b"), p=(0.58, 0.35, 0.07)))
    return detail if stage == "T4" else stage


def _group(t_stage: str, n_stage: str, m_stage: str) -> str:
    """Stage group of the oropharynx, seventh edition."""
    if m_stage == "M1":
        return "IVC"
    if t_stage == "T4b" or n_stage == "N3":
        return "IVB"
    if t_stage.startswith("T4") or n_stage.startswith("N2"):
        return "IVA"
    if t_stage == "T3" or n_stage == "N1":
        return "III"
    return "II" if t_stage == "T2" else "I"
