"""The commands that a user types, on real recordings: from EDF files to the published figures."""

import csv

import numpy as np
import pytest
from etils import epath

from configs import elm_probe


@pytest.fixture(scope="module")
def shards(shared, tmp_path_factory):
    from data_prep.prepare import main

    pytest.importorskip("torch", reason="the released weights are a PyTorch file")
    source, out = shared / "data" / "eegmat", tmp_path_factory.mktemp("eegmat") / "shards"
    if not list(source.glob("*.edf")):
        pytest.skip(f"no recordings at {source}")
    whole = ["--drop_start_s", "0", "--cut_multiple_s", "0"]
    labels = ["--reports", str(source / "reports.jsonl"), "--workers", "0"]
    code = main(["edf_folder", "--input", str(source), "--out", str(out), *labels, *whole])
    assert code == 0
    return out


@pytest.mark.slow
@pytest.mark.parametrize("normalisation", ["model", "corpus"])
def test_released_weights_tell_rest_from_arithmetic_as_published(
    shared, shards, normalisation, tmp_path
):
    from elm_jax.evaluate import evaluate

    config = elm_probe.get_config()
    config.model = str(shared / "weights" / "elm" / "5s")
    config.data.dir, config.data.normalisation = str(shards), normalisation
    config.evals.probe.labels.name = "task=arithmetic"
    config.evals.probe.outer = "leave_one_person_out"
    config.evals.probe.c = 0.01
    config.evals.probe.inputs = ("features", "projection", "band_power_gamma", "random_features")
    config.evals.probe.random_networks = 1
    content = evaluate(config, epath.Path(tmp_path))
    rows = {r["input"]: r for r in content["probe"]["scores"] if r["unit"] == "window"}
    expected = {"features": 0.695, "projection": 0.724, "band_power_gamma": 0.634}
    for name, auroc in expected.items():
        assert rows[name]["auroc"] == pytest.approx(auroc, abs=0.005), name
        assert rows[name]["n"] == 575 and rows[name]["people"] == 12
        assert rows[name]["auroc_low"] < auroc - 0.03 and auroc + 0.03 < rows[name]["auroc_high"]
    assert 0.5 < rows["random_features"]["auroc"] < 0.66
    with open(tmp_path / "scores" / "probe.csv", newline="") as f:
        answers = list(csv.DictReader(f))
    assert len(answers) == 24 and np.isfinite([float(a["features"]) for a in answers]).all()
    assert (tmp_path / "figures" / "probe.png").stat().st_size > 10_000
