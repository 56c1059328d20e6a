"""segmentation_models_pytorch's U-Net as its users train it: random weights, Dice + cross-entropy, albumentations."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

BATCH = 8
LEARNING_RATE = 1e-3


def train_segmentation_models(
    encoder: str, images: Tensor, masks: Tensor, labels: Tensor, tested: Tensor, seconds: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Train for ``seconds`` of processor time; probabilities of the outline (N, H, W) and of the classes (N, K).

    Args:
        images: float32 (B, C, H, W).
        masks: uint8 (B, 1, H, W).
        labels: int64 (B,).
        tested: float32 (N, C, H, W).
    """
    import albumentations as A
    import segmentation_models_pytorch as smp

    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    classes = int(labels.max()) + 1
    model = smp.Unet(
        encoder,
        encoder_weights=None,
        in_channels=images.shape[1],
        classes=1,
        aux_params={"classes": classes, "dropout": 0.5},
    )
    dice = smp.losses.DiceLoss("binary")
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=1e-4)
    augment = A.Compose(
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
    pixels, truth = images.movedim(1, -1).numpy(), masks[:, 0].numpy()
    pixels = (pixels + 2) / 4  # the library's users pass values from 0 to 1

    def step(share: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * min(share, 1.0)))
        rows = generator.choice(len(pixels), min(BATCH, len(pixels)), replace=False)
        drawn = [augment(image=pixels[row], mask=truth[row]) for row in rows]
        batch = torch.from_numpy(np.stack([sample["image"] for sample in drawn])).movedim(-1, 1)
        target = torch.from_numpy(np.stack([sample["mask"] for sample in drawn]))[:, None].float()
        outline, logits = model(batch * 4 - 2)
        loss = dice(outline, target) + F.binary_cross_entropy_with_logits(outline, target)
        loss = loss + F.cross_entropy(logits, labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    started = time.process_time()
    while (passed := time.process_time() - started) < seconds:
        step(passed / seconds)
    model.eval()
    with torch.inference_mode():
        outline, logits = model(tested)
    return outline.sigmoid()[:, 0].numpy(), logits.softmax(1).numpy()
