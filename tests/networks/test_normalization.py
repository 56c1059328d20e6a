"""SE-Norm against its formula, instance normalisation against torch's."""

import pytest
import torch
from torch.nn import functional as F

from branchpoint.networks.normalization import InstanceNorm, SENorm


def formula(norm, x):
    """y = gamma(x) IN(x) + beta(x), written out (Iantsen et al. 2021, eq. 1-4)."""
    axes = tuple(range(2, x.ndim))
    mean, variance = x.mean(axes, keepdim=True), x.var(axes, correction=0, keepdim=True)
    pooled = x.mean(axes)

    def excite(layer):
        return layer.excite(F.relu(layer.squeeze(pooled))).reshape(*pooled.shape, *(1,) * len(axes))

    return torch.sigmoid(excite(norm.gamma)) * (x - mean) / (variance + 1e-5).sqrt() + torch.tanh(excite(norm.beta))


@pytest.mark.parametrize("size", [(5, 7), (3, 4, 5)])
def test_senorm_is_its_formula_with_its_gradients(size):
    norm = SENorm(6).double()
    x = torch.randn(2, 6, *size, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 6, *size, dtype=torch.float64)
    parameters = (x, *norm.parameters())
    ours = torch.autograd.grad((norm(x) * weights).sum(), parameters)
    reference = torch.autograd.grad((formula(norm, x) * weights).sum(), parameters)
    torch.testing.assert_close(norm(x), formula(norm, x))
    torch.testing.assert_close(ours, reference)


def test_senorm_reduces_channels_by_two():
    assert [tuple(p.shape) for p in SENorm(6).parameters()] == [(3, 6), (3,), (6, 3), (6,)] * 2


def test_instance_norm_is_that_of_torch():
    x = torch.randn(2, 4, 3, 5)
    norm = InstanceNorm(4)
    with torch.no_grad():
        norm.weight.uniform_()
        norm.bias.uniform_()
    torch.testing.assert_close(norm(x), F.instance_norm(x, weight=norm.weight, bias=norm.bias))
