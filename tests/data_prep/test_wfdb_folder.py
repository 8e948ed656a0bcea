"""Any WFDB folder: comments of headers are texts and labels, people come as everywhere."""

import json

import pytest
from layouts import prepare
from wfdb_records import TWELVE, beats, write_record

from data_prep.corpora.snomed import KNOWN, diagnoses
from data_prep.corpora.wfdb_comments import comment_labels, summary
from elm_jax.data.manifest import Manifest, load_recordings


def test_a_real_record_of_ptb_has_fifteen_leads_and_its_summary_as_a_report(shared, tmp_path):
    folder, out = shared / "data" / "ptbdiag_wfdb", tmp_path / "out"
    assert prepare("wfdb_folder", folder, out, "--lead_order", "file") == 0
    (row,) = load_recordings(out)
    assert Manifest.load(out).spec.channels == (
        "I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6", "Vx", "Vy", "Vz",
    )  # fmt: skip
    assert row.pieces[0].n_samples == 9600 and not Manifest.load(out).defects
    (report,) = row.reports
    assert "Reason for admission: Myocardial infarction" in report and "Diagnose:" in report
    assert "n/a" not in report and "Peripheral blood Pressure (syst/diast): 140/80 mmHg" in report
    labels = row.labels
    assert (labels["age"], labels["sex"], labels["smoker"]) == (81, "female", "no")
    assert labels["number_of_coronary_vessels_involved"] == 1 and "echocardiography" not in labels


def test_twelve_leads_of_fifteen_are_taken_unless_told_otherwise(tmp_path):
    x = beats(15, 20)
    write_record(tmp_path / "in", "s", x, labels=(*(n.lower() for n in TWELVE), "vx", "vy", "vz"))
    assert prepare("wfdb_folder", tmp_path / "in", tmp_path / "out") == 0
    assert len(Manifest.load(tmp_path / "out").spec.channels) == 12


def test_people_are_named_by_a_pattern_a_table_or_else_each_is_another(tmp_path, capsys):
    for name in ("patient001/a", "patient001/b", "patient002/a"):
        parent, _, stem = name.partition("/")
        write_record(tmp_path / "in" / parent, stem, beats(seed=len(name)))
    assert prepare("wfdb_folder", tmp_path / "in", tmp_path / "one") == 0
    assert "No people are named" in capsys.readouterr().out
    pattern = ("--person_pattern", r"patient\d+")
    assert prepare("wfdb_folder", tmp_path / "in", tmp_path / "two", *pattern) == 0
    people = Manifest.load(tmp_path / "two").people
    assert sorted(p for some in people.values() for p in some) == [
        "local:patient001", "local:patient002",
    ]  # fmt: skip
    table = tmp_path / "people.csv"
    table.write_text("recording,person\npatient001/a,x\npatient001/b,y\npatient002/a,x\n")
    assert prepare("wfdb_folder", tmp_path / "in", tmp_path / "three", "--people", table) == 0
    rows = {row.recording: row.person for row in load_recordings(tmp_path / "three")}
    assert rows["patient002/a"] == rows["patient001/a"] == "local:x"


def test_reports_of_ones_own_are_added(tmp_path):
    write_record(tmp_path / "in", "r", beats(), comments=("a summary",))
    reports = tmp_path / "reports.jsonl"
    reports.write_text(json.dumps({"file": "r.hea", "person": "p", "report": "Sinus rhythm."}))
    assert prepare("wfdb_folder", tmp_path / "in", tmp_path / "out", "--reports", reports) == 0
    (row,) = load_recordings(tmp_path / "out")
    assert "Sinus rhythm." in row.reports and row.person == "local:p"


def test_segments_of_a_record_are_no_recordings_of_their_own(tmp_path):
    x = beats(seconds=20)
    write_record(tmp_path / "in", "m_1", x[:, :1200])
    write_record(tmp_path / "in", "m_2", x[:, 1200:])
    lines = ("m/2 12 100 2000", "m_1 1200", "m_2 800")
    (tmp_path / "in" / "m.hea").write_text("\n".join(lines) + "\n")
    assert prepare("wfdb_folder", tmp_path / "in", tmp_path / "out") == 0
    (row,) = load_recordings(tmp_path / "out")
    assert row.recording == "m" and row.pieces[0].n_samples == 5000


def test_the_commonest_order_of_leads_is_the_files(tmp_path):
    for i in range(3):
        labels = ("V1", "I", "II") if i else ("I", "II", "V1", "V2")
        write_record(tmp_path / "in", f"r{i}", beats(len(labels), seed=i), labels=labels)
    out = tmp_path / "out"
    assert prepare("wfdb_folder", tmp_path / "in", out, "--lead_order", "file") == 0
    assert Manifest.load(out).spec.channels == ("V1", "I", "II")
    assert len(load_recordings(out)) == 3


def test_a_folder_of_broken_headers_is_told_why_file_by_file(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "r.hea").write_text("nonsense\n")
    assert prepare("wfdb_folder", tmp_path / "in", tmp_path / "out") == 2
    assert "bad_header" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("comments", "labels"),
    [
        (("Age: 81", "Sex: F"), {"age": 81, "sex": "female"}),
        (("Age: NaN", "Gender: male"), {"sex": "male"}),
        (("age: -1", "age: 30"), {"age": 30}),
        (("Dx: 164889003, 426783006",), {"dx": ["164889003", "426783006"],
                                         "diagnosis": ["AF", "NSR"]}),
        (("Dx: Unknown", "no colon", ": x", "a b-C: 1,2"), {"a_b_c": "1,2"}),
    ],
)  # fmt: skip
def test_comments_become_labels_and_what_is_unknown_is_none(comments, labels):
    assert comment_labels(comments)[0] == labels


def test_a_summary_leaves_out_what_says_nothing():
    lines = ("Diagnose:", "Smoker: no", "Echo: n/a", "Date:  unknown", "free  text")
    assert summary(lines) == "Diagnose:\nSmoker: no\nfree text"


def test_every_code_of_the_challenges_has_an_abbreviation_of_its_own_and_words():
    assert len(KNOWN) == 133 and len({d.name for d in KNOWN.values()}) == len(KNOWN)
    assert all(d.description and d.code.isdigit() for d in KNOWN.values())
    assert [d.name for d in diagnoses(["164889003", "af", "AF", "7", ""])] == ["AF", "7"]
