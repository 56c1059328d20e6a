"""The batched descriptor against scikit-image value by value; the task's target, loss and metrics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from branchpoint.config import HogConfig
from branchpoint.datasets.batch import Batch
from branchpoint.tasks import build_task, hog_compiled
from branchpoint.tasks.hog import HogTask
from branchpoint.tasks.hog_descriptor import descriptor_shape, hog, resize

PUBLISHED = {(9, 8): 3780, (6, 8): 2520, (4, 8): 1680, (9, 16): 756, (6, 16): 504}


@pytest.fixture(params=["torch", "compiled"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Descriptors as any device gets them, and as a CPU with numba does."""
    if request.param == "torch":
        monkeypatch.setattr(hog_compiled, "available", lambda: False)
    elif not hog_compiled.available():
        pytest.skip("numba is missing: pip install branchpoint[fast]")


def picture(name: str) -> np.ndarray:
    """float64 (H, W, C) from 0 to 1."""
    if name == "noise":
        return np.random.default_rng(0).integers(0, 256, (31, 67, 3)) / 255
    from skimage import data

    values = getattr(data, name)() / 255
    return values[::2, ::3] if values.ndim == 3 else values[::2, ::3, None]


def reference(values: np.ndarray, orientations: int, cell: int, window: tuple[int, int] = (128, 64)) -> np.ndarray:
    from skimage.feature import hog as skimage_hog
    from skimage.transform import resize as skimage_resize

    resized = skimage_resize(values, window)
    return skimage_hog(resized, orientations, (cell, cell), (2, 2), block_norm="L2-Hys", channel_axis=-1)


def tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values).permute(2, 0, 1)[None]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("name", ["coffee", "camera", "noise"])
def test_values_are_scikit_images_for_every_published_size(name: str) -> None:
    values = picture(name)
    for (orientations, cell), length in PUBLISHED.items():
        found = hog(tensor(values), orientations, cell, (128, 64))
        assert found.shape == (1, length)
        np.testing.assert_allclose(found[0], reference(values, orientations, cell), atol=1e-6)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(("orientations", "cell", "window"), [(7, 10, (128, 64)), (5, 6, (50, 75)), (12, 8, (31, 67))])
def test_any_bins_cells_and_window(orientations: int, cell: int, window: tuple[int, int]) -> None:
    """Windows that are no multiple of the cell, and larger than the picture, too."""
    found = hog(tensor(picture("noise")), orientations, cell, window)
    assert found.shape[1] == math.prod(descriptor_shape(orientations, cell, window))
    np.testing.assert_allclose(found[0], reference(picture("noise"), orientations, cell, window), atol=1e-6)


@pytest.mark.parametrize("size", [(13, 90), (128, 64), (64, 7)])
def test_resizing_is_scikit_images(size: tuple[int, int]) -> None:
    from skimage.transform import resize as skimage_resize

    found = resize(tensor(picture("noise")), size)[0].permute(1, 2, 0)
    np.testing.assert_allclose(found, skimage_resize(picture("noise"), size), atol=1e-12)


@pytest.mark.usefixtures("way")
def test_pictures_of_a_batch_do_not_touch_each_other() -> None:
    batch = torch.cat([tensor(picture("noise")), tensor(picture("noise")[::-1].copy())])
    together = hog(batch, 6, 16, (128, 64))
    torch.testing.assert_close(together, torch.cat([hog(one, 6, 16, (128, 64)) for one in batch.split(1)]))


@pytest.mark.usefixtures("way")
def test_a_flat_picture_has_no_gradient() -> None:
    assert not hog(torch.full((1, 3, 40, 40), 0.3), 6, 16, (128, 64)).any()


def batch_of(values: torch.Tensor) -> Batch:
    """As pictures come with fixed intensities: -2 is black, 2 is white."""
    columns = {"intensity_offset": 0.5, "intensity_scale": 0.25}
    inputs = {"image": (values - 0.5) * 4, **{name: torch.full((len(values), 3), v) for name, v in columns.items()}}
    return Batch({name: value.float() for name, value in inputs.items()}, {}, {}, torch.arange(len(values)))


def task(**settings: object) -> HogTask:
    built = build_task(HogConfig(name="hog", **settings))
    assert isinstance(built, HogTask)
    return built


def test_target_is_that_of_the_picture_before_normalisation() -> None:
    target, known = task().target(batch_of(tensor(picture("noise"))))
    assert known.tolist() == [True]
    assert target.dtype == torch.float32
    np.testing.assert_allclose(target[0], reference(picture("noise"), 6, 16), atol=1e-4)


@pytest.mark.usefixtures("way")
def test_rounding_of_an_interpolation_does_not_become_a_target() -> None:
    flat = torch.full((1, 3, 64, 64), 0.2) + 1e-8 * torch.randn(1, 3, 64, 64)
    assert not task().target(batch_of(flat))[0].any()


def test_zero_target_is_zero() -> None:
    target, known = task(zero_target=True).target(batch_of(tensor(picture("noise"))))
    assert target.shape == (1, 504)
    assert not target.any()
    assert known.all()


def test_loss_sums_over_levels_and_leaves_padding_rows_out() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 504, generator=generator, requires_grad=True)
    target, labelled = torch.rand(3, 504, generator=generator), torch.tensor([True, True, False])
    loss = task().loss(logits, target, labelled)
    expected = sum(torch.nn.functional.mse_loss(logits[:2, level], target[:2]) for level in range(4))
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert not logits.grad[2].any()
    torch.testing.assert_close(
        task().loss(logits[:, :1], target, labelled), task().loss(logits[:, 0], target, labelled)
    )


def test_metrics_tell_zeros_from_the_target() -> None:
    target = torch.rand(4, 504, generator=torch.Generator().manual_seed(0))
    labelled = torch.ones(4, dtype=torch.bool)

    def metrics(logits: torch.Tensor, target: torch.Tensor) -> dict[str, float]:
        return task().metrics({k: v.numpy() for k, v in task().summarize(logits, target, labelled).items()})

    assert metrics(target, target) == {"mse": 0.0, "explained": 1.0}
    zeros = metrics(torch.zeros(4, 504), target)
    assert zeros["explained"] == pytest.approx(0.0)
    assert zeros["mse"] == pytest.approx(float(target.square().mean()))
    assert math.isnan(metrics(torch.zeros(4, 504), torch.zeros(4, 504))["explained"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": (31, 64)}, r"tasks\.hog\.window is \(31, 64\): must hold a block of 2 x 2 cells"),
        ({"orientations": 0}, r"tasks\.hog\.orientations is 0"),
    ],
)
def test_settings_that_give_no_descriptor_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HogConfig(name="hog", **settings)
