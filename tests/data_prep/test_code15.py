import h5py
import numpy as np
import pytest
from ecg_layouts import (
    CODE15_COLUMNS,
    code15_row,
    ecg_mv,
    padded,
    write_code15_part,
    write_csv,
)

from data_prep.arguments import parse
from data_prep.corpora.base import CorpusError
from data_prep.corpora.code15 import Code15
from data_prep.prepare import main
from elm_jax.data.manifest import Manifest, load_recordings
from elm_jax.data.shards import ShardReader
from elm_jax.signals.defects import UnusableRecording

TEN_S, SEVEN_S = ecg_mv(sfreq_hz=400, seed=1), ecg_mv(sfreq_hz=400, seconds=7, seed=2)


@pytest.fixture
def folder(tmp_path):
    """Two parts; exams of 10 s and 7 s, one of odd length, one of zeros, rows of padding."""
    path = tmp_path / "code15"
    odd = padded(TEN_S[:, :3900], 100, 96)
    write_code15_part(
        path / "exams_part0.hdf5",
        [101, 102, 103, 0],
        [padded(TEN_S, 48, 48), padded(SEVEN_S, 648, 648), odd, np.zeros((4096, 12), "f4")],
    )
    write_code15_part(
        path / "exams_part1.hdf5",
        [104, 105, 102],
        [np.zeros((4096, 12), "f4"), padded(TEN_S, 48, 48), padded(TEN_S, 48, 48)],
        compression="gzip",
    )
    write_csv(
        path / "exams.csv",
        CODE15_COLUMNS,
        [
            code15_row(101, 7, "1dAVb", "RBBB", death="False", timey="2.5"),
            code15_row(102, 7, normal_ecg="True", age="nan", is_male="False"),
            code15_row(103, 8, RBBB="perhaps"),
            code15_row(104, 9, death="True", timey="-3"),
            code15_row(101, 8, "AF"),
            code15_row(999, 8),
        ],
    )
    return path


def listed(folder, *words):
    """The sources by name, and the findings as (kind, file)."""
    args = parse(["code15", "--input", str(folder), "--out", "x", *words])
    corpus = Code15()
    return {source.recording: source for source in corpus.sources(args)}, [
        (f["kind"], f["file"]) for f in corpus.findings
    ]


@pytest.mark.parametrize(
    "rows, message",
    [
        ([code15_row(0, 7)], r"exams.csv:2: exam_id '0', patient_id '7'; expected numbers above 0"),
        ([code15_row("x1", 7)], "exam_id 'x1'"),
        ([code15_row(101, "")], "nobody could be told apart"),
        ([code15_row(7, 7)], r"no exam is both in exams.csv and in a part(.|\n)*file_missing"),
        ([code15_row(101, 7)[:-1]], "14 cells, expected 15"),
    ],
)
def test_a_table_that_names_nobody_is_refused(rows, message, folder):
    write_csv(folder / "exams.csv", CODE15_COLUMNS, rows)
    with pytest.raises(CorpusError, match=message):
        listed(folder)


def test_a_missing_table_or_part_says_what_to_give(folder, tmp_path):
    (folder / "exams.csv").rename(tmp_path / "away.csv")
    with pytest.raises(CorpusError, match=r"exams.csv: no such file; expected the exams"):
        listed(folder)
    with pytest.raises(CorpusError, match=r"holds no \.hdf5 file"):
        (tmp_path / "empty").mkdir()
        listed(tmp_path / "empty")


@pytest.mark.parametrize(
    "write, detail",
    [
        (lambda p: p.write_bytes(b"cut off"), "not an HDF5 file"),
        (lambda p: write_code15_part(p, [1], [np.zeros((4096, 8), "f4")]), "expected .n. and"),
        (lambda p: write_code15_part(p, [1, 2], [np.zeros((4096, 12), "f4")]), "expected .n. and"),
        (lambda p: write_code15_part(p, [1.5], [np.zeros((4096, 12), "f4")]), "whole numbers"),
        (lambda p: _linked(p), "is a link"),
        (lambda p: h5py.File(p, "w").close(), "has no 'exam_id' and no 'tracings'"),
    ],
)
def test_a_part_that_is_damaged_or_not_safe_is_left_out_and_the_others_are_read(
    write, detail, folder
):
    write(folder / "exams_part0.hdf5")
    args = parse(["code15", "--input", str(folder), "--out", "x"])
    corpus = Code15()
    assert [source.recording for source in corpus.sources(args)] == ["102", "104"]
    (finding,) = [f for f in corpus.findings if f["kind"] == "array_unreadable"]
    assert finding["file"] == "exams_part0.hdf5"
    import re

    assert re.search(detail, finding["detail"]), finding


def _linked(path):
    with h5py.File(path, "w") as file:
        file["exam_id"] = np.array([1])
        file["tracings"] = h5py.ExternalLink("/etc/other.hdf5", "tracings")


def test_labels_are_the_tables_and_what_is_not_known_is_absent(folder):
    sources, findings = listed(folder, "--ecg_text", "statements")
    assert set(sources) == {"101", "102", "103", "104"}
    assert sources["101"].labels == {
        "age": 61, "sex": "male", "normal_ecg": False, "diagnosis": ["1dAVb", "RBBB"],
        "nn_predicted_age": 58.5, "death": False, "follow_up_years": 2.5,
    }  # fmt: skip
    assert sources["101"].reports == ("First degree AV block. Right bundle branch block.",)
    assert sources["102"].labels["diagnosis"] == [] and "age" not in sources["102"].labels
    assert sources["102"].reports == ("Normal ECG.",) and sources["102"].labels["sex"] == "female"
    # Whether there is an RBBB is not known, so neither is the list.
    assert "diagnosis" not in sources["103"].labels and sources["103"].reports == ()
    assert sources["101"].person == sources["102"].person == "code:7"
    assert sources["104"].labels["death"] is True and "follow_up_years" not in sources["104"].labels
    assert sorted(findings) == [
        ("file_missing", "exams.csv"),
        ("number_unreadable", "exams.csv"),
        ("number_unreadable", "exams.csv"),
        ("padding_row", "exams_part0.hdf5"),
        ("record_not_listed", "exams_part1.hdf5"),
        ("row_doubled", "exams.csv"),
        ("row_doubled", "exams_part1.hdf5"),
    ]
    assert all(source.reports == () for source in listed(folder)[0].values())


def test_a_table_without_the_later_columns_is_read(folder):
    rows = [code15_row(101, 7, "AF")]
    keep = [
        i for i, c in enumerate(CODE15_COLUMNS) if c not in ("death", "timey", "nn_predicted_age")
    ]
    write_csv(
        folder / "exams.csv",
        [CODE15_COLUMNS[i] for i in keep],
        [[r[i] for i in keep] for r in rows],
    )
    (source,) = listed(folder)[0].values()
    assert source.labels == {"age": 61, "sex": "male", "normal_ecg": False, "diagnosis": ["AF"]}


def test_zeros_around_an_exam_are_taken_off_and_odd_lengths_are_said(folder):
    sources, _ = listed(folder)
    corpus = Code15()
    whole = corpus.read(sources["101"], ())
    assert whole.signal_mv.shape == (12, 4000) and whole.sfreq_hz == 400 and not whole.defects
    np.testing.assert_allclose(whole.signal_mv, TEN_S, atol=1e-6)
    assert whole.leads == ("I", "II", "III", "aVR", "aVL", "aVF", *(f"V{i}" for i in range(1, 7)))
    assert corpus.read(sources["102"], ()).signal_mv.shape == (12, 2800)
    (defect,) = corpus.read(sources["103"], ()).defects
    assert defect.kind == "padding_removed" and "100 before, 96 after: 3900" in defect.detail
    with pytest.raises(UnusableRecording, match="zeros alone"):
        corpus.read(sources["104"], ())
    scaled = listed(folder, "--code15_unit_mv", "0.5")[0]["101"]
    np.testing.assert_allclose(corpus.read(scaled, ()).signal_mv, 0.5 * TEN_S, atol=1e-6)


def test_a_part_that_changes_after_it_was_listed_is_a_defect_and_no_crash(folder):
    sources, _ = listed(folder)
    write_code15_part(folder / "exams_part0.hdf5", [101], [padded(TEN_S, 48, 48)])
    with pytest.raises(UnusableRecording, match="IndexError"):
        Code15().read(sources["103"], ())
    (folder / "exams_part0.hdf5").unlink()
    with pytest.raises(UnusableRecording, match="could not be read"):
        Code15().read(sources["101"], ())


def test_prepared_exams_shorter_than_a_window_are_listed_and_people_keep_together(folder, tmp_path):
    out = tmp_path / "out"
    words = ["--input", str(folder), "--out", str(out), "--ecg_text", "statements"]
    more = ["--split", "train=0.5,valid=0,test=0.5", "--workers", "0", "--window_s", "7"]
    assert main(["code15", *words, *more]) == 0
    manifest = Manifest.load(out)
    rows = {row.recording: row for row in load_recordings(out)}
    assert set(rows) == {"101", "102", "103"}
    assert rows["101"].split == rows["102"].split
    assert rows["102"].pieces[0].n_samples == 1750 and rows["101"].pieces[0].n_samples == 2500
    assert manifest.options["zero_padding"] and manifest.options["code15_unit_mv"] == 1.0
    kinds = {defect["kind"] for defect in manifest.defects}
    assert {"bad_array", "padding_removed", "row_doubled", "record_not_listed"} <= kinds
    reader = ShardReader(out, rows["101"].split)
    peaks = reader.read(rows["101"].pieces[0].index).max(axis=1) / 3200
    expected = [0.5, 0.6, 0.7, 0.9, 0.8, *np.arange(1.0, 1.65, 0.1)]
    assert peaks == pytest.approx(expected, abs=0.06)
