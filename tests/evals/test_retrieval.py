"""Retrieval: what is found, by which count of equal reports, among which fixed candidates."""

import types
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_shards import tiny_spec

from elm_jax.data.manifest import RecordingRow
from elm_jax.evals.base import Encoded, EvalData
from elm_jax.evals.retrieval import pools
from elm_jax.evals.retrieval.eval import Retrieval

WIDTH = 16


def vector_of(text):
    return np.random.default_rng(zlib.crc32(text.encode())).normal(size=WIDTH)


class FakeData(EvalData):
    """Recordings whose windows point where their reports do, plus ``noise``."""

    def __init__(
        self, segments, *, noise=0.0, people=None, labels=None, windows=3, seed=0, spec=None
    ):
        n = len(segments)
        people = people or [f"x:p{i}" for i in range(n)]
        labels = labels or [{} for _ in range(n)]
        self.rows = [
            RecordingRow(f"r{i:03d}", people[i], "test", (), (), labels[i]) for i in range(n)
        ]
        self._segments = [tuple(s) for s in segments]
        rng = np.random.default_rng(seed)
        of_text = [np.mean([vector_of(t) for t in s] or [np.ones(WIDTH)], axis=0) for s in segments]
        counts = windows if isinstance(windows, list) else [windows] * n
        self.recording = np.repeat(np.arange(n), counts)
        self.projection = (
            np.asarray(of_text)[self.recording]
            + noise * rng.normal(size=(len(self.recording), WIDTH))
        ).astype(np.float32)
        self.manifest = types.SimpleNamespace(simulated=True, spec=spec or tiny_spec())
        self.read = []

    def recordings(self, split):
        return self.rows

    def segments(self, split):
        return self._segments

    def windows(self, split):
        return types.SimpleNamespace(
            counts=lambda n: np.bincount(self.recording, minlength=n).tolist()
        )

    def encoded(self, predict, split):
        return Encoded(self.projection, self.projection, self.recording)

    def require_readable(self, texts):
        self.read += list(texts)

    def text_projection(self, predict, texts):
        return np.stack([vector_of(t) for t in texts]).astype(np.float32)


def own_reports(n):
    return [(f"finding {i:05d}", f"opinion {i:05d}") for i in range(n)]


def run(data, **settings):
    evaluate = Retrieval("test", **settings)
    evaluate.check(data)
    return evaluate(lambda batch: {}, data)


def row(result, metric, way="EEG to report", vectors="plain"):
    found = [
        r
        for r in result.tables["recall"]
        if (r["metric"], r["way"], r["vectors"]) == (metric, way, vectors)
    ]
    (only,) = found
    return only


@pytest.mark.parametrize("way", ["EEG to report", "report to EEG"])
@pytest.mark.parametrize("vectors", ["plain", "centred"])
def test_recordings_that_lie_where_their_reports_do_are_all_found(way, vectors):
    result = run(FakeData(own_reports(40)), pool_size=20)
    first, median = (row(result, m, way, vectors) for m in ("recall@1", "median_rank"))
    assert first["strict"] == first["equal_text"] == 1.0 and median["strict"] == 1.0
    assert (first["strict_chance"], median["strict_chance"]) == (0.05, 10.5)
    assert (first["pool_size"], first["queries"]) == (20, 40)
    assert result.scalars["report_to_eeg_recall@1"] == 1.0
    assert set(result.figures) == {"retrieval"}


def test_noise_is_at_chance_within_its_interval():
    result = run(FakeData(own_reports(200), noise=1e4), pool_size=100)
    for metric in ("recall@10", "median_rank"):
        found = row(result, metric)
        assert found["strict_low"] <= found["strict_chance"] <= found["strict_high"], found


def test_equal_reports_are_hits_only_where_that_is_said():
    same = [("finding", "opinion") if i % 2 else ("opinion", "finding") for i in range(10)]
    result = run(FakeData(same, noise=0.5), pool_size=10)
    one, median = row(result, "recall@1"), row(result, "median_rank")
    assert one["equal_text"] == one["equal_text_chance"] == 1.0
    assert one["strict"] == one["strict_chance"] == 0.1  # any of ten equal ones, one is right
    assert median["strict"] == median["strict_chance"] == 5.5
    assert {r["equal_reports"] for r in result.tables["pool"]} == {10}
    assert len({r["report_sha256"] for r in result.tables["pool"]}) == 1


def test_half_equal_reports_have_the_chance_of_two_right_ones():
    pairs = [(f"finding {i // 2:05d}",) for i in range(10)]
    result = run(FakeData(pairs), pool_size=10)
    one = row(result, "recall@1", "report to EEG")
    assert one["equal_text"] == 1.0 and one["strict"] == 0.5
    assert one["equal_text_chance"] == 0.2 and one["strict_chance"] == 0.1


def test_the_length_of_a_recording_and_of_its_vectors_does_not_matter():
    lengths = [1 + 7 * (i % 3) for i in range(20)]
    plain = run(FakeData(own_reports(20), noise=0.3), pool_size=20)
    data = FakeData(own_reports(20), windows=lengths)
    data.projection *= np.linspace(1e-3, 1e3, len(data.projection), dtype=np.float32)[:, None]
    scaled = run(data, pool_size=20)
    assert row(scaled, "recall@1")["strict"] == 1.0
    assert row(plain, "recall@1")["strict"] > 0.5


def test_a_row_of_scores_is_a_recordings_own_rank():
    result = run(FakeData(own_reports(12)), pool_size=5)
    assert len(result.scores) == 10 and {r["pool"] for r in result.scores} == {0, 1}
    assert {r["rank_eeg_to_report_strict"] for r in result.scores} == {1.0}
    assert [r["recording"] for r in result.scores] == [
        r["recording"] for r in result.tables["pool"]
    ]
    assert "2 of 12 recordings are in none" in result.notes[0]


def test_free_text_finds_the_recordings_with_a_label():
    reports = [("alpha here",) if i % 4 else ("spike here",) for i in range(40)]
    labels = [{"spikes": int(i % 4 == 0), "task": "rest"} for i in range(40)]
    labels[1] = {}
    asked = {
        "spikes": {"texts": ("spike here",), "label": "spikes"},
        "contrast": {"texts": ("spike here",), "against": ("alpha here",), "label": "spikes"},
        "rest": {"texts": ("alpha here",), "label": "task=rest"},
    }
    data = FakeData(reports, labels=labels, noise=0.1)
    result = run(data, pool_size=0, queries=asked)
    first, second = result.tables["text_queries"]
    assert first["ap"] == second["ap"] == 1.0
    assert (first["positives"], first["recordings"], first["precision@10"]) == (10, 39, 1.0)
    assert 0.2 < first["ap_chance"] < 0.4 and first["precision_chance"] == round(10 / 39, 4)
    assert "rest" in result.notes[-1] and "retrieval_text" in result.figures
    assert data.read == ["spike here", "spike here", "alpha here", "alpha here"]


@pytest.mark.parametrize(
    "query",
    [
        {"texts": (), "label": "spikes"},
        {"texts": ("  ",), "label": "spikes"},
        {"texts": "a single text", "label": "spikes"},
        {"texts": ("a",)},
        {"texts": ("a",), "label": "spikes", "agianst": ("b",)},
    ],
)
def test_a_broken_query_is_named(query):
    with pytest.raises(ValueError, match="queries.mine: expected"):
        run(FakeData(own_reports(4)), queries={"mine": query})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(pool_size=1), "pool_size is 1"),
        (dict(recall_at=(0, 5)), "expected ranks of 1 or more"),
        (dict(recall_at=()), "expected ranks"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        run(FakeData(own_reports(4)), **settings)


def test_recordings_without_report_or_windows_are_no_candidates():
    reports = own_reports(6)
    reports[2] = ()
    result = run(FakeData(reports, windows=[1, 0, 1, 1, 1, 1]), pool_size=200)
    assert {r["recording"] for r in result.tables["pool"]} == {"r000", "r003", "r004", "r005"}
    assert any("pool_size=200 asked for, 4" in note for note in result.notes)
    with pytest.raises(ValueError, match="fewer than 2 recordings with windows and a report"):
        run(FakeData([(), (), ("a",)]))


# -- pools


def recordings(people):
    return [RecordingRow(f"r{i:03d}", f"x:{p}", "test", (), ()) for i, p in enumerate(people)]


@settings(deadline=None)
@given(
    people=st.lists(st.integers(0, 12), min_size=1, max_size=40),
    size=st.integers(0, 15).filter(lambda n: n != 1),
    seed=st.integers(0, 5),
    one=st.booleans(),
    shuffle=st.randoms(use_true_random=False),
)
def test_pools_are_fixed_by_the_names_disjoint_whole_and_of_usable_ones(
    people, size, seed, one, shuffle
):
    rows = recordings(people)
    usable = [i % 5 != 3 for i in range(len(rows))]
    options = dict(size=size, seed=seed, one_per_person=one)
    found = pools.draw(rows, usable, **options)
    names = [[rows[i].recording for i in pool] for pool in found]
    flat = [n for pool in names for n in pool]
    assert len(set(flat)) == len(flat)
    assert all(usable[i] for pool in found for i in pool)
    can = [rows[i].person if one else i for i in range(len(rows)) if usable[i]]
    candidates = len(set(can))
    whole = min(size or candidates, candidates)
    assert [len(pool) for pool in names] == ([whole] * (candidates // whole) if whole > 1 else [])
    if one:
        of = [rows[i].person for pool in found for i in pool]
        assert len(set(of)) == len(of)
    order = list(range(len(rows)))
    shuffle.shuffle(order)
    again = pools.draw([rows[i] for i in order], [usable[i] for i in order], **options)
    assert [[rows[order[i]].recording for i in pool] for pool in again] == names


def test_a_persons_recordings_are_drawn_alike_and_another_seed_draws_others():
    rows = recordings([i // 2 for i in range(400)])
    options = dict(size=0, one_per_person=True)
    (first,) = pools.draw(rows, [True] * 400, seed=0, **options)
    (other,) = pools.draw(rows, [True] * 400, seed=1, **options)
    assert 60 < (first % 2).sum() < 140
    assert set(first) != set(other)


def test_tables_scores_and_figures_name_the_signal_that_is_retrieved():
    ecg = tiny_spec().replace(modality="ecg", resample="polyphase")
    segments = [(f"report {i}",) for i in range(8)]
    result = run(FakeData(segments, spec=ecg), pool_size=8)
    ways = {row["way"] for row in result.tables["recall"]}
    assert ways == {"ECG to report", "report to ECG"}
    assert result.scalars["ecg_to_report_recall@1"] == 1.0
    assert {"rank_ecg_to_report_strict", "rank_report_to_ecg_strict"} <= set(result.scores[0])
    title = result.figures["retrieval"].get_suptitle()
    assert "(simulated ECG)" in title and "EEG" not in str(result.tables) + title
