import argparse
import math
import shutil

import numpy as np
import pytest
from edf_plus import write_edf_plus
from hypothesis import given
from hypothesis import strategies as st
from layouts import kinds, prepare, records
from sleep_nights import night

from data_prep.corpora.base import CorpusError
from data_prep.corpora.event_files import EventsError
from data_prep.corpora.sleep_cassette import STAGES, UNSCORED, staged
from data_prep.corpora.sleep_edfx import SleepEdfx
from elm_jax.data.manifest import Manifest, load_recordings
from elm_jax.signals.profiles import EEGPT_SPEC


def args(folder, margin_min=30.0):
    return argparse.Namespace(
        input=folder, institution=None, wake_margin_min=margin_min, sleep_people=(), nights=()
    )


def epochs(out, recording="SC4001"):
    (row,) = [r for r in load_recordings(out) if r.recording == recording]
    return [(round(p.start_s, 3), p.labels["event"]) for p in row.pieces]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Two people, one with two nights, with a minute of wakefulness around sleep."""
    root = tmp_path_factory.mktemp("sleep_edfx")
    night(root / "sleep-cassette")
    night(root / "sleep-cassette", "SC4002", seed=5, scorer="EH")
    night(root / "sleep-cassette", "SC4011", "W12RW", seed=9)
    done = prepare(
        "sleep_edfx", root, root / "out", "--wake_margin_min", 1, "--test_people", "SC401"
    )
    assert done == 0
    return root


def test_epochs_have_five_stages_and_wakefulness_far_from_sleep_is_left_out(prepared):
    assert epochs(prepared / "out") == [
        (60, "W"), (90, "W"), (120, "N1"), (150, "N2"), (180, "N3"), (210, "N3"), (270, "R"),
        (300, "W"), (330, "W"),
    ]  # fmt: skip
    (row,) = [r for r in load_recordings(prepared / "out") if r.recording == "SC4011"]
    assert (row.person, row.split, row.labels["night"]) == ("sleep_edfx:SC401", "test", 1)
    assert [p.labels["event_class"] for p in row.pieces] == [0, 1, 2, 4, 0]


def test_windows_are_thirty_seconds_of_the_night_as_cut_and_then_filtered(prepared):
    import mne

    spec = Manifest.load(prepared / "out").spec
    assert spec.channels == ("Fpz-Cz", "Pz-Oz") and spec.montage == "electrodes"
    assert (spec.window_samples, spec.lowpass_hz) == (7680, 30.0)
    raw = mne.io.read_raw_edf(prepared / "sleep-cassette" / "SC4001E0-PSG.edf", preload=True,
                              include=["EEG Fpz-Cz", "EEG Pz-Oz"], verbose="ERROR")  # fmt: skip
    raw.crop(60.0, 360.0, include_tmax=False).filter(0.1, 30.0, verbose="ERROR")
    raw.resample(256, npad="auto", verbose="ERROR")
    found = {at: x for at, _, x in records(prepared / "out", "train")[:9]}
    for at in (60.0, 150.0, 330.0):
        start = round((at - 60.0) * 256)
        expected_uv = raw.get_data()[:, start : start + 7680] * 1e6
        np.testing.assert_allclose(found[at] / 32, expected_uv, atol=0.05)


def test_the_summary_says_what_was_left_out_and_how_unbalanced_stages_are(tmp_path, capsys):
    night(tmp_path / "in")
    more = ("--wake_margin_min", 1, "--split", "train=1")
    assert prepare("sleep_edfx", tmp_path / "in", tmp_path / "out", *more) == 0
    said = capsys.readouterr().out
    assert "published rules: 4 W over 1 min from sleep, 1 movement, 2 not scored" in said
    assert "are N1 11.1%, N2 11.1%, N3 22.2%, R 11.1%, W 44.4%" in said
    assert Manifest.load(tmp_path / "out").options["wake_margin_min"] == 1.0


def test_a_real_hypnogram_has_as_many_epochs_as_published(shared):
    corpus = SleepEdfx()
    folder = shared / "data" / "sleep_edf" / "hypnograms"
    from data_prep.corpora.annotations import read_annotations

    # Epochs of SC4001 within 30 minutes of sleep, as counted in many papers (841).
    events, dropped = staged(read_annotations(folder / "SC4001EC-Hypnogram.edf"), 1800.0)
    counts = {label: 0 for label in corpus.classes}
    for event in events:
        counts[event.label] += round((event.stop_s - event.start_s) / 30)
    assert counts == {"W": 188, "N1": 58, "N2": 250, "N3": 220, "R": 125}
    assert sum(counts.values()) + sum(dropped.values()) == 2880


def test_every_real_hypnogram_is_read_and_the_real_excerpt_is_wakefulness(shared, tmp_path):
    real = shared / "data" / "sleep_edf"
    for file in sorted((real / "hypnograms").glob("*.edf")):
        (tmp_path / "in" / file.name[:6]).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, tmp_path / "in")
        shutil.copy(
            real / "SC4001_first5min_PSG.edf", tmp_path / "in" / f"{file.name[:6]}E0-PSG.edf"
        )
    found = SleepEdfx().sources(args(tmp_path / "in", math.inf))
    assert len(found) == 20 and len({s.person for s in found}) == 10
    assert prepare("sleep_edfx", tmp_path / "in", tmp_path / "out", "--wake_margin_min", "inf",
                   "--people", write_list(tmp_path / "people.txt", "SC400"),
                   "--split", "train=1") == 0  # fmt: skip
    assert epochs(tmp_path / "out") == [(30.0 * k, "W") for k in range(10)]
    assert Manifest.load(tmp_path / "out").options["wake_margin_min"] == "inf"
    # The rest of the night is not in the excerpt.
    assert set(kinds(Manifest.load(tmp_path / "out"))) >= {"event_lost", "event_cut"}


def write_list(path, *names):
    path.write_text("".join(f"{name}\n" for name in names))
    return path


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(0.0, 300.0, "Sleep stage W")], "no epoch of sleep"),
        ([(0.0, 30.0, "Sleep stage 2"), (30.0, 30.0, "Mrs X moved")], "is no stage"),
        (None, "no SC4001..-Hypnogram.edf"),
        (b"", "not_edf"),
        (b"\0" * 2000, "not_edf"),
    ],
)
def test_a_night_without_a_usable_hypnogram_is_listed_without_its_texts(tmp_path, rows, said):
    night(tmp_path, "SC4011", "W1W")
    night(tmp_path)
    hypnogram = tmp_path / "SC4001EC-Hypnogram.edf"
    hypnogram.unlink()
    if isinstance(rows, bytes):
        hypnogram.write_bytes(rows)
    elif rows:
        write_edf_plus(hypnogram, {}, rows)
    corpus = SleepEdfx()
    assert [s.recording for s in corpus.sources(args(tmp_path))] == ["SC4011"]
    (item,) = corpus.findings
    assert said in item["detail"] and "Mrs" not in str(item)


def test_the_telemetry_study_is_left_out_and_listed(tmp_path):
    night(tmp_path / "sleep-cassette")
    night(tmp_path / "sleep-telemetry", "ST7011")
    corpus = SleepEdfx()
    assert [s.recording for s in corpus.sources(args(tmp_path))] == ["SC4001"]
    assert [f["kind"] for f in corpus.findings] == ["events_dropped", "not_in_layout"]
    (tmp_path / "sleep-cassette" / "SC4001E0-PSG.edf").unlink()
    with pytest.raises(CorpusError, match="no night of the cassette study"):
        SleepEdfx().sources(args(tmp_path))


def test_a_night_shorter_than_its_hypnogram_gives_the_epochs_that_it_holds(tmp_path):
    night(tmp_path / "in", stages="W123RW", seconds=100)
    assert prepare("sleep_edfx", tmp_path / "in", tmp_path / "out", "--split", "train=1") == 0
    assert epochs(tmp_path / "out") == [(0, "W"), (30, "N1"), (60, "N2")]


def test_a_night_that_ends_before_what_is_kept_is_skipped_for_that_alone(tmp_path):
    night(tmp_path / "in", stages="W" * 8 + "1", seconds=100)
    night(tmp_path / "in", name="SC4011", stages="W1")
    words = ("--split", "train=1", "--wake_margin_min", 1)
    assert prepare("sleep_edfx", tmp_path / "in", tmp_path / "out", *words) == 0
    (defect,) = [
        d for d in Manifest.load(tmp_path / "out").defects if d["kind"] != "events_dropped"
    ]
    assert defect["kind"] == "no_events"
    assert defect["detail"] == "stages from 180 to 270 s, a recording of 100 s"


@given(
    stages=st.lists(st.sampled_from([*STAGES, *UNSCORED]), min_size=1, max_size=40),
    margin_epochs=st.integers(0, 5),
)
def test_every_epoch_is_kept_or_counted_as_left_out(stages, margin_epochs):
    rows = [(30.0 * k, 30.0, text) for k, text in enumerate(stages)]
    if not {STAGES.get(text) for text in stages} - {None, "W"}:
        with pytest.raises(EventsError, match="no epoch of sleep"):
            staged(rows, 30.0 * margin_epochs)
        return
    events, dropped = staged(rows, 30.0 * margin_epochs)
    assert len(events) + sum(dropped.values()) == len(stages)
    asleep = [k for k, text in enumerate(stages) if STAGES.get(text, "W") != "W"]
    for k, text in enumerate(stages):
        near = asleep[0] - margin_epochs <= k <= asleep[-1] + margin_epochs
        kept = [e.label for e in events if e.start_s == 30.0 * k]
        assert kept == ([STAGES[text]] if text in STAGES and near else [])


@given(begin=st.integers(-9000, 4000), length=st.integers(0, 6), n=st.integers(7680, 40000))
def test_windows_of_a_stage_follow_its_own_grid_and_lie_within_the_stretch(begin, length, n):
    spec = EEGPT_SPEC.replace(channels=("Pz-Oz",), montage="electrodes", window_s=30.0)
    end = begin + length * 7680
    for first in SleepEdfx().firsts(begin, end, n, spec):
        assert (first - begin) % 7680 == 0
        assert 0 <= first and first + 7680 <= min(end, n)
