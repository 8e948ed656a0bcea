"""Tables and names as a clinic's computers write them."""

import json
import os
import pathlib
import unicodedata

import pytest

from data_prep import reports
from data_prep.corpora.base import Source
from data_prep.csv_tables import plain_name, read_csv_table
from data_prep.report_texts import TextError
from data_prep.reports_file import ReportEntry, attach
from data_prep.tables import (
    TableError,
    apply_people_table,
    attach_labels,
    list_unknown_ids,
    read_excluded,
    read_people,
    read_table,
    select_people,
)


def source(name, person):
    return Source(name, person, pathlib.Path(f"{name}.edf"), f"{name}.edf")


EXCEL = (
    "file;abnormal;Alter;Diagnose\r\nMüller 1.edf;1;45,5;Kopfschmerz, unklar\r\n;;;\r\n"
    "b.edf;;007;\r\n"
)
ROWS = [
    {"file": "Müller 1.edf", "abnormal": 1, "Alter": 45.5, "Diagnose": "Kopfschmerz, unklar"},
    {"file": "b.edf", "Alter": "007"},
]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8", "cp1252", "utf-16"])
@pytest.mark.parametrize("text", [EXCEL, "sep=;\r\n" + EXCEL, EXCEL.replace(";", "\t")])
def test_a_german_spreadsheets_table_is_read_as_it_was_meant(tmp_path, encoding, text):
    path = tmp_path / "l.csv"
    path.write_bytes(text.encode(encoding))
    assert read_table(path) == ROWS


def test_a_comma_between_cells_is_no_decimal_comma(tmp_path):
    (tmp_path / "l.csv").write_text('file,a,b\nx.edf,"1,5",2.5\n')
    assert read_table(tmp_path / "l.csv") == [{"file": "x.edf", "a": "1,5", "b": 2.5}]


def test_other_line_breaks_inside_a_cell_do_not_end_its_row(tmp_path):
    (tmp_path / "l.csv").write_text('file,a\nx.edf,"one\ntwo\u2028three\x0cfour"\n', "utf-8")
    table = read_csv_table(tmp_path / "l.csv")
    assert table.rows == ({"file": "x.edf", "a": "one\ntwo\u2028three\x0cfour"},)
    (tmp_path / "l.jsonl").write_text('{"file": "x.edf", "a": "one\u2028two"}\n', "utf-8")
    assert read_table(tmp_path / "l.jsonl")[0]["a"] == "one\u2028two"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file;a\nx.edf;1;2\n", ":2: has more cells than the first line: expected 2 columns, f"),
        ("file;a\n\nx.edf\n", ":3: has fewer cells than the first line: expected 2 columns, fou"),
        ("file;a;a\nx.edf;1;2\n", "several columns named 'a'"),
        ("sep=;\n", "holds no text"),
    ],
)
def test_a_broken_table_is_named_with_its_line(tmp_path, text, said):
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(TextError, match=said):
        read_csv_table(tmp_path / "l.csv")
    with pytest.raises(TableError, match=said):
        read_table(tmp_path / "l.csv")


def test_a_row_without_a_key_is_named_with_its_line(tmp_path):
    (tmp_path / "l.csv").write_text("file,k\na.edf,1\n,2\n")
    with pytest.raises(TableError, match="l.csv:3: expected a value in one of the columns"):
        attach_labels([source("a", "x:a")], tmp_path / "l.csv")
    (tmp_path / "p.csv").write_text("file,person\na.edf,\n")
    with pytest.raises(TableError, match="p.csv:2: expected a 'person'"):
        read_people(tmp_path / "p.csv")


COMPOSED = "Müller"
LOOSE = unicodedata.normalize("NFD", COMPOSED)


@pytest.mark.parametrize(("there", "written"), [(COMPOSED, LOOSE), (LOOSE, COMPOSED)])
def test_umlauts_are_the_same_however_a_system_stores_them(tmp_path, there, written, capsys):
    assert there != written and plain_name(there) == plain_name(written)
    sources = [source(there, f"x:{there}")]
    for entry in (
        ReportEntry(0, ("text",), file=f"{written}.edf"),
        ReportEntry(0, ("text",), recording=written),
    ):
        found, unmatched = attach([entry], sources)
        assert found[0].reports == ("text",) and not unmatched
    (tmp_path / "l.csv").write_text(f"file,k\n{written}.edf,1\n", "utf-8")
    assert attach_labels(sources, tmp_path / "l.csv")[0][0].labels == {"k": 1}
    assert not select_people(sources, None, frozenset({written}))[0]
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / f"{there}.edf").write_bytes(b"0")
    (folder / f"{written}.txt").write_text("IMPRESSION: x.")
    assert reports.main([str(folder), "--out", str(tmp_path / "r.jsonl")]) == 0
    (tmp_path / "pairs.csv").write_text(f"report,file\n{there}.txt,{written}.edf\n", "utf-8")
    more = ["--pair", str(tmp_path / "pairs.csv")]
    assert reports.main([str(folder), "--out", str(tmp_path / "r.jsonl"), *more]) == 0
    line = json.loads((tmp_path / "r.jsonl").read_text())
    # The name is the file's own, so that it opens.
    assert line["file"] == f"{there}.edf"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16"])
def test_a_list_of_people_comes_in_any_encoding(tmp_path, encoding):
    (tmp_path / "x.txt").write_bytes("Müller\r\n# no\r\nb\r\n".encode(encoding))
    assert read_excluded(tmp_path / "x.txt") == {"Müller", "b"}


def test_ids_of_nobody_are_listed_for_they_may_be_misspelt():
    sources = [source("a", "x:a"), source("b", "x:b")]
    (found,) = list_unknown_ids("dir/ex.txt", {"a", "x:b", "y:a", "Anna"}, sources)
    assert found["kind"] == "id_of_nobody" and found["file"] == "ex.txt"
    assert "2 ids" in found["detail"] and "'Anna', 'y:a'" in found["detail"]
    assert list_unknown_ids("ex.txt", {"a"}, sources) == []


def test_documents_that_are_not_read_are_listed_and_lock_files_are_not(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.edf", "old.DOC", "scan.pdf", "table.xlsx", "~$a.docx", ".hidden.txt"):
        (folder / name).write_bytes(b"0")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.txt").write_text("IMPRESSION: x.")
    os.symlink(tmp_path / "elsewhere", folder / "linked")
    assert reports.main([str(folder), "--out", str(tmp_path / "r.jsonl")]) == 0
    printed = capsys.readouterr().out
    assert "Documents without text (left out): 3" in printed
    assert "old.DOC: .doc is not read; save it as .docx or .txt" in printed
    assert "scan.pdf: .pdf is not read" in printed
    assert "table.xlsx: .xlsx is not read; save it as .csv" in printed


def test_headings_without_a_colon_are_pointed_out():
    texts = ["BEURTEILUNG\nNormal.\nEEG\nImpression\n", "VERLAUF UND MASSNAHMEN\nBefund: x\n"]
    known, unknown = reports.count_headings(texts)
    assert not known and unknown == {
        f"{name} (without the colon that a heading needs)": 1
        for name in ("BEURTEILUNG", "IMPRESSION", "VERLAUF UND MASSNAHMEN")
    } | {"BEFUND": 1}


def test_capitals_in_file_names_matter_only_where_they_must(tmp_path):
    sources = [source("a", "x:a"), source("A", "x:A"), source("GROSS", "x:g")]
    (tmp_path / "l.csv").write_text("file,k\na.edf,1\nA.edf,2\ngross.EDF,3\n")
    assert [s.labels["k"] for s in attach_labels(sources, tmp_path / "l.csv")[0]] == [1, 2, 3]
    names = ("a.edf", "A.edf", "gross.EDF")
    entries = [ReportEntry(i, (n,), file=n) for i, n in enumerate(names)]
    entries.append(ReportEntry(3, ("by name",), recording="Gross"))
    assert [s.reports for s in attach(entries, sources)[0]] == [
        ("a.edf",), ("A.edf",), ("gross.EDF", "by name"),
    ]  # fmt: skip
    (tmp_path / "l.csv").write_text("file,k\na.EDF,1\n")
    with pytest.raises(TableError, match="fits 2 recordings"):
        attach_labels(sources, tmp_path / "l.csv")
    (tmp_path / "l.csv").write_text("person,k\na,1\n")
    assert [s.labels for s in attach_labels(sources, tmp_path / "l.csv")[0]] == [{"k": 1}, {}, {}]


@pytest.mark.parametrize("second", ["p2,", "p1,test"])
def test_a_recording_of_two_people_or_splits_is_an_error(tmp_path, second):
    path = tmp_path / "p.csv"
    path.write_text(f"file,person,split\na.edf,p1,\na.edf,p1,\na.edf,{second}\n")
    with pytest.raises(TableError, match="p.csv:4: a.edf has .* in line 2 and .* keep one"):
        apply_people_table([source("a", "x:a")], read_people(path).table, path)
