"""Skull, brain and spine: the parts that are more than a shape with one value."""

from __future__ import annotations

import numpy as np

from branchpoint.phantoms import organs as standard
from branchpoint.phantoms.canvas import Canvas
from branchpoint.phantoms.shapes import Ellipsoid

_SCALP_MM, _BONE_MM, _FLOOR_MM = 6.0, 7.0, 7.0


def draw_head(canvas: Canvas, modality: str, cranium: Ellipsoid, brain_suv: float, rng: np.random.Generator) -> None:
    """Skull vault with diploe, skull base, brain with cortex and ventricles."""
    texture = canvas.texture(rng, (9.0, 9.0, 9.0))
    box = canvas.box(cranium)
    _, y, z = canvas.coordinates
    floor = (_floor(y[box]) - z[box[0]]) * canvas.pose.scale  # positive below the skull base
    texture = np.clip(texture[box], -2.5, 2.5)
    depth = -canvas.distance(cranium, box)
    bone = canvas.cover(np.maximum(_SCALP_MM - depth, floor))
    brain = canvas.cover(np.maximum(_SCALP_MM + _BONE_MM - depth, floor + _FLOOR_MM))
    if modality == "ct":
        diploe = np.abs(depth - (_SCALP_MM + _BONE_MM / 2)) < _BONE_MM / 5
        vault = np.where(diploe, np.float32(550.0), np.float32(1150.0))
        base = np.clip(480.0 + 380.0 * texture, 30.0, 1200.0)
        canvas.blend(box, bone, np.where(floor > -_FLOOR_MM, base, vault))
        sulci = np.clip(texture, 0.0, 1.0) * (depth < _SCALP_MM + _BONE_MM + 9.0)
        canvas.blend(box, brain, 35.0 + 2.0 * texture - 16.0 * sulci)
    else:
        canvas.blend(box, bone, 1.0)
        white = np.clip((depth - _SCALP_MM - _BONE_MM - 9.0) / 9.0, 0.0, 1.0)
        canvas.blend(box, brain, brain_suv * (1.0 - 0.5 * white + 0.13 * texture))
    _draw_deep_brain(canvas, modality, brain_suv)


def _floor(y: np.ndarray) -> np.ndarray:
    """Height of the skull base: the anterior fossa lies high, the posterior one low."""
    return 52.0 + 0.3 * np.clip(-15.0 - y, 0.0, 70.0) - 0.45 * np.clip(y - 18.0, 0.0, 40.0)


def _draw_deep_brain(canvas: Canvas, modality: str, brain_suv: float) -> None:
    for side in (-1.0, 1.0):
        ventricle = Ellipsoid((side * 11, 18, 116), (6, 30, 9))
        ganglia = Ellipsoid((side * 24, 6, 104), (8, 17, 11))
        canvas.paint(ganglia, 38.0 if modality == "ct" else brain_suv * 1.05)
        canvas.paint(ventricle, 8.0 if modality == "ct" else brain_suv * 0.25)


def draw_spine(canvas: Canvas, modality: str) -> None:
    """Vertebral bodies with discs between them, neural arches, and the canal with the cord."""
    if modality == "pet":
        canvas.paint(standard.VERTEBRAE, 1.7)
        canvas.paint(standard.NEURAL_ARCH, 1.3)
        canvas.paint(standard.CANAL, 1.4)
        return
    box = canvas.box(standard.VERTEBRAE)
    z = canvas.coordinates[2][box[0]]
    phase = np.abs((z - standard.VERTEBRA_HEIGHTS[0]) / standard.VERTEBRA_STEP_MM % 1.0 - 0.5) * 2.0  # 0 at a disc
    disc = np.clip((0.28 - phase) / 0.12, 0.0, 1.0)
    endplate = np.clip(1.0 - np.abs(phase - 0.34) / 0.12, 0.0, 1.0)
    distance = canvas.distance(standard.VERTEBRAE, box)
    cortex = np.clip((distance + 2.5) / 2.0, 0.0, 1.0)
    marrow = 230.0 + 330.0 * np.maximum(cortex, endplate)
    canvas.blend(box, canvas.cover(distance), marrow * (1.0 - disc) + 85.0 * disc)
    canvas.paint(standard.NEURAL_ARCH, 420.0)
    canvas.paint(standard.CANAL, 24.0)
