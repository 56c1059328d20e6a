"""segmentation_models_pytorch's U-Net as its users train it: random weights, Dice + cross-entropy, albumentations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

BATCH = 8
LEARNING_RATE = 1e-3


def stock_unet(encoder: str, channels: int, classes: int) -> nn.Module:
    """The library's U-Net with random weights, and its own image-level head."""
    import segmentation_models_pytorch as smp

    head = {"classes": classes, "dropout": 0.5}
    return smp.Unet(encoder, encoder_weights=None, in_channels=channels, classes=1, aux_params=head)


def train_as_users_do(
    model: nn.Module,
    images: Tensor,
    masks: Tensor,
    labels: Tensor,
    tested: Tensor,
    passed: Callable[[], float],
    seed: int,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Probabilities of the outline (N, H, W) and of the classes (N, K), and the number of steps.

    Args:
        model: image to logits of outline and classes.
        images: float32 (B, C, H, W).
        masks: uint8 (B, 1, H, W).
        labels: int64 (B,).
        tested: float32 (N, C, H, W).
        passed: the share of the time that has passed; training ends at 1.
    """
    import segmentation_models_pytorch as smp

    device = next(model.parameters()).device
    generator, augment = np.random.default_rng(seed), _augmentation(seed)
    dice = smp.losses.DiceLoss("binary")
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=1e-4)
    pixels, truth = images.movedim(1, -1).numpy(), masks[:, 0].numpy()
    pixels = (pixels + 2) / 4  # the library's users pass values from 0 to 1

    def step(share: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * min(share, 1.0)))
        rows = generator.choice(len(pixels), min(BATCH, len(pixels)), replace=False)
        drawn = [augment(image=pixels[row], mask=truth[row]) for row in rows]
        batch = torch.from_numpy(np.stack([sample["image"] for sample in drawn])).movedim(-1, 1).to(device)
        target = torch.from_numpy(np.stack([sample["mask"] for sample in drawn]))[:, None].float().to(device)
        outline, logits = model(batch * 4 - 2)
        loss = dice(outline, target) + F.binary_cross_entropy_with_logits(outline, target)
        loss = loss + F.cross_entropy(logits, labels[rows].to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    model.train()
    steps = 0
    while (share := passed()) < 1:
        step(share)
        steps += 1
    model.eval()
    with torch.inference_mode():
        outline, logits = model(tested.to(device))
    return outline.sigmoid()[:, 0].cpu().numpy(), logits.softmax(1).cpu().numpy(), steps


def _augmentation(seed: int) -> Any:
    import albumentations as A

    return A.Compose(
        [
            A.HorizontalFlip(p=0.5),
            A.VerticalFlip(p=0.5),
            A.Affine(scale=(0.8, 1.2), translate_percent=0.1, rotate=(-30, 30), p=0.5),
            A.RandomBrightnessContrast(brightness_limit=0.2, contrast_limit=0.2, brightness_by_max=False, p=0.3),
            A.GaussNoise(std_range=(0.02, 0.1), p=0.2),
            A.GaussianBlur(p=0.2),
        ],
        seed=seed,
    )
