"""Bundles: what is in them, what is not (pickles, identifiers, folders), and every kind of damage."""

from __future__ import annotations

import json
import pickletools
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from branchpoint.commands import cli
from branchpoint.commands.bundle_study import Request, make_bundle
from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.bundle.card import REQUIRED, read_card
from branchpoint.deploy.bundle.files import MANIFEST, BundleError
from branchpoint.deploy.bundle.reference import calibrator, percentile, risk_groups, survival_at
from branchpoint.deploy.bundle.seen import image_digest, seen_by
from tests.deploy.conftest import Finished


def test_every_fold_reads_back_as_the_study_tested_it(finished: Finished) -> None:
    assert "2 networks; tumour, survival; parity: 12 test patients, max |d| 0.0e+00, 0 voxels differ" in finished.said
    bundle = Bundle.open(finished.bundle)
    assert bundle.networks == ("fold0", "fold1")
    assert [task.labels for task in bundle.tasks] == [("tumour",), ()]
    for name in bundle.networks:
        run = next((finished.home / "results/.state/s/runs").glob(f"*-{name}"))
        kept = torch.load(run / "network.pt", weights_only=True)
        found = bundle.network(name).state_dict()
        assert found.keys() == kept.keys()
        assert all(torch.equal(found[key], kept[key]) for key in kept), "clinical buffers too"


def test_no_pickles_names_or_folders(finished: Finished) -> None:
    identifiers = [path.name.split("_")[0].encode() for path in (finished.data / "hecktor_nii").glob("*_ct.nii.gz")]
    for file in finished.bundle.rglob("*"):
        if not file.is_file():
            continue
        content = file.read_bytes()
        assert str(finished.home).encode() not in content, file
        assert not any(name in content for name in identifiers), file
        assert file.suffix in (".json", ".safetensors", ".md", ".gz")
        with pytest.raises(Exception, match=r".*"):
            list(pickletools.genops(content))


def test_reference_distributions(finished: Finished) -> None:
    known = Bundle.open(finished.bundle).reference["survival"]
    assert sum(len(one["log_hazards"]) for one in known["networks"].values()) > 12, "validation and test"
    for one in known["networks"].values():
        assert one["log_hazards"] == sorted(one["log_hazards"])
        assert one["mean"] == pytest.approx(np.mean(one["log_hazards"]))
        assert one["sd"] == pytest.approx(np.std(one["log_hazards"]))
    assert len(known["out_of_fold"]["z"]) == 12
    assert set(known["kaplan_meier"]) == {"low", "high"}


def test_training_images_are_known_again(finished: Finished) -> None:
    from branchpoint.datasets.prepared import PreparedCohort
    from branchpoint.datasets.splits import split

    bundle = Bundle.open(finished.bundle)
    cohort = PreparedCohort.open(next((finished.home / "cache/cohorts").glob("*.json")))
    for fold, name in enumerate(bundle.networks):
        parts = split(cohort, bundle.config(name).split)
        assert bundle.config(name).split.fold == fold
        for index in range(len(cohort)):
            seen = name in seen_by(bundle.seen, [image_digest(cohort.stored_image(index))])
            assert seen == (index in parts.train)


def test_zip_holds_the_same(finished: Finished, tmp_path: Path) -> None:
    make_bundle(Request(store=str(finished.home / "results"), home=finished.home), tmp_path / "study.zip")
    zipped, folder = Bundle.open(tmp_path / "study.zip"), Bundle.open(finished.bundle)
    assert zipped.files.names() == folder.files.names()
    assert zipped.files.read("fold0/weights.safetensors") == folder.files.read("fold0/weights.safetensors")


def test_commands_show_and_verify(finished: Finished) -> None:
    shown = CliRunner().invoke(cli.app, ["bundle", "show", str(finished.bundle)])
    assert "Not for clinical use" in shown.output
    assert "| Cox on age, T stage and N stage" in shown.output, "trivial references stand beside the model"
    assert "the ensemble itself is untested" in shown.output.lower()
    plain = CliRunner().invoke(cli.app, ["bundle", "show", "--json", str(finished.bundle)])
    assert json.loads(plain.output)["provenance"]["parity"]["voxels"] == 0
    verified = CliRunner().invoke(cli.app, ["bundle", "verify", str(finished.bundle)])
    assert verified.exit_code == 0, verified.output


@pytest.fixture
def copied(finished: Finished, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished.bundle, tmp_path / "copied"))


def test_flipped_bit(copied: Path) -> None:
    file = copied / "fold0/weights.safetensors"
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(BundleError, match=r"fold0/weights.safetensors has been changed or damaged"):
        Bundle.open(copied)


def test_missing_and_foreign_files(copied: Path) -> None:
    (copied / "extra.pkl").write_bytes(b"")
    with pytest.raises(BundleError, match=r"extra.pkl does not belong to the bundle"):
        Bundle.open(copied)
    (copied / "extra.pkl").unlink()
    (copied / "seen.json").unlink()
    with pytest.raises(BundleError, match=r"seen.json is missing"):
        Bundle.open(copied)


def test_other_schema_and_no_bundle(copied: Path, tmp_path: Path) -> None:
    manifest = json.loads((copied / MANIFEST).read_text())
    (copied / MANIFEST).write_text(json.dumps({**manifest, "schema": 0}))
    with pytest.raises(BundleError, match="schema 0, this version of Branchpoint reads 1"):
        Bundle.open(copied)
    with pytest.raises(BundleError, match="no such bundle"):
        Bundle.open(tmp_path / "nothing")
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(BundleError, match=r"not a readable .zip"):
        Bundle.open(tmp_path / "cut.zip")


def test_cohort_that_is_gone(finished: Finished, tmp_path: Path) -> None:
    request = Request(store=str(finished.home / "results"), home=finished.home, data_root=tmp_path / "gone")
    with pytest.raises(ValueError, match=r"the cohort is gone .*--without-reference"):
        make_bundle(request, tmp_path / "bundle")
    from dataclasses import replace

    make_bundle(replace(request, without_reference=True), tmp_path / "bundle")
    assert Bundle.open(tmp_path / "bundle").reference == {}
    with pytest.raises(BundleError, match="exists"):
        make_bundle(replace(request, without_reference=True), tmp_path / "bundle")


def test_card_fields_must_be_filled(tmp_path: Path) -> None:
    file = tmp_path / "card.toml"
    file.write_text("\n".join(f'{name} = "x"' for name in REQUIRED) + '\n[tasks.survival]\nevent = "death"\n')
    assert read_card(file).tasks["survival"]["event"] == "death"
    file.write_text("\n".join(f'{name} = "x"' for name in REQUIRED if name != "data") + '\ncontact = " "\n')
    with pytest.raises(ValueError, match="Cannot overwrite"):
        read_card(file)
    file.write_text('name = "x"\ncontact = " "')
    with pytest.raises(ValueError, match=r"fill in licence .*contact .*data"):
        read_card(file)


def test_percentile_and_calibrator_against_scikit_survival() -> None:
    from sksurv.linear_model import CoxPHSurvivalAnalysis
    from sksurv.util import Surv

    assert percentile(5.0, [1.0, 2.0]) == 100
    assert percentile(0.0, [1.0, 2.0]) == 0
    random = np.random.default_rng(0)
    z = random.normal(1.0, 2.0, 80)
    time = random.exponential(1000 * np.exp(-0.6 * z)).round() + 1
    event = random.random(80) < 0.6
    found = calibrator(z, time, event)
    model = CoxPHSurvivalAnalysis(ties="breslow").fit(z[:, None], Surv.from_arrays(event, time))
    for patient in (-1.0, 0.5, 2.0):
        curve = model.predict_survival_function(np.array([[patient]]))[0]
        for days in (float(time.min()), 300.0, float(time.max())):
            assert survival_at(found, [patient], days) == pytest.approx(float(curve(days)), abs=1e-9)
    assert survival_at(found, [0.0], float(time.max()) + 1) is None
    assert "10 are needed" in calibrator(z, time, np.zeros(80, bool))["reason"]
    groups = risk_groups(z, time, event)
    assert groups["log_rank_p"] < 0.01
    assert groups["kaplan_meier"]["high"]["at_risk"][0] <= 40
