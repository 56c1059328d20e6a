"""The organs of the standard head and neck, and their values in CT and PET.

The frame: millimetres, x to the patient's left, y to the back, z up; the origin is the middle of the oropharynx, at
the height of the second cervical vertebra. HU and SUV are typical of unenhanced low-dose CT and of FDG.
"""

from __future__ import annotations

from dataclasses import dataclass

from branchpoint.phantoms.shapes import Arch, Capsule, Column, Ellipsoid, Shape


@dataclass(frozen=True)
class Organ:
    """A structure with one density and one uptake.

    Attributes:
        name: what it is.
        shape: where it is; on the patient's left where ``paired``.
        hu: CT density.
        suv: FDG uptake.
        paired: it has a mirror image.
        varies: relative spread of the uptake between patients and sides.
    """

    name: str
    shape: Shape
    hu: float
    suv: float
    paired: bool = False
    varies: float = 0.15


# (z, centre y, half-width, half-depth) of the skin from the shoulders to the brow; the skull is a separate ellipsoid.
OUTLINE = Column.of(
    [
        (-170, 20, 212, 92),
        (-135, 22, 208, 86),
        (-116, 24, 178, 77),
        (-101, 24, 110, 69),
        (-88, 21, 78, 64),
        (-72, 17, 66, 62),
        (-56, 12, 63, 64),
        (-43, 5, 63, 69),
        (-32, -2, 64, 78),
        (-15, -4, 67, 83),
        (10, -3, 70, 89),
        (35, 1, 73, 96),
        (60, 4, 73, 99),
        (80, 5, 70, 95),
        (100, 3, 62, 87),
    ],
    taper=0.13,
)
CRANIUM = Ellipsoid((0, 12, 103), (77, 97, 80))
NOSE = Ellipsoid((0, -94, 44), (14, 15, 20))
EAR = Ellipsoid((73, 14, 50), (7, 15, 24))

# From the nasopharynx through the larynx into the trachea.
AIRWAY = Column.of(
    [
        (-140, -14, 9, 8),
        (-95, -16, 9, 9),
        (-82, -20, 8, 9),
        (-68, -22, 3, 9),
        (-58, -20, 6, 8),
        (-42, -14, 12, 6),
        (-28, -8, 13, 6),
        (-10, -2, 12, 6.5),
        (8, 1, 10, 6),
        (20, 1, 11, 6),
        (34, -4, 13, 8),
        (44, -8, 12, 8),
    ]
)

MUSCLES = (
    Organ("sternocleidomastoid", Capsule((56, 32, 40), (15, -34, -112), 8, 1.4), 58, 0.8, True),
    Organ("splenius and trapezius", Capsule((19, 56, 38), (26, 66, -135), 15), 54, 0.7, True),
    Organ("semispinalis", Capsule((11, 62, 30), (12, 68, -120), 9), 56, 0.7, True),
    Organ("levator scapulae", Capsule((33, 36, 10), (48, 52, -110), 8), 56, 0.75, True),
    Organ("scalenes", Capsule((20, 20, -25), (40, 20, -112), 8), 56, 0.75, True),
    Organ("longus colli", Capsule((9, 12, 28), (10, 14, -100), 5), 56, 0.9, True),
    Organ("masseter", Capsule((57, -32, 32), (53, -28, -16), 6.5, 1.9), 60, 0.9, True, 0.25),
    Organ("medial pterygoid", Capsule((29, -22, 34), (40, -22, -14), 6, 1.5), 58, 1.0, True, 0.25),
    Organ("lateral pterygoid", Capsule((24, -28, 42), (44, -12, 40), 7), 58, 1.3, True, 0.25),
    Organ("temporalis", Capsule((64, -22, 80), (60, -30, 44), 6, 2.2), 58, 0.9, True),
    Organ("tongue", Ellipsoid((0, -43, 2), (23, 30, 18)), 60, 1.4, varies=0.25),
    Organ("floor of the mouth", Capsule((0, -62, -22), (0, -34, -38), 12), 56, 1.5, varies=0.25),
    Organ("pharyngeal wall", Column.of([(-50, 2, 19, 8), (-20, 2, 20, 10), (10, 4, 20, 11), (40, 4, 19, 12)]), 52, 1.3),
    Organ("larynx", Column.of([(-92, -21, 15, 15), (-75, -21, 17, 17), (-50, -17, 19, 17)]), 48, 1.2),
)

GLANDS_AND_VESSELS = (
    Organ("parotid", Ellipsoid((55, 6, 8), (10, 17, 23)), -8, 1.9, True, 0.25),
    Organ("submandibular gland", Ellipsoid((33, -28, -28), (10, 14, 11)), 42, 2.3, True, 0.25),
    Organ("thyroid", Ellipsoid((15, -20, -92), (8, 10, 19)), 105, 1.3, True, 0.2),
    Organ("carotid", Capsule((26, 10, 46), (25, 2, -120), 3.6), 44, 1.5, True, 0.1),
    Organ("jugular", Capsule((32, 15, 46), (32, 4, -120), 5.0), 42, 1.5, True, 0.1),
    Organ("oesophagus", Capsule((3, 12, -75), (5, 15, -140), 6), 40, 1.6),
    Organ("soft palate", Capsule((0, -24, 26), (0, -7, 14), 5), 48, 2.3, varies=0.3),
    Organ("vocal cords", Ellipsoid((5, -23, -67), (4, 9, 5)), 52, 2.4, True, 0.35),
    Organ("palatine tonsil", Ellipsoid((17, -4, 2), (6.5, 8, 12)), 60, 5.2, True, 0.3),
    Organ("lingual tonsil", Ellipsoid((0, -14, -14), (14, 6, 8)), 58, 4.6, varies=0.35),
    Organ("adenoid", Ellipsoid((0, 7, 36), (13, 6, 9)), 54, 3.8, varies=0.35),
)

JAWS = (
    Organ("mandible", Arch(-27, (45, 48), 10, (-38, -11), -22), 900, 1.2),
    Organ("mandibular marrow", Arch(-27, (45, 48), 4, (-34, -15), -24), 250, 1.4),
    Organ("ramus", Capsule((51, -18, 34), (47, -26, -24), 4.2, 3.2), 850, 1.1, True),
    Organ("lower teeth", Arch(-30, (31, 42), 7, (-12, 2), -34), 1700, 1.0),
    Organ("upper teeth", Arch(-30, (30, 42), 7, (4, 16), -34), 1700, 1.0),
    Organ("alveolar process", Arch(-30, (29, 41), 11, (15, 26), -28), 600, 1.1),
    Organ("hard palate", Ellipsoid((0, -48, 27), (25, 29, 2.6)), 550, 1.2),
    Organ("hyoid", Arch(-13, (21, 26), 5, (-45, -39), -2), 330, 0.9),
    Organ("thyroid cartilage", Arch(-16, (18, 24), 3.5, (-80, -55), -6), 190, 0.8),
    Organ("cricoid", Arch(-20, (13, 13), 4, (-91, -82), -9), 220, 0.8),
)

FACE_AND_SKULL_BASE = (
    Organ("orbital fat", Ellipsoid((32, -62, 66), (17, 25, 16)), -85, 0.5, True),
    Organ("eye muscles", Ellipsoid((29, -54, 66), (10, 15, 9)), 25, 3.2, True, 0.3),
    Organ("globe", Ellipsoid((32, -74, 66), (12, 12, 12)), 12, 0.8, True),
    Organ("lateral orbital wall", Capsule((50, -64, 52), (49, -58, 82), 3), 700, 1.0, True),
    Organ("zygoma", Capsule((46, -72, 46), (68, -20, 51), 3.5), 700, 1.0, True),
    Organ("maxilla", Ellipsoid((28, -57, 44), (19, 21, 19)), 420, 1.1, True),
    Organ("maxillary sinus", Ellipsoid((28, -56, 44), (16.5, 18, 16.5)), -990, 0.2, True),
    Organ("ethmoid", Ellipsoid((8, -62, 66), (7, 20, 12)), -420, 1.2, True),
    Organ("nasal cavity", Capsule((0, -94, 38), (0, -28, 42), 9, 1.0), 45, 1.7),
    Organ("nasal passage", Capsule((5, -96, 36), (5, -26, 38), 2.6), -990, 0.2, True),
    Organ("upper nasal passage", Capsule((3, -84, 50), (3, -30, 50), 2.0), -990, 0.2, True),
    Organ("nasal bone", Capsule((0, -100, 56), (0, -88, 78), 4), 480, 1.0),
    Organ("sphenoid", Ellipsoid((0, -26, 58), (18, 17, 13)), 560, 1.1),
    Organ("sphenoid sinus", Ellipsoid((0, -27, 59), (14, 12, 9)), -980, 0.2),
    Organ("petrous bone", Capsule((52, 20, 51), (15, 0, 54), 8), 950, 1.0, True),
    Organ("mastoid", Ellipsoid((57, 27, 38), (10, 14, 17)), 250, 1.0, True),
    Organ("mastoid cells", Ellipsoid((57, 28, 40), (7, 9, 12)), -380, 0.6, True),
    Organ("ear canal", Capsule((80, 10, 51), (56, 12, 51), 3.2), -990, 0.2, True),
    Organ("frontal sinus", Ellipsoid((0, -77, 88), (15, 5, 8)), -950, 0.2),
)

LUNGS = (Organ("lung apex", Ellipsoid((50, 14, -152), (32, 38, 36)), -860, 0.4, True),)

SHOULDERS = (
    Organ("first rib", Capsule((44, 50, -110), (82, -8, -136), 5), 380, 1.3, True),
    Organ("clavicle", Capsule((24, -46, -124), (130, -2, -112), 6), 560, 1.1, True),
    Organ("scapula", Capsule((84, 66, -112), (128, 58, -135), 6), 520, 1.2, True),
)

HEADREST_AXIS_Y, HEADREST_RADIUS, HEADREST_HEIGHTS = 8.0, 109.0, (-5.0, 170.0)

VERTEBRAE = Column.of([(-170, 38, 17, 15), (-100, 30, 14, 11.5), (-40, 24, 12, 9.5), (10, 23, 11, 9), (42, 22, 10, 8)])
NEURAL_ARCH = Column.of([(-170, 64, 19, 15), (-100, 52, 18, 13), (-40, 44, 17, 12.5), (42, 41, 17, 12)])
CANAL = Column.of([(-170, 60, 10, 8.5), (-100, 48, 11, 8.5), (-40, 40.5, 12, 8.5), (50, 38, 12, 9.5)])
VERTEBRA_STEP_MM = 17.0
VERTEBRA_HEIGHTS = tuple(34.0 - VERTEBRA_STEP_MM * i for i in range(11))


def vertebral_processes() -> tuple[Organ, ...]:
    """Spinous processes and facet joints, one set for each vertebra."""
    organs = []
    for height in VERTEBRA_HEIGHTS:
        back = 44.0 + max(0.0, -40.0 - height) * 0.15
        organs.append(Organ("spinous process", Capsule((0, back + 8, height), (0, back + 27, height - 7), 3), 450, 1.3))
        organs.append(Organ("facet", Ellipsoid((18, back - 11, height - 4), (6, 7, 7)), 420, 1.3, True))
    return tuple(organs)
