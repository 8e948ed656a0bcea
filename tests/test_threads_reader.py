"""``config.data.reader="threads"``: a whole run, evals included, without TensorFlow."""

import importlib
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from etils import epath
from ml_collections import ConfigDict

from configs import relpos_sleep
from data_prep.prepare import main as prepare
from elm_jax import evaluate, main, train

SPLITS = "train=0.34,valid=0.33,test=0.33"


@pytest.fixture
def no_tensorflow(monkeypatch):
    """Whoever imports it, from here on, fails."""
    for name in [m for m in sys.modules if m.split(".")[0] == "tensorflow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ImportError):
        importlib.import_module("tensorflow")


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """Features of three people's nights, which change slowly."""
    folder = tmp_path_factory.mktemp("nights")
    for i in range(3):
        rng = np.random.default_rng(i)
        y = np.repeat(rng.integers(0, 3, 12), 10)
        x = np.stack([y + rng.normal(0, 0.3, len(y)), rng.normal(size=len(y))], 1)
        np.savez(folder / f"P{i}N1.npz", X=x, y=y)
    out = folder / "shards"
    words = ["feature_arrays", "--input", folder, "--out", out, "--workers", 0, "--min_shards", 1]
    words += ["--split", SPLITS, "--class_names", "W,N1,N2"]
    assert prepare([str(word) for word in words]) == 0
    return out


def recipe(directory):
    config = relpos_sleep.get_config("smoke")
    with config.unlocked(), config.ignore_type():
        config.encoder = ConfigDict(dict(name="mlp", hidden=(4,), outputs=3))
        pretext = ConfigDict(dict(name="pretext", split="test"))
        config.evals = ConfigDict(dict(rows_per_batch=32, trained_on_people="refuse"))
        config.evals.pretext = pretext
    config.data.dir, config.data.reader = str(directory), "threads"
    return config


def test_a_run_by_threads_trains_validates_and_evaluates_without_tensorflow(
    nights, tmp_path, no_tensorflow
):
    config = recipe(nights)
    summary = train.train(config, epath.Path(tmp_path))
    assert summary["pretext"]
    config.mode = "evaluate"
    again = evaluate.evaluate(config, epath.Path(tmp_path))
    assert again["pretext"] == summary["pretext"]  # the same pairs, whenever they are drawn


@pytest.mark.parametrize("reader", ["threads", "tf_data", "torch"])
def test_the_command_imports_tensorflow_only_for_the_reader_that_is_its(
    reader, monkeypatch, no_tensorflow, tmp_path
):
    config = relpos_sleep.get_config("smoke")
    config.data.dir, config.data.reader = "somewhere", reader
    called = []
    fake = SimpleNamespace(train=lambda *given: called.append(given))
    monkeypatch.setattr(main, "CONFIG", SimpleNamespace(value=config))
    monkeypatch.setattr(main.flags, "FLAGS", {"config": None})
    monkeypatch.setattr(main.config_flags, "get_config_filename", lambda flag: "relpos.py:smoke")
    monkeypatch.setattr(main.importlib, "import_module", lambda name: fake)
    if reader == "threads":
        main.run(epath.Path(tmp_path))
        assert len(called) == 1
    else:  # it is not there; or there is no such reader
        kind = ImportError if reader == "tf_data" else ValueError
        with pytest.raises(kind, match="tensorflow|'torch'; known"):
            main.run(epath.Path(tmp_path))
        assert not called
