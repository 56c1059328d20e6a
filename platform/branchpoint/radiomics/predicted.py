"""Outlines that a network draws, as regions for standard radiomics: a prognosis without anyone's contour."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from branchpoint.config import Config
from branchpoint.datasets.cohort import Patient
from branchpoint.radiomics.patients import Outline, outline_in
from branchpoint.training.batches.samples import Samples


def predicted_outline(network: nn.Module, config: Config, prepared: Any, task: str) -> Outline:
    """Gives the mask of a patient of ``prepared``, all classes together; ``None`` for anyone else.

    Args:
        network: trained; left in evaluation mode.
        config: of the network.
        prepared: the cohort.
        task: name of the segmentation task.
    """
    samples = Samples.of(config, prepared)
    position = {name: place for place, name in enumerate(prepared.patient_ids)}
    device = next(network.parameters()).device
    network.eval()

    def outline(patient: Patient) -> Any:
        place = position.get(patient.id)
        if place is None:
            return None
        with torch.inference_mode():
            logits = network(samples.batch([place]).to(device).inputs)[task][0].float()
        mask = logits[0] > 0 if len(logits) == 1 else logits.argmax(0) > 0
        return outline_in(prepared.placement(place).window, mask.cpu().numpy())

    return outline
