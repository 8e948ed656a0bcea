"""From leads to pieces: true time, holes and flat leads cut out and listed, cleaning that helps."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wfdb_records import beats

from elm_jax.signals.ecg import plan as plans
from elm_jax.signals.ecg.cleaning import baseline, clean, denoised
from elm_jax.signals.ecg.leads import STANDARD_ORDER, WANTED_ORDER
from elm_jax.signals.ecg.pipeline import judge, prepare
from elm_jax.signals.ecg.recording import from_array
from elm_jax.signals.ecg.resample import exact_ratio, resample, resampled_length
from elm_jax.signals.pipeline import EVAL_OPTIONS, PrepOptions
from elm_jax.signals.profiles import profile

SPEC = profile("ecg").replace(sfreq_hz=100.0, lowpass_hz=50.0)


def ecg(x=None, sfreq_hz=100.0, labels=STANDARD_ORDER, unit="mV"):
    return from_array(beats(sfreq_hz=sfreq_hz) if x is None else x, labels, sfreq_hz, unit)


def kinds(judgement):
    return [defect.kind for defect in judgement.defects]


# -- leads and values --------------------------------------------------------------------------


def test_leads_are_brought_into_the_specs_order_by_name():
    x = beats()
    pieces, _ = prepare(ecg(x), SPEC, EVAL_OPTIONS)
    order = [STANDARD_ORDER.index(name) for name in WANTED_ORDER]
    np.testing.assert_array_equal(pieces[0].signal, x[order].astype(np.float32))
    shuffled = np.random.default_rng(0).permutation(12)
    again = ecg(x[shuffled], labels=[STANDARD_ORDER[i].upper() for i in shuffled])
    np.testing.assert_array_equal(prepare(again, SPEC, EVAL_OPTIONS)[0][0].signal, pieces[0].signal)


def test_a_missing_lead_skips_the_recording_and_names_what_is_like_it():
    labels = [*STANDARD_ORDER[:11], "V66"]
    pieces, verdict = prepare(ecg(labels=labels), SPEC, EVAL_OPTIONS)
    assert not pieces and verdict.electrodes_missing == ("V6",)
    assert verdict.skipped == "missing_leads: V6: skipped; not understood: 'V66' (like V6?)"


@pytest.mark.parametrize(("unit", "factor"), [("uV", 1e3), ("V", 1e-3), ("mV", 1.0)])
def test_arrays_say_their_unit(unit, factor):
    pieces, verdict = prepare(ecg(beats() * factor, unit=unit), SPEC, EVAL_OPTIONS)
    assert verdict.unit == unit and 0.9 < pieces[0].signal.max() < 1.3


def test_what_lies_beyond_the_clip_is_clipped():
    x = beats()
    x[0, 200:210] = 50.0
    signal = prepare(ecg(x), SPEC, EVAL_OPTIONS)[0][0].signal
    assert signal.max() == SPEC.clip == 10.0


@pytest.mark.parametrize(("factor", "suspect"), [(1000, True), (1e-3, True), (1, False)])
def test_a_unit_that_cannot_be_is_said(factor, suspect):
    assert ("unit_suspect" in kinds(judge(ecg(beats() * factor), SPEC, EVAL_OPTIONS))) == suspect


@pytest.mark.parametrize(
    ("shape", "labels", "rate", "unit"),
    [((2, 9), ("I",), 100.0, "mV"), ((1, 0), ("I",), 100.0, "mV"),
     ((1, 9), ("I",), 0.0, "mV"), ((1, 9), ("I",), math.nan, "mV"), ((1, 9), ("I",), 1.0, "A")],
)  # fmt: skip
def test_an_array_that_is_none_is_refused(shape, labels, rate, unit):
    with pytest.raises(ValueError, match="expected"):
        from_array(np.zeros(shape), labels, rate, unit)


# -- time --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["polyphase", "cubic"])
@pytest.mark.parametrize("sfreq_hz", [500.0, 400.0, 360.0, 257.0, 100.0])
def test_sample_k_is_the_signal_at_k_over_the_new_rate(method, sfreq_hz):
    # The reference stretches time by n / (n - 1): a spike at 9 s would be 2-10 ms late.
    t = np.arange(round(10 * sfreq_hz)) / sfreq_hz
    x = np.stack([np.sin(2 * np.pi * 3 * t), np.exp(-(((t - 9) / 0.03) ** 2))]).astype(np.float32)
    y = resample(x, sfreq_hz, 250.0, method)
    at = np.arange(y.shape[1]) / 250.0
    assert y.shape[1] == resampled_length(x.shape[1], sfreq_hz, 250.0) == 2500
    inner = slice(50, -50)
    np.testing.assert_allclose(y[0, inner], np.sin(2 * np.pi * 3 * at)[inner], atol=4e-3)
    assert abs(at[y[1].argmax()] - 9) <= 0.002 and abs(y[1].max() - 1) < 0.02


@settings(deadline=None, max_examples=50)
@given(
    st.integers(2, 3000),
    st.sampled_from([97.0, 100.0, 128.0, 250.0, 257.0, 360.0, 500.0, 1000.0]),
    st.sampled_from([100.0, 125.0, 250.0, 500.0]),
    st.sampled_from(["polyphase", "cubic"]),
)
def test_the_length_is_known_beforehand_and_ends_do_not_run_away(n, old_hz, new_hz, method):
    x = np.random.default_rng(n).uniform(-1, 1, (2, n)).astype(np.float32)
    y = resample(x, old_hz, new_hz, method)
    assert y.shape == (2, resampled_length(n, old_hz, new_hz)) and y.dtype == np.float32
    assert np.abs(y).max() < 6


def test_rates_without_a_small_ratio_are_refused_by_polyphase_and_taken_by_cubic():
    assert exact_ratio(360.0, 250.0) == Fraction(25, 36)
    assert exact_ratio(249.987654321, 250.0) is None
    x = beats(sfreq_hz=250.0)
    odd = ecg(x, sfreq_hz=249.987654321)
    spec = profile("ecg").replace(window_s=5.0)
    verdict = judge(odd, spec, EVAL_OPTIONS)
    assert verdict.skipped.startswith("odd_rate") and "--resample cubic" in verdict.skipped
    pieces, verdict = prepare(odd, spec.replace(resample="cubic"), EVAL_OPTIONS)
    assert pieces[0].signal.shape[1] == verdict.stretches[0][1] == 2501


def test_a_low_rate_is_used_and_listed_or_refused_as_asked():
    spec = profile("ecg")
    pieces, verdict = prepare(ecg(), spec, EVAL_OPTIONS)
    assert pieces[0].signal.shape == (12, 2500) and kinds(verdict) == ["band_narrowed"]
    assert verdict.defects[0].detail == "100 Hz: nothing above 50 of 125 Hz"
    refused = judge(ecg(), spec.replace(slow_source="refuse"), EVAL_OPTIONS)
    assert refused.skipped.startswith("low_rate") and not kinds(judge(ecg(), SPEC, EVAL_OPTIONS))


def test_the_same_rate_leaves_every_sample_as_it_is():
    x = beats(sfreq_hz=250.0)
    signal = prepare(ecg(x, 250.0), profile("ecg"), EVAL_OPTIONS)[0][0].signal
    assert set(np.unique(signal)) == set(np.unique(x.astype(np.float32)))


# -- holes and flat leads ------------------------------------------------------------------------


def test_holes_are_listed_and_good_stretches_kept():
    x = beats(seconds=30)
    x[4, 1200:1250] = np.nan
    x[:, 2300:2310] = np.nan
    pieces, verdict = prepare(ecg(x), SPEC, EVAL_OPTIONS)
    assert [(p.start_s, p.signal.shape[1]) for p in pieces] == [(0.0, 1200), (12.5, 1050)]
    assert verdict.stretches == ((0.0, 1200), (12.5, 1050))
    assert kinds(verdict) == ["non_finite", "non_finite", "short_stretch"]
    assert "50 samples of aVL" in verdict.defects[0].detail
    assert "10 samples of all leads" in verdict.defects[1].detail
    assert (verdict.defects[2].start_s, verdict.defects[2].stop_s) == (23.1, 30.0)


def test_a_hole_in_a_lead_that_is_not_used_is_none():
    x = beats()
    x[11] = np.nan
    pieces, verdict = prepare(ecg(x), SPEC.replace(channels=("I", "V1")), EVAL_OPTIONS)
    assert pieces[0].signal.shape == (2, 1000) and not verdict.defects


def test_a_flat_stretch_is_cut_out_or_kept_as_asked():
    x = beats(seconds=30)
    x[2, 1000:1500] = 0.013
    pieces, verdict = prepare(ecg(x), SPEC, EVAL_OPTIONS)
    assert [p.start_s for p in pieces] == [0.0, 15.0] and kinds(verdict) == ["flat_stretch"]
    assert verdict.defects[0].channel == "III" and "5.0 s at one value" in verdict.defects[0].detail
    pieces, verdict = prepare(ecg(x), SPEC, EVAL_OPTIONS, flat="keep")
    assert [p.signal.shape[1] for p in pieces] == [3000] and kinds(verdict) == ["flat_kept"]


def test_a_lead_stuck_at_its_limit_is_called_saturated():
    x = beats(seconds=20)
    x[0, 300:600] = 5.0
    assert kinds(judge(ecg(x), SPEC, EVAL_OPTIONS)) == ["saturated_stretch", "short_stretch"]


def test_a_lead_that_never_moves_skips_the_recording_unless_it_is_to_be_kept():
    x = beats()
    x[[6, 7]] = 0.0
    pieces, verdict = prepare(ecg(x), SPEC, EVAL_OPTIONS)
    assert not pieces and "V1, V2 without any change" in verdict.skipped
    pieces, verdict = prepare(ecg(x), SPEC, EVAL_OPTIONS, flat="keep")
    assert len(pieces) == 1 and [d.channel for d in verdict.defects] == ["V1", "V2"]


def test_pauses_between_beats_are_not_flat():
    x = beats(seconds=20, rate_hz=0.55)  # 33 a minute, rounded to 5 uV: long level stretches
    x = np.round(np.where(np.abs(x) < 0.05, 0, x) / 0.005) * 0.005
    assert not judge(ecg(x), SPEC, EVAL_OPTIONS).defects


def test_nothing_but_holes_is_nothing_left():
    verdict = judge(ecg(np.full((12, 1000), np.nan)), SPEC, EVAL_OPTIONS)
    assert not verdict.usable and "nothing_left" in kinds(verdict)


def test_a_thousand_holes_do_not_fill_the_list():
    x = beats(seconds=60)
    x[0, ::7] = np.nan
    verdict = judge(ecg(x), SPEC, EVAL_OPTIONS)
    counts = {kind: kinds(verdict).count(kind) for kind in kinds(verdict)}
    assert counts == {"non_finite": 21, "short_stretch": 21, "nothing_left": 1}
    assert "838 more stretches" in str(verdict.defects[20])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 1999), st.integers(1, 400)),
                max_size=5),
       st.sampled_from([2.0, 5.0, 10.0]), st.sampled_from(["polyphase", "cubic"]))  # fmt: skip
def test_no_piece_has_a_hole_or_is_shorter_than_a_window(holes, window_s, method):
    x = beats(seconds=20)
    for lead, start, length in holes:
        x[lead, start : start + length] = np.nan
    spec = profile("ecg").replace(window_s=window_s, resample=method)
    pieces, verdict = prepare(ecg(x), spec, EVAL_OPTIONS)
    assert verdict.stretches == tuple((p.start_s, p.signal.shape[1]) for p in pieces)
    for piece in pieces:
        assert np.isfinite(piece.signal).all() and piece.signal.shape[1] >= spec.window_samples
        first, stop = round(piece.start_s * 100), round(piece.start_s * 100) + 1
        assert np.isfinite(x[:, first:stop]).all()
    good = np.isfinite(x).all(axis=0)
    runs = plans.stretches.true_runs(good, spec.window_samples * 100 // 250)
    assert len(runs) == len(pieces)


def test_what_is_cut_from_a_recording_is_as_the_options_say():
    x = beats(seconds=34)
    pieces, _ = prepare(ecg(x), SPEC, PrepOptions(5.0, None, 0.0, math.inf))
    assert (pieces[0].start_s, pieces[0].signal.shape[1]) == (5.0, 2900)
    for low, high, kind in ((40.0, math.inf, "too_short"), (0.0, 20.0, "too_long")):
        options = PrepOptions(0.0, None, low, high)
        assert judge(ecg(x), SPEC, options).skipped.startswith(kind)


# -- cleaning ------------------------------------------------------------------------------------


def wander(sfreq_hz=500.0, seconds=20.0):
    t = np.arange(round(sfreq_hz * seconds)) / sfreq_hz
    return (0.8 * np.sin(2 * np.pi * 0.15 * t) + 0.3 * np.sin(2 * np.pi * 0.3 * t))[None]


def rms(x):
    return float(np.sqrt(np.mean(np.square(x))))


def test_baseline_wander_goes_and_beats_stay():
    x = beats(2, 20.0, 500.0).astype(np.float32)
    spec = profile("ecg").replace(cleaning=("baseline",))
    cleaned = clean((x + wander()).astype(np.float32), 500.0, spec)
    inner = slice(500, -500)
    assert rms((cleaned - x)[:, inner]) < 0.12 * rms(wander()[:, inner])
    assert abs(cleaned[:, inner].max() - x[:, inner].max()) < 0.1


def test_the_level_of_st_is_left_by_the_median_baseline():
    t = np.arange(5000) / 500
    phase = t % 1.0
    x = np.where((phase > 0.3) & (phase < 0.38), 1.0, 0.0) + np.where(
        (phase >= 0.38) & (phase < 0.6), 0.2, 0.0
    )
    left = (x - baseline(x[None].astype(np.float32), 500.0)[0])[1000:-1000]
    st_level = np.median(left[(phase[1000:-1000] > 0.45) & (phase[1000:-1000] < 0.55)])
    assert abs(st_level - 0.2) < 0.02


def test_mains_are_taken_out_by_a_notch_and_frequencies_beyond_the_rate_are_not_in_it():
    x = beats(1, 20.0, 500.0)
    mains = 0.2 * np.sin(2 * np.pi * 50 * np.arange(10_000) / 500)
    spec = profile("ecg").replace(notch_hz=(50.0, 100.0))
    cleaned = clean((x + mains).astype(np.float32), 500.0, spec)
    assert rms((cleaned - x)[:, 500:-500]) < 0.1 * rms(mains)
    slow = beats(1, 20.0, 100.0).astype(np.float32)
    np.testing.assert_array_equal(clean(slow, 100.0, spec), slow)


def test_noise_is_halved_by_wavelets_and_beats_keep_their_height():
    x = beats(2, 20.0, 500.0)
    noise = np.random.default_rng(1).normal(0, 0.05, x.shape)
    cleaned = denoised((x + noise).astype(np.float32), 500.0)
    assert rms(cleaned - x) < 0.6 * rms(noise)
    assert abs(cleaned.max() - x.max()) < 0.12


def test_a_band_is_filtered_without_delay_and_half_of_the_rate_is_no_edge():
    x = beats(1, 20.0, 500.0).astype(np.float32)
    spec = profile("ecg")
    np.testing.assert_array_equal(clean(x, 500.0, spec), x)
    banded = clean(x + 1.0, 500.0, spec.replace(highpass_hz=0.5, lowpass_hz=40.0))
    assert abs(banded.mean()) < 0.02
    for start in range(500, 9000, 417):  # a beat each
        beat = slice(start, start + 417)
        assert abs(int(banded[0, beat].argmax()) - int(x[0, beat].argmax())) <= 4


@pytest.mark.parametrize("cleaning", [(), ("baseline",), ("wavelet",), ("baseline", "wavelet")])
def test_a_constant_offset_or_a_very_short_stretch_breaks_no_cleaning(cleaning):
    spec = profile("ecg").replace(cleaning=cleaning, highpass_hz=0.5, notch_hz=(50.0,))
    for n in (2, 3, 10, 501):
        assert np.isfinite(clean(np.full((2, n), 3.0, np.float32), 500.0, spec)).all()
