"""One ECG as a model's windows, from a file or from memory; one EEG stays what it was."""

import flax.linen as nn
import jax
import mne
import numpy as np
import pytest
from wfdb_records import TWELVE, beats, write_record

from elm_jax.data.people import People
from elm_jax.models.base import Encoded
from elm_jax.objectives.two_tower import TwoTower
from elm_jax.pretrained import Pretrained
from elm_jax.signals.ecg.leads import STANDARD_ORDER, WANTED_ORDER
from elm_jax.signals.ecg.recording import from_array
from elm_jax.signals.intake import INTAKES, Intake, UnusableSignal, intake_of
from elm_jax.signals.one_recording import pieces_of, windows_of
from elm_jax.signals.profiles import ELM_SPEC, profile

SPEC = profile("ecg").replace(sfreq_hz=100.0, lowpass_hz=50.0, window_s=5.0)
ORDER = [STANDARD_ORDER.index(name) for name in WANTED_ORDER]


@pytest.fixture
def x():
    return beats(seconds=12)


def raw_of(x, kind="ecg", labels=TWELVE):
    info = mne.create_info(list(labels), 100.0, kind)
    return mne.io.RawArray(x / 1e3, info, verbose="error")


def as_windows(x):
    return x[ORDER][:, :1000].reshape(12, 2, 500).swapaxes(0, 1)


def test_every_modality_has_an_intake_that_keeps_the_contract():
    for modality in INTAKES:
        assert isinstance(intake_of(modality), Intake)
    with pytest.raises(UnusableSignal, match="modality 'features'"):
        intake_of("features")


@pytest.mark.parametrize("suffix", ["", ".hea", ".dat"])
def test_a_wfdb_record_is_read_by_its_name_with_or_without_suffix(tmp_path, x, suffix):
    write_record(tmp_path, "00001_lr", x)
    found = windows_of(tmp_path / f"00001_lr{suffix}", SPEC)
    np.testing.assert_allclose(found.signal, as_windows(x), atol=1e-6)
    assert found.start_s.tolist() == [0.0, 5.0] and not found.defects


@pytest.mark.parametrize("kind", ["ecg", "eeg", "misc"])
def test_a_raw_is_read_by_the_names_of_its_leads_whatever_its_reader_called_them(x, kind):
    raw = raw_of(x, kind)
    if kind == "misc":  # without a unit of volts as far as mne knows
        raw.set_channel_types(dict.fromkeys(raw.ch_names, "ecg"), verbose="error")
    np.testing.assert_allclose(windows_of(raw, SPEC).signal, as_windows(x), atol=1e-6)


def test_an_array_comes_with_the_names_of_its_leads(x):
    found = windows_of(from_array(x * 1e3, TWELVE, 100.0, "uV"), SPEC)
    np.testing.assert_allclose(found.signal, as_windows(x), atol=1e-5)


def test_an_edf_file_of_leads_is_read_too(tmp_path, x):
    path = tmp_path / "r.edf"
    mne.export.export_raw(path, raw_of(x), physical_range=(-5e3, 5e3), verbose="error")
    np.testing.assert_allclose(windows_of(path, SPEC).signal, as_windows(x), atol=1e-3)


def test_a_network_value_is_scaled_and_normalised_as_the_spec_says(x):
    spec = SPEC.replace(scale=2.0, mean=0.5, std=4.0)
    found = windows_of(from_array(x, TWELVE, 100.0), spec).signal
    np.testing.assert_allclose(found, (as_windows(x) * 2 - 0.5) / 4, atol=1e-6)
    own = windows_of(from_array(x, TWELVE, 100.0), SPEC.normalised_by("recording")).signal
    centred = x[ORDER] - x[ORDER].mean(1, keepdims=True)
    expected = centred / x[ORDER].std(1, keepdims=True)
    np.testing.assert_allclose(own, as_windows(expected[ORDER]), atol=1e-4)


def test_bad_annotations_and_boundaries_are_never_inside_a_window(x):
    raw = raw_of(beats(seconds=22))
    raw.set_annotations(mne.Annotations([6.0, 14.0], [1.0, 0.0], ["BAD noise", "EDGE boundary"]))
    found = windows_of(raw, SPEC)
    assert found.start_s.tolist() == [0.0, 7.0, pytest.approx(14.01)]
    raw = raw_of(x)
    raw.info["bads"] = ["V6"]
    with pytest.raises(UnusableSignal, match=r"(?s)missing_leads: V6.*channel_marked_bad \[V6\]"):
        windows_of(raw, SPEC)


def test_what_is_missing_is_named_with_what_is_like_it(x):
    with pytest.raises(UnusableSignal, match="(?s)missing for the leads.*V6; found: I, II.*'V66'"):
        windows_of(from_array(x, (*TWELVE[:11], "V66"), 100.0), SPEC)
    renamed = from_array(x, (*TWELVE[:11], "V66"), 100.0, rename={"V66": "V6"})
    assert windows_of(renamed, SPEC).signal.shape == (2, 12, 500)


def test_a_file_that_is_not_there_is_named_with_those_beside_it(tmp_path, x):
    write_record(tmp_path, "00001_lr", x)
    with pytest.raises(FileNotFoundError, match="there is no .*00001.hea; there is 00001_lr.hea"):
        windows_of(tmp_path / "00001", SPEC)


def test_a_recording_shorter_than_a_window_says_both_lengths(x):
    with pytest.raises(UnusableSignal, match="windows of 20 s; the recording has 12 s"):
        windows_of(from_array(x, TWELVE, 100.0), SPEC.replace(window_s=20.0))


@pytest.mark.parametrize("factor", [1e6, 1e-6])
def test_a_unit_with_which_no_ecg_is_left_is_refused(x, factor):
    with pytest.raises(UnusableSignal, match="no ECG is left"):
        windows_of(from_array(x * factor, TWELVE, 100.0), SPEC)


@pytest.mark.parametrize("what", [np.zeros((12, 500)), 3, None])
def test_what_is_no_recording_is_told_what_is(what):
    with pytest.raises(TypeError, match="from_array"):
        windows_of(what, SPEC)


def test_broken_files_of_mne_and_of_wfdb_are_told_apart(tmp_path):
    (tmp_path / "r.edf").write_bytes(b"nothing")
    with pytest.raises(UnusableSignal, match="mne could not read it"):
        windows_of(tmp_path / "r.edf", SPEC)
    (tmp_path / "r.hea").write_text("nothing")
    with pytest.raises(UnusableSignal, match=r"(?s)bad_header.*a WFDB record is a header"):
        windows_of(tmp_path / "r.hea", SPEC)


def test_pieces_are_whole_stretches_in_millivolts(x):
    (piece,) = pieces_of(from_array(x, TWELVE, 100.0), SPEC.replace(scale=7.0))
    np.testing.assert_allclose(piece.signal, x[ORDER], atol=1e-6)


def test_an_eeg_model_still_refuses_an_ecg(x):
    with pytest.raises(UnusableSignal, match="no_eeg"):
        windows_of(raw_of(x), ELM_SPEC)


class MeanOverTime(nn.Module):
    """In place of a network: what it is given can be seen in what it gives."""

    @nn.compact
    def __call__(self, signal, *, valid=None, train):
        mean = signal.mean(-1) * self.param("factor", nn.initializers.ones, ())
        return Encoded(mean[:, None], mean)


def test_a_finished_model_embeds_a_wfdb_record(tmp_path, x):
    recipe = dict(encoder=dict(name="resnet1d"), objective=dict(name="two_tower"))
    objective = TwoTower(MeanOverTime())
    variables = objective.init(jax.random.key(0), {"signal": np.zeros((1, 12, 500), np.float32)})
    model = Pretrained(SPEC, recipe, objective, *variables, None, People(), "tiny")
    write_record(tmp_path, "r", x)
    for recording in (tmp_path / "r", from_array(x, TWELVE, 100.0)):
        found = model.embed(recording)
        assert found.channels == WANTED_ORDER and found.start_s.tolist() == [0.0, 5.0]
        np.testing.assert_allclose(found.features, as_windows(x).mean(-1), atol=1e-6)
