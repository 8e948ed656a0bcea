import argparse

import numpy as np
import pytest
from gdf_files import LABELS_2A, LABELS_2B, gdf_bytes, session, true_labels
from hypothesis import given
from hypothesis import strategies as st
from layouts import kinds, prepare, records

from data_prep.corpora import gdf
from data_prep.corpora.base import CorpusError
from data_prep.corpora.bcic2a import CHANNELS, Bcic2a
from data_prep.corpora.event_files import EventsError
from elm_jax.data.labels import window_labels
from elm_jax.data.manifest import Manifest, load_recordings
from elm_jax.data.pipeline import Windows

CUES = {769: "left_hand", 770: "right_hand", 771: "feet", 772: "tongue"}


@pytest.fixture(scope="module")
def bcic2a(tmp_path_factory):
    """Two people, both sessions each; the true labels lie in a folder of their own."""
    root = tmp_path_factory.mktemp("bcic2a")
    for i, person in enumerate(("A01", "A02")):
        session(root / f"{person}T.gdf", [769, 770, 771, 772], seed=i, rejected=(1,), gap_after=1)
        session(root / f"{person}E.gdf", [783] * 4, seed=9 + i)
        true_labels(root / "true_labels" / f"{person}E.mat", [4, 3, 2, 1])
    return root


@pytest.fixture(scope="module")
def prepared(bcic2a, tmp_path_factory):
    """Session T and E of both, the first person held out."""
    out = tmp_path_factory.mktemp("prepared") / "out"
    assert prepare("bcic2a", bcic2a, out, "--test_people", "A01") == 0
    return out


def args(folder, **more):
    return argparse.Namespace(input=folder, institution=None, **more)


def test_windows_are_the_four_seconds_from_the_cue_of_the_average_referenced_session(
    prepared, bcic2a
):
    import mne

    spec = Manifest.load(prepared).spec
    assert (spec.channels, spec.montage, spec.lowpass_hz) == (CHANNELS, "average", 38.0)
    (found,) = [s for at, _, s in records(prepared, "test") if at == 27.0][:1]
    raw = mne.io.read_raw_gdf(bcic2a / "A01E.gdf", preload=True, verbose="ERROR")
    raw.pick(raw.ch_names[:22]).set_eeg_reference("average", projection=False, verbose="ERROR")
    raw.filter(0.1, 38.0, verbose="ERROR")
    raw.resample(256, npad="auto", verbose="ERROR")
    expected_uv = raw.get_data()[:, 27 * 256 : 31 * 256] * 1e6
    assert found.shape == (22, 1024)
    np.testing.assert_allclose(found / 32, expected_uv, atol=0.05)


def test_classes_are_the_cues_of_session_t_and_the_true_labels_of_session_e(prepared):
    rows = {r.recording: [p.labels for p in r.pieces] for r in load_recordings(prepared)}
    words = ["left_hand", "right_hand", "feet", "tongue"]
    assert [x["event"] for x in rows["A01T"]] == words
    assert [x["event"] for x in rows["A01E"]] == words[::-1]
    assert [x["event_class"] for x in rows["A01E"]] == [3, 2, 1, 0]


def test_probes_read_the_class_of_every_window(prepared):
    rows = load_recordings(prepared, "train")
    windows = Windows.of(rows, Manifest.load(prepared).spec.window_samples)
    assert window_labels(rows, windows, "event_class").tolist() == [3, 2, 1, 0, 0, 1, 2, 3]


def test_no_window_runs_over_the_missing_samples_between_runs(prepared, bcic2a, tmp_path):
    defects = [d for d in Manifest.load(prepared).defects if d["kind"] == "record_gap"]
    assert [(d["file"], d["start_s"], d["stop_s"]) for d in defects] == [
        ("A01T.gdf", 16.0, 16.4), ("A02T.gdf", 16.0, 16.4),
    ]  # fmt: skip
    # Here the samples are missing one second after the cue.
    cues_s = session(tmp_path / "in" / "A01T.gdf", [769, 770, 771], gap_after=1)
    session(tmp_path / "in" / "A02T.gdf", [769, 770, 771])
    path, at = tmp_path / "in" / "A01T.gdf", round((cues_s[1] + 1) * 250)
    signal = np.random.default_rng(0).normal(size=(25, 250 * 28)).cumsum(axis=1)
    signal[:, at : at + 100] = np.nan
    events = [(t, code, 1.25) for t, code in zip(cues_s, (769, 770, 771), strict=True)]
    path.write_bytes(gdf_bytes(signal, LABELS_2A, events))
    assert prepare("bcic2a", tmp_path / "in", tmp_path / "out") == 0
    (row,) = [r for r in load_recordings(tmp_path / "out") if r.recording == "A01T"]
    assert [p.labels["event"] for p in row.pieces] == ["left_hand", "feet"]
    assert kinds(Manifest.load(tmp_path / "out")) == ["event_lost", "record_gap"]


def test_trials_marked_as_artefacts_are_kept_and_counted(prepared):
    found = [d for d in Manifest.load(prepared).defects if d["kind"] == "events_marked_bad"]
    assert [d["detail"] for d in found] == ["1 of 4 trials: kept, as the papers keep them"] * 2


def test_the_held_out_person_alone_is_the_test_set(prepared, bcic2a, tmp_path, capsys):
    people = Manifest.load(prepared).people
    assert people["test"] == ("bcic2a:A01",) and people["train"] == ("bcic2a:A02",)
    assert prepare("bcic2a", bcic2a, tmp_path / "out", "--test_people", "A07") == 2
    assert "nobody is 'A07'; there are A01, A02" in capsys.readouterr().err
    assert prepare("bcic2a", bcic2a, tmp_path / "out", "--test_people", "A01,A02") == 2
    assert "leaves nobody to train" in capsys.readouterr().err


def test_split_by_recording_keeps_the_competitions_sessions(bcic2a, tmp_path):
    assert prepare("bcic2a", bcic2a, tmp_path / "out", "--split_by", "recording") == 0
    splits = {r.recording: r.split for r in load_recordings(tmp_path / "out")}
    assert splits == {"A01T": "train", "A02T": "train", "A01E": "test", "A02E": "test"}


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (None, "4 of 4 cues are of unknown class"),
        ([1, 2, 3], "4 cues, the file of true labels has 3"),
        ([1, 2, 3, 5], "has class 5, not 1 to 4"),
        (b"no .mat", "expected a MATLAB file"),
        ({"labels": [1, 2, 3, 4]}, "has no variable 'classlabel'"),
    ],
)
def test_a_session_without_fitting_true_labels_is_left_out_and_listed(tmp_path, classes, said):
    session(tmp_path / "A01T.gdf", [769, 770])
    session(tmp_path / "A01E.gdf", [783] * 4)
    if isinstance(classes, bytes):
        (tmp_path / "A01E.mat").write_bytes(classes)
    elif isinstance(classes, dict):
        true_labels(tmp_path / "A01E.mat", classes["labels"], name="labels")
    elif classes:
        true_labels(tmp_path / "A01E.mat", classes)
    corpus = Bcic2a()
    assert [s.recording for s in corpus.sources(args(tmp_path))] == ["A01T"]
    (item,) = corpus.findings
    assert item["kind"] == "events_unreadable" and said in item["detail"]


def test_true_labels_that_contradict_the_cues_are_refused(tmp_path):
    session(tmp_path / "A01T.gdf", [769, 770])
    true_labels(tmp_path / "A01T.mat", [2, 1])
    corpus = Bcic2a()
    with pytest.raises(CorpusError, match="cue at 3 s is left_hand, the true label right_hand"):
        corpus.sources(args(tmp_path))


def test_damaged_and_foreign_files_are_listed_and_never_end_the_run(bcic2a, tmp_path):
    folder = tmp_path / "in"
    session(folder / "A01T.gdf", [769, 770])
    whole = (folder / "A01T.gdf").read_bytes()
    (folder / "A02T.gdf").write_bytes(whole[: len(whole) // 2])
    (folder / "A03T.gdf").write_bytes(b"GDF 1.25" + bytes(100))
    (folder / "A04T.gdf").write_bytes(b"")
    (folder / "B0101T.gdf").write_bytes(whole)
    # In 2a's layout, but three channels of EEG only.
    session(folder / "A05T.gdf", [769, 770], labels=LABELS_2B)
    assert prepare("bcic2a", folder, tmp_path / "out") == 0
    manifest = Manifest.load(tmp_path / "out")
    assert manifest.counts["total"]["recordings"] == 1
    assert manifest.counts["skipped"] == {
        "bad_array": 1, "events_unreadable": 3, "not_in_layout": 1,
    }  # fmt: skip


def test_electrodes_follow_from_positions_and_those_named_must_be_at_theirs():
    named = ["EEG-Fz", *(f"EEG-{i}" for i in range(21)), "EOG-left"]
    with pytest.raises(ValueError, match="not C3, Cz, C4, Pz"):
        Bcic2a().electrodes(named)
    with pytest.raises(ValueError, match="expected 22 channels of EEG .* found 3"):
        Bcic2a().electrodes(["EEG:C3", "EEG:Cz", "EEG:C4"])


def test_another_signal_or_window_than_the_published_one_can_be_asked_for(bcic2a, tmp_path, capsys):
    assert prepare("bcic2a", bcic2a, tmp_path / "elm", "--signal", "elm") == 2
    assert "4  missing_electrodes" in capsys.readouterr().err
    asked = ("--window_s", 2, "--lowpass_hz", 45, "--channels", "C3,Cz,C4")
    assert prepare("bcic2a", bcic2a, tmp_path / "out", *asked) == 0
    spec = Manifest.load(tmp_path / "out").spec
    assert (spec.window_samples, spec.lowpass_hz) == (512, 45.0)
    assert spec.channels == ("C3", "Cz", "C4") and spec.sfreq_hz == 256.0


def test_channels_by_the_dictionary_are_the_same_22_and_the_eyes_are_listed(bcic2a, tmp_path):
    assert prepare("bcic2a", bcic2a, tmp_path / "out", "--channels", "dictionary") == 0
    manifest = Manifest.load(tmp_path / "out")
    assert sorted(manifest.spec.channels) == sorted(CHANNELS)
    assert manifest.options["channel_choice"]["left_out"] == {
        "EOG-central": 4, "EOG-left": 4, "EOG-right": 4,
    }  # fmt: skip


def test_data_set_2b_has_three_derivations_as_they_are_and_five_sessions(tmp_path, capsys):
    folder = tmp_path / "in"
    for person in ("B01", "B02"):
        session(folder / f"{person}01T.gdf", [769, 770], labels=LABELS_2B)
        session(folder / f"{person}04E.gdf", [783] * 3, labels=LABELS_2B, seed=1)
        true_labels(folder / f"{person}04E.mat", [2, 1, 1])
    assert prepare("bcic2b", folder, tmp_path / "out", "--split_by", "recording") == 0
    spec = Manifest.load(tmp_path / "out").spec
    assert (spec.channels, spec.montage) == (("C3", "Cz", "C4"), "electrodes")
    rows = {r.recording: r for r in load_recordings(tmp_path / "out")}
    assert rows["B0104E"].split == "test" and rows["B0104E"].labels["session"] == "04E"
    assert rows["B0104E"].person == "bcic2b:B01"
    found = [p.labels["event"] for p in rows["B0104E"].pieces]
    assert found == ["right_hand", "left_hand", "left_hand"]
    assert "Unbalanced" not in capsys.readouterr().out  # that of the train split


codes_of = st.lists(st.sampled_from([768, 1023, 276, 769, 770, 771, 772, 783]), max_size=30)


@given(codes=codes_of, data=st.data())
def test_every_cue_becomes_one_trial_of_its_class_or_all_are_refused(codes, data):
    timed = [(float(k), code) for k, code in enumerate(codes)]
    cues = [(t, code) for t, code in timed if code in CUES or code == 783]
    truth = [
        list(CUES).index(code) + 1 if code in CUES else data.draw(st.integers(1, 4))
        for _, code in cues
    ]
    if not cues:
        with pytest.raises(EventsError, match="no cue"):
            gdf.cue_events(timed, CUES, None, 4.0)
        return
    events = gdf.cue_events(timed, CUES, truth, 4.0)
    assert [(e.start_s, e.label) for e in events] == [
        (t, list(CUES.values())[k - 1]) for (t, _), k in zip(cues, truth, strict=True)
    ]
    if any(code == 783 for _, code in cues):
        with pytest.raises(EventsError, match="unknown class"):
            gdf.cue_events(timed, CUES, None, 4.0)
    else:
        assert gdf.cue_events(timed, CUES, None, 4.0) == events
