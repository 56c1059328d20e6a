"""Optimiser of a run and the course of its learning rate."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from branchpoint.values import ADDED, Checked, Range

Positive = Annotated[float, Range(above=0)]
NotNegative = Annotated[float, Range(at_least=0)]
Decay = Annotated[float, Range(at_least=0, below=1)]


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(Checked):
    """Adam, AdamW or stochastic gradient descent with Nesterov momentum, and the course of the learning rate.

    Attributes:
        betas: of Adam and AdamW.
        momentum: of ``sgd`` (nnU-Net: 0.99; Isensee et al. 2021).
        schedule: of the learning rate: ``cosine`` from ``learning_rate`` to 0 over the whole budget (Andrearczyk et al.
            2021, section 2.3); ``polynomial``, (1 - progress) ** 0.9 (nnU-Net); ``halving``, times 0.5 after every
            ``halving_share`` of the budget (Bhattarai et al. 2022: every third); ``constant``.
        warmup_share: share of the budget over which the rate first rises linearly from 0.
        encoder_rate: factor of the learning rate for the encoder's parameters; 0 freezes the encoder, and a value below
            1 changes pre-trained weights more slowly than new ones.
        clip_norm: largest norm of the gradient; ``None`` leaves it as it is.
    """

    section = "optimizer"

    name: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 0.0
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    momentum: Decay = field(default=0.9, metadata=ADDED)
    schedule: Literal["cosine", "polynomial", "halving", "constant"] = "cosine"
    halving_share: Annotated[float, Range(above=0, at_most=1)] = 1 / 3
    warmup_share: Annotated[float, Range(at_least=0, below=1)] = field(default=0.0, metadata=ADDED)
    encoder_rate: Annotated[float, Range(at_least=0, at_most=1)] = field(default=1.0, metadata=ADDED)
    clip_norm: Positive | None = None
