"""Forward and backward time and peak memory of our networks against the closest public ones, per MAC and parameter.

    python benchmarks/networks.py [--size3d 48] [--size2d 128] [--batch 2] [--rounds 5] [--device cpu] [--only NAME]

Needs the `comparators` extra. Each pair is timed in turn within one process, network after network in every round; the
smallest round counts. On the CPU that is the process's CPU time on one thread, which a busy machine disturbs least.
Ours run in the memory layout that the training loop uses, a peer in the faster of contiguous and channels last. Peak
memory is what tensors hold during one step beside
the weights (measured once, kernels' own workspace left out). Then a network whose tasks share all stages is set
against separate networks for the same tasks.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from memory import LiveBytes
from torch import Tensor, nn

from branchpoint.config import (
    ClassificationConfig,
    Config,
    DatasetConfig,
    NetworkConfig,
    SegmentationConfig,
    SurvivalConfig,
)
from branchpoint.networks import build, estimate
from branchpoint.networks.cost import measure
from branchpoint.networks.encoders.swin import SwinStage
from branchpoint.topology import Topology
from branchpoint.training.devices.layout import memory_format

MASK = SegmentationConfig(name="mask", target="mask")
CLASS = ClassificationConfig(name="class", target="class", classes=2)
TASKS = (MASK, SurvivalConfig(name="survival", target="survival"), CLASS)


class Plain(nn.Module):
    """A network that takes the image alone, in the form that :func:`measure` calls."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        output = self.network(inputs["image"])
        return {"mask": output}


class TorchvisionSwinStage(nn.Module):
    """Two of torchvision's blocks on (B, C, H, W)."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        from torchvision.models.swin_transformer import SwinTransformerBlock

        self.blocks = nn.Sequential(
            *(SwinTransformerBlock(channels, heads, [window] * 2, [shift] * 2) for shift in (0, window // 2))
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x.movedim(1, -1)).movedim(-1, 1).contiguous()


Laid = tuple[nn.Module, torch.memory_format]


def swin_stage(side: int, device: torch.device) -> Laid:
    settings = NetworkConfig(encoder="resformer_sequential")
    return Plain(SwinStage(2, 96, 3, 7)), memory_format(settings, 2, device)


@dataclass(frozen=True)
class Pair:
    """Ours and its peer, both taking ``channels`` image channels of ``dimensions`` axes."""

    name: str
    dimensions: int
    channels: int
    ours: Callable[[int, torch.device], Laid]
    peer_name: str
    peer: Callable[[], nn.Module]


def ours(encoder: str, dimensions: int, channels: int, **network: object) -> Callable[[int, torch.device], Laid]:
    """Our encoder with one segmentation task, for images of the given side, in the layout of the training loop."""

    def make(side: int, device: torch.device) -> Laid:
        settings = NetworkConfig(encoder=encoder, in_channels=channels, **network)
        dataset = DatasetConfig(size_voxels=(side,) * dimensions)
        made = build(Config(dataset=dataset, tasks=(MASK,), network=settings))
        return made, memory_format(settings, dimensions, device)

    return make


def monai(name: str, **options: object) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        from monai.networks import nets

        return getattr(nets, name)(**options)

    return make


def unet_plus_plus() -> nn.Module:
    import segmentation_models_pytorch as smp

    return smp.UnetPlusPlus("resnet34", encoder_weights=None, in_channels=3, classes=1)


def pairs() -> list[Pair]:
    monai_unet = monai(
        "UNet",
        spatial_dims=3,
        in_channels=2,
        out_channels=1,
        channels=(8, 16, 32, 64, 128),
        strides=(2, 2, 2, 2),
        num_res_units=2,
    )
    segresnet = monai("SegResNet", spatial_dims=3, in_channels=2, out_channels=1, init_filters=8)
    basic3d = monai("BasicUNet", spatial_dims=3, in_channels=2, out_channels=1, features=(8, 16, 32, 64, 128, 8))
    basic2d = monai("BasicUNet", spatial_dims=2, in_channels=3, out_channels=1, features=(32, 64, 128, 256, 512, 32))
    swin_unetr = monai("SwinUNETR", spatial_dims=2, in_channels=3, out_channels=1, feature_size=48)
    resformer = {"width": 64, "depth": 4, "window": 8}
    return [
        Pair("radiomics_unet W8 (3D)", 3, 2, ours("radiomics_unet", 3, 2, width=8), "MONAI UNet", monai_unet),
        Pair("radiomics_unet W8 (3D)", 3, 2, ours("radiomics_unet", 3, 2, width=8), "MONAI SegResNet", segresnet),
        Pair("senorm_unet W8 (3D)", 3, 2, ours("senorm_unet", 3, 2, width=8), "MONAI SegResNet", segresnet),
        Pair("unet W8 (3D)", 3, 2, ours("unet", 3, 2, width=8, unit="instancenorm"), "MONAI BasicUNet", basic3d),
        Pair("unet W32 (2D)", 2, 3, ours("unet", 2, 3, width=32, unit="instancenorm"), "MONAI BasicUNet", basic2d),
        Pair(
            "transformer_unet W32 (2D)",
            2,
            3,
            ours("transformer_unet", 2, 3, width=32, unit="batchnorm"),
            "MONAI SwinUNETR",
            swin_unetr,
        ),
        *(
            Pair(f"{name} (2D)", 2, 3, ours(name, 2, 3, **resformer), "MONAI SwinUNETR", swin_unetr)
            for name in ("resformer_sequential", "resformer_parallel")
        ),
        Pair("u2net (2D)", 2, 3, ours("u2net", 2, 3, width=64, depth=6), "SMP UNet++", unet_plus_plus),
        Pair("u2net_small (2D)", 2, 3, ours("u2net_small", 2, 3, width=64, depth=6), "SMP UNet++", unet_plus_plus),
        Pair(
            "Swin stage C96 (2D)", 2, 96, swin_stage, "torchvision Swin", lambda: Plain(TorchvisionSwinStage(96, 3, 7))
        ),
    ]


class Contestant:
    """A network with an image, ready to be timed."""

    def __init__(
        self,
        network: nn.Module,
        dimensions: int,
        channels: int,
        side: int,
        options: argparse.Namespace,
        layout: torch.memory_format = torch.contiguous_format,
    ) -> None:
        device = torch.device(options.device)
        self.device = device
        self.network = network.to(device).to(memory_format=layout).train()
        image = torch.randn(options.batch, channels, *(side,) * dimensions, device=device)
        self.inputs = {"image": image.contiguous(memory_format=layout)}
        one = {"image": image[:1].contiguous(memory_format=layout)}
        self.cost = measure(self.network.eval(), one)
        self.network.train()
        self.seconds: list[float] = []
        self.peak = self._peak()

    def step(self) -> None:
        self.network.zero_grad(set_to_none=True)
        sum(value.float().mean() for value in self.network(self.inputs).values()).backward()

    def _peak(self) -> int:
        self.step()
        self.network.zero_grad(set_to_none=True)
        with LiveBytes() as memory:
            self.step()
        return memory.peak

    def time(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            started = time.perf_counter()
            self.step()
            torch.cuda.synchronize()
            self.seconds.append(time.perf_counter() - started)
            return
        started = time.process_time()
        self.step()
        self.seconds.append(time.process_time() - started)

    @property
    def best(self) -> float:
        return min(self.seconds)


def compare(pair: Pair, options: argparse.Namespace) -> None:
    side = options.size3d if pair.dimensions == 3 else options.size2d
    if pair.channels > 3:
        side //= 4  # a stage works on a quarter of the image's resolution
    own, layout = pair.ours(side, torch.device(options.device))
    peer = pair.peer()
    peer = peer if isinstance(peer, Plain) else Plain(peer)
    others = (torch.contiguous_format, torch.channels_last_3d if pair.dimensions == 3 else torch.channels_last)
    networks = [(own, layout), *((copy.deepcopy(peer), other) for other in others)]
    contestants = [
        Contestant(network, pair.dimensions, pair.channels, side, options, layout) for network, layout in networks
    ]
    for _ in range(options.rounds):
        for contestant in contestants:
            contestant.time()
    both = [contestants[0], min(contestants[1:], key=lambda contestant: contestant.best)]
    for name, contestant in zip((pair.name, f"  {pair.peer_name}"), both, strict=True):
        cost = contestant.cost
        macs = cost.macs * options.batch
        print(
            f"{name:28s} {cost.parameters / 1e6:7.2f} M {cost.macs / 1e9:8.2f} GMAC {contestant.best:8.3f} s "
            f"{contestant.best / macs * 1e12:8.1f} ps/MAC {contestant.peak / 1e6:8.0f} MB "
            f"{contestant.peak / macs * 1e3:7.2f} mB/MAC"
        )
    first, second = both
    per_mac = (first.best / first.cost.macs) / (second.best / second.cost.macs)
    memory = (first.peak / first.cost.macs) / (second.peak / second.cost.macs)
    per_parameter = (first.best / first.cost.parameters) / (second.best / second.cost.parameters)
    print(
        f"  ours / peer: time {first.best / second.best:.2f}, per MAC {per_mac:.2f}, per parameter "
        f"{per_parameter:.2f}; memory {first.peak / second.peak:.2f}, per MAC {memory:.2f}",
        flush=True,
    )


def compare_sharing(options: argparse.Namespace) -> None:
    names = [task.name for task in TASKS]
    found = {}
    for label, depth in (("separate", 0), ("encoder shared", 5)):
        topology = Topology.branching(names, ["mask"], depth, 5, 4)
        dataset = DatasetConfig(size_voxels=(options.size3d,) * 3)
        config = Config(dataset=dataset, tasks=TASKS, network=NetworkConfig(topology=topology))
        layout = memory_format(config.network, 3, torch.device(options.device))
        found[label] = (Contestant(build(config), 3, 2, options.size3d, options, layout), estimate(config))
    for _ in range(options.rounds):
        for contestant, _ in found.values():
            contestant.time()
    (apart, apart_cost), (shared, shared_cost) = found.values()
    print(
        f"\nradiomics_unet W8, {len(TASKS)} tasks, encoder shared / separate networks: time "
        f"{shared.best / apart.best:.2f}, memory {shared.peak / apart.peak:.2f}; MACs "
        f"{shared_cost.macs / apart_cost.macs:.2f}, predicted activations "
        f"{shared_cost.activation_bytes / apart_cost.activation_bytes:.2f}, parameters "
        f"{shared_cost.parameters / apart_cost.parameters:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"size3d": 48, "size2d": 128, "batch": 2, "rounds": 5, "threads": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", default="", help="only pairs whose name contains this")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for pair in pairs():
        if options.only in pair.name:
            compare(pair, options)
    if not options.only:
        compare_sharing(options)


if __name__ == "__main__":
    main()
