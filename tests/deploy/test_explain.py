"""``branchpoint explain``: its methods against captum, MONAI and closed forms, and the command on files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from branchpoint.commands import cli
from branchpoint.config import ClassificationConfig, Config, DatasetConfig, NetworkConfig, SurvivalConfig
from branchpoint.config import SegmentationConfig as Segmentation
from branchpoint.deploy.explanation.grad_cam import Score, enlarged, grad_cam, layer_of
from branchpoint.deploy.explanation.integrated_gradients import baseline_of, integrated_gradients
from branchpoint.deploy.explanation.replaced import changes
from branchpoint.deploy.explanation.rollout import attention_rollout
from branchpoint.networks import Network, build
from tests.deploy.conftest import Finished
from tests.deploy.test_predict import given

GRADE = ClassificationConfig(name="grade", target="grade", classes=3)
LESION = Segmentation(name="lesion", target="lesion")


def made(encoder: str, dimensions: int, *tasks: Any, **more: Any) -> Network:
    size = (16,) * dimensions
    return build(
        Config(
            dataset=DatasetConfig(size_voxels=size),
            tasks=tasks or (GRADE, LESION),
            network=NetworkConfig(encoder=encoder, in_channels=2, **{"width": 4, "depth": 3, **more}),
        )
    ).eval()


def image(dimensions: int, seed: int = 0) -> Tensor:
    return torch.randn(1, 2, *(16,) * dimensions, generator=torch.Generator().manual_seed(seed))


class Alone(nn.Module):
    """The number that is explained, as a function of the image alone: (B,)."""

    def __init__(self, network: Network, score: Score) -> None:
        super().__init__()
        self.network, self.score = network, score

    def forward(self, x: Tensor) -> Tensor:
        rows = [self.score(self.network({"image": one[None]})) for one in x]
        return torch.stack(rows)


def of_class(logits: dict[str, Tensor]) -> Tensor:
    return logits["grade"][0, 1]


def of_mask(logits: dict[str, Tensor]) -> Tensor:
    return logits["lesion"][0, 0, 4:9, 3:8].sum()


ENCODERS = [("unet", 2), ("unet", 3), ("senorm_unet", 3), ("resformer_sequential", 2), ("u2net_small", 2)]


@pytest.mark.parametrize(("encoder", "dimensions"), ENCODERS)
@pytest.mark.parametrize(("task", "score"), [("grade", of_class), ("lesion", of_mask)])
def test_grad_cam_agrees_with_captum(encoder: str, dimensions: int, task: str, score: Score) -> None:
    more = {"depth": 6, "width": 4} if encoder.startswith("u2net") else {"window": 4}
    from captum.attr import LayerGradCam

    network, x = made(encoder, dimensions, **more), image(dimensions)
    layer = layer_of(network, task)
    found = grad_cam(network, layer, {"image": x}, score)
    expected = LayerGradCam(Alone(network, score), layer).attribute(x, relu_attributions=True)[0, 0]
    assert found.shape == expected.shape
    assert torch.allclose(found, expected, atol=1e-5 * max(1.0, float(expected.detach().max())))
    assert found.max() > 0


def test_grad_cam_agrees_with_monai() -> None:
    from monai.visualize import GradCAM

    class Logits(nn.Module):
        def __init__(self, network: Network) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Tensor) -> Tensor:
            return self.network({"image": x})["grade"]

    network, x = made("unet", 3), image(3)
    layer = layer_of(network, "grade")
    name = next(name for name, module in network.named_modules() if module is layer)
    logits = Logits(network).eval()
    theirs = GradCAM(nn_module=logits, target_layers=f"network.{name}").compute_map(x, class_idx=1)[0, 0]
    ours = grad_cam(network, layer, {"image": x}, of_class)
    assert torch.allclose(ours, torch.as_tensor(theirs).detach(), atol=1e-5)
    assert float(ours.max()) > 1e-3


@pytest.mark.parametrize("unit", ["batchnorm", "senorm"])
@pytest.mark.parametrize("score", [of_class, of_mask])
def test_integrated_gradients_agree_with_captum_and_are_complete(unit: str, score: Score) -> None:
    from captum.attr import IntegratedGradients

    network, x = made("unet", 2, unit=unit), image(2)
    start = baseline_of({"image": x}, "blurred")
    found = integrated_gradients(network, {"image": x}, score, start)
    theirs = IntegratedGradients(Alone(network, score)).attribute(
        x, start, n_steps=64, method="gausslegendre", internal_batch_size=1
    )[0]
    assert float((found.values - theirs).abs().sum()) < 0.1 * float(theirs.abs().sum())
    with torch.no_grad():
        difference = float(score(network({"image": x})) - score(network({"image": start})))
    assert float(found.values.sum()) == pytest.approx(difference, abs=0.01 * max(abs(difference), 0.1))


def test_halving_finds_what_equal_steps_miss() -> None:
    """A step at a twentieth of the line, a thousandth wide."""
    steep: Any = lambda inputs: {"y": torch.sigmoid((inputs["image"].mean() - 0.05) * 5000)}  # noqa: E731
    x = torch.ones(1, 1, 4, 4)
    found = integrated_gradients(steep, {"image": x}, lambda logits: logits["y"], torch.zeros_like(x))
    assert found.error <= 0.01
    assert 32 < found.gradients <= 256
    assert float(found.values.sum()) == pytest.approx(1, abs=0.01)


def test_integrated_gradients_of_a_linear_model_are_weight_times_input() -> None:
    weight, x, start = image(2, 1), image(2, 2), image(2, 3)
    linear: Any = lambda inputs: {"y": (inputs["image"] * weight).sum()}  # noqa: E731
    found = integrated_gradients(linear, {"image": x}, lambda logits: logits["y"], start)
    assert torch.allclose(found.values, (weight * (x - start))[0], atol=1e-5)
    assert found.gradients == 32
    assert found.error < 1e-5


def test_baselines() -> None:
    inputs = {"image": image(2) + 3, "intensity_background": torch.tensor([[-2.0, 0.5]])}
    assert not baseline_of(inputs, "zero").any()
    assert baseline_of(inputs, "air")[0, :, 3, 5].tolist() == [-2.0, 0.5]
    blurred = baseline_of(inputs, "blurred")
    assert blurred.mean() == pytest.approx(float(inputs["image"].mean()), abs=0.1)
    assert blurred.std() < 0.3 * inputs["image"].std()


@pytest.mark.parametrize("method", ["gradcam", "integrated-gradients"])
def test_maps_follow_the_weights(method: str) -> None:
    """With weights drawn anew the map of the same image is another one (the sanity check of Adebayo et al. 2018)."""
    from scipy.stats import spearmanr

    def explained(network: Network) -> np.ndarray:
        if method == "gradcam":
            return grad_cam(network, layer_of(network, "lesion"), inputs, of_mask).ravel().numpy()
        found = integrated_gradients(network, inputs, of_class, baseline_of(inputs, "blurred"))
        return found.values.ravel().numpy()

    inputs = {"image": torch.randn(1, 2, 48, 48, generator=torch.Generator().manual_seed(0))}
    network = made("unet", 2, unit="batchnorm")
    first, correlations = explained(network), []
    for seed in range(6):
        torch.manual_seed(seed)
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.3)
        again = explained(network)
        correlations.append(abs(spearmanr(first, again).statistic) if np.ptp(again) else 0.0)
    assert np.mean(correlations) < 0.3


def rolled_out_by_matrices(network: Network, x: Tensor) -> Tensor:
    """Rollout of the first stage by whole matrices: what each token passes on is found by giving it a one alone."""
    layers: list[tuple[Any, Tensor]] = []
    swin = network.encoder[0][0][1].swin
    for block in (swin.plain, swin.shifted):
        block.attention.register_forward_pre_hook(lambda module, given: layers.append((module, given[0])))
    network({"image": x})
    total: Tensor | None = None
    for layer, tokens in layers:
        weights, padded, shifts = layer.attention(tokens)
        side, window = padded[0], layer.window
        place = torch.arange(side * side).reshape(side, side).roll([-s for s in shifts], (0, 1))
        blocks = place.reshape(side // window, window, side // window, window).permute(0, 2, 1, 3)
        matrix = torch.zeros(side * side, side * side)
        for members, attention in zip(blocks.reshape(-1, window * window), weights, strict=True):
            matrix[members[:, None], members[None]] = attention
        step = (matrix + torch.eye(side * side)) / 2
        total = step if total is None else step @ total
    assert total is not None
    return total.mean(0).reshape(side, side)


def test_rollout_is_the_product_of_attention_matrices() -> None:
    network, x = made("resformer_sequential", 2, GRADE, window=4, depth=1), image(2)
    with torch.no_grad():
        expected = rolled_out_by_matrices(network, x)
        found = attention_rollout(network, layer_of(network, "grade"), {"image": x})
    assert torch.allclose(found, expected, atol=1e-6)
    assert float(found.sum()) == pytest.approx(1, abs=1e-5)
    deeper = made("resformer_sequential", 2, GRADE, window=4)
    assert attention_rollout(deeper, layer_of(deeper, "grade"), {"image": x}).shape == (8, 8)


def test_no_rollout_without_attention() -> None:
    network = made("unet", 2)
    with pytest.raises(ValueError, match="no layer of attention"):
        attention_rollout(network, layer_of(network, "grade"), {"image": image(2)})


@pytest.mark.parametrize(
    ("unit", "method", "least"), [("batchnorm", "gradcam", 0.5), ("senorm", "integrated-gradients", 0.3)]
)
def test_the_map_lies_on_the_lesion_that_decides(unit: str, method: str, least: float) -> None:
    """A network that learned to see bright discs: most of its map lies on the disc, in pictures that it never saw.

    Where each image is normalised by itself, deep features everywhere know of the disc, and Grad-CAM does not tell.
    """
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    network = build(
        Config(
            dataset=DatasetConfig(size_voxels=(64, 64)),
            tasks=(ClassificationConfig(name="grade", target="grade", classes=2),),
            network=NetworkConfig(encoder="unet", in_channels=1, width=8, depth=2, taps=(1,), unit=unit),
        )
    )
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    rows, columns = np.mgrid[:64, :64]

    def draw(count: int) -> tuple[Tensor, Tensor, Tensor]:
        centres = generator.uniform(12, 52, (count, 2))
        discs = np.stack([(rows - y) ** 2 + (columns - x) ** 2 < 100 for y, x in centres])
        label = generator.integers(0, 2, count)
        x = generator.normal(0, 0.5, (count, 64, 64)) + 2 * discs * label[:, None, None]
        return torch.tensor(x, dtype=torch.float32)[:, None], torch.tensor(label), torch.tensor(discs)

    for _ in range(40):
        x, label, _ = draw(12)
        loss = nn.functional.cross_entropy(network({"image": x})["grade"], label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    x, label, discs = draw(16)
    shares = []
    for one, disc in zip(x[label == 1], discs[label == 1], strict=True):
        inputs = {"image": one[None]}
        if method == "gradcam":
            heat = enlarged(grad_cam(network, layer_of(network, "grade"), inputs, of_class), (64, 64))
        else:
            baseline = baseline_of(inputs, "blurred")
            heat = integrated_gradients(network, inputs, of_class, baseline).values[0].abs()
        shares.append(float(heat[disc].sum() / heat.sum()))
    assert np.median(shares) > least, "the disc covers a thirteenth of the picture"


def test_what_is_not_looked_at_changes_nothing() -> None:
    network, x = made("unet", 2), image(2)
    with torch.no_grad():
        for parameter in network.encoder[0][0].parameters():
            if parameter.ndim == 4 and parameter.shape[1] == 2:
                parameter[:, 1] = 0
    found = changes(network, {"image": x}, of_class, {"CT": 1, "PET": 1}, [])
    assert found["PET"] == 0
    assert abs(found["CT"]) > 1e-3


def test_clinical_values_alone_leave_nothing_in_the_image() -> None:
    network = made("unet", 2, SurvivalConfig(name="risk", target="risk"), head_inputs="clinical", clinical=("age",))
    with pytest.raises(ValueError, match="clinical values alone"):
        layer_of(network, "risk")


def run(*arguments: object) -> Any:
    return CliRunner().invoke(cli.app, ["explain", *map(str, arguments)])


def test_command_writes_maps_on_the_grids_of_the_images(finished: Finished, strangers: Path, tmp_path: Path) -> None:
    command = (finished.bundle, "--input", given(strangers), "--id", "A", "--out", tmp_path, "--task", "survival")
    done = run(*command)
    assert done.exit_code == 0, done.output
    folder = tmp_path / "A"
    result = json.loads((folder / "result.json").read_text())
    by_task = {one["task"]: one for one in result["explanation"]["tasks"]}
    images = dict(part.split("=") for part in given(strangers).split(","))
    for modality, path in images.items():
        written = sitk.ReadImage(str(folder / by_task["survival"]["maps"][f"integrated-gradients-{modality}"]))
        source = sitk.ReadImage(path)
        assert written.GetSize() == source.GetSize()
        assert np.allclose(written.GetOrigin(), source.GetOrigin(), atol=1e-4)
        assert sitk.GetArrayFromImage(written).any()
    heat = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "gradcam-survival.nii.gz")))
    assert 0 <= heat.min() <= heat.max() <= 1
    survival = by_task["survival"]
    assert survival["what"] == "log-hazard in SD of held-out patients"
    gradients = survival["integrated_gradients"]
    assert gradients["completeness_error"] <= 0.01
    total = sum(gradients["sum_by_modality"].values())
    assert total == pytest.approx(gradients["score"] - gradients["score_of_baseline"], abs=0.01)
    z = np.mean(list(result["tasks"]["survival"]["z"].values()))
    assert gradients["score"] == pytest.approx(z, abs=1e-4), "what is explained is what is predicted"
    assert set(survival["replaced_by_mean"]) == {"CT", "PET", "age"}
    assert "no windowed attention" in survival["rollout"]
    page = (folder / "page.html").read_text()
    assert "What the prediction rests on" in page
    assert page.count("integrated gradients, survival, PET") >= 3
    assert "1 kept" in run(*command).output
    other = CliRunner().invoke(
        cli.app, ["predict", str(finished.bundle), "--input", given(strangers), "--id", "A", "--out", str(tmp_path)]
    )
    assert "results made with other settings" in str(other.exception)


def test_mistakes_before_anything_starts(finished: Finished, strangers: Path, tmp_path: Path) -> None:
    for arguments, message in [
        (("--method", "shap"), "--method is 'shap'"),
        (("--task", "tumor"), "--task is 'tumor'"),
        (("--label", "liver"), "--label is 'liver'"),
        (("--baseline", "noise"), "--baseline"),
    ]:
        done = run(finished.bundle, "--input", given(strangers), "--out", tmp_path / "out", *arguments)
        assert message in str(done.exception), arguments
        assert not (tmp_path / "out").exists()


def test_bad_case_stops_no_other(finished: Finished, strangers: Path, tmp_path: Path) -> None:
    table = tmp_path / "cases.csv"
    ct, pet = (part.split("=")[1] for part in given(strangers).split(","))
    table.write_text(f"id,CT,PET\nA,{ct},gone.nii.gz\nB,{ct},{pet}\n")
    done = run(finished.bundle, "--table", table, "--out", tmp_path / "out", "--method", "gradcam", "--no-page")
    assert done.exit_code == 3
    assert "2 cases: 1 done, 1 failed" in done.output
    explained = json.loads((tmp_path / "out/B/result.json").read_text())["explanation"]
    assert {one["task"] for one in explained["tasks"]} | set(explained["skipped"]) == {"tumour", "survival"}
    assert (tmp_path / "out/B/gradcam-survival.nii.gz").exists()
