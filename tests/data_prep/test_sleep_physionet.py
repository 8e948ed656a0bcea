"""Nights for relative positioning: which windows, of whom, and what is said of the others."""

import argparse
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layouts import kinds, prepare, records
from sleep_nights import night

from data_prep.corpora.base import CorpusError
from data_prep.corpora.sleep_cassette import STAGES
from data_prep.corpora.sleep_physionet import SleepPhysionet, published_people
from data_prep.corpus_options import number_ranges
from elm_jax.data.manifest import Manifest, load_recordings

MARGIN = ("--wake_margin_min", 1, "--split", "train=1")


def args(folder, people=(), nights=()):
    return argparse.Namespace(
        input=folder, institution=None, wake_margin_min=1.0, sleep_people=people, nights=nights
    )


def pieces(out, recording):
    (row,) = [r for r in load_recordings(out) if r.recording == recording]
    return [(p.start_s, p.n_samples // 3000, p.labels.get("event")) for p in row.pieces]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A person with two nights, one without a hypnogram, and one of whom nothing is stated."""
    root = tmp_path_factory.mktemp("sleep_physionet")
    night(root / "in", people=("Male", 71))
    night(root / "in", "SC4002", "W12RW", seed=5, people=("Male", 71))
    (root / "in" / "SC4002EC-Hypnogram.edf").unlink()
    night(root / "in" / "more", "SC4011", "W3344RRW?W", seed=9)
    assert prepare("sleep_physionet", root / "in", root / "out", *MARGIN) == 0
    return root


def test_windows_of_one_stage_are_one_piece_and_begin_where_its_epochs_do(prepared):
    assert pieces(prepared / "out", "SC4001") == [
        (60, 2, "W"), (120, 1, "N1"), (150, 1, "N2"), (180, 2, "N3"), (270, 1, "R"), (300, 2, "W"),
    ]  # fmt: skip
    # What was not scored parts two windows of one stage; wakefulness ends a minute after sleep.
    assert pieces(prepared / "out", "SC4011") == [
        (0, 1, "W"), (30, 4, "N3"), (150, 2, "R"), (210, 1, "W"),
    ]  # fmt: skip


def test_a_night_without_hypnogram_is_kept_whole_without_labels_and_listed(prepared):
    assert pieces(prepared / "out", "SC4002") == [(0, 5, None)]
    manifest = Manifest.load(prepared / "out")
    assert kinds(manifest) == ["events_dropped", "events_dropped", "events_unknown"]
    (said,) = [d for d in manifest.defects if d["kind"] == "events_unknown"]
    assert said["file"] == "SC4002E0-PSG.edf" and "no SC4002..-Hypnogram.edf" in said["detail"]


def test_age_and_sex_are_the_headers_or_else_the_published_tables(prepared):
    labels = {r.recording: r.labels for r in load_recordings(prepared / "out")}
    assert labels["SC4001"] == {"night": 1, "age": 71, "sex": "male"}
    assert labels["SC4011"] == {"night": 1, "age": 33, "sex": "female"}
    assert len(published_people()) == 78


def test_people_are_those_of_the_other_corpus_of_the_study(prepared):
    assert {r.person for r in load_recordings(prepared / "out")} == {
        "sleep_edfx:SC400", "sleep_edfx:SC401",
    }  # fmt: skip


def test_windows_are_those_of_braindecode_on_the_same_files(prepared):
    """Its example's steps; what is stored is off by rounding to 1/32 microvolt and float32.

    So are the network's values, once each recording and channel is standardised by itself.
    """
    import mne
    from braindecode_reference import mend_torchaudio

    mend_torchaudio()
    pytest.importorskip("braindecode", reason="compares with braindecode: install .[test]")
    from braindecode.datasets import BaseConcatDataset, RawDataset
    from braindecode.datasets.sleep_physionet import SleepPhysionet as Theirs
    from braindecode.preprocessing import Preprocessor, create_windows_from_events, preprocess
    from sklearn.preprocessing import scale

    classes = {text: SleepPhysionet.classes[stage] for text, stage in STAGES.items()}
    with mne.use_log_level("ERROR"):
        raw, about = Theirs._load_raw(
            prepared / "in" / "SC4001E0-PSG.edf", prepared / "in" / "SC4001EC-Hypnogram.edf",
            preload=True, load_eeg_only=True, crop_wake_mins=1,
        )  # fmt: skip
        raw.drop_channels("Temp rectal", on_missing="ignore")
        raw.filter(None, 30.0)
        windows = create_windows_from_events(
            BaseConcatDataset([RawDataset(raw, about)]), mapping=classes, preload=True,
            trial_start_offset_samples=0, trial_stop_offset_samples=0,
            window_size_samples=3000, window_stride_samples=3000,
        )  # fmt: skip
    theirs = [(1e6 * windows[i][0], windows[i][1]) for i in range(len(windows))]
    with warnings.catch_warnings():  # of its own about what it does here
        warnings.simplefilter("ignore")
        preprocess(windows, [Preprocessor(scale, channel_wise=True)])
    standard = np.stack([windows[i][0] for i in range(len(windows))])
    ours = [
        (signal[:, first : first + 3000] / 32, labels["event_class"])
        for _, labels, signal in records(prepared / "out", "train")
        if "event" in labels
        for first in range(0, signal.shape[1], 3000)
    ][: len(theirs)]
    assert [label for _, label in ours] == [label for _, label in theirs]
    ours_uv = np.stack([x for x, _ in ours])
    np.testing.assert_allclose(ours_uv, np.stack([x for x, _ in theirs]), atol=1 / 64 + 1e-3)
    (row,) = [r for r in load_recordings(prepared / "out") if r.recording == "SC4001"]
    mean_uv, std_uv = np.asarray(row.moments)[:, :, None]
    atol = (1 / 64 + 1e-3) / std_uv.min()
    np.testing.assert_allclose((ours_uv - mean_uv) / std_uv, standard, atol=atol)


def test_a_broken_hypnogram_leaves_the_night_unlabelled_and_repeats_nothing_of_it(tmp_path):
    from edf_plus import write_edf_plus

    night(tmp_path)
    (tmp_path / "SC4001EC-Hypnogram.edf").unlink()
    write_edf_plus(tmp_path / "SC4001EC-Hypnogram.edf", {}, [(0.0, 30.0, "Mrs X woke up")])
    corpus = SleepPhysionet()
    (source,) = corpus.sources(args(tmp_path))
    (item,) = corpus.findings
    assert "events" not in source.extra and item["kind"] == "events_unknown"
    assert "is no stage" in item["detail"] and "Mrs" not in str(item)


def test_what_else_stands_in_a_patients_field_is_nobodys_age(tmp_path):
    night(tmp_path, "SC4391", people=("Female", 33))  # a number that the study does not have
    psg = tmp_path / "SC4391E0-PSG.edf"
    raw = psg.read_bytes()
    psg.write_bytes(raw[:8] + b"X F 02-AUG-1951 Mrs_X".ljust(80) + raw[88:])
    (source,) = SleepPhysionet().sources(args(tmp_path))
    assert source.labels == {"night": 1}


def test_people_and_nights_are_chosen_and_those_asked_for_in_vain_are_listed(tmp_path):
    for name in ("SC4001", "SC4002", "SC4071", "SC4072"):
        night(tmp_path, name, "W1W")
    for people, nights, found in (
        ((), (), ["SC4001", "SC4002", "SC4071", "SC4072"]),
        ((7,), (2,), ["SC4072"]),
        ((), (1,), ["SC4001", "SC4071"]),
    ):
        corpus = SleepPhysionet()
        assert [s.recording for s in corpus.sources(args(tmp_path, people, nights))] == found
        assert not corpus.findings
    corpus = SleepPhysionet()
    corpus.sources(args(tmp_path, (0, 13, 39), (2,)))
    (item,) = corpus.findings
    # Nobody's fault that night 2 of person 13 is not there.
    assert item["kind"] == "not_there" and item["detail"].endswith("is there: SC4392")
    with pytest.raises(CorpusError, match="people 5; nights 1.*data_prep.download sleep_physionet"):
        SleepPhysionet().sources(args(tmp_path, (5,), (1,)))


def test_an_empty_folder_says_how_nights_are_fetched(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    assert prepare("sleep_physionet", tmp_path / "in", tmp_path / "out") == 2
    assert "python -m data_prep.download sleep_physionet --to" in capsys.readouterr().err


def simulate(folder, name):
    """A night whose header says what the headers of simulated nights say."""
    night(folder, name, "WWW12RWWW", people=("Male", 71))
    psg = folder / f"{name}E0-PSG.edf"
    raw = psg.read_bytes()
    psg.write_bytes(raw[:88] + b"Startdate 02-JAN-1990 X X SIMULATED".ljust(80) + raw[168:])


def test_simulated_nights_are_called_so_and_are_nobody_of_the_study(tmp_path, capsys):
    simulate(tmp_path / "in", "SC4001")
    simulate(tmp_path / "in", "SC4011")
    assert prepare("sleep_physionet", tmp_path / "in", tmp_path / "out", *MARGIN) == 0
    said = capsys.readouterr().out
    assert "Prepared simulated corpus" in said and "configs/relpos_sleep.py" in said
    assert Manifest.load(tmp_path / "out").simulated
    people = {row.person for row in load_recordings(tmp_path / "out")}
    assert people == {"simulated_nights:SC400", "simulated_nights:SC401"}
    night(tmp_path / "in", "SC4021", "W1W")
    with pytest.raises(CorpusError, match="2 of the 3 nights are simulated.*SC4001E0-PSG.edf"):
        SleepPhysionet().sources(args(tmp_path / "in"))


def test_nights_that_the_recipe_cannot_do_all_with_come_with_a_command_that_runs(tmp_path, capsys):
    night(tmp_path / "in", "SC4001", "W1W")
    (tmp_path / "in" / "SC4001EC-Hypnogram.edf").unlink()
    assert prepare("sleep_physionet", tmp_path / "in", tmp_path / "out", *MARGIN) == 0
    said = capsys.readouterr().out
    assert "--config.evals.staging=None" in said and "Nobody is in split 'valid'" in said
    own = ("--signal", "sleep", "--split", "train=1")
    assert prepare("edf_folder", tmp_path / "in", tmp_path / "own", *own) == 0
    said = capsys.readouterr().out
    assert "configs/relpos_sleep.py --config.evals.staging=None" in said
    assert "has a report" not in said  # nobody would train with text


def test_a_dry_run_says_what_each_night_gives(tmp_path, capsys):
    night(tmp_path / "in", "SC4001", "W12RW")
    night(tmp_path / "in", "SC4011", "W1W")
    (tmp_path / "in" / "SC4011EC-Hypnogram.edf").unlink()
    assert prepare("sleep_physionet", tmp_path / "in", tmp_path / "out", "--dry_run") == 0
    said = capsys.readouterr().out
    assert "events: 1 N1, 1 N2, 1 R, 2 W" in said and "events_unknown" in said
    assert not (tmp_path / "out").exists()


def test_a_long_stage_is_stored_in_parts_that_are_windows_whole(tmp_path):
    night(tmp_path / "in", "SC4001", "W" + 43 * "2" + "W")
    assert prepare("sleep_physionet", tmp_path / "in", tmp_path / "out", *MARGIN) == 0
    parts = [(n, stage) for _, n, stage in pieces(tmp_path / "out", "SC4001")]
    assert parts == [(1, "W"), (20, "N2"), (20, "N2"), (3, "N2"), (1, "W")]


def test_the_choice_of_people_stands_in_the_manifest(tmp_path):
    night(tmp_path / "in", "SC4001", "W1W")
    night(tmp_path / "in", "SC4011", "W1W")
    asked = ("--sleep_people", "1-3", "--nights", "1")
    assert prepare("sleep_physionet", tmp_path / "in", tmp_path / "out", *MARGIN, *asked) == 0
    options = Manifest.load(tmp_path / "out").options
    assert options["sleep_people"] == [1, 2, 3] and options["nights"] == [1]
    assert [r.recording for r in load_recordings(tmp_path / "out")] == ["SC4011"]


def test_the_real_excerpt_is_read_with_its_persons_age(shared, tmp_path):
    (tmp_path / "in").mkdir()
    real = shared / "data" / "sleep_edf" / "SC4001_first5min_PSG.edf"
    (tmp_path / "in" / "SC4001E0-PSG.edf").symlink_to(real)
    assert prepare("sleep_physionet", tmp_path / "in", tmp_path / "out", *MARGIN) == 0
    (row,) = load_recordings(tmp_path / "out")
    assert row.labels == {"night": 1, "age": 33, "sex": "female"}
    assert pieces(tmp_path / "out", "SC4001") == [(0, 10, None)]


@given(numbers=st.sets(st.integers(0, 99), min_size=1, max_size=12))
def test_lists_of_ranges_are_the_numbers_in_them(numbers):
    ordered, parts = sorted(numbers), []
    for number in ordered:
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    text = ",".join(f"{a}-{b}" if a != b else f"{a}" for a, b in reversed(parts))
    assert number_ranges(text) == tuple(ordered)


@pytest.mark.parametrize("text", ["", "5-3", "a", "1,,2", "-1", "1-", "1-2-3"])
def test_what_is_no_list_of_numbers_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError):
        number_ranges(text)
