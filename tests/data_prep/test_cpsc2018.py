"""CPSC 2018 in the challenge's layout and in its own: nine names, and others as they are."""

import numpy as np
import pytest
import scipy.io
import wfdb
from layouts import kinds, prepare
from wfdb_records import beats, write_record

from elm_jax.data.manifest import Manifest, load_recordings
from elm_jax.data.shards import ShardReader
from elm_jax.signals.ecg.leads import WANTED_ORDER


def header(dx, age="74", sex="Male"):
    return (f"Age: {age}", f"Sex: {sex}", f"Dx: {dx}", "Rx: Unknown", "Hx: Unknown", "Sx: Unknown")


@pytest.fixture
def challenge(tmp_path):
    """Three records of the challenge and two of its extra set."""
    for name, dx in (
        ("g1/A0001", "59118001,426783006"), ("g1/A0002", "164884008"), ("g2/A0003", "AF,I-AVB"),
        ("extra/Q0001", "713427006,270492004,99999"), ("extra/Q0002", "Unknown"),
    ):  # fmt: skip
        parent, _, stem = name.partition("/")
        x = beats(seconds=12, sfreq_hz=500, seed=int(stem[-1]))
        more = {"age": "NaN", "sex": "Unknown"} if stem == "Q0002" else {}
        write_record(tmp_path / "in" / parent, stem, x, sfreq_hz=500, mat=True,
                     comments=header(dx, **more))  # fmt: skip
    return tmp_path / "in"


def labels(out):
    return {row.recording: row.labels for row in load_recordings(out)}


def test_real_records_are_stored_as_wfdb_reads_them_with_one_of_the_nine_each(shared, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("A0001", "A0005"):
        for suffix in (".hea", ".mat"):
            source = shared / "data" / "cpsc2018_cinc2020" / f"{name}{suffix}"
            (folder / source.name).symlink_to(source)
    words = ("--sfreq_hz", 500, "--ecg_text", "statements", "--split", "train=1")
    assert prepare("cpsc2018", folder, tmp_path / "out", *words) == 0
    rows = load_recordings(tmp_path / "out")
    assert [(r.recording, r.labels["diagnosis"], r.reports) for r in rows] == [
        ("A0001", ["RBBB"], ("Right bundle branch block.",)),
        ("A0005", ["PVC"], ("Premature ventricular contraction.",)),
    ]
    assert rows[0].labels["age"] == 74 and rows[0].labels["sex"] == "male"
    for row in rows:
        read = wfdb.rdrecord(str(folder / row.recording))
        order = [read.sig_name.index(name) for name in WANTED_ORDER]
        stored = ShardReader(tmp_path / "out", "train").read(row.pieces[0].index) / 3200
        np.testing.assert_allclose(stored, read.p_signal.T[order], atol=0.51 / 3200)


def test_without_texts_the_summary_says_how_to_get_some(challenge, tmp_path, capsys):
    assert prepare("cpsc2018", challenge, tmp_path / "out") == 0
    assert "--ecg_text statements makes sentences" in capsys.readouterr().out


def test_codes_get_the_nine_names_and_abbreviations_of_the_first_release_are_read(
    challenge, tmp_path
):
    assert prepare("cpsc2018", challenge, tmp_path / "out") == 0
    found = labels(tmp_path / "out")
    assert {name: own["diagnosis"] for name, own in found.items()} == {
        "A0001": ["RBBB", "Normal"], "A0002": ["PVC"], "A0003": ["AF", "I-AVB"],
    }  # fmt: skip
    assert found["A0001"]["dx"] == ["59118001", "426783006"]
    assert not any(row.reports for row in load_recordings(tmp_path / "out"))


def test_the_extra_set_keeps_other_codes_by_abbreviation_or_number(challenge, tmp_path):
    words = ("--cpsc_part", "both", "--ecg_text", "statements")
    assert prepare("cpsc2018", challenge, tmp_path / "out", *words) == 0
    rows = {row.recording: row for row in load_recordings(tmp_path / "out")}
    assert len(rows) == 5
    assert rows["Q0001"].labels["diagnosis"] == ["CRBBB", "I-AVB", "99999"]
    said = "Complete right bundle branch block. First degree AV block."
    assert rows["Q0001"].reports == (said,)
    # Unknown is missing, and no list of none.
    assert rows["Q0002"].labels == {} and rows["Q0002"].reports == ()
    manifest = Manifest.load(tmp_path / "out")
    assert kinds(manifest) == ["code_unknown"] and "99999" in manifest.defects[0]["detail"]
    assert manifest.options["cpsc_part"] == "both"


def test_the_challenge_alone_is_prepared_by_default_and_the_extra_set_if_asked(challenge, tmp_path):
    assert prepare("cpsc2018", challenge, tmp_path / "extra", "--cpsc_part", "extra") == 0
    assert sorted(labels(tmp_path / "extra")) == ["Q0001", "Q0002"]


def test_no_record_of_the_layout_is_said(tmp_path, capsys):
    write_record(tmp_path / "in", "JS1", beats())
    assert prepare("cpsc2018", tmp_path / "in", tmp_path / "out") == 2
    assert "such as A0001.hea with A0001.mat" in capsys.readouterr().err


def test_there_is_no_report_to_ask_for(challenge, tmp_path, capsys):
    assert prepare("cpsc2018", challenge, tmp_path / "out", "--ecg_text", "both") == 2
    assert "--ecg_text both: cpsc2018 has statements" in capsys.readouterr().err


def original(folder, rows, data=None):
    folder.mkdir()
    lines = ["Recording,First_label,Second_label,Third_label"]
    for name, numbers in rows.items():
        x = beats(seconds=11, sfreq_hz=500, seed=int(name[-1])) if data is None else data
        ecg = {"sex": "Female", "age": 64, "data": x}
        scipy.io.savemat(folder / f"{name}.mat", {"ECG": ecg}, do_compression=True)
        lines.append(f"{name},{numbers}")
    (folder / "REFERENCE.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_the_original_layout_is_read_by_its_reference_table(tmp_path):
    folder = original(tmp_path / "in", {"A0001": "5,,", "A0002": "2,9,"})
    out = tmp_path / "out"
    assert prepare("cpsc2018", folder, out, "--sfreq_hz", 500, "--split", "train=1") == 0
    assert labels(out) == {"A0001": {"diagnosis": ["RBBB"]}, "A0002": {"diagnosis": ["AF", "STE"]}}
    stored = ShardReader(out, "train").read(0) / 3200
    order = [0, 1, 2, 4, 3, *range(5, 12)]
    expected = beats(seconds=11, sfreq_hz=500, seed=1)[order]
    np.testing.assert_allclose(stored, expected, atol=0.51 / 3200)


def test_what_the_reference_table_gets_wrong_is_named(tmp_path, capsys):
    folder = original(tmp_path / "in", {"A0001": "5,,", "A0002": "10,,"})
    assert prepare("cpsc2018", folder, tmp_path / "out") == 2
    assert "REFERENCE.csv:3: diagnosis '10', expected 1 to 9" in capsys.readouterr().err


def test_original_files_that_are_missing_or_of_another_shape_are_listed(tmp_path):
    folder = original(tmp_path / "in", {"A0001": "1,,", "A0002": "1,,", "A0003": "1,,"})
    (folder / "A0002.mat").unlink()
    scipy.io.savemat(folder / "A0003.mat", {"ECG": {"data": np.zeros((3, 9))}})
    assert prepare("cpsc2018", folder, tmp_path / "out") == 0
    manifest = Manifest.load(tmp_path / "out")
    assert kinds(manifest) == ["bad_array", "file_missing"]
    assert sorted(labels(tmp_path / "out")) == ["A0001"]
