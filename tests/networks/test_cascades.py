"""Measurements of predicted masks and features pooled inside them, against closed forms."""

import pytest
import torch

from branchpoint.networks.cascades import (
    as_map,
    as_numbers,
    measure_mask,
    measurement_features,
    membership,
    pool_inside,
    probabilities,
)

SUV = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], dtype=torch.float64).reshape(1, 1, 2, 2, 2)


def inputs(suv=SUV, voxel_ml=0.25):
    """A two-channel image whose second channel is ``suv``, standardised with mean 4 and deviation 2."""
    image = torch.cat((torch.zeros_like(suv), (suv - 4) / 2), dim=1)
    return {
        "image": image,
        "intensity_offset": torch.tensor([[0.0, 4.0]]),
        "intensity_scale": torch.tensor([[1.0, 2.0]]),
        "voxel_ml": torch.tensor([voxel_ml]),
    }


def test_measurements_of_a_binary_mask_are_exact():
    mask = (SUV >= 5).float()
    volume, maximum, mean, glycolysis, heterogeneity = measure_mask(mask, inputs(), channel=1)[0].tolist()
    assert (volume, maximum, mean, glycolysis) == pytest.approx((1.0, 8.0, 6.5, 6.5))
    assert heterogeneity == pytest.approx(1.25**0.5 / 6.5)


@pytest.mark.parametrize("size", [(2, 2, 2), (2, 4)])
def test_an_empty_mask_measures_zero_with_finite_gradient(size):
    suv = SUV.reshape(1, 1, *size)
    mask = torch.zeros_like(suv).requires_grad_()
    measured = measure_mask(mask, inputs(suv), channel=1)
    assert measured.tolist() == [[0.0] * 5]
    measurement_features(measured).sum().backward()
    assert mask.grad.isfinite().all()


@pytest.mark.parametrize("weight", [1e-29, 1e-6, 1e-2])
def test_gradients_stay_small_for_vanishing_masks(weight):
    mask = torch.full_like(SUV, weight).requires_grad_()
    measurement_features(measure_mask(mask, inputs(), channel=1)).sum().backward()
    pool_inside([SUV], mask)[0].sum().backward()
    assert mask.grad.abs().max() < 100


def test_a_flat_region_has_no_heterogeneity_and_a_finite_gradient():
    mask = torch.ones_like(SUV).requires_grad_()
    measured = measure_mask(mask, inputs(torch.full_like(SUV, 3.0)), channel=1)
    assert measured[0, 4] == 0
    measured.sum().backward()
    assert mask.grad.isfinite().all()


def test_measurements_are_differentiable_in_the_logits():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 3, 2, 2, 2, generator=generator, dtype=torch.float64).requires_grad_()
    given = {name: value.double() for name, value in inputs().items()}

    def measure(values):
        return measurement_features(measure_mask(membership(values).double(), given, channel=1))

    measure(logits).sum().backward()
    assert logits.grad.abs().sum() > 0


def test_membership_is_sharp_at_the_ends_and_linear_between():
    p = torch.tensor([0.0, 0.2, 0.25, 0.5, 0.75, 0.9]).reshape(1, 1, 6, 1)
    expected = torch.tensor([0.0, 0.0, 0.0, 0.5, 1.0, 1.0]).reshape(1, 1, 6, 1)
    torch.testing.assert_close(membership(p.logit(eps=1e-6)), expected)


def test_membership_of_several_classes_is_that_of_their_union():
    logits = torch.tensor([0.0, 3.0, 3.0]).reshape(1, 3, 1, 1)
    assert membership(logits).item() == 1
    assert membership(-logits).item() == 0


def test_pooling_inside_a_mask_is_the_mean_of_its_voxels():
    mask = (SUV >= 5).double()
    (pooled,) = pool_inside([SUV], mask)
    assert pooled.tolist() == [[6.5]]
    assert pool_inside([SUV], torch.zeros_like(mask))[0].tolist() == [[0.0]]
    coarse = SUV.mean().reshape(1, 1, 1, 1, 1)
    assert pool_inside([coarse], mask)[0].tolist() == [[4.5]]


def test_probabilities_sum_to_one_or_are_sigmoids():
    torch.testing.assert_close(probabilities(torch.randn(2, 3, 4)).sum(1), torch.ones(2, 4))
    assert probabilities(torch.zeros(2, 1)).tolist() == [[0.5], [0.5]]


def test_numbers_become_maps_and_maps_numbers():
    assert as_map(torch.tensor([[1.0, 2.0]]), (2, 3)).shape == (1, 2, 2, 3)
    assert as_map(SUV, (1, 1, 1)).item() == 4.5
    assert as_numbers(SUV).tolist() == [[4.5, 8.0]]
