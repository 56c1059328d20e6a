"""Parameter counts of the published networks."""

import pytest

from branchpoint.config import Config, DatasetConfig, NetworkConfig, SegmentationConfig, SurvivalConfig
from branchpoint.networks import build

TUMOUR = SegmentationConfig(name="tumour", target="tumour")
SURVIVAL = SurvivalConfig(name="survival", target="survival")


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def published(tasks, **network):
    return build(Config(dataset=DatasetConfig(), tasks=tasks, network=NetworkConfig(**network)))


@pytest.mark.parametrize(("width", "count"), [(24, 21_751_681), (8, 2_423_937), (4, 608_641)])
def test_senorm_unet_has_the_published_number_of_parameters(width, count):
    assert parameters(published((TUMOUR,), encoder="senorm_unet", width=width)) == count


def test_radiomics_unet_has_the_published_number_of_parameters():
    network = published((TUMOUR, SURVIVAL), unit="batchnorm")
    assert round(parameters(network.encoder) / 1e6, 2) == 0.90
    assert round((parameters(network.decoder) + parameters(network.heads["tumour"])) / 1e6, 2) == 0.59
    assert parameters(network.heads["survival"]) == 248 * 128 + 128 + 128 + 1
    assert round(parameters(network) / 1e6, 2) == 1.52
