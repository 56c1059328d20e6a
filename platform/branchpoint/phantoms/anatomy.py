"""One patient's head and neck without disease: sampled from the standard anatomy, drawn in HU or in SUV."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np

from branchpoint.phantoms import organs as standard
from branchpoint.phantoms.canvas import Canvas, Pose
from branchpoint.phantoms.grid import Slices, point
from branchpoint.phantoms.organs import Organ
from branchpoint.phantoms.shapes import Capsule, Column, Ellipsoid, Shape, mirrored
from branchpoint.phantoms.skull import draw_head, draw_spine

S = TypeVar("S", bound=Shape)
Modality = Literal["ct", "pet"]

_EVERYTHING: Slices = (slice(None), slice(None), slice(None))
_AIR = {"ct": -1000.0, "pet": 0.1}


@dataclass(frozen=True)
class Anatomy:
    """A patient's body.

    Attributes:
        pose: where the patient lies.
        outline: skin of shoulders, neck and face; the cranium is a separate ellipsoid.
        cranium: skin of the head above the brow.
        airway: nasopharynx to trachea.
        soft: muscles, glands, vessels and the lungs' tips, in the order in which they are drawn.
        face: face and skull base.
        bones: jaws, vertebral processes and shoulder girdle.
        fat_mm: thickness of the fat under the skin.
        brain_suv: uptake of the cortex.
        seed: of the textures.
    """

    pose: Pose
    outline: Column
    cranium: Ellipsoid
    airway: Column
    soft: tuple[Organ, ...]
    face: tuple[Organ, ...]
    bones: tuple[Organ, ...]
    fat_mm: float
    brain_suv: float
    seed: tuple[int, ...]

    @classmethod
    def sample(cls, seed: tuple[int, ...], man: bool) -> Anatomy:
        """The body that belongs to ``seed``; women are a little smaller."""
        rng = np.random.default_rng(seed)
        size, slim = (1.0, 1.03) if man else (0.95, 0.96)
        return cls(
            pose=Pose(
                origin_mm=(float(rng.normal(0, 4)), float(rng.normal(-165, 12)), float(rng.uniform(-900, -450))),
                scale=float(size * np.exp(rng.normal(0, 0.02))),
                turn=float(rng.normal(0, 0.04)),
                lean=(float(rng.normal(0, 0.02)), float(rng.normal(0, 0.04))),
            ),
            outline=_scaled(standard.OUTLINE, float(slim * np.exp(rng.normal(0, 0.06))), below=-25.0),
            cranium=_own_shape(standard.CRANIUM, rng, 0.01, 0.5),
            airway=_scaled(standard.AIRWAY, float(np.exp(rng.normal(0, 0.12)))),
            soft=_own(rng, standard.MUSCLES + standard.GLANDS_AND_VESSELS + standard.LUNGS),
            face=_own(rng, standard.FACE_AND_SKULL_BASE),
            bones=_own(rng, standard.JAWS + standard.vertebral_processes() + standard.SHOULDERS),
            fat_mm=float(np.clip(rng.normal(6.0 if man else 7.0, 2.0), 3.0, 12.0)),
            brain_suv=float(9.5 * np.exp(rng.normal(0, 0.2))),
            seed=seed,
        )

    def draw(self, canvas: Canvas, modality: Modality) -> np.ndarray:
        """Paint the body; returns the share of each voxel that lies inside the skin, float32 (z, y, x)."""
        skin = self.skin_distance(canvas)
        self._draw_tissue(canvas, modality, skin)
        _draw_organs(canvas, modality, self.soft, canvas.cover(skin + 0.8 * self.fat_mm))
        draw_head(canvas, modality, self.cranium, self.brain_suv, self.random(2))
        _draw_organs(canvas, modality, self.face)
        canvas.paint(self.airway, _AIR[modality])
        draw_spine(canvas, modality)
        _draw_organs(canvas, modality, self.bones)
        return canvas.cover(skin)

    def skin_distance(self, canvas: Canvas) -> np.ndarray:
        """Signed distance to the skin at all voxels, negative inside the body."""
        distance = canvas.distance(self.outline, _EVERYTHING)
        for shape in (self.cranium, standard.NOSE, standard.EAR, mirrored(standard.EAR)):
            box = canvas.box(shape, margin_mm=15.0)
            np.minimum(distance[box], canvas.distance(shape, box), out=distance[box])
        return distance

    def barrier(self, canvas: Canvas) -> np.ndarray:
        """Signed distance to what no lesion enters (skin, bone, an open airway); negative where one may grow."""
        distance = self.skin_distance(canvas) + 4.0
        bones = [organ.shape for organ in self.bones if organ.name in ("mandible", "ramus")]
        for shape in (_scaled(self.airway, 0.55), standard.VERTEBRAE, standard.NEURAL_ARCH, *bones):
            np.maximum(distance, -canvas.distance(shape, _EVERYTHING), out=distance)
        return distance

    def random(self, stream: int) -> np.random.Generator:
        """The patient's random numbers for one texture, the same on every grid."""
        return np.random.default_rng((*self.seed, stream))

    def _draw_tissue(self, canvas: Canvas, modality: Modality, skin: np.ndarray) -> None:
        """Skin, the fat beneath it, and inside the mixture of muscle and fat planes."""
        planes = canvas.texture(self.random(1), (9.0, 9.0, 24.0))
        fat = np.clip(planes * 0.9 + 0.25, 0.0, 0.92)
        inside = 54.0 - 152.0 * fat if modality == "ct" else 0.8 - 0.4 * fat
        layers: tuple[float | np.ndarray, ...] = (10.0, -106.0, inside) if modality == "ct" else (0.5, 0.3, inside)
        for value, depth in zip(layers, (0.0, 1.8, self.fat_mm), strict=True):
            canvas.blend(_EVERYTHING, canvas.cover(skin + depth), value)


def _draw_organs(
    canvas: Canvas, modality: Modality, organs: tuple[Organ, ...], within: np.ndarray | None = None
) -> None:
    for organ in organs:
        canvas.paint(organ.shape, organ.hu if modality == "ct" else organ.suv, within)


def _own(rng: np.random.Generator, organs: tuple[Organ, ...]) -> tuple[Organ, ...]:
    """The patient's own organs: both sides, each with its own size, place and uptake."""
    own = []
    for organ in organs:
        shapes: list[Shape] = [organ.shape]
        if organ.paired and isinstance(organ.shape, Ellipsoid | Capsule):
            shapes.append(mirrored(organ.shape))
        for shape in shapes:
            suv = organ.suv * float(np.exp(rng.normal(0, organ.varies)))
            own.append(replace(organ, shape=_own_shape(shape, rng, 0.06, 0.8), suv=suv))
    return tuple(own)


def _own_shape(shape: S, rng: np.random.Generator, spread: float, shift_mm: float) -> S:
    if isinstance(shape, Ellipsoid):
        radii = np.multiply(shape.radii, np.exp(rng.normal(0, spread, 3)))
        center = np.add(shape.center, rng.normal(0, shift_mm, 3))
        return replace(shape, center=point(center), radii=point(radii))
    if isinstance(shape, Capsule):
        start, end = np.add((shape.start, shape.end), rng.normal(0, shift_mm, (2, 3)))
        radius = float(shape.radius * np.exp(rng.normal(0, spread)))
        return replace(shape, start=point(start), end=point(end), radius=radius)
    return shape


def _scaled(column: Column, factor: float, below: float = np.inf) -> Column:
    """``column`` with its radii times ``factor`` in the rows under ``below`` millimetres."""
    rows = [(z, y, rx * factor, ry * factor) if z < below else (z, y, rx, ry) for z, y, rx, ry in column.rows]
    return replace(column, rows=tuple(rows))
