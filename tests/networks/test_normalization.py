"""SE-Norm against its formula, instance normalisation against torch's."""

import pytest
import torch
from torch.nn import functional as F

from branchpoint.networks.normalization import InstanceNorm, SENorm, instance_normalize


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


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_gradients_do_not_depend_on_memory_formats(batch: int, dimensions: int) -> None:
    """torch 2.14 on the CPU gets them wrong for a batch of one, by factors, where the spatial axes are kept apart."""
    last = torch.channels_last if dimensions == 2 else torch.channels_last_3d
    shape = (batch, 4, *(6,) * dimensions)
    values = [torch.randn(shape), torch.randn(batch, 4), torch.randn(batch, 4), torch.randn(shape)]
    expected = None
    for given in (torch.contiguous_format, last):
        for received in (torch.contiguous_format, last):
            x, weight, bias = (value.clone().requires_grad_() for value in values[:3])
            y = instance_normalize(x.contiguous(memory_format=given), weight, bias)
            found = torch.autograd.grad(y, (x, weight, bias), values[3].contiguous(memory_format=received))
            expected = found if expected is None else expected
            for gradient, reference in zip(found, expected, strict=True):
                torch.testing.assert_close(gradient, reference, rtol=1e-4, atol=1e-4)


def test_a_single_voxel_cannot_be_normalised_over_space():
    with pytest.raises(ValueError, match=r"features have one voxel.*network.depth"):
        InstanceNorm(4)(torch.randn(2, 4, 1, 1, 1))
