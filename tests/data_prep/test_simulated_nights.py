import datetime
import json
import math
import re

import numpy as np
import pytest
from edf_plus import write_edf_plus
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import prepare

from data_prep.corpora.annotations import read_annotations
from data_prep.corpora.base import CorpusError
from data_prep.corpora.nights.hypnograms import (
    ASLEEP,
    UNSCORED,
    WAKE,
    Hypnogram,
    cropped,
    draw_hypnogram,
)
from data_prep.corpora.nights.people import draw_person
from data_prep.corpora.nights.signals import CHANNELS, simulate
from data_prep.corpora.nights.write import SETTINGS_NAME, Settings, main, write_nights
from data_prep.prepare import main as prepare_main
from elm_jax.data.manifest import Manifest, load_recordings

NAPS = Settings(nights=3, hours=0.1, seed=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three naps of two people, all in this process."""
    path = tmp_path_factory.mktemp("nights") / "edf"
    write_nights(path, NAPS, workers=0)
    return path


def hypnogram(rows, recorded_s, night="SC4001"):
    starts = datetime.datetime(1990, 1, 1, 22)
    return Hypnogram(night, "EC", starts, tuple(rows), recorded_s)


@pytest.mark.parametrize(
    "settings_, message",
    [
        ({"nights": 0}, "one night or more"),
        ({"hours": 0.0}, "times above 0"),
        ({"margin_min": math.nan}, "times above 0"),
        ({"margin_min": math.inf}, "a day of real hypnograms"),
        ({"hypnograms": "x", "hours": 1.0}, "leave out hours"),
        ({"nights": 202}, "at most 200 nights"),
    ],
)
def test_nights_that_can_not_be_are_refused_before_anything_is_written(
    settings_, message, tmp_path
):
    with pytest.raises(CorpusError, match=message):
        write_nights(tmp_path / "out", Settings(**settings_), workers=0)
    assert not (tmp_path / "out").exists()


def test_hypnograms_that_do_not_suffice_are_refused(tmp_path):
    given_ = tmp_path / "given"
    rows = [(0, 60, WAKE), (60, 30, ASLEEP[0]), (90, 60, WAKE)]
    write_edf_plus(given_ / "SC4001EC-Hypnogram.edf", {}, rows)
    some = Settings(nights=2, hypnograms=given_)
    with pytest.raises(CorpusError, match=r"has 1 hypnograms .* expected 2"):
        _ = some.plan
    write_edf_plus(given_ / "SC4001EH-Hypnogram.edf", {}, rows)
    with pytest.raises(CorpusError, match="a second hypnogram of SC4001"):
        _ = some.plan
    (given_ / "SC4001EH-Hypnogram.edf").unlink()
    for odd in ([(0, 60, WAKE)], [(0, 45, ASLEEP[1])], [(0, 60, "Sleep stage 5")]):
        write_edf_plus(given_ / "SC4001EC-Hypnogram.edf", {}, odd)
        with pytest.raises(CorpusError, match="no epoch of sleep|epochs of 30 s"):
            _ = Settings(nights=1, hypnograms=given_).plan


def test_what_was_interrupted_is_made_again_and_what_is_there_is_never_mixed(folder, tmp_path):
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    write_nights(folder, NAPS, workers=0)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == times
    with pytest.raises(CorpusError, match="holds simulated nights of"):
        write_nights(folder, Settings(nights=3, hours=0.1, seed=2), workers=0)
    (tmp_path / "SC4001E0-PSG.edf").write_bytes(b"half of it")
    write_nights(tmp_path, NAPS, workers=0)
    for path in times:
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
    (tmp_path / SETTINGS_NAME).unlink()
    (tmp_path / "SC4991E0-PSG.edf").write_bytes(b"of someone else")
    with pytest.raises(CorpusError, match=r"SC4991E0-PSG\.edf is not of the simulated nights"):
        write_nights(tmp_path, NAPS, workers=0)


def test_a_dry_run_and_one_part_of_many_write_nothing(tmp_path, capsys):
    words = ["simulated_nights", "--out", str(tmp_path / "out"), "--demo_hours", "0.1"]
    for more, message in (
        (["--dry_run"], "a dry run writes nothing"),
        (["--part", "1/2"], "nights.write --out .*nights_edf_20nights_.* --nights 20 --seed 0"),
    ):
        assert prepare_main(words + more) == 2
        assert re.search(message, capsys.readouterr().err)
    assert prepare_main([*words[:1], "--out", "gs://nobody/out"]) == 2
    assert "name a folder of this machine" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_files_are_those_of_the_cassette_study_and_say_that_they_are_simulated(folder):
    import mne

    assert sorted(path.name for path in folder.iterdir()) == [
        "SC4001E0-PSG.edf", "SC4001EC-Hypnogram.edf", "SC4002E0-PSG.edf",
        "SC4002EC-Hypnogram.edf", "SC4011E0-PSG.edf", "SC4011EC-Hypnogram.edf",
        SETTINGS_NAME,
    ]  # fmt: skip
    assert json.loads((folder / SETTINGS_NAME).read_text())["simulated"] is True
    for night in NAPS.plan:
        psg = folder / f"{night.night}E0-PSG.edf"
        assert b"SIMULATED" in psg.read_bytes()[88:168]
        raw = mne.io.read_raw_edf(psg, stim_channel=None, verbose="error")
        assert raw.ch_names == [
            "EEG Fpz-Cz", "EEG Pz-Oz", "EOG horizontal", "Resp oro-nasal", "EMG submental",
            "Temp rectal", "Event marker",
        ]  # fmt: skip
        assert raw.info["sfreq"] == 100 and raw.n_times == 100 * night.recorded_s
        marks = mne.read_annotations(folder / f"{night.night}EC-Hypnogram.edf")
        rows = list(zip(marks.onset, marks.duration, marks.description, strict=True))
        assert rows == list(night.rows)
        typical_uv = 1e6 * raw.get_data(["EEG Fpz-Cz", "EEG Pz-Oz"]).std(axis=1)
        assert (typical_uv > 5).all() and (typical_uv < 80).all()


def test_prepared_they_are_a_sleep_corpus_whose_manifest_says_whose_stages_it_has(tmp_path):
    out = tmp_path / "out"
    words = ["--demo_people", 2, "--demo_seed", 1, "--demo_hours", 0.1, "--test_people", "SC401"]
    assert prepare("simulated_nights", tmp_path / "edf", out, *words) == 0
    manifest = Manifest.load(out)
    assert manifest.simulated and manifest.corpus == "simulated_nights"
    assert manifest.options["stages"] == "drawn from a model" and manifest.options["seed"] == 1
    nights = {n.night: n for n in Settings(nights=4, hours=0.1, seed=1).plan}
    rows = load_recordings(out)
    assert {row.recording for row in rows} == set(nights)
    assert {row.person: row.split for row in rows} == {
        "simulated_nights:SC400": "train", "simulated_nights:SC401": "test",
    }  # fmt: skip
    for row in rows:
        person = draw_person(nights[row.recording].person, seed=1)
        assert row.labels["age"] == person.age and row.labels["night"] == int(row.recording[-1])
        assert row.labels["sex"] == {"F": "female", "M": "male"}[person.sex]
    staged = {p.labels["event"] for row in rows for p in row.pieces}
    assert {"W", "N1"} <= staged <= {"W", "N1", "N2", "N3", "R"}


def test_the_stages_of_real_hypnograms_are_kept_between_their_margins(shared):
    given_ = shared / "data" / "sleep_edf" / "hypnograms"
    for whole in (False, True):
        plan = Settings(hypnograms=given_, margin_min=math.inf if whole else 35.0).plan
        assert len(plan) == 20 and {night.person for night in plan} == set(range(10))
        for night in plan:
            (path,) = given_.glob(f"{night.night}*")
            rows = read_annotations(path)
            asleep = [(length, text) for _, length, text in rows if text in ASLEEP]
            assert [(length, text) for _, length, text in night.rows if text in ASLEEP] == asleep
            assert night.rows[0][0] == 0.0 and len(night.epochs()) == night.recorded_s / 30
            ends = [onset + length for onset, length, _ in night.rows]
            assert ends[:-1] == [onset for onset, _, _ in night.rows[1:]]
            # What follows the recording is unscored, as in the study's files.
            assert night.rows[-1][2] == UNSCORED and night.rows[-1][0] == night.recorded_s
            if not whole:
                assert night.recorded_s < 14 * 3600


def test_a_night_is_cut_to_what_there_is_of_its_margins():
    rows = [(0, 60, WAKE), (60, 300, ASLEEP[1]), (360, 600, WAKE), (960, 90, UNSCORED)]
    short = cropped(hypnogram(rows, 960), margin_min=2)
    assert short.rows == (
        (0.0, 60.0, WAKE), (60.0, 300.0, ASLEEP[1]), (360.0, 120.0, WAKE), (480.0, 90.0, UNSCORED),
    )  # fmt: skip
    assert short.recorded_s == 480 and len(short.epochs()) == 16
    late = cropped(hypnogram([(0, 600, WAKE), (600, 30, ASLEEP[0])], 630), margin_min=1)
    assert late.rows == ((0.0, 60.0, WAKE), (60.0, 30.0, ASLEEP[0]))
    assert late.starts == datetime.datetime(1990, 1, 1, 22, 9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 199), st.integers(0, 2**31), st.one_of(st.none(), st.floats(0.01, 3)))
def test_drawn_nights_are_whole_epochs_that_begin_and_end_awake(number, seed, hours):
    night = draw_hypnogram(number, seed, 35.0, hours)
    assert night.person == number // 2 and night.night[-1] == str(1 + number % 2)
    assert night == draw_hypnogram(number, seed, 35.0, hours)
    at = 0.0
    for (onset_s, length_s, text), following in zip(
        night.rows, [*night.rows[1:], None], strict=True
    ):
        assert onset_s == at and length_s > 0 and length_s % 30 == 0
        assert text in (WAKE, *ASLEEP) and (following is None or following[2] != text)
        at += length_s
    assert at == night.recorded_s and night.rows[0][2] == night.rows[-1][2] == WAKE
    assert any(text in ASLEEP for _, _, text in night.rows)


def test_drawn_nights_have_the_stages_of_nights():
    epochs = [stage for i in range(20) for stage in draw_hypnogram(i, 0, 35.0).epochs()]
    share = {text[-1]: epochs.count(text) / len(epochs) for text in {*epochs}}
    real = {"W": 0.2, "1": 0.08, "2": 0.42, "3": 0.07, "4": 0.06, "R": 0.17}
    assert share.keys() == real.keys()
    assert all(0.5 < share[stage] / real[stage] < 1.8 for stage in real), share


def test_each_stage_looks_as_it_does_in_people():
    stages = [f"Sleep stage {stage}" for stage in "W1234R" for _ in range(10)]
    power = {stage: np.zeros((2, 4)) for stage in "W1234R"}
    bands_hz = ((0.5, 2), (4, 8), (8, 12), (12, 15))
    for number in range(3):
        signals = simulate(stages, draw_person(number, 0), np.random.default_rng(number))
        for c, name in enumerate(CHANNELS[:2]):
            spectrum = np.abs(np.fft.rfft(signals[name].reshape(-1, 3000))) ** 2
            freq_hz = np.fft.rfftfreq(3000, 0.01)
            for k, stage in enumerate("W1234R"):
                for i, (low, high) in enumerate(bands_hz):
                    band = (freq_hz >= low) & (freq_hz < high)
                    # Away from the borders; the median, as eyes move awake.
                    of_epochs = spectrum[10 * k + 1 : 10 * k + 9, band].sum(axis=1)
                    power[stage][c, i] += np.log(np.median(of_epochs)) / 3
    front, back = 0, 1
    slow, theta, alpha, sigma = range(4)
    assert power["4"][front, slow] > power["3"][front, slow] > power["2"][front, slow] + 0.3
    assert power["4"][front, slow] > power["4"][back, slow]
    assert power["W"][back, alpha] > power["W"][front, alpha] + 0.5
    assert power["W"][back, alpha] > max(power[s][back, alpha] for s in "1234R") + 0.5
    assert power["2"][front, sigma] > max(power[s][front, sigma] for s in "W1R") + 0.2
    assert power["R"][front, theta] > power["W"][front, theta]


def test_the_command_writes_and_says_what_is_wrong(folder, capsys, tmp_path):
    words = ["--nights", "3", "--hours", "0.1", "--workers", "0"]
    assert main(["--out", str(folder), "--seed", "1", *words]) == 0
    assert "3 SIMULATED nights" in capsys.readouterr().out
    assert main(["--out", str(folder), "--seed", "5", *words]) == 2
    assert "remove that folder" in capsys.readouterr().err
    assert main(["--out", str(tmp_path), "--hypnograms", str(tmp_path / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err
