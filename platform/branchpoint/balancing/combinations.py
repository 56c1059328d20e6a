"""The combinations of gradients: Gramian to weights, by TorchJD but for MGDA and Nash-MTL.

TorchJD's solvers take a Gramian whose trace is below 1e-4 for zero and then do not project at all, so Gramians are
scaled to a trace of N first; the weights do not depend on that scale.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from branchpoint.config.balancing import (
    AlignedMTLConfig,
    CAGradConfig,
    FairGradConfig,
    GradientBalancingConfig,
    GradVacConfig,
    MGDAConfig,
    NashMTLConfig,
)


class Combination(Protocol):
    """Gramian float64 (N, N) on the CPU, with no zero on its diagonal, to weights (N,)."""

    def __call__(self, gramian: Tensor, /) -> Tensor: ...


@runtime_checkable
class Remembering(Combination, Protocol):
    """A combination whose weights depend on earlier steps."""

    def state_dict(self) -> dict[str, Tensor]: ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None: ...


RIDGE = 1e-8
"""What is added to the diagonal of a Gramian, relative to it (Nash-MTL) or to its mean (projections)."""
NASH_STEPS = 200


def build_combination(config: GradientBalancingConfig) -> Combination:
    """The combination that ``config.method`` names.

    Raises:
        ModuleNotFoundError: TorchJD, or a solver that the method needs, is not installed.
    """
    if isinstance(config, NashMTLConfig):
        max_norm = config.max_norm
        return lambda gramian: _shortened(nash_weights(gramian), gramian, max_norm)
    if isinstance(config, MGDAConfig):
        return mgda_weights
    jd = import_torchjd(config.method)
    if isinstance(config, GradVacConfig):
        return GradientVaccine(jd, config.beta)
    try:
        weighting = _WEIGHTINGS[config.method](jd, config)
    except ImportError as problem:
        raise _missing(config.method, problem) from problem
    return lambda gramian: weighting(gramian * (len(gramian) / gramian.trace()))


def import_torchjd(method: str) -> Any:
    """TorchJD's aggregations, for the balancing method ``method``.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    try:
        from torchjd import aggregation
    except ImportError as problem:
        raise _missing(method, problem) from problem
    return aggregation


def _missing(method: str, problem: ImportError) -> ModuleNotFoundError:
    return ModuleNotFoundError(
        f"balancing.method {method!r} needs TorchJD and its solvers ({problem}): "
        "pip install 'branchpoint[balancing]', or choose another method"
    )


class GradientVaccine:
    """GradVac's weighting (Wang et al. 2021, algorithm 1) by TorchJD, with a state that can be saved.

    Args:
        jd: TorchJD's aggregations.
        beta: of the moving average of similarities.
    """

    def __init__(self, jd: Any, beta: float) -> None:
        self._weighting = jd.GradVacWeighting(beta=beta)

    def __call__(self, gramian: Tensor, /) -> Tensor:
        weights: Tensor = self._weighting(gramian * (len(gramian) / gramian.trace()))
        return weights

    def state_dict(self) -> dict[str, Tensor]:
        """The moving averages (N, N)."""
        return {name: value.clone() for name, value in self._weighting.state_dict().items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up what :meth:`state_dict` gave."""
        count = len(next(iter(state.values())))
        with torch.random.fork_rng(devices=[]):
            self._weighting(torch.eye(count, dtype=torch.float64))  # makes the buffer, which has no size before
        self._weighting.load_state_dict(state)


def mgda_weights(gramian: Tensor) -> Tensor:
    """The convex weights of the shortest combination of gradients (Desideri 2012), float64 (N,).

    The non-negative x that minimises |sum x_i g_i|^2 + (sum x_i - 1)^2 is a multiple of them, for along each ray the
    least value is f / (1 + f), f the squared length of the ray's convex combination. Lawson and Hanson's method solves
    that exactly in finitely many steps. TorchJD's Frank-Wolfe iteration stops early: for gradients whose lengths differ
    a hundredfold its combination harmed a task.

    Gradients are measured in units of the shortest, so that f is at most 1. Their coordinates come from the root of
    their cosines, which keeps the digits of short gradients beside long ones.
    """
    from scipy.optimize import nnls

    lengths = gramian.diagonal().sqrt()
    rows = (lengths / lengths.min())[:, None] * root(gramian / lengths[:, None] / lengths)
    columns = torch.cat([rows.T, torch.ones((1, len(rows)), dtype=rows.dtype)])
    target = torch.zeros(len(columns), dtype=rows.dtype)
    target[-1] = 1
    found = torch.from_numpy(nnls(columns.numpy(), target.numpy())[0])
    return found / found.sum()


def nash_weights(gramian: Tensor) -> Tensor:
    """The weights a > 0 with G a = 1 / a (Navon et al. 2022, claim 3.1), float64 (N,).

    They minimise a G a / 2 - sum log a, which is convex and self-concordant, so that damped Newton steps converge from
    anywhere. TorchJD's solver, a sequence of convex programs from the authors' release, left 13 of 60 random Gramians
    unsolved and returned its starting point for them without a word.

    A small ridge (1e-8 of the diagonal) keeps weights finite where gradients point in exactly opposite directions and
    no solution exists.
    """
    lengths = gramian.diagonal().sqrt()
    cosines = gramian / lengths[:, None] / lengths + RIDGE * torch.eye(len(gramian), dtype=gramian.dtype)
    a = torch.ones_like(lengths)
    for _ in range(NASH_STEPS):
        gradient = cosines @ a - 1 / a
        hessian = cosines + torch.diag(a**-2)
        scale = hessian.diagonal().rsqrt()
        step = scale * torch.linalg.solve(hessian * scale[:, None] * scale, scale * gradient)
        decrement = float((gradient @ step).clamp(min=0).sqrt())
        a = a - step / (1 + decrement if decrement > 0.25 else 1)
        if decrement < 1e-6:
            break
    return a / lengths


def _shortened(weights: Tensor, gramian: Tensor, max_norm: float) -> Tensor:
    """``weights`` scaled down where the combined gradient is longer than ``max_norm``, if that is positive."""
    norm = float((weights @ gramian @ weights).clamp(min=0).sqrt())
    return weights * (max_norm / norm) if max_norm and norm > max_norm else weights


def _projector() -> Any:
    """TorchJD's regularisation, 1e-4 of the trace, is for float32 and lets small gradients be harmed."""
    from torchjd.linalg import QuadprogProjector

    return QuadprogProjector(reg_eps=RIDGE)


def _cagrad(jd: Any, config: CAGradConfig) -> Combination:
    c = config.c
    weighting = jd.CAGradWeighting(c=c)
    divisor = {"none": 1.0, "one_plus_c_squared": 1 + c**2, "one_plus_c": 1 + c}[config.rescale]
    return lambda gramian: weighting(gramian) / divisor


def _aligned_mtl(jd: Any, config: AlignedMTLConfig) -> Combination:
    weighting: Combination = jd.AlignedMTLWeighting(scale_mode=config.scale)
    return weighting


def _conflict_free(jd: Any, config: GradientBalancingConfig) -> Combination:
    """ConFIG is defined on the gradients; any matrix with the same Gramian has the same weights."""
    aggregator = jd.ConFIG()

    def weights(gramian: Tensor) -> Tensor:
        rows = root(gramian)
        return torch.linalg.pinv(rows.T, rtol=1e-10) @ aggregator(rows)

    return weights


def _fair(jd: Any, config: FairGradConfig) -> Combination:
    weighting: Combination = jd.FairGradWeighting(alpha=config.alpha)
    return weighting


def root(gramian: Tensor) -> Tensor:
    """The symmetric R with R R = ``gramian``."""
    values, vectors = torch.linalg.eigh(gramian)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


_WEIGHTINGS: dict[str, Callable[[Any, Any], Combination]] = {
    "upgrad": lambda jd, config: jd.UPGradWeighting(projector=_projector()),
    "pcgrad": lambda jd, config: jd.PCGradWeighting(),
    "cagrad": _cagrad,
    "imtl_g": lambda jd, config: jd.IMTLGWeighting(),
    "aligned_mtl": _aligned_mtl,
    "dualproj": lambda jd, config: jd.DualProjWeighting(projector=_projector()),
    "conflict_free": _conflict_free,
    "fairgrad": _fair,
}
