"""The released weights through our forms into PyTorch: the published outputs all the way."""

import json
import os
import subprocess
import sys

import mne
import numpy as np
import pytest
import torch

import elm_jax
from elm_jax.convert import folder, released
from elm_jax.convert.__main__ import main
from elm_jax.convert.parts import ELM_AUTHORS
from elm_jax.convert.reader import read_state_dict
from elm_jax.convert.standalone import elm_torch, preprocess
from elm_jax.signals.pipeline import ELM_SPEC, EVAL_OPTIONS, process, windows
from elm_jax.signals.recording import from_mne


@pytest.fixture(scope="module", params=["5s", "60s"])
def exported(request, shared, tmp_path_factory):
    """(the released file, its export, golden values)."""
    source = shared / "weights/elm" / request.param / "model_0_checkpoint.pt"
    if not source.exists():
        pytest.skip(f"needs {source}")
    target = tmp_path_factory.mktemp(request.param) / "export"
    folder.write_folder(released.read_released(source), target)
    with np.load(shared / f"golden/elm/encoder_{request.param}.npz") as file:
        return source, target, dict(file)


def test_the_export_gives_the_published_outputs_through_load_pretrained(exported):
    _, target, golden = exported
    model = elm_jax.load_pretrained(target)
    found = model.encode(golden["x"])
    np.testing.assert_allclose(found.features, golden["emb_f64"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.projection, golden["proj_f64"], rtol=0, atol=1e-5)
    assert model.assumed == ("mean", "std")


def test_the_export_loads_strictly_in_pytorch_and_gives_them_too(exported):
    _, target, golden = exported
    with torch.inference_mode():
        features, projection = elm_torch.load(target)(torch.from_numpy(golden["x"]))
    np.testing.assert_allclose(features, golden["emb_f64"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(projection, golden["proj_f64"], rtol=0, atol=1e-5)


def test_the_exports_tensors_are_the_released_ones_bit_for_bit(exported):
    source, target, _ = exported
    theirs = torch.load(source, map_location="cpu", weights_only=True)
    ours = torch.load(target / "model.pt", weights_only=True)
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        assert ours[name].dtype == value.dtype and ours[name].shape == value.shape
        assert torch.equal(ours[name], value), name
    stored = read_state_dict(target / "model.safetensors")
    assert all(stored[name].tobytes() == v.numpy().tobytes() for name, v in theirs.items())


def test_the_export_says_that_it_may_not_be_passed_on(exported):
    _, target, _ = exported
    config = json.loads((target / "config.json").read_text())
    assert config["origin"] == ELM_AUTHORS and config["assumed"] == ["mean", "std"]
    card = (target / "README.md").read_text()
    assert "do not redistribute" in card and "Not known." in card


def test_verify_runs_where_neither_jax_nor_this_project_can_be_imported(exported):
    _, target, golden = exported
    if golden["x"].shape[2] > 1000:
        pytest.skip("one of the two is enough")
    code = (
        "import runpy, sys\n"
        "class Blocker:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('jax', 'jaxlib', 'flax', 'elm_jax'):\n"
        "            raise ImportError(name + ' is blocked')\n"
        "sys.meta_path.insert(0, Blocker())\n"
        "sys.argv = ['verify.py']\n"
        f"runpy.run_path({str(target / 'verify.py')!r}, run_name='__main__')\n"
    )
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-c", code], cwd="/", env=env, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert b"features: equal" in done.stdout and b"projection: equal" in done.stdout


def test_the_way_through_an_orbax_workdir_keeps_every_bit(exported, tmp_path):
    source, target, golden = exported
    if golden["x"].shape[2] > 1000:
        pytest.skip("one of the two is enough")
    assert main([str(target), str(tmp_path / "wd"), "--to", "orbax"]) == 0
    assert main([str(tmp_path / "wd"), str(tmp_path / "back.pt")]) == 0
    theirs = torch.load(source, map_location="cpu", weights_only=True)
    back = torch.load(tmp_path / "back.pt", weights_only=True)
    assert set(back) == set(theirs) and all(torch.equal(back[n], v) for n, v in theirs.items())


# -- preprocessing --------------------------------------------------------------------------------


def test_numpy_preprocessing_gives_the_golden_windows(shared):
    path = shared / "data/eegmat/Subject00_1.edf"
    raw = mne.io.read_raw_edf(path, verbose="error")
    names = [name for name in raw.ch_names if name.startswith("EEG")]
    found, start_s = preprocess.network_windows(
        raw.get_data(picks=names), names, raw.info["sfreq"], ELM_SPEC.to_dict(), unit="V"
    )
    golden = np.load(shared / "golden/prep/Subject00_1_eval.npz")["data"]
    joined = found.swapaxes(0, 1).reshape(20, -1)
    assert found.dtype == np.float32 and start_s[1] == 5.0
    np.testing.assert_allclose(joined, golden[:, : joined.shape[1]], rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("sfreq_hz", "changes"),
    [
        (256.0, {}),
        (250.0, {"resample": "polyphase", "mean": 0.3, "std": 1.7}),
        (200.0, {"mean": tuple(np.linspace(0, 1, 20)), "std": tuple(np.linspace(1, 2, 20))}),
        (100.0, {"lowpass_hz": 45.0}),
        (512.0, {"unit": "mV", "clip": 0.05, "scale": 100.0, "highpass_hz": 0.0}),
    ],
)
def test_numpy_preprocessing_is_ours_for_other_rates_and_specs(sfreq_hz, changes):
    rng = np.random.default_rng(0)
    electrodes = "Fp1 Fp2 F7 F3 Fz F4 F8 T3 C3 Cz C4 T4 T5 P3 Pz P4 T6 O1 O2".split()
    x = np.cumsum(rng.normal(0, 3, (19, int(31 * sfreq_hz))), axis=1)
    x -= np.linspace(0, 1, x.shape[1]) * x[:, -1:]
    spec = ELM_SPEC.replace(**changes)
    raw = mne.io.RawArray(x * 1e-6, mne.create_info(electrodes, sfreq_hz, "eeg"), verbose="error")
    (piece,), _ = process(from_mne(raw), spec, EVAL_OPTIONS)
    expected = windows(piece.signal, spec)
    written = json.loads(json.dumps(spec.to_dict()))  # as an export has it
    labels = [f"EEG {name.upper()}-REF" for name in electrodes]
    found, _ = preprocess.network_windows(x, labels, sfreq_hz, written, unit="uV")
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.update(names=a["names"][1:], signal=a["signal"][1:]), "missing.*FP1"),
        (lambda a: a.update(names=a["names"][1:]), "18 names"),
        (lambda a: a["signal"].__setitem__((3, 5), np.nan), "NaN"),
        (lambda a: a.update(sfreq_hz=90.0), "90.0 Hz"),
        (lambda a: a.update(unit="volts"), "unit"),
        (lambda a: a.update(signal=a["signal"][:, :400]), "no window"),
    ],
)
def test_numpy_preprocessing_refuses_what_it_cannot_use(change, message):
    electrodes = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()
    signal = np.random.default_rng(0).normal(size=(19, 1500))
    arguments = dict(signal=signal, names=electrodes, sfreq_hz=250.0, unit="uV")
    spec = ELM_SPEC.to_dict()
    assert preprocess.network_windows(spec=spec, **arguments)[0].shape == (1, 20, 500)
    change(arguments)
    with pytest.raises(ValueError, match=message):
        preprocess.network_windows(spec=spec, **arguments)
