"""Our blocks against library blocks with copied weights, and against plain implementations."""

import pytest
import torch
from torch.nn import functional as F

from branchpoint.networks.encoders.resformer import BasicBlock, DilatedEnhancement
from branchpoint.networks.encoders.swin import SwinBlock, SwinStage, merge_windows, split_windows
from branchpoint.networks.encoders.u2net import UBlock

torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed")


def copy_swin(ours, library):
    pairs = {
        "norm1": "norm1",
        "norm2": "norm2",
        "attn.qkv": "attention.qkv",
        "attn.proj": "attention.proj",
        "mlp.0": "mlp.0",
        "mlp.3": "mlp.2",
    }
    for theirs, own in pairs.items():
        ours.get_submodule(own).load_state_dict(library.get_submodule(theirs).state_dict())
    with torch.no_grad():
        ours.attention.bias_table.copy_(library.attn.relative_position_bias_table)


@pytest.mark.parametrize("size", [(8, 8), (16, 8), (9, 13), (4, 12), (3, 2)])
@pytest.mark.parametrize("window", [4, 5])
def test_swin_stage_is_torchvisions(size, window):
    from torchvision.models.swin_transformer import SwinTransformerBlock

    stage = SwinStage(2, 8, 2, window).double()
    x = torch.randn(2, 8, *size, dtype=torch.float64)
    expected = x.permute(0, 2, 3, 1)
    for block, shift in ((stage.plain, 0), (stage.shifted, window // 2)):
        library = SwinTransformerBlock(8, 2, [window] * 2, [shift] * 2, stochastic_depth_prob=0.0).double()
        for parameter in library.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        copy_swin(block, library)
        expected = library(expected)
    torch.testing.assert_close(stage(x), expected.permute(0, 3, 1, 2))


@pytest.mark.parametrize("size", [(8, 8, 8), (5, 9, 6), (4, 8, 7)])
def test_swin_block_in_three_dimensions_is_torchvisions(size):
    from torchvision.models.swin_transformer import SwinTransformerBlock
    from torchvision.models.video.swin_transformer import ShiftedWindowAttention3d

    for shift in (0, 2):
        block = SwinBlock(3, 8, 2, 4, shift).double()
        library = SwinTransformerBlock(
            8, 2, [4] * 3, [shift] * 3, stochastic_depth_prob=0.0, attn_layer=ShiftedWindowAttention3d
        ).double()
        for parameter in library.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        copy_swin(block, library)
        x = torch.randn(1, *size, 8, dtype=torch.float64)
        torch.testing.assert_close(block(x), library(x))


@pytest.mark.parametrize("size", [(8, 12), (4, 8, 4)])
def test_windows_come_back_as_they_were(size):
    x = torch.randn(2, *size, 3)
    windows = split_windows(x, 4)
    assert windows.shape == (2, x[0, ..., 0].numel() // 4 ** len(size), 4 ** len(size), 3)
    corner = x[(0, *(slice(4) for _ in size))].reshape(-1, 3)
    assert torch.equal(windows[0, 0], corner)
    assert torch.equal(merge_windows(windows, size, 4), x)


@pytest.mark.parametrize("training", [True, False])
def test_residual_block_is_that_of_torchvisions_resnet34(training):
    block = torchvision.models.resnet34(weights=None).layer2[1].double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    ours = BasicBlock(2, 128).double()
    ours.load_state_dict(block.state_dict())
    x = torch.randn(2, 128, 7, 6, dtype=torch.float64)
    torch.testing.assert_close(ours.train(training)(x), block.train(training)(x))


def plain_u_block(block, x, height):
    """Residual U-block written out from Qin et al. 2020, fig. 2 (height > 0) and fig. 5 (dilated, height 0)."""

    def unit(layer, y):
        c, bn, _ = layer
        y = F.conv2d(y, c.weight, c.bias, padding=c.dilation, dilation=c.dilation)
        return F.relu(F.batch_norm(y, None, None, bn.weight, bn.bias, training=True))

    def up(y, like):
        return F.interpolate(y, size=like.shape[2:], mode="bilinear", align_corners=False)

    def pool(y):
        return F.max_pool2d(y, 2, stride=2, ceil_mode=True)

    d, u = block.down, block.up
    entry = unit(block.entry, x)
    if height == 0:
        h1 = unit(d[0], entry)
        h2 = unit(d[1], h1)
        h3 = unit(d[2], h2)
        h4 = unit(d[3], h3)
        h3d = unit(u[0], torch.cat((h4, h3), 1))
        h2d = unit(u[1], torch.cat((h3d, h2), 1))
        return unit(u[2], torch.cat((h2d, h1), 1)) + entry
    down = [unit(d[0], entry)]
    for i in range(1, height - 1):
        down.append(unit(d[i], pool(down[-1])))
    y = unit(d[height - 1], down[-1])
    y = unit(u[0], torch.cat((y, down[-1]), 1))
    for i in range(1, height - 1):
        skip = down[-1 - i]
        y = unit(u[i], torch.cat((up(y, skip), skip), 1))
    return y + entry


@pytest.mark.parametrize("height", [7, 5, 4, 0])
def test_u_block_is_its_figure(height):
    block = UBlock(2, height, 3, 4, 6).double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    dilations = [unit[0].dilation[0] for unit in (*block.down, *block.up)]
    expected = [1, 2, 4, 8, 4, 2, 1] if height == 0 else [1] * (height - 1) + [2] + [1] * (height - 1)
    assert dilations == expected
    x = torch.randn(2, 3, 45, 37, dtype=torch.float64)
    torch.testing.assert_close(block(x), plain_u_block(block, x, height))


def test_dilated_enhancement_is_its_formula():
    module = DilatedEnhancement(2, 4).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    x = torch.randn(2, 4, 30, 25, dtype=torch.float64)
    total = torch.zeros_like(x)
    for rate, (dilated, bn1, pointwise, bn2) in zip((6, 12, 18), module.branches, strict=True):
        y = F.conv2d(x, dilated.weight, padding=rate, dilation=rate)
        y = F.batch_norm(y, None, None, bn1.weight, bn1.bias, training=True)
        y = F.conv2d(y, pointwise.weight)
        total += F.batch_norm(y, None, None, bn2.weight, bn2.bias, training=True)
    y = F.relu(total)
    pooled = torch.stack((y.max(1).values, y.mean(1)), dim=1)
    expected = y * torch.sigmoid(F.conv2d(pooled, module.attention.weight, padding=3))
    torch.testing.assert_close(module(x), expected)
