"""Exchange units against their formulas."""

import pytest
import torch

from branchpoint.networks.exchanges import EXCHANGES, NDDR, Attention, CrossStitch


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("givers", [1, 2])
@pytest.mark.parametrize("unit", EXCHANGES)
def test_shapes(unit, givers, dimensions):
    module = EXCHANGES[unit](dimensions, 4, givers)
    features = [torch.randn(2, 4, *(3,) * dimensions) for _ in range(1 + givers)]
    assert module(features[0], features[1:]).shape == features[0].shape


@pytest.mark.parametrize("unit", [CrossStitch, NDDR])
def test_units_start_as_nine_tenths_of_their_own_features(unit):
    own, first, second = torch.randn(3, 2, 4, 3, 3)
    expected = 0.9 * own + 0.05 * first + 0.05 * second
    torch.testing.assert_close(unit(2, 4, 2)(own, [first, second]), expected)


def test_attention_adds_gated_values():
    module = Attention(2, 4, 1)
    own, other = torch.randn(2, 2, 4, 3, 3)
    gate = torch.sigmoid(module.gates[0](torch.cat((own, other), dim=1)))
    torch.testing.assert_close(module(own, [other]), own + gate * module.values[0](other))
