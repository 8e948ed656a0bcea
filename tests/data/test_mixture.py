"""Batches of several directories: each window once an epoch, montages in turn, any process."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from etils import epath
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_montages import NINE, SFREQ_HZ, SIX, WINDOW_S, write_montage

from elm_jax.channels import channel_ids
from elm_jax.data.corpus import Corpus
from elm_jax.data.manifest import Manifest, PieceRow, RecordingRow
from elm_jax.data.mixture import (
    PLACES,
    MixturePipeline,
    MixtureSampler,
    Part,
    in_turn,
    mixture,
)
from elm_jax.data.pipeline import Windows
from elm_jax.data.shards import ShardReader
from elm_jax.data.window_sampler import WindowSampler

LENGTH = round(SFREQ_HZ * WINDOW_S)
counts = st.lists(st.integers(0, 5), min_size=1, max_size=5).filter(any)
corpora = st.lists(counts, min_size=1, max_size=4)


def sampler_of(counts, batch, *, shift=False, shuffle=True, seed=0):
    parts = []
    for own in counts:
        recording = np.repeat(np.arange(len(own)), own)
        crop = np.concatenate([np.arange(n) for n in own])
        sizes = dict(recordings=len(own), windows_per_batch=batch)
        parts.append(WindowSampler(recording, crop, shuffle=shuffle, seed=seed, **sizes))
    return MixtureSampler(parts, shift=shift, seed=seed)


@settings(deadline=None, max_examples=60)
@given(corpora, st.integers(1, 6), st.integers(0, 2), st.booleans())
def test_every_window_of_every_directory_comes_once_an_epoch(counts, batch, epoch, shuffle):
    sampler = sampler_of(counts, batch, shuffle=shuffle)
    steps, found = sampler.steps_per_epoch(epoch), []
    for step in range(epoch * steps, (epoch + 1) * steps):
        plan = sampler.plan(step)
        assert plan.recording.shape == plan.crop.shape == (batch,) and plan.place is None
        rows = zip(plan.recording, plan.crop, strict=True)
        found += [(plan.corpus, r, c) for r, c in rows if r >= 0]
    every = {(i, r, c) for i, own in enumerate(counts) for r, n in enumerate(own) for c in range(n)}
    assert len(found) == len(every) and set(found) == every
    assert sampler.usable.tolist() == [n > 0 for own in counts for n in own]
    assert sum(sampler.shares) == pytest.approx(1)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=5))
def test_directories_take_turns_in_proportion_from_the_first_batch_to_the_last(steps):
    owner, own = in_turn(steps)
    for i, n in enumerate(steps):
        assert own[owner == i].tolist() == list(range(n))
        # Never a whole batch ahead or behind: due where it would be if batches could be divided.
        due = (np.arange(len(owner)) + 1) * n / len(owner)
        assert np.abs(np.cumsum(owner == i) - due).max() <= max(1.0, len(steps) / 2)
    if len(steps) == 2 and steps[0] == steps[1]:
        assert owner.tolist() == [0, 1] * steps[0]


@settings(deadline=None, max_examples=30)
@given(corpora, st.integers(1, 5), st.integers(0, 40))
def test_a_plan_is_a_pure_function_of_seed_and_step(counts, batch, step):
    forward = sampler_of(counts, batch, shift=True, seed=3)
    for before in range(0, step, 3):
        forward.plan(before)
    ours, again = forward.plan(step), sampler_of(counts, batch, shift=True, seed=3).plan(step)
    for a, b in zip(ours, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (ours.place >= 0).all() and (ours.place < PLACES).all()


class Pieces(ShardReader):
    """Stands for a reader of one recording with pieces of these lengths."""

    def __init__(self, samples):
        pieces = tuple(PieceRow(i, 0.0, n) for i, n in enumerate(samples))
        self.recordings = [RecordingRow("r", "p:1", "train", pieces)]
        self.manifest = SimpleNamespace(spec=SimpleNamespace(window_samples=LENGTH))


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.integers(0, 6 * LENGTH), min_size=1, max_size=4).filter(lambda n: max(n) >= LENGTH),
    st.integers(0, PLACES - 1),
)
def test_shifted_windows_lie_within_their_piece_and_in_order(samples, place):
    reader = Pieces(samples)
    windows = Windows.of(reader.recordings, LENGTH)
    part, every = Part(reader, windows), np.arange(len(windows))
    for at in (0, place, PLACES - 1):
        start = part.starts(every, np.full(len(windows), at))
        last = np.asarray(samples)[windows.piece] - LENGTH
        assert (start >= 0).all() and (start <= last).all()
        same = np.diff(windows.piece) == 0
        assert (np.diff(start)[same] > 0).all()
    first, final = (part.starts(every, np.full(len(windows), p)) for p in (0, PLACES - 1))
    # Between them the windows of a piece can begin wherever a window can.
    for piece in np.unique(windows.piece):
        own = windows.piece == piece
        begins = samples[piece] - LENGTH + 1
        assert (final[own] - first[own] + 1).sum() == begins


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A directory of 31 windows in 4 recordings, and one of 3 windows in 1: less than a batch."""
    folder = tmp_path_factory.mktemp("two")
    large = write_montage(folder / "large", SIX, people=(4, 2, 1))
    small = write_montage(folder / "small", NINE, people=(1, 0, 0), seconds=5.0, seed=1)
    return large, small


def parts_of(directories, split="train"):
    found = []
    for directory in directories:
        reader = ShardReader(directory, split)
        spec = reader.manifest.spec
        windows = Windows.of(reader.recordings, spec.window_samples)
        found.append(Part(reader, windows, channel_ids(spec.channels)))
    return found


def batches_of(directories, process=(0, 1), **more):
    parts = parts_of(directories)
    sampler = mixture(parts, windows_per_batch=8, seed=5, **more)
    return sampler, MixturePipeline(parts, sampler, process)


def test_a_batch_is_of_one_directory_with_the_numbers_of_its_channels_in_every_row(two):
    sampler, batches = batches_of(two, shift=True)
    names = {6: SIX, 9: NINE}
    for step in range(2 * sampler.steps_per_epoch(0)):
        batch = batches.batch(step)
        b, c, t = batch["signal"].shape
        assert (b, t) == (8, LENGTH) and batch["signal"].dtype == np.int16
        ids = np.asarray(channel_ids(names[c]), np.int32)
        np.testing.assert_array_equal(batch["channel_id"], np.tile(ids, (8, 1)))
        assert batch["channel_id"].dtype == np.int32
        assert not batch["signal"][~batch["signal_valid"]].any()
        assert batch["signal"][batch["signal_valid"]].any(axis=(1, 2)).all()


def test_a_directory_smaller_than_a_batch_has_one_padded_batch_an_epoch(two):
    sampler, batches = batches_of(two)
    steps = sampler.steps_per_epoch(0)
    small = [s for s in range(steps) if sampler.plan(s).corpus == 1]
    assert len(small) == 1 and batches.batch(small[0])["signal_valid"].sum() == 3


def test_windows_on_the_grid_and_shifted_ones_are_what_is_stored_there(two):
    for shift in (False, True):
        sampler, batches = batches_of(two, shift=shift)
        parts, offsets = parts_of(two), set()
        for step in range(sampler.steps_per_epoch(0)):
            plan, batch = sampler.plan(step), batches.batch(step)
            part = parts[plan.corpus]
            window = part.windows.first(len(part.reader.recordings))[plan.recording] + plan.crop
            for row in np.flatnonzero(plan.crop >= 0):
                stored = part.reader.read(int(part.windows.piece[window[row]]))
                start = part.windows.start[window[row]]
                if shift:
                    start = part.starts(window[row : row + 1], plan.place[row : row + 1])[0]
                expected = stored[:, start : start + LENGTH]
                np.testing.assert_array_equal(batch["signal"][row], expected)
                offsets.add(int(start) % LENGTH)
        assert (offsets == {0}) != shift


def test_shifts_differ_between_epochs_and_the_grid_does_not(two):
    sampler, _ = batches_of(two, shift=True)
    steps = sampler.steps_per_epoch(0)
    assert not np.array_equal(sampler.plan(0).place, sampler.plan(steps).place)


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_read_their_rows_of_the_same_batches(two, processes):
    _, whole = batches_of(two, shift=True)
    shares = [batches_of(two, (i, processes), shift=True)[1] for i in range(processes)]
    for step in range(8):  # with the small directory some processes have padding alone
        expected, parts = whole.batch(step), [own.batch(step) for own in shares]
        for key, value in expected.items():
            np.testing.assert_array_equal(np.concatenate([p[key] for p in parts]), value)
    with pytest.raises(ValueError, match="cannot be shared by 3 processes; use 9"):
        batches_of(two, (0, 3))[1].batch(0)


def test_batches_of_several_shapes_are_read_ahead_in_order_from_any_step(two):
    sampler, batches = batches_of(two, shift=True)
    begin, end = 3, 2 * sampler.steps_per_epoch(0) + 1
    for step, found in enumerate(batches.dataset(begin, end, threads=3), begin):
        for key, value in batches.batch(step).items():
            np.testing.assert_array_equal(found[key], value)
    assert step == end - 1


def test_there_is_a_kind_for_every_shape_and_no_more(two, tmp_path):
    _, batches = batches_of(two)
    kinds = batches.kinds()
    assert [k.example["signal"].shape[1] for k in kinds] == [6, 9]
    assert [k.share for k in kinds] == [4 / 5, 1 / 5]
    other = write_montage(tmp_path / "other", NINE[::-1], people=(1, 0, 0), seconds=5.0)
    (_, nine) = batches_of([*two, other])[1].kinds()
    assert nine.share == pytest.approx(2 / 6)  # equal shapes, channels in another order


def test_validation_reads_every_window_once_in_order_of_the_directories_that_have_some(two):
    large, other = (Corpus(epath.Path(d), Manifest.load(d), None) for d in two)
    corpus = dataclasses.replace(large, beside=(other,))
    assert corpus.holding("valid") == (corpus,) and corpus.holding("train") == (corpus, other)
    people = [row.person for row in corpus.recordings("train")]
    assert people == [f"of6:p{i:02d}" for i in range(4)] + ["of9:p00"]
    parts = parts_of(two[:1], "valid")
    sampler = mixture(parts, windows_per_batch=8, shuffle=False)
    plans = [sampler.plan(s) for s in range(sampler.steps_per_epoch(0))]
    assert all(plan.place is None for plan in plans)
    crops = np.concatenate([plan.crop[plan.crop >= 0] for plan in plans])
    assert crops.tolist() == [c for n in parts[0].windows.counts(2) for c in range(n)]


def test_a_directory_without_a_window_is_named(tmp_path):
    short = write_montage(tmp_path / "short", SIX, people=(1, 0, 0), seconds=1.0)
    with pytest.raises(ValueError, match="short: no recording of train holds a window"):
        mixture(parts_of([short]), windows_per_batch=8)


def test_parts_of_other_batch_sizes_make_no_mixture():
    parts = [sampler_of([[3]], n)._parts[0] for n in (2, 3)]
    with pytest.raises(ValueError, match=r"equally many rows a batch, found \{2, 3\}"):
        MixtureSampler(parts)
