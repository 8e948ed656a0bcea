"""What an exported folder does to an ECG, without this project, is what this project does."""

import json
import pathlib

import numpy as np
import pytest
from wfdb_records import TWELVE, beats

from elm_jax.convert import folder
from elm_jax.convert.card import _signal_rows
from elm_jax.convert.parts import ModelParts
from elm_jax.convert.standalone import preprocess
from elm_jax.signals.ecg.recording import from_array
from elm_jax.signals.one_recording import windows_of
from elm_jax.signals.profiles import profile

SPEC = profile("ecg").replace(window_s=5.0)


@pytest.fixture(autouse=True)
def beside(monkeypatch):
    """As in a saved folder, where the files stand side by side."""
    monkeypatch.syspath_prepend(pathlib.Path(preprocess.__file__).parent)


@pytest.mark.parametrize(
    ("sfreq_hz", "changes"),
    [
        (500, {}),
        (500, {"resample": "cubic", "mean": 0.1, "std": 2.0}),
        (100, {"notch_hz": (50.0,)}),
        (360, {"highpass_hz": 0.5, "lowpass_hz": 40.0, "notch_hz": (50.0, 100.0)}),
        (500, {"cleaning": ("baseline", "wavelet"), "channels": ("V1", "aVR")}),
        (250, {"unit": "uV", "clip": 500.0}),
    ],
)
def test_windows_are_those_of_the_pipeline(sfreq_hz, changes):
    x, spec = beats(seconds=11, sfreq_hz=sfreq_hz), SPEC.replace(**changes)
    expected = windows_of(from_array(x, TWELVE, float(sfreq_hz)), spec)
    written = json.loads(json.dumps(spec.to_dict()))  # as an export has it
    names = [f"MDC_ECG_LEAD_{name}" for name in TWELVE]
    arguments = dict(unit="uV")
    found, start_s = preprocess.network_windows(x * 1e3, names, sfreq_hz, written, **arguments)
    np.testing.assert_allclose(found, expected.signal, rtol=0, atol=2e-5 * spec.clip)
    np.testing.assert_allclose(start_s, expected.start_s)


def test_missing_leads_a_refused_rate_and_holes_are_named():
    spec, x = SPEC.to_dict(), beats()
    with pytest.raises(ValueError, match=r"missing leads: \['V6'\]; found: \['AVF'"):
        preprocess.network_windows(x, (*TWELVE[:11], "V66"), 100, spec, unit="mV")
    with pytest.raises(ValueError, match="cannot hold the band up to 125"):
        refused = spec | {"slow_source": "refuse"}
        preprocess.network_windows(x, TWELVE, 100, refused, unit="mV")
    with pytest.raises(ValueError, match="no ratio of small whole numbers"):
        preprocess.network_windows(x, TWELVE, 99.987654321, spec, unit="mV")
    x[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        preprocess.network_windows(x, TWELVE, 100, spec, unit="mV")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "as recorded"),
        ({"cleaning": ("baseline",), "notch_hz": (50.0,)},
         "baseline taken out; 0 to 125 Hz without 50 Hz, Butterworth both ways"),
    ],
)  # fmt: skip
def test_the_card_says_what_is_taken_out(changes, said):
    rows = dict(_signal_rows(ModelParts(SPEC.replace(**changes), {}, {}, {})))
    assert rows["band"] == said


def test_saved_folders_hold_the_file():
    assert "ecg_preprocess.py" in folder.STAND_ALONE
