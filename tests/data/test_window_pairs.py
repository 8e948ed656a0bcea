"""Pairs of windows: as near or far as asked for, each step's a function of the seed alone."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_law import law_of, recordings_of, same_law, times_of
from tiny_shards import write_tiny_shards

from elm_jax.build import build_batches
from elm_jax.data.corpus import Corpus
from elm_jax.data.pipeline import RowPipeline, Windows
from elm_jax.data.samplers import PairSampler, RowPlan
from elm_jax.data.shards import ManifestError, ShardReader
from elm_jax.data.window_pairs import window_pairs
from elm_jax.evals.base import EvalData

SFREQ_HZ = 10.0
# Of each recording its pieces: when they begin, and how many windows of 1 s they hold.
piece = st.tuples(st.integers(0, 60).map(lambda n: n / 2), st.integers(0, 7))
layouts = st.lists(st.lists(piece, min_size=1, max_size=3), min_size=1, max_size=4)
taus = st.tuples(*[st.integers(1, 25).map(lambda n: n / 2)] * 3).map(sorted)


def sampler_of(layout, tau, *, batch=8, each=5, split="train", seed=0, **more):
    rows, windows = recordings_of(layout, SFREQ_HZ)
    pos, neg, most = tau
    tau = dict(tau_pos_s=pos, tau_neg_s=neg, tau_max_s=most)
    sizes = dict(pairs_per_batch=batch, pairs_per_recording=each)
    return window_pairs(windows, rows, SFREQ_HZ, split=split, seed=seed, **tau, **sizes, **more)


def epoch_of(sampler, epoch=0):
    steps = sampler.steps_per_epoch(epoch)
    return [sampler.plan(epoch * steps + i) for i in range(steps)]


def pairs_of(plans):
    """(first, second, near) of the rows that are no padding."""
    found = []
    for plan in plans:
        real = plan.window[:, 0] >= 0
        assert (real == (plan.window[:, 1] >= 0)).all() and not plan.label[~real].any()
        found += zip(*plan.window[real].T.tolist(), plan.label[real].tolist(), strict=True)
    return found


@settings(deadline=None, max_examples=120)
@given(layouts, taus, st.booleans(), st.sampled_from(["same_recording", "other_recording"]))
def test_every_pair_is_as_near_or_far_as_asked_for_and_nothing_tells_by_being_alone(
    layout, tau, bounded, negatives
):
    rows, windows = recordings_of(layout, SFREQ_HZ)
    tau = tau if bounded else [*tau[:2], None]
    law = law_of(rows, windows, SFREQ_HZ, *tau, negatives)
    if not law:
        with pytest.raises(ValueError, match="partners of both kinds"):
            sampler_of(layout, tau, negatives=negatives)
        return
    sampler = sampler_of(layout, tau, negatives=negatives)
    found = pairs_of(epoch_of(sampler))
    assert set(found) <= set(law)
    firsts = sorted({first for first, _, _ in law})
    assert sorted(sampler._times.window[sampler.first]) == firsts
    usable = np.isin(np.arange(len(rows)), windows.recording[firsts])
    np.testing.assert_array_equal(sampler.usable, usable)
    assert len(found) == 5 * usable.sum()


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 200), st.integers(1, 40), st.integers(0, 2))
def test_batches_share_an_epochs_pairs_out_evenly(each, batch, epoch):
    sampler = sampler_of([[(0, 30)], [(0, 40)]], (2, 9, None), batch=batch, each=each)
    plans = epoch_of(sampler, epoch)
    sizes = [int((plan.window[:, 0] >= 0).sum()) for plan in plans]
    assert (
        sum(sizes) == 2 * each
        and max(sizes) - min(sizes) <= 1
        and len(sizes) == -(-2 * each // batch)
    )
    assert all(p.window.shape == (batch, 2) and p.label.shape == (batch,) for p in plans)


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_training_pairs_are_drawn_anew_and_others_stay_the_same_in_every_epoch(split):
    def make(seed):
        return sampler_of([[(0, 300)]] * 3, (2, 9, None), batch=6, each=200, split=split, seed=seed)

    sampler, steps = make(1), 100
    assert sampler.steps_per_epoch(0) == steps > 64  # some are drawn together
    epochs = [pairs_of(epoch_of(sampler, epoch)) for epoch in (0, 1, 0)]
    assert epochs[0] == epochs[2] and (epochs[0] == epochs[1]) == (split != "train")
    late = make(1).plan(3 * steps + 71)  # of a sampler that nobody asked before
    for ours, again in zip(sampler.plan(3 * steps + 71), late, strict=True):
        np.testing.assert_array_equal(ours, again)
    assert pairs_of(epoch_of(make(2))) != epochs[0]
    others = {"train", "valid", "test"} - {split}
    for other in others:  # of the same people, were they in both
        drawn = sampler_of([[(0, 300)]] * 3, (2, 9, None), batch=6, each=200, split=other, seed=1)
        assert pairs_of(epoch_of(drawn)) != epochs[0]


LAWS = {
    "within a recording": ([[(0, 7)], [(0, 11)]], (2, 3, None), "same_recording"),
    "no farther than": ([[(0, 9)], [(0, 12)]], (1, 4, 6), "same_recording"),
    "gaps, pieces out of order": (
        [[(20, 4), (0, 5)], [(0, 3), (9.5, 4)]], (2, 7.5, None), "same_recording",
    ),
    "other recordings": ([[(0, 4)], [(0, 9)], [(0, 2)]], (2, 5, None), "other_recording"),
    "some windows without partners": (
        [[(0, 6), (40, 1)], [(0, 3)], [(5, 1)], [(0, 8)]], (1, 4, 20), "same_recording",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAWS)
def test_pairs_follow_their_law(name):
    layout, tau, negatives = LAWS[name]
    rows, windows = recordings_of(layout, SFREQ_HZ)
    sampler = sampler_of(layout, tau, negatives=negatives)
    window, near = sampler.draw(np.random.default_rng(0), 100_000)
    found = list(zip(*window.T.tolist(), near.tolist(), strict=True))
    assert same_law(found, law_of(rows, windows, SFREQ_HZ, *tau, negatives))


@pytest.mark.parametrize("sfreq_hz", [97.3, 128.0, 1 / 30, 256 / 3])
@pytest.mark.parametrize("start_s", [0.0, 1 / 3, 12345.678])
def test_windows_at_the_very_limit_are_near_and_far_however_the_rate_divides_a_second(
    sfreq_hz, start_s
):
    each = max(1, round(sfreq_hz))  # samples of a window
    step_s = each / sfreq_hz
    rows, windows = recordings_of([[(start_s, 9)]], sfreq_hz, samples=each)
    tau = dict(tau_pos_s=2 * step_s, tau_neg_s=3 * step_s, tau_max_s=4 * step_s)
    sampler = window_pairs(windows, rows, sfreq_hz, split="train", **tau)
    window, near = sampler.draw(np.random.default_rng(0), 4000)
    apart = np.abs(window[:, 0] - window[:, 1])
    assert set(apart[near]) == {1, 2} and set(apart[~near]) == {3, 4}


def test_the_log_says_what_is_never_first_and_who_is_left_out(caplog):
    layout = [[(0, 9), (60, 1)], [(0, 2)], [(0, 9)]]
    with caplog.at_level(logging.INFO):
        sampler_of(layout, (1, 4, 8), each=7).tell()
    said = caplog.text
    assert "train: 14 an epoch from 2 recordings, in 2 batches" in said
    assert "near: at most 1 s apart; far: at least 4 s and at most 8 s" in said
    assert "3 of 21 windows lack a partner" in said
    assert "1 of 3 recordings of train are left out" in said and "(rec1)" in said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(tau_neg_s=80.0), ("at most 1 s", "at least 80 s", "'rec1'", "7 windows", "6 s")),
        (dict(tau_pos_s=0.5), ("near: at most 0.5 s", "lower config.sampler.tau_neg_s")),
        (dict(tau_neg_s=0.5), ("0 < tau_pos_s <= tau_neg_s", "1.0, 0.5, None")),
        (dict(tau_pos_s=0.0), ("0 < tau_pos_s",)),
        (dict(tau_pos_s=float("nan")), ("0 < tau_pos_s",)),
        (dict(tau_neg_s=float("inf")), ("0 < tau_pos_s",)),
        (dict(tau_max_s=3.0), ("4.0, 3.0",)),
        (dict(negatives="other"), ("'other'", "same_recording")),
        (dict(pairs_per_batch=0), ("pairs_per_batch is 0",)),
        (dict(pairs_per_recording=0), ("pairs_per_recording 0",)),
    ],
)  # fmt: skip
def test_settings_that_give_no_pairs_are_refused_with_what_to_change(changes, words):
    rows, windows = recordings_of([[(0, 6)], [(0, 7)]], SFREQ_HZ)
    given = dict(tau_pos_s=1.0, tau_neg_s=4.0) | changes
    with pytest.raises(ValueError) as error:
        window_pairs(windows, rows, SFREQ_HZ, split="train", **given)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize("layout", [[[(0, 6)]], [[(0, 6)], [(0, 1)]], [[(0, 0)], [(0, 0)]]])
def test_pairs_of_other_recordings_need_two(layout):
    with pytest.raises(ValueError, match="2 recordings are needed"):
        sampler_of(layout, (1, 4, None), negatives="other_recording")


# -- batches ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs") / "shards"
    return write_tiny_shards(folder, people=3, valid_people=2, test_people=0, window_s=5.0)


def config_of(directory, **changes):
    settings = dict(name="relative_position", pairs_per_batch=6, pairs_per_recording=7)
    settings |= dict(tau_pos_s=5.0, tau_neg_s=10.0) | changes
    sampler = SimpleNamespace(to_dict=lambda: settings, name=settings["name"])
    return SimpleNamespace(sampler=sampler, seed=0, data=SimpleNamespace(dir=directory))


def corpus_of(directory):
    reader = ShardReader(directory, "train")
    return Corpus(reader.directory, reader.manifest, None)


def test_batches_hold_the_windows_that_were_drawn_and_processes_share_their_rows(shards):
    corpus = corpus_of(shards)
    sampler, batches = build_batches(config_of(shards), corpus, None)
    reader, windows = corpus.reader("train"), corpus.windows("train")
    one = RowPipeline(reader, sampler, windows, label="near", process=(0, 2))
    two = RowPipeline(reader, sampler, windows, label="near", process=(1, 2))
    stored = windows.read(reader, np.arange(len(windows)))
    steps = sampler.steps_per_epoch(0)
    assert steps == 4 and sampler.pairs_per_epoch == 21  # so that some rows are padding
    for step, whole in enumerate(batches.dataset(0, steps, by="threads")):
        plan = sampler.plan(step)
        assert set(whole) == {"signal_a", "signal_b", "signal_valid", "near"}
        assert whole["near"].dtype == whole["signal_valid"].dtype == bool
        valid = whole["signal_valid"]
        for key, window in zip(("signal_a", "signal_b"), plan.window.T, strict=True):
            assert whole[key].dtype == np.int16 and not whole[key][~valid].any()
            np.testing.assert_array_equal(whole[key][valid], stored[window[valid]])
        for key, value in whole.items():
            halves = one.batch(step)[key], two.batch(step)[key]
            np.testing.assert_array_equal(np.concatenate(halves), value)
    three = RowPipeline(reader, sampler, windows, label="near", process=(0, 4))
    with pytest.raises(ValueError, match="cannot be shared by 4 processes; use 8"):
        three.batch(0)


def test_a_row_may_have_more_windows_and_another_label(shards):
    reader = ShardReader(shards, "train")
    windows = Windows.of(reader.recordings, reader.manifest.spec.window_samples)
    plan = RowPlan(np.asarray([[4, 0, 5], [-1, -1, -1]]), np.asarray([2, 0]))
    sampler = SimpleNamespace(plan=lambda step: plan, steps_per_epoch=lambda epoch: 1, usable=[])
    batch = RowPipeline(reader, sampler, windows, label="order").batch(0)
    assert sorted(batch) == ["order", "signal_a", "signal_b", "signal_c", "signal_valid"]
    np.testing.assert_array_equal(batch["signal_c"], windows.read(reader, np.asarray([5, -1])))
    assert batch["order"].tolist() == [2, 0] and batch["signal_valid"].tolist() == [True, False]


def test_an_unknown_setting_and_several_directories_are_refused(shards):
    corpus = corpus_of(shards)
    with pytest.raises(ValueError, match=r"config.sampler: unknown \['tau_pos'\]"):
        build_batches(config_of(shards, tau_pos=1), corpus, None)
    both = Corpus(corpus.directory, corpus.manifest, None, beside=(corpus,))
    with pytest.raises(ValueError, match="does not read"):
        build_batches(config_of(shards), both, None)


# -- evals -----------------------------------------------------------------------------------------


def data_of(corpus, config):
    return EvalData(
        corpus.manifest,
        corpus.reader,
        corpus.windows,
        None,
        rows_per_batch=4,
        by="threads",
        sampled=config and (lambda split: build_batches(config, corpus, None, split)),
    )


def test_an_eval_gets_every_pair_of_a_split_once_with_whose_windows_they_are(shards):
    corpus = corpus_of(shards)
    data = data_of(corpus, config_of(shards))

    def predict(batch):
        assert set(batch) == {"signal_a", "signal_b", "signal_valid"}
        apart = batch["signal_a"].astype(float) - batch["signal_b"]
        return {"logits": np.abs(apart).mean((1, 2))[:, None]}

    rows = data.rows(predict, "valid")
    sampler = data.require_rows("valid")
    assert rows.logits.shape == (14, 1) and sampler.pairs_per_epoch == 14
    expected = pairs_of(epoch_of(sampler))
    assert list(zip(*rows.window.T.tolist(), rows.label.tolist(), strict=True)) == expected
    windows, reader = corpus.windows("valid"), corpus.reader("valid")
    assert (rows.recording == windows.recording[rows.window]).all()
    stored = windows.read(reader, np.arange(len(windows))).astype(float)
    apart = np.abs(stored[rows.window[:, 0]] - stored[rows.window[:, 1]]).mean((1, 2))
    np.testing.assert_allclose(rows.logits[:, 0], apart)
    again = data.rows(predict, "valid")
    np.testing.assert_array_equal(again.window, rows.window)


def test_an_eval_of_pairs_is_refused_where_a_run_draws_none(shards):
    corpus = corpus_of(shards)
    with pytest.raises(ValueError, match="no config.sampler here"):
        data_of(corpus, None).require_rows("valid")
    with pytest.raises(ManifestError, match="holds no recordings"):
        data_of(corpus, config_of(shards)).require_rows("test")
    data = data_of(corpus, None)
    data._sampled = lambda split: (PairSampler([3], [2], pairs_per_batch=1), None)
    with pytest.raises(ValueError, match="draws no rows"):
        data.require_rows("valid")


def test_the_times_of_the_test_law_are_those_of_the_recordings():
    rows, windows = recordings_of([[(20, 2), (0, 3)]], SFREQ_HZ)
    assert times_of(rows, windows, SFREQ_HZ).tolist() == [20, 21, 0, 1, 2]
