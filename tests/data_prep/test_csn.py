import numpy as np
import pytest
from ecg_layouts import STANDARD, ecg_mv, write_csv, write_wfdb

from data_prep.arguments import parse
from data_prep.corpora.base import CorpusError
from data_prep.corpora.csn import Csn
from data_prep.prepare import main
from elm_jax.data.manifest import Manifest, load_recordings

NAMES = [
    ("SB", "Sinus Bradycardia", "426177001"),
    ("SR", "Sinus Rhythm", "426783006"),
    ("TWC", "T wave Change", "164934002"),
    ("MIBW", "Myocardial infraction in back wall", "164865005"),
    ("MIFW", "Myocardial infraction in the front wall", "164865005"),
]


def comments(age=85, sex="Male", dx="426177001"):
    """What headers of the corpus say."""
    return (f"Age: {age}", f"Sex: {sex}", f"Dx: {dx}", "Rx: Unknown", "Hx: Unknown", "Sx: Unknown")


def record(folder, name, said, *, parent="WFDBRecords/01/010", leads=STANDARD):
    """A record of 10 s at 500 Hz with a .mat."""
    write_wfdb(folder / parent / name, ecg_mv(leads), leads, mat=True, comments=said)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "csn"
    record(path, "JS00001", comments(dx="426177001,164934002"))
    record(path, "JS00002", comments("NaN", "Unknown", "426783006"))
    record(path, "JS10647", comments(59, "Female", "164865005,999999"), parent="WFDBRecords/02/020")
    write_csv(
        path / "ConditionNames_SNOMED-CT.csv", ("Acronym Name", "Full Name", "Snomed_CT"), NAMES
    )
    (path / "WFDBRecords/01/010/RECORDS").write_text("JS00001\nJS00002\nJS00003\n")
    return path


def listed(folder, *words):
    """The sources by name, and the findings as (kind, file, detail)."""
    args = parse(["csn", "--input", str(folder), "--out", "x", *words])
    corpus = Csn()
    sources = {source.recording: source for source in corpus.sources(args)}
    return sources, [(f["kind"], f["file"], f["detail"]) for f in corpus.findings]


def test_a_folder_of_something_else_says_what_was_looked_for(folder, tmp_path):
    with pytest.raises(CorpusError, match="no such folder"):
        listed(tmp_path / "none")
    other = tmp_path / "other"
    write_wfdb(other / "A0001", ecg_mv(), STANDARD)
    with pytest.raises(
        CorpusError, match=r"layout of csn, such as WFDBRecords/01/010/JS00001\.hea"
    ):
        listed(other)
    write_csv(folder / "ConditionNames_SNOMED-CT.csv", ("Acronym Name", "Full Name"), [])
    with pytest.raises(CorpusError, match=r"ConditionNames_SNOMED-CT\.csv: lacks Snomed_CT"):
        listed(folder)


def test_diagnoses_have_the_tables_names_and_codes_without_one_are_listed(folder):
    sources, findings = listed(folder, "--ecg_text", "statements")
    assert sources["JS00001"].labels == {
        "age": 85, "sex": "male", "dx": ["426177001", "164934002"], "diagnosis": ["SB", "TWC"],
    }  # fmt: skip
    assert sources["JS00001"].reports == ("Sinus Bradycardia. T wave Change.",)
    assert sources["JS00001"].person == "csn:JS00001" and sources["JS00001"].split is None
    # Neither age nor sex is known; it is no person of 0 years.
    assert sources["JS00002"].labels == {"dx": ["426783006"], "diagnosis": ["SR"]}
    # Two lines of the table share the code: it is an infarction, of no one wall.
    assert sources["JS10647"].labels["diagnosis"] == ["MI", "999999"]
    assert sources["JS10647"].reports == ("Myocardial infarction.",)
    assert [(kind, file) for kind, file, _ in findings] == [
        ("code_unknown", "WFDBRecords/02/020/JS10647.hea"),
        ("file_missing", "WFDBRecords/01/010/RECORDS"),
    ]
    assert findings[1][2] == "JS00003.hea"
    assert all(source.reports == () for source in listed(folder)[0].values())


def test_the_challenges_layout_has_its_abbreviations_and_says_so(tmp_path):
    record(tmp_path, "JS00001", comments(dx="426177001"), parent="g1")
    record(tmp_path, "JS20001", comments(dx="59118001"), parent="g2")
    sources, findings = listed(tmp_path)
    assert [s.labels["diagnosis"] for s in sources.values()] == [["SB"], ["RBBB"]]
    assert [kind for kind, *_ in findings] == ["sidecar_missing"]


def test_one_record_in_two_folders_is_used_once(folder):
    record(folder, "JS00001", comments(dx="426783006"), parent="g1")
    sources, findings = listed(folder)
    assert sources["JS00001"].file == "WFDBRecords/01/010/JS00001.hea"
    assert ("record_doubled", "g1/JS00001.hea") in [(kind, file) for kind, file, _ in findings]


def test_that_each_recording_is_a_person_is_published_and_no_warning(folder, tmp_path, capsys):
    words = ["--input", str(folder), "--out", str(tmp_path / "out"), "--workers", "0"]
    assert main(["csn", *words]) == 0
    said = capsys.readouterr().out
    assert "Prepared corpus 'csn'" in said and "No people are named" not in said


def test_broken_headers_and_records_are_listed_and_the_others_prepared(folder, tmp_path):
    broken = folder / "WFDBRecords/01/010/JS01052"
    broken.with_suffix(".hea").write_text("JS01052 12 500 5000\nJS01052.mat 16+24\n#Age: 3\n")
    record(folder, "JS23074", comments(), leads=STANDARD[1:])
    record(folder, "JS00004", comments())
    (folder / "WFDBRecords/01/010/JS00004.mat").unlink()
    holes = ecg_mv()
    holes[3, 2000:] = np.nan
    write_wfdb(
        folder / "WFDBRecords/01/010/JS00005", holes, STANDARD, mat=True, comments=comments()
    )
    out = tmp_path / "out"
    words = ["--input", str(folder), "--out", str(out), "--workers", "0"]
    assert main(["csn", *words, "--window_s", "4"]) == 0
    rows = {row.recording: row for row in load_recordings(out)}
    assert set(rows) == {"JS00001", "JS00002", "JS10647", "JS00005"}
    assert rows["JS00005"].pieces[0].n_samples == 1000  # what is good of it
    found = {(d["kind"], d["file"].rpartition("/")[2]) for d in Manifest.load(out).defects}
    assert {
        ("bad_header", "JS01052.hea"), ("missing_leads", "JS23074.hea"),
        ("signal_missing", "JS00004.hea"), ("non_finite", "JS00005.hea"),
    } <= found  # fmt: skip
