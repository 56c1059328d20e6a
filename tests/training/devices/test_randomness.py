"""Dropout that does not depend on how many workers share a batch."""

import torch
from torch import nn

from branchpoint.training.devices.randomness import BatchDropout, derived_seed, install_batch_dropout


def test_rows_of_several_workers_are_those_of_one() -> None:
    x = torch.ones(5, 64)
    whole = BatchDropout(0.5)
    whole.see(slice(0, 5), 5)
    torch.manual_seed(3)
    expected = whole(x)
    for rows in (slice(0, 2), slice(2, 5)):
        part = BatchDropout(0.5)
        part.see(rows, 5)
        torch.manual_seed(3)
        torch.testing.assert_close(part(x[rows]), expected[rows], rtol=0, atol=0)


def test_share_and_scale() -> None:
    dropout = BatchDropout(0.3)
    dropout.see(slice(0, 4), 4)
    torch.manual_seed(0)
    y = dropout(torch.ones(4, 50_000))
    assert abs((y == 0).float().mean() - 0.3) < 0.01
    torch.testing.assert_close(y[y != 0], torch.full_like(y[y != 0], 1 / 0.7))


def test_identity_in_evaluation_and_plain_dropout_for_other_batches() -> None:
    dropout = BatchDropout(0.5)
    dropout.see(slice(1, 2), 4)
    assert dropout(torch.ones(3, 1000)).count_nonzero() < 2000, "not rows of the batch: plain dropout"
    x = torch.ones(1, 1000)
    assert dropout.eval()(x) is x


def test_installed_in_place_of_plain_dropout() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Dropout(0.2), nn.Linear(2, 2)), nn.Dropout3d(0.1))
    names = list(network.state_dict())
    installed = install_batch_dropout(network)
    assert [dropout.p for dropout in installed] == [0.2]
    assert network[1][0] is installed[0]
    assert list(network.state_dict()) == names


def test_seeds_differ_by_purpose_and_epoch() -> None:
    seeds = {derived_seed(seed, purpose, epoch) for seed in range(3) for purpose in range(2) for epoch in range(50)}
    assert len(seeds) == 300
    assert all(0 <= seed < 2**63 for seed in seeds)
