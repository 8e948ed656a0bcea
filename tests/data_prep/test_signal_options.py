"""``prepare`` with signals by name, overridden fields, and channels that models know."""

import json
import re

import numpy as np
import pytest
from layouts import ELECTRODES, edf_bytes, kinds, prepare, records

from elm_jax.data.manifest import Manifest, load_recordings
from elm_jax.signals.pipeline import EVAL_OPTIONS, prepare_file
from elm_jax.signals.profiles import EEGPT_SPEC

KNOWN = ("Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8", "T3", "C3", "Cz", "C4", "T4", "T5", "P3",
         "Pz", "P4", "T6", "O1", "O2")  # fmt: skip


def write(path, labels, seconds=12, seed=0, sfreq_hz=128):
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(len(labels), seconds * sfreq_hz)).cumsum(axis=1)
    noise -= np.linspace(0, 1, noise.shape[1]) * noise[:, -1:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(edf_bytes(noise * 2, labels=tuple(labels), sfreq_hz=sfreq_hz))
    return path


@pytest.fixture
def eegpt(tmp_path):
    """eegpt(*more): the folder ``edf`` prepared for EEGPT; the manifest."""

    def run(*more, out="out", status=0):
        words = ("--signal", "eegpt", "--split", "train=0.5,test=0.5", *more)
        assert prepare("edf_folder", tmp_path / "edf", tmp_path / out, *words) == status
        return Manifest.load(tmp_path / out) if status == 0 else None

    return run


def test_the_electrodes_that_models_know_are_kept_and_the_others_listed(eegpt, tmp_path, capsys):
    new = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
    others = ["ECG ECG", "EEG A2-A1", "EEG T10", "Iz..", "AFz"]
    write(tmp_path / "edf" / "old.edf", [*(f"EEG {e}" for e in ELECTRODES), *others])
    # The same electrodes under newer names, in another order, and nothing else.
    names = [f"{new.get(e, e).upper()}." for e in reversed(ELECTRODES)]
    write(tmp_path / "edf" / "new.edf", names, seed=1)
    manifest = eegpt()
    assert manifest.spec.channels == KNOWN  # in the dictionary's order
    assert manifest.spec.replace(channels=EEGPT_SPEC.channels, mean=0.0, std=1.0) == EEGPT_SPEC
    choice = manifest.options["channel_choice"]
    assert choice == {
        "left_out": dict.fromkeys(("A2-A1", "AFz", "ECG ECG", "Iz", "T10"), 1),
        "sets": [[19, 2]], "set": 1,
    }  # fmt: skip
    said = capsys.readouterr().out
    assert "Left out, not in the dictionary (recordings): A2-A1 (1), AFz (1), ECG ECG (1)" in said
    assert kinds(manifest) == ["band_narrowed"] * 2  # 128 Hz hold 64 of 75 Hz
    assert manifest.counts["total"]["windows"] == 6 and "eegpt_pretrain" in said


def test_stored_signals_are_those_of_the_pipeline(eegpt, tmp_path):
    path = write(tmp_path / "edf" / "a.edf", ELECTRODES, sfreq_hz=200)
    write(tmp_path / "edf" / "b.edf", ELECTRODES, sfreq_hz=200, seed=1)
    manifest = eegpt("--notch_hz", "50", "--lowpass_hz", "40", "--window_s", "2")
    spec = EEGPT_SPEC.replace(channels=KNOWN, notch_hz=(50.0,), lowpass_hz=40.0, window_s=2.0)
    assert manifest.spec.replace(mean=0.0, std=1.0) == spec
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["spec"]["notch_hz"] == [50]
    (piece,), _ = prepare_file(path, spec, EVAL_OPTIONS)
    split = {row.recording: row.split for row in load_recordings(tmp_path / "out")}["a"]
    ((_, _, stored),) = records(tmp_path / "out", split)
    assert np.abs(stored / 32 - piece.signal).max() <= 0.5 / 32 + 1e-3


@pytest.fixture
def sets(tmp_path):
    """Three recordings of 19 electrodes, two of 4 of them, and a file that is none."""
    for i in range(3):
        write(tmp_path / "edf" / f"many{i}.edf", ELECTRODES, seed=i)
    for i in range(2):
        write(tmp_path / "edf" / f"few{i}.edf", ["C3", "CZ", "C4", "PZ", "ECG"], seed=i)
    (tmp_path / "edf" / "broken.edf").write_bytes(b"no EDF at all")


def test_recordings_with_other_electrodes_are_skipped_and_how_to_prepare_them_is_said(
    sets, eegpt, tmp_path, capsys
):
    first = eegpt()
    assert first.spec.channels == KNOWN and first.counts["total"]["recordings"] == 3
    others = [d for d in first.defects if d["kind"] == "other_channels"]
    assert [d["file"] for d in others] == ["few0.edf", "few1.edf"]
    assert "--channel_set 2 prepares its set" in others[0]["detail"]
    assert "lacks F3, F4, F7, F8, ..." in others[0]["detail"]
    assert first.counts["skipped"] == {"not_edf": 1, "other_channels": 2}
    assert "2 recordings have another set, of 4 electrodes" in capsys.readouterr().out
    second = eegpt("--channel_set", "2", out="second")
    assert second.spec.channels == ("C3", "Cz", "C4", "Pz")
    assert second.counts["total"]["recordings"] == 2
    assert second.options["channel_choice"]["left_out"] == {"ECG": 2}
    eegpt("--channel_set", "3", out="third", status=2)
    assert "the recordings have 2 sets of electrodes" in capsys.readouterr().err


def test_named_channels_are_taken_from_all_recordings_that_have_them(sets, eegpt):
    manifest = eegpt("--channels", "pz, C4,Cz")
    assert manifest.spec.channels == ("Pz", "C4", "Cz")
    assert manifest.counts["total"]["recordings"] == 5
    assert "channel_choice" not in manifest.options


def test_the_published_list_refuses_recordings_that_lack_one(sets, eegpt, capsys):
    eegpt("--channels", "profile", status=2)
    assert "missing_electrodes" in capsys.readouterr().err


def test_parts_agree_on_the_channels_and_give_the_same_bytes(sets, eegpt, tmp_path, contents):
    eegpt(out="once")
    words = ("--signal", "eegpt", "--split", "train=0.5,test=0.5")
    for step in (("--part", "1/2"), ("--part", "2/2"), ("--merge",)):
        assert prepare("edf_folder", tmp_path / "edf", tmp_path / "parts", *words, *step) == 0
    assert contents(tmp_path / "once") == contents(tmp_path / "parts")


def test_a_dry_run_says_the_channels(sets, eegpt, tmp_path, capsys):
    words = ("--signal", "eegpt", "--dry_run")
    assert prepare("edf_folder", tmp_path / "edf", tmp_path / "out", *words) == 0
    said = capsys.readouterr().out
    assert "Channels: Fp1, Fp2" in said and "few1.edf: other_channels" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--channels", "C3,CZZ"), "'CZZ' is no electrode.*is Cz meant"),
        (("--channels", ","), "names no channel"),
        (("--channels", "C3-A2,C4-A1"), "'C3-A2' names an ear as the reference.*give C3"),
        (("--channels", "A2-A1,C3"), "'A2-A1' names an ear"),
        (("--channels", "C3,T7,T3"), "unique"),
        (("--signal", "elm", "--channels", "C3,C4"), "give --montage"),
        (("--signal", "elm", "--channels", "dictionary"), "--montage average"),
        (("--channels", "C3", "--channel_set", "2"), "only with --channels dictionary"),
        (("--channels", "Fp1-F7"), "average.*Fp1-F7"),
        (("--lowpass_hz", "200"), "does not fit under half"),
        (("--notch_hz", "128"), "notch_hz"),
    ],
)
def test_impossible_signals_are_one_message(sets, eegpt, capsys, words, message):
    eegpt(*words, status=2)
    assert re.search(message, capsys.readouterr().err)


def test_recordings_without_a_known_electrode_are_one_message(eegpt, tmp_path, capsys):
    write(tmp_path / "edf" / "a.edf", ["E1", "E2", "ECG"])
    eegpt(status=2)
    assert "no electrode of the 1 recordings is in the dictionary" in capsys.readouterr().err


def test_the_signal_of_old_commands_is_elms(tmp_path, write_edf, run):
    write_edf(tmp_path / "edf" / "a.edf")
    assert run("edf_folder", input=tmp_path / "edf", out=tmp_path / "out") == 0
    manifest = Manifest.load(tmp_path / "out")
    assert manifest.spec.montage == "tcp20" and manifest.spec.window_s == 5.0
    assert {"channel_choice", "split_by"}.isdisjoint(manifest.options)
    assert {"notch_hz", "slow_source"}.isdisjoint(manifest.options["spec"])


def test_real_recordings_of_two_montages(shared, tmp_path):
    for name, n, left in (("eegmmidb_S001", 60, 4), ("eegmat", 19, 2)):
        words = ("--signal", "eegpt", "--people", tmp_path / f"{name}.txt")
        first = {"eegmmidb_S001": "S001R01", "eegmat": "Subject00_2"}[name]
        (tmp_path / f"{name}.txt").write_text(f"local:{first}\n")
        folder = shared / "data" / name
        assert prepare("edf_folder", folder, tmp_path / name, *words) == 0
        manifest = Manifest.load(tmp_path / name)
        assert len(manifest.spec.channels) == n
        assert set(kinds(manifest)) == {"person_not_listed"}
        assert len(manifest.options["channel_choice"]["left_out"]) == left
        assert manifest.counts["total"]["windows"] == 15
        assert 0.001 < manifest.spec.std < 0.1  # millivolts


def test_what_is_beside_a_published_list_is_listed_and_what_is_beside_a_named_one_is_not(
    eegpt, tmp_path, capsys
):
    from elm_jax.signals.profiles import EEGPT58

    write(tmp_path / "edf" / "a.edf", [*EEGPT58, "AF7", "Iz", "EEG A2-A1", "ECG"])
    write(tmp_path / "edf" / "b.edf", [*EEGPT58, "AF7"], seed=1)
    choice = eegpt("--channels", "profile").options["channel_choice"]
    assert choice == {"left_out": {"A2-A1": 1, "AF7": 2, "ECG": 1, "Iz": 1}}
    said = capsys.readouterr().out
    assert "Left out, not among these (recordings): A2-A1 (1), AF7 (2), ECG (1), Iz (1)" in said
    named = eegpt("--channels", "C3,C4", out="named")
    assert "channel_choice" not in named.options
