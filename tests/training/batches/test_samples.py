"""Clinical values and centres: what heads see, what is missing, what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from branchpoint.config import Config, DomainConfig
from branchpoint.evaluation.evaluation import evaluate
from branchpoint.networks import build
from branchpoint.tasks import build_task
from branchpoint.training.batches.samples import Samples
from branchpoint.training.loop import fit
from branchpoint.training.run import build_run
from tests.training.flat_cohort import DISC, HOG, LARGE, SURVIVAL, FlatCohort, flat_config

CPU = torch.device("cpu")
BOTH = {"head_inputs": "both", "clinical": ("age", "sex")}
DOMAIN = DomainConfig(name="domain", domains=("A", "B"))


def test_clinical_values_enter_standardised_and_missing_ones_marked() -> None:
    config, cohort = flat_config(SURVIVAL, network=BOTH), FlatCohort()
    run = build_run(config, cohort, CPU)
    rows = np.arange(len(cohort))
    values = run.prepared.batch(rows).inputs["clinical"]
    assert torch.isnan(values[5, 0])
    numbers = run.network.clinical(values)
    train = run.folds.train
    known = ~torch.isnan(values[train, 0])
    torch.testing.assert_close(numbers[train][known, 0].mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(numbers[train][known, 0].std(unbiased=False), torch.tensor(1.0))
    assert numbers[5].tolist()[0] == 0
    assert numbers[:, 2].tolist() == [float(i % 6 == 5) for i in rows]
    lacking = sum(i % 6 == 5 for i in train)
    assert run.notes == (
        f"clinical values: age ({lacking} of {len(train)} training patients lack it), sex; a missing "
        "value is the training mean, and marked as missing",
    )


def test_a_value_that_nobody_lacked_in_training_is_its_mean_where_it_lacks() -> None:
    network = build(flat_config(SURVIVAL, network=BOTH))
    network.clinical.fit(torch.tensor([[50.0, 1.0], [70.0, 0.0], [float("nan"), 1.0]]))
    numbers = network.clinical(torch.tensor([[float("nan"), float("nan")]]))
    assert numbers.tolist() == [[0, 0, 1, 0]]


def logits(config: Config, cohort: FlatCohort, image: float = 0.0, clinical: float = 0.0) -> dict[str, torch.Tensor]:
    """Of the first four samples, with something added to the image and to the clinical values."""
    run = build_run(config, cohort, CPU)
    inputs = dict(run.prepared.batch(np.arange(4)).inputs)
    inputs["image"] = inputs["image"] + image * torch.randn(inputs["image"].shape)
    if "clinical" in inputs:
        inputs["clinical"] = inputs["clinical"] + clinical
    with torch.no_grad():
        return run.network.eval()(inputs)


@pytest.mark.parametrize(
    ("head_inputs", "sees_image", "sees_values"),
    [
        ("image", True, False),
        ("both", True, True),
        ("clinical", False, True),
    ],
)
def test_the_switch_says_what_image_level_heads_see(head_inputs: str, sees_image: bool, sees_values: bool) -> None:
    network = {"head_inputs": head_inputs, "clinical": ("age",) if sees_values else ()}
    config, cohort = flat_config(DISC, SURVIVAL, network=network), FlatCohort()
    plain = logits(config, cohort)
    other_image, other_values = logits(config, cohort, image=1.0), logits(config, cohort, clinical=5.0)
    assert torch.equal(plain["survival"], other_image["survival"]) != sees_image
    assert torch.equal(plain["survival"], other_values["survival"]) != sees_values
    assert not torch.equal(plain["disc"], other_image["disc"])
    assert torch.equal(plain["disc"], other_values["disc"]), "masks follow from the image alone"


def test_stages_that_nobody_needs_are_not_computed() -> None:
    network = build(flat_config(SURVIVAL, network={"head_inputs": "clinical", "clinical": ("age",)}))
    calls = []
    for stage in network.encoder:
        stage[0].register_forward_hook(lambda *_: calls.append(1))
    network({"image": torch.zeros(2, 3, 16, 16), "clinical": torch.zeros(2, 1)})
    assert not calls


def test_clinical_values_alone_find_what_they_drive() -> None:
    """Age drives the hazard here, and the picture says nothing of it."""
    config = flat_config(SURVIVAL, network={"head_inputs": "clinical", "clinical": ("age",)}, epochs=12)
    config = replace(config, optimizer=replace(config.optimizer, learning_rate=0.1))
    cohort = FlatCohort(count=60)
    result = fit(config, cohort, device="cpu")
    summary = evaluate(result.network, config, cohort, np.arange(60))["survival"]
    assert build_task(SURVIVAL).metrics(summary)["c_index"] > 0.65
    weights = {name: values for name, values in result.network.state_dict().items() if name.startswith("clinical")}
    assert weights.keys() == {"clinical.mean", "clinical.scale", "clinical.can_lack"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("stage", "has no value of it; it records age, sex, treatment"),
        ("treatment", "holds RT, which are no numbers"),
    ],
)
def test_covariates_without_a_number_are_refused(name: str, message: str) -> None:
    config = flat_config(SURVIVAL, network={"head_inputs": "both", "clinical": (name,)})
    with pytest.raises(ValueError, match=f"network.clinical: '{name}': cohort 'discs' {message}"):
        Samples.of(config, FlatCohort())


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"head_inputs": "both"}, "name covariates for 'clinical' and 'both'"),
        ({"clinical": ("age",)}, "none for 'image'"),
        ({"head_inputs": "both", "clinical": ("large",)}, "'large' is what task 'large' is to predict"),
    ],
)
def test_settings_that_do_not_fit_are_refused(network: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        flat_config(LARGE, network=network)


def test_centres_become_targets_and_strangers_do_not_count() -> None:
    cohort = FlatCohort()
    cohort.centers[3], cohort.centers[4] = None, "C"
    batch = Samples.of(flat_config(DISC, DOMAIN), cohort).batch(np.arange(6))
    assert batch.targets["center"].tolist()[:3] == [0, 1, 0]
    assert batch.labelled["center"].tolist() == [True, True, True, False, False, True]
    with pytest.raises(ValueError, match=r"tasks\.domain\.domains are X, Y: fewer than two of them"):
        build_run(flat_config(DISC, replace(DOMAIN, domains=("X", "Y"))), cohort, CPU)


def gradients(strength: float) -> dict[str, torch.Tensor]:
    """Of the domain loss alone."""
    config, cohort = flat_config(DISC, replace(DOMAIN, strength=strength, ramp=False)), FlatCohort()
    run = build_run(config, cohort, CPU)
    batch = run.prepared.batch(np.arange(8))
    task = run.tasks[1]
    task.loss(run.network(batch.inputs)["domain"], *task.target(batch)).backward()
    return {name: p.grad.clone() for name, p in run.network.named_parameters() if p.grad is not None}


def test_the_gradient_is_reversed_where_it_leaves_the_head() -> None:
    once, twice = gradients(1.0), gradients(2.0)
    for name, gradient in once.items():
        factor = 1 if name.startswith("heads") else 2
        torch.testing.assert_close(twice[name], factor * gradient, rtol=1e-4, atol=1e-7)
    # Downhill for the head is uphill for the encoder: a step along minus the gradient raises the domain loss.
    config, cohort = flat_config(DISC, replace(DOMAIN, ramp=False)), FlatCohort()
    run = build_run(config, cohort, CPU)
    batch, task = run.prepared.batch(np.arange(8)), run.tasks[1]

    def loss(part: str, rate: float) -> float:
        with torch.no_grad():
            for name, parameter in run.network.named_parameters():
                if name.startswith(part) and name in once:
                    parameter -= rate * once[name]
            return float(task.loss(run.network(batch.inputs)["domain"], *task.target(batch)))

    before = loss("heads", 0.0)
    assert loss("encoder", 0.05) > before
    loss("encoder", -0.05)
    assert loss("heads", 0.05) < before


def test_the_strength_rises_with_progress() -> None:
    from branchpoint.networks.adversarial import set_progress

    network = build(flat_config(DISC, DOMAIN))
    head = network.heads["domain"]
    seen = []
    for progress in (0.0, 0.1, 0.5, 1.0):
        set_progress(network, progress)
        seen.append(float(head.strength))
    assert seen[0] == 0
    assert seen[1] == pytest.approx(2 / (1 + np.exp(-1)) - 1)
    assert seen[-1] == pytest.approx(1, abs=1e-3)
    assert seen == sorted(seen)


def test_auxiliary_tasks_choose_no_epoch() -> None:
    config = flat_config(LARGE, HOG, DOMAIN, epochs=1)
    metrics = fit(config, FlatCohort(), device="cpu").metrics
    assert metrics["validation/loss"] == pytest.approx(metrics["validation/large/loss"])
    accuracy = metrics["validation/large/balanced_accuracy"]  # undefined, so chance, where the fold has one class
    assert metrics["validation/score"] == pytest.approx(
        build_task(LARGE).share(0.5 if np.isnan(accuracy) else accuracy)
    )
    assert metrics["validation/hog/n"] == metrics["validation/domain/n"] == metrics["validation/large/n"] > 0
    alone = fit(flat_config(HOG, epochs=1), FlatCohort(), device="cpu").metrics
    assert alone["validation/loss"] == pytest.approx(0.5 * alone["validation/hog/loss"])
