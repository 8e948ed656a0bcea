"""MERL's tables: each published form, joins that fail, and what cannot be a split."""

import csv
import pathlib
import re

import pytest
from wfdb_records import write_ptbxl

from data_prep.corpora.base import Source
from data_prep.merl_splits import apply_merl_split, read_merl_split
from data_prep.prepare import main as prepare_main
from data_prep.tables import TableError
from elm_jax.data.manifest import Manifest, load_recordings

PTBXL = ("ecg_id", "patient_id", "strat_fold", "filename_lr", "filename_hr", "super_class")
CPSC = ("patient_id", "ecg_id", "filename", "validation", "age", "sex", "scp_codes")
CSN = ("ecg_path", "age", "diagnose")


def write(path, columns, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def ptbxl_row(number, *flags):
    stem = f"00000/{number:05d}"
    return (number, 10.0, 1, f"records100/{stem}_lr", f"records500/{stem}_hr", "['x']", *flags)


def source(name, person=None, split=None):
    person = f"x:{person or name}"
    return Source(name, person, pathlib.Path(name), f"{name}.hea", split=split, labels={"age": 5})


def names(split):
    return {name: (row.split, row.classes) for name, row in split.rows.items()}


def test_ptbxls_tables_have_their_classes_in_any_order_of_columns(tmp_path):
    folder = tmp_path / "super_class"
    write(folder / "ptbxl_super_class_train.csv", (*PTBXL, "MI", "NORM"), ptbxl_row(1, 1, 0))
    write(folder / "ptbxl_super_class_val.csv", (*PTBXL, "NORM", "MI"), ptbxl_row(22, 1, 1))
    write(folder / "ptbxl_super_class_test.csv", (*PTBXL, "NORM", "MI"), ptbxl_row(333, 0, 0))
    split = read_merl_split(str(folder))
    assert split.label == "superclass"
    assert names(split) == {
        "00001": ("train", ("MI",)), "00022": ("valid", ("MI", "NORM")), "00333": ("test", ()),
    }  # fmt: skip


def test_the_tables_of_cpsc_and_of_csn_name_their_records_otherwise(tmp_path):
    cpsc = write(tmp_path / "icbeb_train.csv", (*CPSC, "AFIB", "VPC"),
                 (6370, 6370, "A4898", "False", 69.0, 1, "{}", 0, 1))  # fmt: skip
    split = read_merl_split(str(cpsc))
    assert split.label == "diagnosis" and names(split) == {"A4898": ("train", ("VPC",))}
    path = "/chapman/WFDBRecords/08/089/JS08246.mat"
    csn = write(tmp_path / "c" / "chapman_test.csv", (*CSN, "AQW", "TWC"), (path, 12, "TWC", 0, 1))
    assert names(read_merl_split(f"{csn}")) == {"JS08246": ("test", ("TWC",))}


def test_recordings_that_are_named_stay_and_what_fits_nothing_is_listed(tmp_path):
    table = write(tmp_path / "icbeb_train.csv", (*CPSC, "AFIB"),
                  (1, 1, "A1", "", 1, 1, "{}", 1), (2, 2, "A9", "", 1, 1, "{}", 0))  # fmt: skip
    split = read_merl_split(str(table))
    kept, findings = apply_merl_split([source("A1", split="test"), source("A2")], split, "icbeb")
    assert [(s.recording, s.split, s.labels) for s in kept] == [
        ("A1", "train", {"age": 5, "diagnosis": ["AFIB"]})
    ]
    assert [(f["kind"], f["file"]) for f in findings] == [
        ("recording_not_in_split", "A2.hea"), ("split_without_recording", "icbeb_train.csv"),
    ]  # fmt: skip
    assert findings[1]["detail"] == "line 3: A9"
    with pytest.raises(TableError, match=r"none of its 2 lines .* 'B1' .*names 'A1'"):
        apply_merl_split([source("B1")], split, "icbeb")


def test_a_person_in_two_splits_is_refused(tmp_path):
    rows = [(i, i, f"A{i}", "", 1, 1, "{}", 1) for i in (1, 2)]
    train = write(tmp_path / "icbeb_train.csv", (*CPSC, "AFIB"), rows[0])
    test = write(tmp_path / "icbeb_test.csv", (*CPSC, "AFIB"), rows[1])
    split = read_merl_split(f"{train},{test}")
    with pytest.raises(TableError, match="A2 is of x:p, who is in 'train' by another line"):
        apply_merl_split([source("A1", "p"), source("A2", "p")], split, "icbeb")


GOOD = (1, 1, "A1", "", 1, 1, "{}", 1)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, "the folder has no .csv"),
        ({"icbeb.csv": ((*CPSC, "AFIB"), GOOD)}, "icbeb.csv is no table of MERL's"),
        ({f"{n}_train.csv": ((*CPSC, "A"), GOOD) for n in "ab"}, r"of 2 tasks \(a, b\)"),
        ({"a_train.csv": (("name", "AFIB"), ("A1", 1))}, "expected a column of .*'ecg_path'"),
        ({"a_train.csv": (CPSC[:-1], GOOD[:-2])}, r"expected a column of .*found patient_id"),
        ({"a_train.csv": ((*CPSC, "A"), (*GOOD[:-1], "yes"))}, "A is 'yes', expected 0 or 1"),
        (
            {"a_train.csv": ((*CPSC, "A"), GOOD), "a_test.csv": ((*CPSC, "A"), GOOD)},
            r"A1 is in .*a_test.csv:2, too",
        ),
    ],
)
def test_what_is_no_split_of_merls_is_refused(files, told, tmp_path):
    for name, (columns, *rows) in files.items():
        write(tmp_path / name, columns, *rows)
    with pytest.raises(TableError, match=told):
        read_merl_split(str(tmp_path))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(TableError, match=re.escape(f"there is no {tmp_path / 'x_train.csv'}")):
        read_merl_split(str(tmp_path / "x_train.csv"))


def test_a_corpus_is_prepared_by_merls_split_and_with_its_classes(tmp_path, capsys):
    corpus = write_ptbxl(tmp_path / "ptbxl", rates=(100,))
    folder = tmp_path / "sub_class"
    columns = (*PTBXL[:-1], "sub_class", "NST", "AVB")
    write(folder / "ptbxl_sub_class_train.csv", columns, ptbxl_row(1, 1, 0), ptbxl_row(99, 0, 1))
    write(folder / "ptbxl_sub_class_test.csv", columns, ptbxl_row(2, 0, 1))
    out = tmp_path / "out"
    words = ["ptbxl", "--input", str(corpus), "--out", str(out), "--records", "100"]
    assert prepare_main([*words, "--merl_split", str(folder), "--workers", "1"]) == 0
    rows = {row.recording: row for row in load_recordings(out)}
    assert {name: (row.split, row.labels["subclass"]) for name, row in rows.items()} == {
        "00001": ("train", ["NST"]), "00002": ("test", ["AVB"]),
    }  # fmt: skip
    assert rows["00002"].labels["superclass"] == ["MI", "STTC"]  # the corpus's own stay
    manifest = Manifest.load(out)
    assert manifest.options["merl_split"] == "sub_class"
    assert {d["kind"] for d in manifest.defects} >= {
        "recording_not_in_split", "split_without_recording",
    }  # fmt: skip
    assert "no line of MERL's tables names the recording" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        prepare_main(["edf_folder", *words[1:5], "--merl_split", str(folder)])
    assert "--merl_split is for ptbxl, cpsc2018, csn" in capsys.readouterr().err
