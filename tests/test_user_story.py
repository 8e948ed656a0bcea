"""What a clinician's data scientist does with an EDF file and the released weights."""

import mne
import numpy as np
import pytest

pytest.importorskip("torch", reason="the released weights are a PyTorch file")

import elm_jax
from elm_jax.pretrained import UnusableSignal


@pytest.fixture(scope="module")
def edf(shared):
    return shared / "data" / "eegmat" / "Subject00_2.edf"  # 62 s at 500 Hz, old 10-20 names


@pytest.fixture(scope="module")
def model(shared):
    return elm_jax.load_pretrained(shared / "weights" / "elm" / "5s")


@pytest.fixture(scope="module")
def long_model(shared):
    return elm_jax.load_pretrained(shared / "weights" / "elm" / "60s")


@pytest.fixture(scope="module")
def loaded(edf):
    return mne.io.read_raw_edf(edf, preload=True, verbose="error")


@pytest.fixture
def raw(loaded):
    return loaded.copy()


@pytest.fixture(scope="module")
def vectors(model, edf):
    return model.embed(edf)


def cosine(a, b):
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


def test_a_file_becomes_a_row_a_window_and_they_are_the_reference_s(vectors, shared):
    golden = np.load(shared / "golden" / "elm" / "eegmat_embeddings_5s.npz")
    before = 36  # windows of Subject00_1, 182 s, the first in the order of names
    assert vectors.features.shape == (12, 96) and vectors.projection.shape == (12, 256)
    np.testing.assert_allclose(vectors.features, golden["emb"][before : before + 12], atol=2e-2)
    assert cosine(vectors.projection, golden["proj"][before : before + 12]).min() > 0.9999
    assert vectors.start_s.tolist() == [5.0 * i for i in range(12)]
    assert isinstance(vectors.projection, np.ndarray) and vectors.projection.dtype == np.float32


def test_a_raw_object_gives_what_its_file_gives_and_is_left_alone(model, vectors, raw):
    before = raw.get_data()
    found = model.embed(raw)
    np.testing.assert_allclose(found.projection, vectors.projection, atol=1e-3)
    np.testing.assert_array_equal(raw.get_data(), before)


def test_a_fif_file_is_read_by_mne_and_a_path_to_one_says_so(model, vectors, raw, tmp_path):
    path = tmp_path / "patient_raw.fif"
    raw.save(path, verbose="error")
    with pytest.raises(UnusableSignal, match=r"patient_raw.fif: not_edf(.|\n)*mne.io.read_raw"):
        model.embed(path)
    found = model.embed(mne.io.read_raw(path, verbose="error"))
    np.testing.assert_allclose(found.projection, vectors.projection, atol=1e-3)


def test_a_bdf_file_gives_the_same_vectors(model, raw, tmp_path):
    import edfio

    picked = raw.copy().crop(0, 12, include_tmax=False).pick("eeg")
    signals = [
        edfio.BdfSignal(row * 1e6, 500, label=name, physical_dimension="uV")
        for row, name in zip(picked.get_data(), picked.ch_names, strict=True)
    ]
    edfio.Bdf(signals).write(tmp_path / "patient.bdf")
    found, expected = model.embed(tmp_path / "patient.bdf"), model.embed(picked)
    assert found.projection.shape == (2, 256)
    assert cosine(found.projection, expected.projection).min() > 0.9999


def test_a_montage_that_cannot_be_built_names_the_missing_electrodes(model, raw):
    with pytest.raises(UnusableSignal, match=r"missing for the tcp20 montage: T3, O2; found: Fp1"):
        model.embed(raw.copy().drop_channels(["EEG T3", "EEG O2"]))
    with pytest.raises(UnusableSignal, match="no_eeg"):
        model.embed(raw.copy().pick(["ECG ECG"]))


def test_an_electrode_of_another_name_is_told_by_rename(model, vectors, raw):
    raw.rename_channels({"EEG T3": "Schlaefe links"})
    with pytest.raises(UnusableSignal, match="not understood: 'Schlaefe links'.*rename="):
        model.embed(raw)
    found = model.embed(raw, rename={"Schlaefe links": "T3"})
    np.testing.assert_allclose(found.projection, vectors.projection, atol=1e-3)


def test_a_channel_marked_bad_is_not_used(model, raw):
    raw.info["bads"] = ["EEG T3"]
    with pytest.raises(UnusableSignal, match="missing for the tcp20 montage: T3"):
        model.embed(raw)
    raw.info["bads"] = ["EEG Fz"]  # the montage does without
    assert len(model.embed(raw).projection) == 12


def test_a_recording_shorter_than_the_window_says_both_durations(long_model, raw):
    assert long_model.embed(raw).projection.shape == (1, 256)
    half = raw.copy().crop(0, 30, include_tmax=False)
    with pytest.raises(UnusableSignal, match="takes windows of 60 s; the recording has 30 s"):
        long_model.embed(half)


def test_any_sampling_rate_that_holds_the_band_will_do(model, vectors, raw):
    found = model.embed(raw.copy().resample(256, verbose="error"))
    assert cosine(found.projection, vectors.projection).min() > 0.99
    with pytest.raises(UnusableSignal, match="low_rate: 80 Hz") as error:
        model.embed(raw.copy().resample(80, verbose="error"))
    assert "windows of 5 s" not in str(error.value)  # length is not what is wrong


def test_what_is_annotated_as_bad_has_no_vector(model, vectors, raw):
    raw.set_annotations(mne.Annotations([20.0], [7.0], ["BAD_movement"]))
    found = model.embed(raw)
    assert found.start_s.tolist() == [0.0, 5.0, 10.0, 15.0, *np.arange(27.0, 58.0, 5.0)]
    (gap,) = [d for d in found.defects if d.kind == "bad_annotation"]
    assert (gap.start_s, gap.stop_s) == (20.0, 27.0)
    # What lies well before the gap is as it was.
    assert cosine(found.projection[:3], vectors.projection[:3]).min() > 0.99


def test_further_channels_and_another_order_change_nothing(model, vectors, raw):
    data, sfreq_hz = raw.get_data(), raw.info["sfreq"]
    names = [f"{name.removeprefix('EEG ')}-LE" for name in raw.ch_names if "ECG" not in name]
    info = mne.create_info([*reversed(names), "STI"], sfreq_hz, ["eeg"] * len(names) + ["stim"])
    shuffled = np.concatenate([data[: len(names)][::-1], np.zeros((1, data.shape[1]))])
    found = model.embed(mne.io.RawArray(shuffled, info, verbose="error"))
    np.testing.assert_allclose(found.projection, vectors.projection, atol=1e-3)


@pytest.mark.parametrize("factor", [1e6, 1e-6])
def test_microvolts_where_mne_holds_volts_are_refused(model, raw, factor):
    raw.apply_function(lambda x: x * factor)
    with pytest.raises(UnusableSignal, match="no EEG is left. An mne Raw holds volts"):
        model.embed(raw)


def test_a_unit_that_is_only_suspect_is_said_and_used(model, raw, caplog):
    raw.apply_function(lambda x: x * 60)
    assert len(model.embed(raw).projection) == 12
    assert "unit_suspect" in caplog.text


def test_what_is_no_recording_is_refused_in_words(model, raw, tmp_path):
    with pytest.raises(FileNotFoundError, match="no recording"):
        model.embed(tmp_path / "missing.edf")
    (tmp_path / "letter.edf").write_bytes(b"Dear colleague, thank you for the referral")
    with pytest.raises(UnusableSignal, match="letter.edf: not_edf"):
        model.embed(tmp_path / "letter.edf")
    epochs = mne.make_fixed_length_epochs(raw, 5, verbose="error")
    for thing in (raw.get_data(), epochs, None):
        with pytest.raises(TypeError, match="an mne.io.Raw or the path of an EDF file"):
            model.embed(thing)


def test_what_the_released_files_do_not_tell_can_be_given(model, shared, edf, vectors):
    assert any("mean and std" in notice for notice in model.notices)
    told = elm_jax.load_pretrained(shared / "weights" / "elm" / "5s", mean=0.0, std=1.0)
    assert not any("mean and std" in notice for notice in told.notices)
    np.testing.assert_array_equal(told.embed(edf).projection, vectors.projection)
