"""Signals normalised by their recording or window: what is stored, carried along, and refused."""

import json
import pickle
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_shards import tiny_spec

from data_prep.write_shards import InMemory, write_dataset
from elm_jax.data.joined import JoinedReader
from elm_jax.data.manifest import RECORDINGS_FILE, RecordingRow, load_recordings
from elm_jax.data.moments import NoMoments, moments_of
from elm_jax.data.pipeline import Windows, to_network, window_batches
from elm_jax.data.shards import ShardReader
from elm_jax.data.spec import SignalSpec, SpecError
from elm_jax.signals import pipeline as signals

SPEC = tiny_spec()
STEP = 1 / 32  # of stored microvolts


@pytest.fixture(scope="module")
def far(tmp_path_factory):
    """Recordings of one person each whose channels lie and spread elsewhere; two have a gap."""
    rng, recordings = np.random.default_rng(0), []
    for i, split in enumerate(("train", "train", "test")):
        offset, spread = rng.uniform(-300, 300, (20, 1)), rng.uniform(1, 80, (20, 1))
        lengths = (1500, 700) if i != 1 else (1000,)
        pieces = tuple(offset + spread * rng.normal(size=(20, n)) for n in lengths)
        pieces = tuple(piece.astype(np.float32) for piece in pieces)
        recordings.append(InMemory(f"r{i}", f"x:p{i}", split, pieces))
    folder = tmp_path_factory.mktemp("far") / "shards"
    write_dataset(folder, recordings, SPEC)
    return folder, recordings


def batches(reader, rows_per_batch=4):
    windows = Windows.of(reader.recordings, SPEC.window_samples)
    return windows, list(window_batches(reader, windows, rows_per_batch=rows_per_batch))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=4),
    st.floats(-1000, 1000),
    st.floats(1e-3, 1000),
)
def test_moments_are_those_of_all_stretches_together(lengths, offset, spread):
    rng = np.random.default_rng(sum(lengths))
    parts = [(offset + spread * rng.normal(size=(3, n))).astype(np.float32) for n in lengths]
    found, whole = moments_of(parts), np.concatenate(parts, axis=1).astype(np.float64)
    np.testing.assert_allclose(found.mean, whole.mean(1), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.std, whole.std(1), rtol=1e-6, atol=1e-9)


def test_nothing_has_no_moments_and_a_flat_channel_no_deviation():
    assert moments_of([]) is None and moments_of([np.zeros((2, 0), np.float32)]) is None
    flat = np.stack([np.full(1001, 0.1, np.float32), np.arange(1001, dtype=np.float32)])
    assert moments_of([flat]).std[0] < 1e-6 < moments_of([flat]).std[1]
    assert moments_of([np.full((1, 1001), 0.1, np.float32)]).std == (0.0,)


def test_each_recording_s_are_stored_across_its_gaps(far):
    folder, recordings = far
    rows = {row.recording: row for row in load_recordings(folder)}
    for item in recordings:
        whole = np.concatenate(item.pieces, axis=1)
        np.testing.assert_allclose(rows[item.recording].moments.mean, whole.mean(1), rtol=1e-5)
        np.testing.assert_allclose(rows[item.recording].moments.std, whole.std(1), rtol=1e-5)
    line = rows["r0"].to_json()
    assert RecordingRow.from_json(line) == rows["r0"]


def test_lines_of_before_are_read_and_written_as_they_were():
    row = RecordingRow("r", "x:a", "train", ())
    assert "moments" not in row.to_json() and RecordingRow.from_json(row.to_json()) == row
    with pytest.raises(ValueError, match="2 means and 1 dev"):
        RecordingRow.from_json(row.to_json()[:-1] + ', "moments": [[1, 2], [1]]}')


def test_batches_become_z_scores_of_their_recording_and_padding_zeros(far):
    folder, recordings = far
    reader = ShardReader(folder, "train", moments="recording")
    windows, found = batches(reader)
    prepare = to_network(SPEC.normalised_by("recording"), 1 / STEP)
    for batch in found:
        out = prepare(batch)
        assert set(out) == {"signal", "signal_valid", "window"}  # taken up, and gone
        assert batch["signal_mean"].dtype == batch["signal_std"].dtype == np.float32
        padding = ~batch["signal_valid"]
        assert not np.asarray(out["signal"])[padding].any()
        assert (batch["signal_std"][padding] == 1).all()
        for row in np.flatnonzero(batch["signal_valid"]):
            window = batch["window"][row]
            item = recordings[windows.recording[window]]
            whole = np.concatenate(item.pieces, axis=1)
            first = reader.recordings[windows.recording[window]].pieces[0].index
            cut = item.pieces[windows.piece[window] - first][:, windows.start[window] :][:, :500]
            expected = (cut - whole.mean(1, keepdims=True)) / whole.std(1, keepdims=True)
            bound = STEP / whole.std(1, keepdims=True) + 1e-4
            assert (np.abs(out["signal"][row] - expected) < bound).all()
    assert padding.any()  # the last batch had some


def test_batches_are_as_ever_where_signals_are_not_normalised_so(far):
    folder, _ = far
    reader = ShardReader(folder, "train")
    assert set(batches(reader)[1][0]) == {"signal", "signal_valid", "window"}
    with pytest.raises(ValueError, match="has no 'signal_mean' but"):
        to_network(SPEC.normalised_by("recording"), 32)(batches(reader)[1][0])


def test_splits_read_as_one_and_readers_that_travel_keep_them(far):
    folder, _ = far
    readers = [ShardReader(folder, split, moments="recording") for split in ("train", "test")]
    own = [batches(reader, 1)[1] for reader in readers]
    joined = JoinedReader(readers)
    parts = [Windows.of(reader.recordings, 500) for reader in readers]
    left = joined.windows(parts, 2)
    expected = [batch for found in own for batch in found][2:]
    got = list(window_batches(joined, left, rows_per_batch=1))
    for one, other in zip(got, expected, strict=True):
        for key in ("signal", "signal_mean", "signal_std"):
            np.testing.assert_array_equal(one[key], other[key])
    padded = joined.moments_of(np.array([-1, 0]))
    assert not padded[0][0].any() and (padded[1][0] == 1).all() and padded[0][1].any()
    again = pickle.loads(pickle.dumps(readers[1]))
    np.testing.assert_array_equal(
        again.moments_of(np.array([0]))[1], readers[1].moments_of(np.array([0]))[1]
    )
    plain = JoinedReader([ShardReader(folder, "train")])
    assert plain.moments_of(np.array([0])) is None


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda row: row.pop("moments"), "r1 is the first without.*prepare it again"),
        (lambda row: row["moments"][1].__setitem__(3, 0.0), "r1 does not vary in"),
        (lambda row: [half.pop() for half in row["moments"]], "r1 has the mean and std of 19"),
    ],
)
def test_what_cannot_be_divided_by_is_refused_before_anything_is_read(
    far, tmp_path, spoil, message
):
    folder = shutil.copytree(far[0], tmp_path / "shards")
    rows = [json.loads(line) for line in (folder / RECORDINGS_FILE).read_text().splitlines()]
    spoil(rows[1])
    (folder / RECORDINGS_FILE).write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(NoMoments, match=message) as found:
        ShardReader(folder, "train", moments="recording")
    assert "prepare" in str(found.value) and str(folder) in str(found.value)
    ShardReader(folder, "train")  # as before
    ShardReader(folder, "test", moments="recording")


def test_windows_by_their_own_moments_are_the_same_on_host_and_device():
    rng = np.random.default_rng(1)
    stored = rng.integers(-3000, 3000, (3, 20, 500)).astype(np.int16)
    stored[0, 3] = 777  # flat: zeros, whatever its level
    stored[2] = 0  # padding
    spec = SPEC.normalised_by("window")
    found = np.asarray(to_network(spec, 32)({"signal": stored})["signal"])
    flat = (stored == stored[..., :1]).all(-1)
    assert not found[flat].any() and np.isfinite(found).all()
    np.testing.assert_allclose(found[~flat].mean(-1), 0, atol=1e-5)
    np.testing.assert_allclose(found[~flat].std(-1), 1, rtol=1e-5)
    for window, expected in zip(stored, found, strict=True):
        values = (window / 32).astype(np.float32)
        np.testing.assert_allclose(signals.windows(values, spec)[0], expected, atol=2e-5)


def test_pairs_are_normalised_each_by_its_own_recording():
    stored = np.full((2, 20, 500), 64, np.int16)
    mean = np.stack([np.full(20, 1.0), np.full(20, 2.0)]).astype(np.float32)
    std = np.full((2, 20), 0.5, np.float32)
    batch = {"signal_a": stored, "signal_a_mean": mean, "signal_a_std": std}
    batch |= {"signal_b": stored, "signal_b_mean": mean[::-1], "signal_b_std": std}
    out = to_network(SPEC.normalised_by("recording"), 32)(batch)
    assert set(out) == {"signal_a", "signal_b"}
    np.testing.assert_array_equal(out["signal_a"][:, 0, 0], [2, 0])
    np.testing.assert_array_equal(out["signal_b"][:, 0, 0], [0, 2])


def test_a_spec_of_before_is_written_as_it_was_and_half_answers_are_refused():
    assert "moments" not in SPEC.to_dict() and SPEC.moments == "fixed"
    new = SPEC.replace(mean=1.0, std=2.0).normalised_by("recording")
    assert (new.mean, new.std) == (0.0, 1.0)
    assert SignalSpec.from_dict(json.loads(json.dumps(new.to_dict()))) == new
    with pytest.raises(SpecError, match="'recordings'; known"):
        SPEC.normalised_by("recordings")
    with pytest.raises(SpecError, match=r"std=3\.0 would not be used"):
        new.replace(std=3.0)
