"""PTB-XL: values as wfdb reads them, folds as splits, labels as its benchmark computes them."""

import csv
import json

import numpy as np
import pytest
import wfdb
from layouts import kinds, prepare, records
from wfdb_records import ROWS, beats, write_ptbxl, write_record

from elm_jax.data.manifest import Manifest, load_recordings
from elm_jax.data.shards import ShardReader
from elm_jax.signals.ecg.leads import STANDARD_ORDER, WANTED_ORDER

SLOW = ("--records", 100, "--sfreq_hz", 100)


@pytest.fixture(scope="module")
def ptbxl(tmp_path_factory):
    """Four recordings of three people in both rates."""
    return write_ptbxl(tmp_path_factory.mktemp("ptbxl"))


def by_name(out):
    return {row.recording: row for row in load_recordings(out)}


def failed(capsys):
    return capsys.readouterr().err


def test_real_records_are_stored_as_wfdb_reads_them_with_their_reports(shared, tmp_path):
    source, folder = shared / "data" / "ptbxl", tmp_path / "ptbxl"
    folder.mkdir()
    with (source / "ptbxl_database.csv").open() as file:
        rows = list(csv.reader(file))[:13]
    with (folder / "ptbxl_database.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    for name in ("scp_statements.csv", "records100"):
        (folder / name).symlink_to(source / name)
    assert prepare("ptbxl", folder, tmp_path / "out", *SLOW) == 0
    manifest, found = Manifest.load(tmp_path / "out"), by_name(tmp_path / "out")
    assert manifest.spec.channels == WANTED_ORDER and manifest.spec.unit == "mV"
    assert len(found) == 12 and not manifest.defects
    for split in ("train", "valid", "test"):
        for row in [r for r in found.values() if r.split == split]:
            read = wfdb.rdrecord(str(source / "records100" / "00000" / f"{row.recording}_lr"))
            order = [read.sig_name.index(name.upper()) for name in WANTED_ORDER]
            stored = ShardReader(tmp_path / "out", split).read(row.pieces[0].index)
            np.testing.assert_allclose(
                stored / manifest.steps_per_unit, read.p_signal.T[order], atol=0.51 / 3200
            )
    texts = {f"{int(cells[0]):05d}": cells[rows[0].index("report")] for cells in rows[1:]}
    assert {name: row.reports for name, row in found.items()} == {
        name: (text,) for name, text in texts.items()
    }


def test_a_hundred_hz_and_five_hundred_hz_files_become_the_same_signal(shared, tmp_path):
    source, folder = shared / "data" / "ptbxl", tmp_path / "ptbxl"
    folder.mkdir()
    with (source / "ptbxl_database.csv").open() as file:
        rows = list(csv.reader(file))[:4]
    with (folder / "ptbxl_database.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    for name in ("scp_statements.csv", "records100", "records500"):
        (folder / name).symlink_to(source / name)
    signals = []
    for rate in (100, 500):
        out = tmp_path / str(rate)
        assert prepare("ptbxl", folder, out, "--records", rate, "--folds", "train=1-10") == 0
        reader = ShardReader(out, "train")
        signals.append(np.stack([reader.read(i) for i in range(3)]) / 3200.0)
    inner = (slice(None), slice(None), slice(250, -250))
    slow, fast = (x - x.mean(-1, keepdims=True) for x in (signals[0][inner], signals[1][inner]))
    assert np.corrcoef(slow.ravel(), fast.ravel())[0, 1] > 0.98


def test_labels_are_those_of_the_benchmark_and_likelihood_0_counts(ptbxl, tmp_path):
    assert prepare("ptbxl", ptbxl, tmp_path / "out", *SLOW) == 0
    rows = by_name(tmp_path / "out")
    first, second = rows["00001"].labels, rows["00002"].labels
    assert first | {"scp_likelihood": None} == {
        "ecg_id": 1, "fold": 1, "age": 56, "sex": "male", "weight": 63, "site": 0,
        "device": "CS-12 E", "heart_axis": "LAD", "validated_by_human": True,
        "baseline_drift": "V6", "scp_codes": ["LVOLT", "NORM", "SR"], "scp_likelihood": None,
        "diagnostic": ["NORM"], "form": ["LVOLT"], "rhythm": ["SR"], "superclass": ["NORM"],
        "subclass": ["NORM"],
    }  # fmt: skip
    assert first["scp_likelihood"] == {"LVOLT": 0.0, "NORM": 100.0, "SR": 0.0}
    assert (second["superclass"], second["subclass"]) == (["MI", "STTC"], ["IMI", "STTC"])
    assert second["diagnostic"] == ["IMI", "NDT"] and second["form"] == ["NDT"]
    assert rows["00003"].labels["superclass"] == [] == rows["00003"].labels["diagnostic"]


def test_an_age_of_300_is_above_89_and_an_empty_one_is_not_known(ptbxl, tmp_path):
    assert prepare("ptbxl", ptbxl, tmp_path / "out", *SLOW) == 0
    rows = by_name(tmp_path / "out")
    assert rows["00002"].labels["age_over_89"] and "age" not in rows["00002"].labels
    assert not {"age", "age_over_89"} & set(rows["00003"].labels)
    assert rows["00002"].labels["sex"] == "female"


def test_people_and_folds_are_the_published_ones(ptbxl, tmp_path):
    assert prepare("ptbxl", ptbxl, tmp_path / "out", *SLOW) == 0
    assert Manifest.load(tmp_path / "out").people == {
        "train": ("ptbxl:10", "ptbxl:11"), "valid": ("ptbxl:22",), "test": ("ptbxl:23",),
    }  # fmt: skip


def test_folds_may_be_asked_for_and_others_are_left_out(ptbxl, tmp_path):
    assert prepare("ptbxl", ptbxl, tmp_path / "out", *SLOW, "--folds", "train=1,test=9-10") == 0
    splits = {name: row.split for name, row in by_name(tmp_path / "out").items()}
    assert splits == {"00001": "train", "00002": "test", "00003": "test"}
    options = Manifest.load(tmp_path / "out").options
    assert options["folds"] == {"train": [1], "test": [9, 10]} and options["records"] == "100"


@pytest.mark.parametrize("folds", ["train=1-8,test=8", "train=0", "dev=1", "train=1,train=2", "9"])
def test_folds_that_cannot_be_are_mistakes(ptbxl, tmp_path, folds, capsys):
    with pytest.raises(SystemExit):
        prepare("ptbxl", ptbxl, tmp_path / "out", "--folds", folds)
    assert "--folds" in failed(capsys)


@pytest.mark.parametrize(
    ("text", "reports"),
    [
        ("report", ("sinusrhythmus, normales ekg",)),
        ("statements", ("Normal ECG. Low QRS voltages. Sinus rhythm.",)),
        ("both", ("sinusrhythmus, normales ekg", "Normal ECG. Low QRS voltages. Sinus rhythm.")),
    ],
)
def test_texts_are_the_report_the_statements_or_both(ptbxl, tmp_path, text, reports):
    assert prepare("ptbxl", ptbxl, tmp_path / "out", *SLOW, "--ecg_text", text) == 0
    rows = by_name(tmp_path / "out")
    assert rows["00001"].reports == reports
    assert rows["00003"].reports == (() if text == "report" else ("Sinus rhythm.",))
    assert Manifest.load(tmp_path / "out").options["ecg_text"] == text


def test_a_code_without_a_description_is_kept_and_listed(ptbxl, tmp_path):
    assert prepare("ptbxl", ptbxl, tmp_path / "out", *SLOW) == 0
    manifest = Manifest.load(tmp_path / "out")
    assert kinds(manifest) == ["code_unknown"] and "NEW" in manifest.defects[0]["detail"]
    labels = by_name(tmp_path / "out")["00004"].labels
    assert "NEW" in labels["scp_codes"] and labels["superclass"] == ["NORM"]


def test_files_that_are_missing_are_named_with_the_option_for_the_others(tmp_path, capsys):
    folder = write_ptbxl(tmp_path / "in", rates=(100,))
    assert prepare("ptbxl", folder, tmp_path / "out") == 2
    said = failed(capsys)
    assert "4 of the 4 files at 500 Hz" in said and "records500/00000/00001_hr.hea" in said
    assert "--records 100" in said and not (tmp_path / "out").exists()
    assert prepare("ptbxl", folder, tmp_path / "out", "--records", 500) == 2
    assert "--records 100" in failed(capsys)


def test_some_missing_files_are_listed_where_the_rate_was_asked_for(tmp_path, capsys):
    folder = write_ptbxl(tmp_path / "in")
    for file in (folder / "records500" / "00000").glob("00001_hr.*"):
        file.unlink()
    assert prepare("ptbxl", folder, tmp_path / "out") == 2
    assert "--records 500 takes the 3 that are there" in failed(capsys)
    assert prepare("ptbxl", folder, tmp_path / "out", "--records", 500) == 0
    manifest = Manifest.load(tmp_path / "out")
    assert kinds(manifest) == ["code_unknown", "file_missing"]
    assert sorted(by_name(tmp_path / "out")) == ["00002", "00003", "00004"]


@pytest.mark.parametrize(
    ("order", "channels"),
    [("wanted", WANTED_ORDER), ("standard", STANDARD_ORDER), ("file", STANDARD_ORDER)],
)
def test_leads_have_the_order_that_is_asked_for(ptbxl, tmp_path, order, channels):
    out = tmp_path / "out"
    assert prepare("ptbxl", ptbxl, out, *SLOW, "--lead_order", order) == 0
    assert Manifest.load(out).spec.channels == channels
    (_, _, stored), *_ = records(out, "test")
    x = beats(sfreq_hz=100, seed=3)[[STANDARD_ORDER.index(name) for name in channels]]
    np.testing.assert_allclose(stored / 3200, x, atol=0.51 / 3200)


def test_single_leads_may_be_asked_for_by_any_spelling(ptbxl, tmp_path):
    assert prepare("ptbxl", ptbxl, tmp_path / "out", *SLOW, "--channels", "v1,Lead II,AVR") == 0
    assert Manifest.load(tmp_path / "out").spec.channels == ("V1", "II", "aVR")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--channels", "V1,V33"), "'V33' is no lead, such as II, aVR or V1; is V3 meant"),
        (("--channels", "V1", "--lead_order", "file"), "give one of them"),
        (("--channels", "dictionary"), "it is of electrodes"),
        (("--montage", "average"), "an ECG has leads"),
        (("--signal", "elm"), "signals of modality 'eeg', and ptbxl holds 'ecg'"),
        (("--resample", "mne_fft"), "are resampled by one of"),
        (("--input", "nowhere"), "has no ptbxl_database.csv (there is no such folder)"),
        (("--split", "train=0.8,valid=0.1,test=0.1"), "the folds of ptbxl say who is where"),
    ],
)
def test_what_an_ecg_does_not_have_is_a_mistake(ptbxl, tmp_path, capsys, words, said):
    assert prepare("ptbxl", ptbxl, tmp_path / "out", "--records", 100, *words) == 2
    assert said in failed(capsys)


def test_an_eeg_corpus_takes_no_signal_of_ecgs(folder, tmp_path, capsys):
    assert prepare("edf_folder", folder / "edf", tmp_path / "out", "--signal", "ecg") == 2
    assert "edf_folder holds 'eeg'" in failed(capsys)


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("ptbxl_database.csv", "strat_fold", "fold", "has no column strat_fold"),
        ("ptbxl_database.csv", "'NORM': 100.0", "__import__('os')", "scp_codes is"),
        ("ptbxl_database.csv", "10.0,56.0", "ten,56.0", ":2: patient_id is 'ten'"),
        ("ptbxl_database.csv", ",1,records100", ",11,records100", "is 11, expected 1 to 10"),
        ("ptbxl_database.csv", "records500/00000/00001_hr", "../x", "filename_hr is '../x'"),
        ("scp_statements.csv", "diagnostic_class", "class", "has no column diagnostic_class"),
    ],
)
def test_a_table_that_is_not_the_published_one_is_named(tmp_path, capsys, name, old, new, said):
    folder = write_ptbxl(tmp_path / "in", rates=(100,), rows={1: {}})
    text = (folder / name).read_text()
    (folder / name).write_text(text.replace(old, new, 1))
    assert prepare("ptbxl", folder, tmp_path / "out", "--records", 100) == 2
    assert said in failed(capsys) and name in said + str(folder / name)


def test_broken_records_are_skipped_and_named_and_the_rest_is_prepared(tmp_path, capsys):
    folder = write_ptbxl(tmp_path / "in", rates=(100,))
    parent = folder / "records100" / "00000"
    x = beats(seed=1)
    x[3] = 0.0
    write_record(parent, "00001_lr", x)
    (parent / "00002_lr.dat").unlink()
    out = tmp_path / "out"
    assert prepare("ptbxl", folder, out, *SLOW) == 0
    manifest, said = Manifest.load(out), capsys.readouterr().out
    assert manifest.counts["skipped"] == {"flat_channel": 1, "signal_missing": 1}
    assert {d["file"] for d in manifest.defects if d["kind"] == "flat_channel"} == {
        "records100/00000/00001_lr.hea"
    }
    assert "flat_channel: the electrode or lead does not vary in all of the recording" in said
    again = tmp_path / "kept"
    assert prepare("ptbxl", folder, again, *SLOW, "--flat_leads", "keep") == 0
    assert len(by_name(again)) == 3 and "flat_kept" in kinds(Manifest.load(again))


def test_a_dry_run_speaks_of_leads_and_classes(ptbxl, tmp_path, capsys):
    assert prepare("ptbxl", ptbxl, tmp_path / "out", "--records", 100, "--dry_run") == 0
    said = capsys.readouterr().out
    assert "Leads: I, II, III, aVL, aVR, aVF" in said and "superclass: MI + STTC" in said
    assert " leads  " in said.splitlines()[1] and "12 found" in said and "electrodes" not in said
    assert "band_narrowed: 100 Hz: nothing above 50 of 125 Hz" in said


def test_the_summary_counts_classes_by_split_and_names_a_recipe_of_ecgs(ptbxl, tmp_path, capsys):
    assert prepare("ptbxl", ptbxl, tmp_path / "out", *SLOW) == 0
    said = capsys.readouterr().out
    assert "label 'superclass'" in said and "configs/ecg_merl.py" in said and "Leads: I," in said
    counted = Manifest.load(tmp_path / "out").counts["labels"]["superclass"]
    assert counted["valid"] == {
        "MI": {"recordings": 1, "windows": 1}, "STTC": {"recordings": 1, "windows": 1},
    }  # fmt: skip


def test_a_corpus_to_score_on_alone_says_so_and_names_no_training(ptbxl, tmp_path, capsys):
    assert prepare("ptbxl", ptbxl, tmp_path / "out", *SLOW, "--folds", "test=10") == 0
    said = capsys.readouterr().out
    assert "Nobody is in split 'train'" in said
    assert "configs/ecg_zero_shot.py --config.model=MODEL --config.data.dir=" in said


def test_cleaning_and_resampling_are_stored_with_the_signal(ptbxl, tmp_path):
    words = ("--cleaning", "wavelet,baseline", "--notch_hz", 50, "--resample", "cubic")
    assert prepare("ptbxl", ptbxl, tmp_path / "out", *words, "--window_s", 5) == 0
    spec = Manifest.load(tmp_path / "out").spec
    assert (spec.cleaning, spec.notch_hz) == (("baseline", "wavelet"), (50.0,))
    assert (spec.resample, spec.window_samples, spec.lowpass_hz) == ("cubic", 1250, 125.0)
    assert Manifest.load(tmp_path / "out").counts["total"]["windows"] == 8


def test_a_rename_map_of_leads_is_read_and_a_wrong_one_named(ptbxl, tmp_path, capsys):
    rename = tmp_path / "rename.yaml"
    rename.write_text("II: V1\nV1: II\n")
    assert prepare("ptbxl", ptbxl, tmp_path / "out", *SLOW, "--rename", rename) == 0
    (_, _, stored), *_ = records(tmp_path / "out", "test")
    np.testing.assert_allclose(stored[6] / 3200, beats(seed=3)[1], atol=0.51 / 3200)
    rename.write_text("II: Fp1\n")
    assert prepare("ptbxl", ptbxl, tmp_path / "other", *SLOW, "--rename", rename) == 2
    assert "'Fp1', which is no known lead" in failed(capsys)


def test_preparing_again_after_a_changed_report_says_so(tmp_path, capsys):
    folder = write_ptbxl(tmp_path / "in", rates=(100,), rows={1: {}, 2: ROWS[2]})
    assert prepare("ptbxl", folder, tmp_path / "out", *SLOW) == 0
    table = folder / "ptbxl_database.csv"
    table.write_text(table.read_text().replace("normales", "abnormes"))
    assert prepare("ptbxl", folder, tmp_path / "out", *SLOW) == 2
    assert "prepared otherwise" in failed(capsys)


def test_ecgs_are_exported_in_elms_layout_too(ptbxl, tmp_path, capsys):
    import h5py

    out, target = tmp_path / "out", tmp_path / "out.h5"
    assert prepare("ptbxl", ptbxl, out, *SLOW, "--hdf5", target) == 0
    with h5py.File(target) as file:
        signal = file["features"]
        assert json.loads(signal.attrs["channels"]) == list(WANTED_ORDER)
        assert signal.attrs["unit"] == "1e5V" and signal.shape == (4, 12, 1000)
        x = beats(seed=1)[[STANDARD_ORDER.index(name) for name in WANTED_ORDER]]
        np.testing.assert_allclose(signal[0] / 100, x, atol=0.51 / 3200)
