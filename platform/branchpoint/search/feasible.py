"""Which configurations can be trained at all, known before any worker starts."""

from __future__ import annotations

from branchpoint.config import Config
from branchpoint.search.suggestions import Feasible

BYTES_PER_PARAMETER = 16
"""Weight, gradient and Adam's two moments in float32."""


def fits_memory(limit_bytes: float | None) -> Feasible:
    """Rejects a Config that describes no network, or whose training needs more than ``limit_bytes``."""

    def feasible(config: Config) -> str | None:
        from branchpoint.networks import estimate

        cost = estimate(config)
        bytes_per_sample = cost.activation_bytes // (2 if config.training.precision == "bf16" else 1)
        needed = config.training.batch_size * bytes_per_sample + BYTES_PER_PARAMETER * cost.parameters
        if limit_bytes is not None and needed > limit_bytes:
            return (
                f"needs about {needed / 1e9:.1f} GB for a batch of {config.training.batch_size}, a run may use "
                f"{limit_bytes / 1e9:.1f} GB"
            )
        return None

    return feasible
