"""Lists of records: drawn as they say, by chance or by clusters of like looks."""

import numpy as np
import pytest
import tiny_ecg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_ecg import write_tiny_ecg

from data_prep.ecg_byte.list_file import ListError, RecordList
from data_prep.ecg_byte.morphology import divide, features, quotas
from data_prep.ecg_byte.records import EcgRecords, RecordsError
from data_prep.ecg_byte.sample import draw_at_random, draw_by_clusters
from elm_jax.data.ecg_byte.layout import LayoutError


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ecg") / "shards"
    return EcgRecords(write_tiny_ecg(folder, people=9, test_people=1, flat=1), ["train"])


def test_a_draw_at_random_takes_none_twice_and_none_that_is_flat(records):
    drawn = draw_at_random(records, 16, seed=0)
    assert len(set(zip(drawn.recording, drawn.start_s, strict=True))) == 16
    assert "rec 00" not in drawn.recording  # all that are not flat: 9 recordings of two windows
    with pytest.raises(RecordsError, match=r"cannot draw 17 records of 16 in train \(2 more"):
        draw_at_random(records, 17, seed=0)
    with pytest.raises(RecordsError, match="cannot draw 19 records of 18"):
        draw_at_random(records, 19, seed=0)


def by_clusters(records, count, **options):
    usual = dict(clusters=2, components=4, share="equal", seed=0, threads=1)
    return draw_by_clusters(records, count, **usual | options)


def test_fast_and_slow_rhythms_fall_into_two_clusters_and_each_gives_as_many(records):
    drawn = by_clusters(records, 8)
    number = [int(name.split()[1]) for name in drawn.recording]
    assert len(set(zip(np.mod(number, 2), drawn.cluster, strict=True))) == 2
    assert sorted(np.bincount(drawn.cluster)) == [4, 4]
    assert "drawn: 8 by morphological clusters, equal, seed 0" in drawn.drawn
    assert "flat records, in no cluster: 2" in drawn.drawn
    assert drawn == by_clusters(records, 8)
    assert drawn != by_clusters(records, 8, seed=1)


def test_clusters_are_asked_for_within_reason(records):
    with pytest.raises(ValueError, match="expected 1 to 16 clusters"):
        by_clusters(records, 8, clusters=17)
    with pytest.raises(RecordsError, match="cannot draw 17 records of 16"):
        by_clusters(records, 17)
    with pytest.raises(ValueError, match="look alike"):
        divide(np.zeros((5, 3), np.float32), clusters=2, components=2, seed=0, threads=1)


def test_features_are_finite_where_a_lead_is_flat_and_see_the_time_between_beats():
    rng = np.random.default_rng(0)
    signal = np.stack([tiny_ecg.beats(rng, 6.0, period_s=p) for p in (0.5, 1.0)])
    signal[:, 1] = 0.25
    looks = features(signal, tiny_ecg.RATE_HZ)
    assert np.isfinite(looks).all()
    assert looks[:, -2] == pytest.approx([0.5, 1.0], abs=0.03)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=12).filter(sum),
    st.sampled_from(["proportional", "equal"]),
    st.data(),
)
def test_quotas_add_up_and_no_cluster_gives_more_than_it_has(sizes, share, data):
    total = data.draw(st.integers(1, sum(sizes)))
    counts = quotas(np.asarray(sizes), total, share)
    assert counts.sum() == total and (counts <= sizes).all() and (counts >= 0).all()
    if share == "proportional":
        assert (np.abs(counts - total * np.asarray(sizes) / sum(sizes)) < 1).all()
    else:  # who gives less than another gives all it has, or one less by the rest
        open_ = counts < np.asarray(sizes)
        assert not open_.any() or counts[open_].min() >= counts.max() - 1


def test_a_share_or_number_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="known: proportional, equal"):
        quotas(np.asarray([3]), 1, "fair")
    with pytest.raises(ValueError, match="cannot draw 4 of 3"):
        quotas(np.asarray([3]), 4, "equal")


names = st.text(
    st.characters(codec="utf-8", exclude_characters="\t\r\n", exclude_categories=["Cc", "Cs"]),
    min_size=1,
).filter(lambda name: name.strip())
places = st.lists(st.tuples(names, st.floats(0, 1e6), st.integers(0, 99)), min_size=1, max_size=8)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(places, st.booleans())
def test_a_list_comes_back_as_it_was_written(tmp_path, drawn, clustered):
    path = tmp_path / "list.txt"
    recording, start_s, cluster = zip(*drawn, strict=True)
    own = RecordList(recording, start_s, cluster if clustered else (), ("drawn: by hand", "x: y"))
    own.save(path)
    assert RecordList.load(path) == own


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "expected a line with the columns recording and start_s"),
        ("# only\n# words\n", "expected a line with the columns"),
        ("recording,start_s\na,0\n", "parted by tabs"),
        ("recording\tstart_s\n\n", "lists no record"),
        ("# x\nrecording\tstart_s\na\t0\nb\n", ":4: 1 cells, expected 2"),
        ("recording\tstart_s\na\tnow\n", ":2: .*expected a time in seconds"),
    ],
)
def test_a_list_that_cannot_be_read_is_named_with_the_line(tmp_path, text, expected):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(ListError, match=f"list.txt.*{expected}|list.txt{expected}"):
        RecordList.load(tmp_path / "list.txt")


def test_a_name_that_would_break_the_line_is_refused(tmp_path):
    with pytest.raises(ListError, match="no tab or line break fits"):
        RecordList(("a\tb",), (0.0,), (), ()).save(tmp_path / "list.txt")


def test_records_are_the_windows_of_their_splits_in_millivolts(records, tmp_path):
    assert len(records) == 18 and records.recording[4:6] == ["rec 02", "rec 02"]
    both = EcgRecords(records.directory)
    assert both.splits == ("train", "test") and len(both) == 20
    rows = np.asarray([19, 2, 0])
    mixed = both.read(rows)
    for row, signal in zip(rows, mixed, strict=True):
        assert np.array_equal(both.read(np.asarray([row]))[0], signal)
    assert np.abs(mixed[2] - 0.25).max() < 1 / 3200
    with pytest.raises(RecordsError, match="named twice"):
        both.find(["rec 01", "rec 01"], [0.0, 0.0])
    long = tiny_ecg.SPEC.replace(window_s=6.0)
    folder = write_tiny_ecg(tmp_path / "long", people=1, test_people=0, spec=long)
    with pytest.raises(RecordsError, match=r"as long as a window \(6 s\)"):
        EcgRecords(folder)


def test_millivolts_of_something_else_are_no_ecg(tmp_path):
    spec = tiny_ecg.SPEC.replace(modality="eeg")
    folder = write_tiny_ecg(tmp_path / "eeg", people=1, test_people=0, spec=spec)
    with pytest.raises(LayoutError, match="manifest.json: holds 'eeg' in 'mV'"):
        EcgRecords(folder)
