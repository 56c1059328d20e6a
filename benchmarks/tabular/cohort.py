"""Pictures of lesions whose three tasks are related and noisy, so that networks differ and none is perfect.

A picture (32 x 32, grey) holds an ellipse on a textured ground. Its ``roughness`` makes its inside patchy; the
probability of malignancy rises with roughness, the hazard of relapse with roughness and area. Noise hides both.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from branchpoint.phantoms.drawing import mesh, write_picture

SIZE = 32
DECLARATION = """\
name = "lesions"

[images]
picture = { files = "pictures/{id}.png", channels = 1 }

[table]
file = "labels.csv"
id = "picture"

[targets.lesion]
kind = "segmentation"
files = "masks/{id}.png"

[targets.malignant]
kind = "classification"
column = "malignant"
classes = ["no", "yes"]

[targets.relapse]
kind = "survival"
time = "days"
event = "relapse"
"""


def make_cohort(out: Path, pictures: int, seed: int) -> Path:
    """Write a cohort for the reader ``folder``; equal seeds give equal files."""
    random = np.random.default_rng(seed)
    rows = ["picture,malignant,days,relapse"]
    for number in range(pictures):
        name = f"L{number:04d}"
        pixels, mask, roughness = _draw(random)
        area = float(np.sqrt(mask.mean()) - 0.4) / 0.1
        malignant = random.random() < 1 / (1 + np.exp(-3 * (roughness - 0.2)))
        relapse = random.exponential(900 * np.exp(-1.0 * roughness - 0.7 * area))
        end = random.uniform(200, 2200)
        rows.append(f"{name},{'yes' if malignant else 'no'},{max(1, round(min(relapse, end)))},{int(relapse <= end)}")
        write_picture(out / "pictures" / f"{name}.png", pixels)
        write_picture(out / "masks" / f"{name}.png", mask.astype(np.uint8) * 255)
    (out / "labels.csv").write_text("\n".join(rows) + "\n")
    (out / "dataset.toml").write_text(DECLARATION)
    return out


def _draw(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Pixels uint8 and mask bool (32, 32), and the roughness, about standard normal."""
    y, x = mesh((SIZE, SIZE))
    center, angle = random.uniform(11, 21, 2), random.uniform(0, np.pi)
    radii = random.uniform(4.5, 11) * np.array([1, random.uniform(0.6, 1)])
    along = (x - center[0]) * np.cos(angle) + (y - center[1]) * np.sin(angle)
    across = -(x - center[0]) * np.sin(angle) + (y - center[1]) * np.cos(angle)
    mask = (along / radii[0]) ** 2 + (across / radii[1]) ** 2 <= 1
    roughness = float(random.normal())
    patches = np.kron(random.normal(size=(SIZE // 4, SIZE // 4)), np.ones((4, 4)))
    ground = np.kron(random.normal(size=(SIZE // 8, SIZE // 8)), np.ones((8, 8)))
    inside = random.uniform(25, 60) + patches * 22 * np.exp(0.5 * roughness)
    signal = 100 + 15 * ground + mask * inside + random.normal(0, 28, (SIZE, SIZE))
    return np.clip(np.round(signal), 0, 255).astype(np.uint8), mask, roughness
