import json
import pathlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep import reports
from data_prep.corpora.base import Source
from data_prep.report_texts import TextError, decode, read_report
from data_prep.reports import ReportsError, attach, main, read_reports_file

TEXT = "HISTORY: Ménière’s disease, 45 µV.\nIMPRESSION: Normal EEG.\n"


def source(file, recording=None, **more):
    recording = recording or file.removesuffix(".edf")
    return Source(recording, f"local:{recording}", pathlib.Path(file), file, **more)


def write_reports(path, *lines):
    path.write_text(
        "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    )
    return path


# ---- decoding


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]
)
def test_text_in_every_encoding_that_clinics_use(encoding):
    data = TEXT.replace("\n", "\r\n").encode(encoding)
    assert decode(data, "a.txt") == TEXT


@pytest.mark.parametrize("data", [b"\x81\x8d\xff", bytes(range(32)) * 9, b"MZ\x00\x01\x02" * 20])
def test_bytes_that_are_no_text_are_refused(data):
    with pytest.raises(TextError, match="UTF-8"):
        decode(data, "a.txt")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60))
def test_decoding_gives_text_or_says_why(data):
    try:
        assert isinstance(decode(data, "x"), str)
    except TextError as error:
        assert "x" in str(error)


def test_docx_with_heading_styles_and_tables(tmp_path):
    import docx

    document = docx.Document()
    document.add_heading("Impression", level=1)
    document.add_paragraph("Abnormal EEG.")
    table = document.add_table(rows=1, cols=2)
    table.cell(0, 0).text, table.cell(0, 1).text = "MEDICATIONS", "Keppra"
    document.save(tmp_path / "a.docx")
    assert read_report(tmp_path / "a.docx").split("\n") == [
        "Impression:", "Abnormal EEG.", "MEDICATIONS: Keppra",
    ]  # fmt: skip
    (tmp_path / "b.docx").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(TextError, match="damaged"):
        read_report(tmp_path / "b.docx")


def test_rtf_with_its_code_page(tmp_path):
    path = tmp_path / "a.rtf"
    path.write_bytes(rb"{\rtf1\ansi\ansicpg1252 IMPRESSION: 45 \'b5V.\par Normal.}")
    assert read_report(path) == "IMPRESSION: 45 µV.\nNormal."
    path.write_text("no rtf")
    with pytest.raises(TextError, match="begins with"):
        read_report(path)


def test_huge_or_empty_or_foreign_documents_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("data_prep.report_texts.MAX_BYTES", 5)
    for name, text, match in (("a.txt", "123456", "at most"), ("b.txt", " \n", "no text")):
        (tmp_path / name).write_text(text)
        with pytest.raises(TextError, match=match):
            read_report(tmp_path / name)
    with pytest.raises(TextError, match="expected .txt"):
        read_report(tmp_path / "c.pdf")


# ---- the reports file


def test_lines_are_read_with_labels_and_numbers(tmp_path):
    path = write_reports(
        tmp_path / "r.jsonl",
        {"subject_id": 0, "report": TEXT, "file": "a.edf", "person": 12, "age": 21},
        "",
        {"report": ["one", " ", "two"], "recording": "b", "file": None},
    )
    first, second = read_reports_file(path)
    assert (first.line, first.file, first.person, first.labels) == (0, "a.edf", "12", {"age": 21})
    assert (second.line, second.recording, second.reports) == (1, "b", ("one", "two"))


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("{torn", r"r\.jsonl:2: expected one JSON object"),
        ("[1]", "found list"),
        ('{"text": "a"}', r"field 'report', found \['text'\]"),
        ('{"report": 3}', "text or a list"),
        ('{"report": "a", "file": 1.5}', "'file' to be text"),
        ('{"report": "a", "recording": true}', "'recording' to be text"),
    ],
)
def test_a_bad_line_is_an_error_with_its_number(tmp_path, line, match):
    path = write_reports(tmp_path / "r.jsonl", {"report": "fine"}, line)
    with pytest.raises(ReportsError, match=match) as error:
        read_reports_file(path)
    assert "r.jsonl:2" in str(error.value)


def test_a_reports_file_in_another_encoding_is_an_error(tmp_path):
    (tmp_path / "r.jsonl").write_bytes('{"report": "Ménière"}'.encode("cp1252"))
    with pytest.raises(ReportsError, match="UTF-8"):
        read_reports_file(tmp_path / "r.jsonl")


def entries(tmp_path, *lines):
    return read_reports_file(write_reports(tmp_path / "r.jsonl", *lines))


def test_file_comes_before_recording_and_recording_before_the_line_number(tmp_path):
    sources = [source("z.edf"), source("x/a.edf", "A1"), source("y/b.edf")]
    found, unmatched = attach(
        entries(
            tmp_path,
            {"report": "by line 0 of the files sorted by name"},
            {"report": "by recording", "recording": "A1"},
            {"report": "by file", "file": "y\\b.edf", "recording": "A1"},
            {"report": "by file name", "file": "b.edf"},
            {"report": "by stem", "recording": "b"},
        ),
        sources,
    )
    assert not unmatched
    assert [s.reports for s in found] == [
        (),
        ("by line 0 of the files sorted by name", "by recording"),
        ("by file", "by file name", "by stem"),
    ]
    assert [s.file for s in found] == [s.file for s in sources]


def test_what_fits_nothing_comes_back(tmp_path):
    lines = [
        {"report": "a", "file": "no.edf"},
        {"report": "b", "file": "elsewhere/a.edf"},
        {"report": "c", "recording": "no"},
        {"report": "d"},
    ]
    found, unmatched = attach(entries(tmp_path, *lines), [source("a.edf")])
    assert found == [source("a.edf")]
    assert [e.reports[0] for e in unmatched] == ["a", "b", "c", "d"]


def test_the_same_name_in_two_folders_is_an_error_unless_the_path_is_given(tmp_path):
    sources = [source("x/a.edf"), source("y/a.edf")]
    for line in ({"file": "a.edf"}, {"recording": "a"}):
        with pytest.raises(ReportsError, match=r"several recordings: x/a\.edf, y/a\.edf"):
            attach(entries(tmp_path, {"report": "r", **line}), sources)
    found, _ = attach(entries(tmp_path, {"report": "r", "file": "y/a.edf"}), sources)
    assert [s.reports for s in found] == [(), ("r",)]


def test_lines_of_one_recording_are_pooled_and_must_agree(tmp_path):
    lines = [
        {"report": "one", "file": "a.edf", "age": 3, "person": "p"},
        {"report": "two", "file": "a.edf", "age": 3, "sex": "F"},
    ]
    (found,), _ = attach(entries(tmp_path, *lines), [source("a.edf", labels={"age": 3})])
    assert found.reports == ("one", "two") and found.labels == {"age": 3, "sex": "F"}
    assert found.person == "local:p"
    for change, match in (({"age": 4}, "two values of 'age'"), ({"person": "q"}, "several people")):
        with pytest.raises(ReportsError, match=match):
            attach(entries(tmp_path, lines[0], {**lines[1], **change}), [source("a.edf")])


def test_a_person_may_bring_an_institution(tmp_path):
    (found,), _ = attach(entries(tmp_path, {"report": "", "person": "tuh:x"}), [source("a.edf")])
    assert found.person == "tuh:x" and found.reports == ()


# ---- the command


@pytest.fixture
def folder(tmp_path):
    for name in ("a.edf", "sub/B.EDF", "c.edf", "aaaaaaaa_s001_t000.edf", "aaaaaaaa_s001_t001.edf"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"0")
    return tmp_path / "in"


def run(folder, tmp_path, *more):
    out = tmp_path / "r.jsonl"
    status = main([str(folder), "--out", str(out), *map(str, more)])
    lines = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    return status, lines


def test_documents_pair_by_name_and_what_is_left_is_listed(folder, tmp_path, capsys):
    (folder / "a.txt").write_bytes(TEXT.encode("utf-16"))
    (folder / "sub/b.txt").write_text("IMPRESSION: B.\nBEFUND: gut.\nDAY 2: more.")
    (folder / "aaaaaaaa_s001.txt").write_text("IMPRESSION: session.")
    (folder / "stray.txt").write_text("IMPRESSION: whose?")
    (folder / "empty.txt").write_text(" ")
    (folder / "c.txt").write_bytes(b"\x81\x8d")
    status, lines = run(folder, tmp_path)
    assert status == 0
    assert {line["file"]: line["report"] for line in lines} == {
        "a.edf": TEXT,
        "sub/B.EDF": "IMPRESSION: B.\nBEFUND: gut.\nDAY 2: more.",
        "aaaaaaaa_s001_t000.edf": "IMPRESSION: session.",
        "aaaaaaaa_s001_t001.edf": "IMPRESSION: session.",
    }
    printed = capsys.readouterr().out
    assert "4  IMPRESSION" in printed and "1  DAY" in printed and "1  BEFUND" in printed
    assert "Recordings without a report: 1\n  c.edf" in printed
    assert "Reports without a recording (left out): 1\n  stray.txt" in printed
    assert "Documents without text (left out): 2" in printed
    assert "empty.txt: holds no text" in printed and "c.txt: expected text" in printed
    entries = read_reports_file(tmp_path / "r.jsonl")
    assert len(entries) == 4 and entries[0].recording == "a"


def test_a_table_of_pairs_decides_alone(folder, tmp_path, capsys):
    (folder / "x1.txt").write_text("IMPRESSION: one.")
    (folder / "a.txt").write_text("IMPRESSION: not asked for.")
    (folder / "pairs.csv").write_bytes(
        "report;file;person\r\nx1;c.edf;Müller\r\nx1.txt;sub/b.edf;\r\nlost.txt;a.edf;\r\n".encode(
            "cp1252"
        )
    )
    status, lines = run(folder, tmp_path, "--pair", folder / "pairs.csv")
    assert status == 0
    assert [(line["file"], line.get("person")) for line in lines] == [
        ("c.edf", "Müller"), ("sub/B.EDF", None),
    ]  # fmt: skip
    printed = capsys.readouterr().out
    assert "lost.txt (in the table of pairs, but not found)" in printed and "  a.txt" in printed


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ("report,age\na.txt,3\n", "expected columns"),
        ("report,file\na.txt,\n", "names no report, or no recording"),
        ("report,file\na.txt,a.edf,3\n", "more cells"),
        ("report,file\ntwin.txt,a.edf\n", "fits one/twin.txt, two/twin.txt"),
    ],
)
def test_a_faulty_table_of_pairs_is_an_error(folder, tmp_path, capsys, table, match):
    for name in ("one", "two"):
        (folder / name).mkdir()
        (folder / name / "twin.txt").write_text("IMPRESSION: twin.")
    (tmp_path / "pairs.csv").write_text(table)
    status, lines = run(folder, tmp_path, "--pair", tmp_path / "pairs.csv")
    assert status == 2 and not lines
    assert match in capsys.readouterr().err


def test_a_csv_of_reports_names_its_recordings_and_keeps_labels(folder, tmp_path, capsys):
    (folder / "all.csv").write_text(
        'file,report,age\na.edf,"IMPRESSION: Normal,\nreally.",21\n'
        "c.edf,,\nno.edf,IMPRESSION: x.,\n"
    )
    (folder / "people.csv").write_text("file,person\na.edf,p1\n")
    status, lines = run(folder, tmp_path)
    assert status == 0
    assert lines == [
        {"recording": "a", "file": "a.edf", "age": 21, "report": "IMPRESSION: Normal,\nreally."}
    ]
    printed = capsys.readouterr().out
    assert "all.csv row 2: holds no text" in printed and "all.csv row 3" in printed


def test_without_recordings_lines_are_named_after_documents(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "s1.txt").write_text("IMPRESSION: x.")
    status, lines = run(tmp_path / "in", tmp_path)
    assert status == 0 and lines == [{"recording": "s1", "report": "IMPRESSION: x."}]
    assert "No EDF lies below" in capsys.readouterr().out


def test_headings_of_another_language_are_counted(folder, tmp_path, capsys):
    (folder / "a.txt").write_text("Befund: gut.\nBeurteilung 2: normal.")
    (tmp_path / "h.txt").write_text("BEFUND\nBEURTEILUNG\n", encoding="utf-8")
    status, _ = run(folder, tmp_path, "--headings", tmp_path / "h.txt")
    printed = capsys.readouterr().out
    assert status == 0 and "1  BEFUND" in printed and "1  BEURTEILUNG" in printed
    assert "not on the list" not in printed
    assert "--config.text.headings=\"('BEFUND','BEURTEILUNG',)\"" in printed


def test_nothing_paired_and_ambiguous_names_are_errors(folder, tmp_path, capsys):
    assert run(folder, tmp_path)[0] == 2
    assert "--pair TABLE.csv" in capsys.readouterr().err
    (folder / "c").mkdir()
    (folder / "c" / "a.edf").write_bytes(b"0")
    (folder / "sub" / "a.txt").write_text("IMPRESSION: which?")
    assert run(folder, tmp_path)[0] == 2
    assert "several recordings" in capsys.readouterr().err
    # In the folder of one of them it is that one's.
    (folder / "sub" / "a.txt").rename(folder / "c" / "a.txt")
    assert [line["file"] for line in run(folder, tmp_path)[1]] == ["c/a.edf"]
    assert main([str(folder / "no"), "--out", str(tmp_path / "x")]) == 2


def test_heading_counts_leave_numbers_out():
    known, unknown = reports.count_headings(["DAY 1: a\nDAY 2: b\nRate: 3\n", "EVENT 2: c\n"])
    assert known == {"DAY": 1, "EVENT": 1} and unknown == {"RATE": 1}
