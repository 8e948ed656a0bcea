import re

import numpy as np
import pytest
from ecg_layouts import (
    MIMIC_COLUMNS,
    MIMIC_LEADS,
    ecg_mv,
    mimic_list,
    mimic_path,
    mimic_row,
    write_csv,
    write_wfdb,
)

from data_prep.arguments import parse
from data_prep.corpora.base import CorpusError
from data_prep.corpora.mimic_iv_ecg import MimicIvEcg
from data_prep.prepare import main
from elm_jax.data.manifest import Manifest, load_recordings
from elm_jax.signals.ecg.leads import WANTED_ORDER

ANNA, BEN, CARL = 10000032, 10001725, 10002930
REPORT = ("Sinus rhythm", "", "Possible inferior infarct.", "Abnormal ECG")
MEASURED = {"p_onset": 40, "qrs_onset": 180, "qrs_axis": "-27", "t_axis": "29999"}


@pytest.fixture
def folder(tmp_path):
    """Three people, five listed records; one is not there, one has no row, one no report."""
    path = tmp_path / "mimic"
    records = [
        (ANNA, 40689238),
        (ANNA, 44458630),
        (BEN, 41420867),
        (BEN, 45090959),
        (CARL, 49036311),
    ]
    for subject, study in records[:4]:
        write_wfdb(path / mimic_path(subject, study), ecg_mv(MIMIC_LEADS), MIMIC_LEADS, per_mv=200)
    mimic_list(path, records)
    write_csv(
        path / "machine_measurements.csv",
        MIMIC_COLUMNS,
        [
            mimic_row(ANNA, 40689238, REPORT, **MEASURED),
            mimic_row(ANNA, 44458630, rr_interval="65535"),
            mimic_row(BEN, 41420867, ["Sinus rhythm"], p_axis="nobody"),
            mimic_row(CARL, 49036311, ["Normal ECG"]),
        ],
    )  # fmt: skip
    return path


def listed(folder, *words):
    """The sources by name, and the findings as (kind, file)."""
    args = parse(["mimic_iv_ecg", "--input", str(folder), "--out", "x", *words])
    corpus = MimicIvEcg()
    sources = {source.recording: source for source in corpus.sources(args)}
    return sources, [(f["kind"], f["file"], f["detail"]) for f in corpus.findings]


def rewrite(path, pattern, text):
    path.write_text(re.sub(pattern, text, path.read_text(), count=1))


@pytest.mark.parametrize(
    "table, pattern, text, message",
    [
        (
            "record_list.csv",
            "study_id",
            "study",
            "record_list.csv: lacks study_id; expected the list",
        ),
        ("record_list.csv", "file_name", "path", "has path twice"),
        ("record_list.csv", "files/p1000", "../p1000", r"record_list.csv:2: .* has the path"),
        (
            "record_list.csv",
            ",2180[^\n]*",
            "",
            r"record_list.csv:2: 3 cells, expected 5 .* cut short",
        ),
        ("machine_measurements.csv", "report_17,", "", "lacks report_17"),
        ("machine_measurements.csv", "Sinus", '"Sin"us', "is no table of commas"),
    ],
)
def test_tables_that_are_not_as_published_are_refused_by_name_and_line(
    table, pattern, text, message, folder
):
    rewrite(folder / table, pattern, text)
    with pytest.raises(CorpusError, match=message):
        listed(folder)


def test_a_missing_table_or_no_record_at_all_says_what_to_give(folder, tmp_path, capsys):
    for name in ("machine_measurements.csv", "record_list.csv"):
        (folder / name).rename(tmp_path / "away")
        with pytest.raises(CorpusError, match=rf"has no {name}; give the folder of"):
            listed(folder)
        (tmp_path / "away").rename(folder / name)
    (folder / "files").rename(tmp_path / "files")
    assert main(["mimic_iv_ecg", "--input", str(folder), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "none of them is there" in said and "file_missing" in said
    (folder / "record_list.csv").write_bytes("subject_id,study_id,path\n1,2,é\n".encode("latin-1"))
    with pytest.raises(CorpusError, match="is not UTF-8"):
        listed(folder)


def test_what_the_tables_lack_is_kept_and_counted(folder):
    sources, findings = listed(folder)
    assert set(sources) == {"40689238", "44458630", "41420867", "45090959"}
    assert [(kind, file) for kind, file, _ in findings] == [
        ("file_missing", "record_list.csv"),
        *[("number_unreadable", "machine_measurements.csv")] * 3,
        ("report_empty", f"{mimic_path(ANNA, 44458630)}.hea"),
        ("row_missing", f"{mimic_path(BEN, 45090959)}.hea"),
    ]
    assert sources["44458630"].reports == sources["45090959"].reports == ()
    assert sources["44458630"].labels == sources["45090959"].labels == {}


def test_reports_are_joined_in_order_and_measurements_have_units(folder):
    sources, _ = listed(folder)
    first = sources["40689238"]
    assert first.reports == ("Sinus rhythm. Possible inferior infarct. Abnormal ECG.",)
    assert first.person == f"mimic:{ANNA}" and first.split is None
    # No axis has 29999 degrees.
    assert first.labels == {
        "rr_interval_ms": 800, "p_onset_ms": 40, "qrs_onset_ms": 180, "qrs_axis_deg": -27,
    }  # fmt: skip
    assert sources["41420867"].labels == {"rr_interval_ms": 800}


def test_doubled_ids_and_rows_of_another_person_are_listed_and_never_mixed(folder):
    table = folder / "record_list.csv"
    lines = table.read_text().splitlines()
    other = lines[1].replace(str(ANNA), str(CARL), 1).replace("40689238,", "40689239,")
    table.write_text("\n".join([*lines, lines[1], other]) + "\n")
    measured = folder / "machine_measurements.csv"
    rows = measured.read_text().splitlines()
    stranger = rows[3].replace(str(BEN), str(ANNA), 1)
    measured.write_text("\n".join([*rows[:3], stranger, rows[1].replace("Sinus", "Other")]) + "\n")
    sources, findings = listed(folder)
    kinds = [kind for kind, *_ in findings]
    assert kinds.count("row_doubled") == 2 and kinds.count("person_conflict") == 2
    # The folder says whose a record is, too; what two rows say differently is nobody's.
    assert "40689239" not in sources and "41420867" not in sources
    assert sources["40689238"].reports[0].startswith("Sinus")


def test_a_part_of_the_corpus_says_how_much_is_not_there(folder):
    mimic_list(folder, [(ANNA, 40689238), *((BEN, 50000000 + i) for i in range(1000))])
    _, findings = listed(folder)
    missing = [detail for kind, _, detail in findings if kind == "file_missing"]
    assert len(missing) == 21 and missing[-1] == "and 980 more like the 20 above"


def test_no_header_is_opened_while_planning(folder, monkeypatch):
    from elm_jax.signals.ecg import wfdb_file

    def refuse(*_):
        raise AssertionError("a header was opened")

    monkeypatch.setattr(wfdb_file, "read_header_text", refuse)
    sources, _ = listed(folder, "--lead_order", "file")
    assert len(sources) == 4
    args = parse(["mimic_iv_ecg", "--input", str(folder), "--out", "x", "--lead_order", "file"])
    corpus = MimicIvEcg()
    corpus.sources(args)
    assert corpus.order == MIMIC_LEADS


def test_listings_are_the_same_every_time(folder):
    first, second = listed(folder), listed(folder)
    assert list(first[0].values()) == list(second[0].values()) and first[1] == second[1]


def test_prepared_leads_are_in_the_wanted_order_by_name_and_holes_are_listed(folder, tmp_path):
    holes = ecg_mv(MIMIC_LEADS)
    holes[5] = np.nan
    write_wfdb(folder / mimic_path(BEN, 45090959), holes, MIMIC_LEADS, per_mv=200)
    (folder / f"{mimic_path(BEN, 41420867)}.hea").unlink()
    out = tmp_path / "out"
    words = ["--input", str(folder), "--out", str(out), "--split", "train=0.5,valid=0,test=0.5"]
    assert main(["mimic_iv_ecg", *words, "--workers", "0"]) == 0
    manifest = Manifest.load(out)
    assert manifest.spec.channels == WANTED_ORDER and manifest.spec.unit == "mV"
    assert manifest.options["ecg_text"] == "report"
    kinds = {defect["kind"] for defect in manifest.defects}
    assert "unit_suspect" not in kinds  # a lead without numbers is in no wrong unit
    assert {"non_finite", "nothing_left", "unreadable_file", "report_empty"} <= kinds
    rows = {row.recording: row for row in load_recordings(out)}
    assert set(rows) == {"40689238", "44458630"}  # both of one person: in one split
    assert len({row.split for row in rows.values()}) == 1
    from elm_jax.data.shards import ShardReader

    split = rows["40689238"].split
    signal = ShardReader(out, split).read(rows["40689238"].pieces[0].index) / 3200
    peaks = signal.max(axis=1)
    # aVL before aVR, of which the file has another order: 0.1 mV more from lead to lead.
    assert peaks == pytest.approx([0.5, 0.6, 0.7, 0.9, 0.8, *np.arange(1.0, 1.65, 0.1)], abs=0.06)
