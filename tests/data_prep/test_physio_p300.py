import argparse

import numpy as np
import pytest
from edf_plus import noise, write_edf_plus
from hypothesis import given
from hypothesis import strategies as st
from layouts import prepare, records

from data_prep.corpora.base import CorpusError
from data_prep.corpora.event_files import EventsError
from data_prep.corpora.physio_p300 import PhysioP300, flashes
from elm_jax.data.manifest import Manifest, load_recordings
from elm_jax.signals.profiles import EEGPT58

# As published: 64 electrodes, both earlobes, four channels of the eyes.
MORE = ("AF7", "AF8", "AFz", "P9", "P10", "Iz", "EARL", "EARR", "VEOGL", "HEOGR")
RENAMED = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
LABELS = tuple(RENAMED.get(name, name) for name in EEGPT58) + MORE
SFREQ_HZ = 2048
ROWS = ("ABCDEF", "GHIJKL", "MNOPQR", "STUVWX", "YZ1234", "56789_",
        "AGMSY5", "BHNTZ6", "CIOU17", "DJPV28", "EKQW39", "FLRX4_")  # fmt: skip


def run(path, target="C", *, seed=0, seconds=6, texts=ROWS, first_s=1.0):
    """A run with a flash every 0.15 s; returns its signal ``[c, t]``."""
    signal = np.stack([noise(SFREQ_HZ * seconds, 100 * seed + k) for k in range(len(LABELS))]) / 5
    marks = [(0.5, None, f"#Tgt{target}_"), (0.9, None, "#start")]
    marks += [(first_s + 0.15 * k, 0.1, text) for k, text in enumerate(texts)]
    marks.append((first_s + 0.15 * len(texts), None, "#end"))
    channels = {label: (x, SFREQ_HZ) for label, x in zip(LABELS, signal, strict=True)}
    write_edf_plus(path, channels, marks)
    return signal


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A run of each of two people, and the signal of the first."""
    root = tmp_path_factory.mktemp("erpbci")
    signal = run(root / "files" / "s01" / "rc01.edf")
    run(root / "files" / "s12" / "rc20.edf", target="_", seed=1)
    assert prepare("physio_p300", root / "files", root / "out", "--test_people", "s12") == 0
    return root / "out", signal


def test_windows_begin_a_tenth_before_the_flash_and_last_what_the_encoder_reads(prepared):
    import mne

    out, signal = prepared
    spec = Manifest.load(out).spec
    assert (spec.channels, spec.window_samples, spec.lowpass_hz) == (EEGPT58, 512, 120.0)
    (row,) = load_recordings(out, "train")
    assert [p.start_s for p in row.pieces] == pytest.approx(
        [0.9 + 0.15 * k for k in range(12)], abs=1 / 256
    )
    info = mne.create_info(58, float(SFREQ_HZ), "eeg")
    raw = mne.io.RawArray(np.round(signal[:58] * 10) / 10 * 1e-6, info, verbose="ERROR")
    raw.set_eeg_reference("average", projection=False, verbose="ERROR")
    raw.filter(0.1, 120.0, verbose="ERROR").resample(256, npad="auto", verbose="ERROR")
    at, _, found = records(out, "train")[3]
    start = round(at * 256)
    expected_uv = raw.get_data()[:, start : start + 512] * 1e6
    np.testing.assert_allclose(found / 32, expected_uv, atol=0.1)


def test_a_flash_is_a_target_if_the_character_was_in_it(prepared):
    rows = {r.recording: r for r in load_recordings(prepared[0])}
    events = [p.labels["event"] for p in rows["s01_rc01"].pieces]
    assert events == ["target" if "C" in text else "nontarget" for text in ROWS]
    assert [p.labels["event_class"] for p in rows["s12_rc20"].pieces] == [
        int("_" in t) for t in ROWS
    ]
    assert rows["s12_rc20"].split == "test" and rows["s01_rc01"].person == "physio_p300:s01"


def test_the_summary_says_how_unbalanced_flashes_are(tmp_path, capsys):
    run(tmp_path / "s01" / "rc01.edf")
    assert prepare("physio_p300", tmp_path, tmp_path / "out", "--split", "train=1") == 0
    assert "windows are nontarget 83.3%, target 16.7%" in capsys.readouterr().out


def test_flashes_too_near_to_an_end_give_no_window_and_are_listed(tmp_path):
    run(tmp_path / "s01" / "rc01.edf", first_s=3.45)
    assert prepare("physio_p300", tmp_path, tmp_path / "out", "--split", "train=1") == 0
    (row,) = load_recordings(tmp_path / "out")
    # The last that fits begins 2 s before the end.
    assert [round(p.start_s, 2) for p in row.pieces] == [3.35, 3.5, 3.65, 3.8, 3.95]
    (lost,) = [d for d in Manifest.load(tmp_path / "out").defects if d["kind"] == "event_lost"]
    assert lost["detail"] == "6 nontarget, 1 target; this is the first"


def test_files_outside_the_layout_and_runs_without_a_target_are_listed(tmp_path):
    run(tmp_path / "s01" / "rc01.edf", seconds=2, texts=ROWS[:2])
    for file in ("s13/rc01.edf", "s01/other.edf"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(b"")
    write_edf_plus(
        tmp_path / "s02" / "rc01.edf", {"Fz": (noise(2048), 2048)}, [(0.1, 0.1, "ABCDEF")]
    )
    corpus = PhysioP300()
    found = corpus.sources(argparse.Namespace(input=tmp_path, institution=None))
    assert [s.recording for s in found] == ["s01_rc01"]
    listed = {f["file"]: f["kind"] for f in corpus.findings}
    assert listed == {
        "s13/rc01.edf": "not_in_layout", "s01/other.edf": "not_in_layout",
        "s02/rc01.edf": "events_unreadable",
    }  # fmt: skip
    (tmp_path / "s01" / "rc01.edf").unlink()
    with pytest.raises(CorpusError, match="0 targets"):
        PhysioP300().sources(argparse.Namespace(input=tmp_path, institution=None))


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["#TgtA_", "#start", "#end"], "no flash"),
        (["#TgtA_", "ABCDEF", "#TgtB_"], "2 targets"),
        ([], "0 targets"),
        (["ABCDEF"], "0 targets"),
    ],
)
def test_runs_that_cannot_be_labelled_are_refused(texts, said):
    with pytest.raises(EventsError, match=said):
        flashes([(float(k), 0.0, text) for k, text in enumerate(texts)])


@given(
    target=st.sampled_from("ABCXYZ159_"),
    texts=st.lists(st.sampled_from([*ROWS, "#note", "Mr X"]), max_size=30),
)
def test_every_flash_is_labelled_and_nothing_else_is(target, texts):
    rows = [(0.0, 0.0, f"#Tgt{target}_"), *((k + 1.0, 0.0, t) for k, t in enumerate(texts))]
    if not set(texts) & set(ROWS):
        with pytest.raises(EventsError):
            flashes(rows)
        return
    events, odd = flashes(rows)
    expected = [(k + 1.0, target in t) for k, t in enumerate(texts) if t in ROWS]
    assert [(e.start_s, e.label == "target") for e in events] == expected
    assert sum(odd.values()) == texts.count("Mr X") and "Mr X" not in str(odd)
