import shutil
import threading

import numpy as np
import pytest

from elm_jax.data.pipeline import BagPipeline, Windows, to_network, window_batches
from elm_jax.data.samplers import BagSampler, PairSampler
from elm_jax.data.shards import ShardError, ShardReader
from elm_jax.data.text import TextTable, distinct


@pytest.fixture(scope="module")
def parts(tiny):
    reader = ShardReader(tiny, "train")
    windows = Windows.of(reader.recordings, reader.manifest.spec.window_samples)
    segments = [(f"only of {r.recording}", "of all") for r in reader.recordings]
    texts = distinct(segments)
    table = TextTable(texts, {"text_emb": np.arange(2.0 * len(texts)).reshape(-1, 2)})
    return reader, windows, table, [table.rows(s) for s in segments]


def pipeline(parts, process=(0, 1), bags=4, seed=0):
    reader, windows, table, rows = parts
    crops = windows.counts(len(reader.recordings))
    sampler = BagSampler(
        crops,
        [len(r) for r in rows],
        bags_per_batch=bags,
        crops_per_bag=4,
        segments_per_bag=3,
        seed=seed,
    )
    return sampler, BagPipeline(reader, sampler, windows, table, rows, process)


def test_pairs_with_equal_texts_are_one_bag_where_asked_on_every_process(parts):
    reader, windows, table, rows = parts
    counts = windows.counts(len(reader.recordings)), [len(r) for r in rows]
    sampler = PairSampler(*counts, pairs_per_batch=8)
    whole, *shares = (
        BagPipeline(reader, sampler, windows, table, rows, process, "together").batch(0)
        for process in ((0, 1), (0, 2), (1, 2))
    )
    np.testing.assert_array_equal(whole["signal_bag"], whole["text_bag"])
    np.testing.assert_array_equal(
        np.concatenate([s["text_bag"] for s in shares]), whole["text_bag"]
    )
    same = (whole["text_emb"][:, None] == whole["text_emb"][None]).all(-1)
    np.testing.assert_array_equal(whole["text_bag"][:, None] == whole["text_bag"][None], same)
    assert same.sum() > len(same)  # "of all" came more than once


def test_equal_texts_of_bags_with_several_texts_are_refused(parts):
    reader, windows, table, rows = parts
    sampler, _ = pipeline(parts)
    for equal_texts, said in (("together", "up to 3 texts"), ("both", "known")):
        with pytest.raises(ValueError, match=said):
            BagPipeline(reader, sampler, windows, table, rows, equal_texts=equal_texts)


def test_windows_are_consecutive_within_a_piece_and_never_straddle_two(parts):
    reader, windows, _, _ = parts
    size = reader.manifest.spec.window_samples
    for row in reader.recordings:
        for piece in row.pieces:
            starts = windows.start[windows.piece == piece.index]
            np.testing.assert_array_equal(starts, np.arange(piece.n_samples // size) * size)


def test_a_batch_holds_the_planned_crops_and_texts_and_marks_padding(parts):
    reader, windows, table, rows = parts
    sampler, batches = pipeline(parts)
    plan, batch = sampler.plan(0), batches.batch(0)
    first = np.concatenate([[0], np.cumsum(windows.counts(len(reader.recordings)))])
    for g, recording in enumerate(plan.recording):
        for j, crop in enumerate(plan.crop[g]):
            row = g * plan.crop.shape[1] + j
            assert batch["signal_bag"][row] == g
            assert batch["signal_valid"][row] == (crop >= 0)
            if crop < 0:
                assert not batch["signal"][row].any()
                continue
            w = first[recording] + crop
            expected = reader.read(int(windows.piece[w]))[:, windows.start[w] :][:, :500]
            np.testing.assert_array_equal(batch["signal"][row], expected)
        for j, segment in enumerate(plan.segment[g]):
            row = g * plan.segment.shape[1] + j
            assert batch["text_valid"][row] == (segment >= 0)
            if segment >= 0:
                expected = table.arrays["text_emb"][rows[recording][segment]]
                np.testing.assert_array_equal(batch["text_emb"][row], expected)


def test_reading_ahead_gives_the_same_batches_from_any_start(parts):
    sampler, batches = pipeline(parts)
    ahead = list(batches.dataset(1, 5, threads=2))
    assert len(ahead) == 4
    for step, batch in enumerate(ahead, 1):
        again = pipeline(parts)[1].batch(step)
        assert batch.keys() == again.keys()
        for key in again:
            np.testing.assert_array_equal(batch[key], again[key], err_msg=key)
    assert list(batches.dataset(5, 5, threads=2)) == []


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_read_shares_of_the_same_batch(parts, processes):
    whole = pipeline(parts)[1].batch(3)
    shares = [pipeline(parts, (i, processes))[1].batch(3) for i in range(processes)]
    for key, value in whole.items():
        np.testing.assert_array_equal(np.concatenate([s[key] for s in shares]), value, err_msg=key)


def test_a_start_in_the_middle_reads_nothing_of_earlier_steps(parts, monkeypatch):
    sampler, batches = pipeline(parts)
    start = 10**6
    planned, read = [], []
    plan, cut = sampler.plan, ShardReader.cut
    monkeypatch.setattr(sampler, "plan", lambda step: planned.append(step) or plan(step))
    monkeypatch.setattr(
        ShardReader, "cut", lambda self, *a: read.append(threading.get_ident()) or cut(self, *a)
    )
    stream = batches.dataset(start, start + 3, threads=1)
    first = next(stream)
    most = (np.unique(parts[1].piece)).size  # pieces that one batch can need
    assert planned == [start] and 0 < len(read) <= most
    for key, value in pipeline(parts)[1].batch(start).items():
        np.testing.assert_array_equal(first[key], value, err_msg=key)
    assert len(list(stream)) == 2 and sorted(planned) == [start, start + 1, start + 2]


def test_a_shard_lost_while_reading_is_one_error_and_nothing_of_what_came_before(tiny, tmp_path):
    shutil.copytree(tiny, tmp_path / "copy")
    reader = ShardReader(tmp_path / "copy", "train")
    windows = Windows.of(reader.recordings, 500)
    n = len(reader.recordings)
    table = TextTable(("a",), {"text_emb": np.zeros((1, 2))})
    sampler = PairSampler(windows.counts(n), [1] * n, pairs_per_batch=3)
    batches = BagPipeline(reader, sampler, windows, table, [np.zeros(1, int)] * n)
    expected, stream = batches.batch(1), batches.dataset(0, 50, threads=2)
    next(stream)
    (lost, content) = next((p, p.read_bytes()) for p in (tmp_path / "copy").glob("*-00000-of-*"))
    lost.write_bytes(b"")
    with pytest.raises(ShardError, match=f"{lost.name}.*put it back from a copy") as found:
        list(stream)
    assert found.value.__suppress_context__ and "tensorflow" not in str(found.value).lower()
    lost.write_bytes(content)
    again = next(batches.dataset(1, 50, threads=2))
    for key, value in expected.items():
        np.testing.assert_array_equal(again[key], value, err_msg=key)


def test_evaluation_sees_every_window_once_and_pads_the_last_batch(parts):
    reader, windows, _, _ = parts
    seen = []
    for batch in window_batches(reader, windows, rows_per_batch=16):
        assert batch["signal"].shape[0] == 16
        seen.extend(batch["window"][batch["signal_valid"]])
    assert seen == list(range(len(windows)))


def test_network_values_follow_the_spec_on_device(parts):
    reader, windows, _, _ = parts
    spec = reader.manifest.spec.replace(mean=0.5, std=tuple(np.linspace(1, 2, 20)))
    stored = windows.read(reader, np.array([0, 1]))
    out = to_network(spec, 32)({"signal": stored, "signal_valid": np.ones(2, bool)})
    std = np.linspace(1, 2, 20)[:, None]
    expected = (stored / 32 * spec.scale - 0.5) / std
    np.testing.assert_allclose(out["signal"], expected, rtol=1e-5, atol=1e-6)
    assert out["signal_valid"].dtype == bool
