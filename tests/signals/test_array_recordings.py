"""Arrays as recordings: every finite sample is in one segment, with its trial's labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elm_jax.signals.defects import UnusableRecording
from elm_jax.signals.pipeline import EVAL_OPTIONS, process
from elm_jax.signals.profiles import EEGPT58, EEGPT_SPEC
from elm_jax.signals.recording import from_arrays

NAMES = ["FP1", "CB1", "EEG Oz-REF", "T7"]

trials = st.lists(
    st.tuples(st.integers(1, 40), st.lists(st.tuples(st.integers(0, 39), st.integers(0, 3)))),
    min_size=1, max_size=5,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(trials, st.sampled_from([("uV", 1), ("mV", 1e3), ("V", 1e6), ("nV", 1e-3)]))
def test_every_sample_that_is_finite_in_all_electrodes_is_in_one_segment(sizes, unit):
    word, uv_per_unit = unit
    arrays, count = [], 0
    for length, holes in sizes:
        x = np.arange(count, count + length) + 1000.0 * np.arange(4)[:, None]
        count += length
        for at, row in holes:
            if at < length:
                x[row, at] = np.nan
        arrays.append(x)
    labels = [{"trial": k} for k in range(len(arrays))]
    made = from_arrays(arrays, NAMES, 10, word, labels=labels)
    assert made.channels == ("Fp1", "Oz", "T3") and made.references == (None, "REF", None)
    assert set(made.unknown) == {"CB1"} and made.duration_s == count / 10
    whole = np.concatenate(arrays, axis=1)
    trial_of = np.repeat(np.arange(len(arrays)), [x.shape[1] for x in arrays])
    covered = np.zeros(count, int)
    for (start, stop), start_s, label in zip(
        made.segments, made.segment_start_s, made.segment_labels, strict=True
    ):
        covered[start:stop] += 1
        assert start_s == start / 10
        assert set(trial_of[start:stop]) == {label["trial"]}
        expected = whole[[0, 2, 3], start:stop] * uv_per_unit
        np.testing.assert_allclose(made.signal_uv[:, start:stop], expected, rtol=1e-6)
    # A hole in a row that is no electrode is none.
    assert covered.tolist() == np.isfinite(whole[[0, 2, 3]]).all(axis=0).astype(int).tolist()


@pytest.mark.parametrize(
    ("arrays", "more", "said"),
    [
        ([np.zeros((3, 9))], {}, r"is \(3, 9\), expected 4 rows"),
        ([], {}, "0 arrays"),
        ([np.zeros((4, 9))], {"labels": [{}, {}]}, "1 arrays, 2 labels"),
        ([np.zeros((4, 9))], {"unit": "kg"}, "unit 'kg'"),
    ],
)
def test_what_does_not_fit_is_an_error_of_the_caller(arrays, more, said):
    unit = more.pop("unit", "uV")
    with pytest.raises(ValueError, match=said):
        from_arrays(arrays, NAMES, 10, unit, **more)


def test_rows_without_an_electrode_are_a_verdict_on_the_file():
    with pytest.raises(UnusableRecording, match="x.mat: no_eeg: unknown: 'CB1'"):
        from_arrays([np.zeros((1, 9))], ["CB1"], 10, "uV", file="x.mat")


def test_names_may_be_given_and_taken_away():
    made = from_arrays([np.ones((4, 9))], NAMES, 10, "uV", rename={"cb1": "Iz", "FP1": None})
    assert made.channels == ("Iz", "Oz", "T3")


def test_labels_and_starts_reach_the_pieces_and_stretches_stay_apart():
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(58, n)).cumsum(axis=1) for n in (1100, 500, 1000)]
    labels = [{"trial": k} for k in range(3)]
    made = from_arrays(arrays, EEGPT58, 250, "uV", labels=labels)
    pieces, defects = process(made, EEGPT_SPEC, EVAL_OPTIONS)
    # 2 s are less than a window of 4 s.
    assert [(p.start_s, p.labels) for p in pieces] == [(0, labels[0]), (6.4, labels[2])]
    assert [d.kind for d in defects] == ["short_stretch"]
    alone = from_arrays(arrays[2:], EEGPT58, 250, "uV")
    (piece,), _ = process(alone, EEGPT_SPEC, EVAL_OPTIONS)
    np.testing.assert_allclose(pieces[1].signal, piece.signal, atol=1e-4)
    assert piece.signal.shape == (58, 1024) and piece.labels == {}
