"""Options of balancing: defaults, refusals, and one Config for one run."""

import pytest

from branchpoint.config import BalancingConfig
from branchpoint.config.balancing import GRADIENT_METHODS, LOSS_METHODS
from branchpoint.config.serialization import from_plain, to_plain


@pytest.mark.parametrize("method", [*LOSS_METHODS, *GRADIENT_METHODS])
def test_defaults_are_filled_in_so_that_equal_runs_are_equal(method: str) -> None:
    config = BalancingConfig(method=method)  # type: ignore[arg-type]
    options = {name: value for name, value in to_plain(config).items() if value is not None}
    assert BalancingConfig(**options) == config
    assert from_plain(BalancingConfig, to_plain(config)) == config
    assert config.of_gradients == (config.gradients == "parameters") == (method in GRADIENT_METHODS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, r"balancing\.method is 'magic': known are 'sum'"),
        ({"temperature": 2.0}, r"balancing\.temperature is 2\.0: 'sum' has no such option; it belongs to dwa"),
        ({"method": "dwa", "gradients": "features"}, r"balancing\.gradients.*the methods of gradients"),
        ({"method": "dwa", "temperature": 0.0}, r"balancing\.temperature is 0\.0: must be positive"),
        ({"method": "dtp", "smoothing": 1.5}, r"balancing\.smoothing is 1\.5: must lie above 0 and at most at 1"),
        ({"method": "cagrad", "c": float("nan")}, r"balancing\.c is nan: must be at least 0"),
        ({"method": "dirichlet", "draws": -1}, r"balancing\.draws is -1: must be at least 0"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BalancingConfig(**options)


def test_numbers_of_a_method() -> None:
    assert BalancingConfig(method="cagrad", c=0.0).number("c") == 0.0
    with pytest.raises(ValueError, match=r"balancing\.alpha is None: 'sum' has no such number"):
        BalancingConfig().number("alpha")
