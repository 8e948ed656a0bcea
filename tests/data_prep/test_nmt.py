import argparse

import h5py
import numpy as np
import pytest
from layouts import edf_bytes, kinds, prepare, records

from data_prep.corpora.base import CorpusError
from data_prep.corpora.nmt import Nmt
from elm_jax.data.manifest import Manifest, load_recordings

ELECTRODES = "FP1 FP2 F7 F3 FZ F4 F8 T3 C3 CZ C4 T4 T5 P3 PZ P4 T6 O1 O2".split()
FILES = {
    "0000001": ("normal", "train", 34, "male"),
    "0000002": ("abnormal", "train", 7, "female"),
    "0000003": ("normal", "eval", 0.5, "female"),
    "0000004": ("abnormal", "eval", 81, "not specified"),
}


def table(folder, lines, end="\n", name="Labels.csv"):
    text = "".join(line + end for line in ("recordname,label,age,gender,loc", *lines))
    (folder / name).write_bytes(text.encode())


def rows():
    return [f"{n}.edf,{label},{age},{sex},{loc}" for n, (label, loc, age, sex) in FILES.items()]


@pytest.fixture
def write_nmt(write_edf):
    """write_nmt(path, seed, true_uv): a file that holds ``true_uv`` of what is EEG, in "uV"."""

    def write(path, seed=0, times=0.01, seconds=75):
        rng = np.random.default_rng(seed)
        noise = rng.normal(size=(19, seconds * 200)).cumsum(axis=1)
        noise -= np.linspace(0, 1, noise.shape[1]) * noise[:, -1:]
        # The header's range is 100 times smaller as well, so that no bits are lost.
        data = edf_bytes(noise * 4, ELECTRODES, 200)
        if times != 1:
            old = b"".join(x.ljust(8).encode() * 19 for x in ("-3276.8", "3276.7"))
            new = [f"{float(x) * times:.6g}".ljust(8)[:8] for x in ("-3276.8", "3276.7")]
            assert data.count(old) == 1
            data = data.replace(old, b"".join(x.encode() * 19 for x in new))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    return write


@pytest.fixture
def nmt(tmp_path, write_nmt):
    """Four recordings of four people, 100 times too small; returns the release."""
    root = tmp_path / "nmt_scalp_eeg_dataset"
    for seed, (name, (label, loc, _, _)) in enumerate(FILES.items()):
        write_nmt(root / label / loc / f"{name}.edf", seed)
    table(root, rows())
    return root


def args(folder, factor=100.0):
    return argparse.Namespace(input=folder, institution=None, nmt_unit_factor=factor)


def test_labels_and_published_splits_land_in_the_shards(nmt, tmp_path):
    assert prepare("nmt", nmt, tmp_path / "out") == 0
    manifest = Manifest.load(tmp_path / "out")
    assert {k: v for k, v in manifest.people.items()} == {
        "train": ("nmt:0000001", "nmt:0000002"), "valid": (),
        "test": ("nmt:0000003", "nmt:0000004"),
    }  # fmt: skip
    by_name = {r.recording: r.labels for r in load_recordings(tmp_path / "out")}
    assert by_name["0000002"] == {
        "pathology": "abnormal", "abnormal": 1, "age": 7, "sex": "F", "eval_set": "NMT_train",
    }  # fmt: skip
    assert by_name["0000003"]["age"] == 0.5 and by_name["0000003"]["eval_set"] == "NMT_eval"
    assert by_name["0000004"]["age"] == 81 and "sex" not in by_name["0000004"]
    assert records(tmp_path / "out", "test")[1][1]["abnormal"] == 1
    assert manifest.counts["labels"]["pathology"]["test"]["normal"]["recordings"] == 1
    assert kinds(manifest) == []


def test_the_unit_error_is_mended_and_the_factor_is_stated(nmt, tmp_path, write_nmt, capsys):
    assert prepare("nmt", nmt, tmp_path / "out") == 0
    assert "multiplied by 100 (--nmt_unit_factor)" in capsys.readouterr().out
    manifest = Manifest.load(tmp_path / "out")
    assert manifest.options["nmt_unit_factor"] == 100
    right = tmp_path / "right"
    for seed, (name, (label, loc, _, _)) in enumerate(FILES.items()):
        write_nmt(right / label / loc / f"{name}.edf", seed, times=1)
    assert prepare("nmt", right, tmp_path / "same", "--nmt_unit_factor", 1) == 0
    for split in ("train", "test"):
        pairs = zip(records(tmp_path / "out", split), records(tmp_path / "same", split),
                    strict=True)  # fmt: skip
        for (_, _, mended), (_, _, true) in pairs:
            assert np.abs(mended.astype(int) - true).max() <= 1


def test_another_factor_is_another_preparation(nmt, tmp_path, capsys):
    assert prepare("nmt", nmt, tmp_path / "out") == 0
    assert prepare("nmt", nmt, tmp_path / "out", "--nmt_unit_factor", 10) == 2
    assert "nmt_unit_factor: there 100.0, now 10.0" in capsys.readouterr().err


def test_files_that_are_right_as_stated_are_refused(nmt, tmp_path, write_nmt, capsys):
    write_nmt(nmt / "normal" / "train" / "0000001.edf", times=1)
    assert prepare("nmt", nmt, tmp_path / "out") == 0
    manifest = Manifest.load(tmp_path / "out")
    assert manifest.counts["skipped"] == {"unit_not_wrong": 1}
    (defect,) = manifest.defects
    assert "--nmt_unit_factor 1" in defect["detail"] and defect["file"].endswith("0000001.edf")
    capsys.readouterr()
    # A whole release that was mended: nothing is usable, and the dry run says why.
    for name, (label, loc, _, _) in FILES.items():
        write_nmt(nmt / label / loc / f"{name}.edf", times=1)
    assert prepare("nmt", nmt, tmp_path / "none") == 2
    assert "4  unit_not_wrong" in capsys.readouterr().err
    assert prepare("nmt", nmt, tmp_path / "none", "--dry_run") == 1
    assert "a copy in which the unit is mended?" in capsys.readouterr().out


def test_values_too_small_even_after_the_factor_are_used_and_listed(nmt, tmp_path, write_nmt):
    write_nmt(nmt / "normal" / "train" / "0000001.edf", times=0.0001)
    assert prepare("nmt", nmt, tmp_path / "out") == 0
    assert kinds(Manifest.load(tmp_path / "out")) == ["unit_suspect"]


@pytest.mark.parametrize("factor", ["0", "-1", "nan", "inf"])
def test_a_factor_must_be_a_positive_number(nmt, tmp_path, factor):
    with pytest.raises(SystemExit):
        prepare("nmt", nmt, tmp_path / "out", "--nmt_unit_factor", factor)


def test_a_table_with_windows_line_ends_semicolons_and_capitals_reads(nmt):
    lines = [row.replace("male", "Male").replace(".edf", ".EDF") for row in rows()]
    (nmt / "Labels.csv").unlink()
    text = "\r\n".join(["RecordName,Label,Age,Gender,Loc", *lines]).replace(",", ";")
    (nmt / "labels.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    corpus = Nmt()
    assert corpus.sources(args(nmt))[1].labels["sex"] == "F" and not corpus.findings


def test_a_table_that_misses_recordings_or_has_more_is_listed(nmt):
    table(nmt, [*rows()[1:], "0000009.edf,normal,20,male,train"])
    corpus = Nmt()
    by_name = {s.recording: s for s in corpus.sources(args(nmt))}
    assert len(by_name) == 4 and "age" not in by_name["0000001"].labels
    assert by_name["0000001"].labels["abnormal"] == 0
    assert [(f["kind"], f["detail"]) for f in corpus.findings] == [
        ("recording_without_label", "Labels.csv has no such recordname"),
        ("label_without_recording", "0000009"),
    ]


def test_without_a_table_the_folders_say_what_they_can(nmt):
    (nmt / "Labels.csv").unlink()
    corpus = Nmt()
    assert {s.labels["abnormal"] for s in corpus.sources(args(nmt))} == {0, 1}
    assert [f["kind"] for f in corpus.findings] == ["recording_without_label"]


@pytest.mark.parametrize(
    "row", ["0000001.edf,abnormal,34,male,train", "0000001,normal,3,male,eval"]
)
def test_a_recording_on_which_folder_and_table_differ_is_skipped(nmt, tmp_path, row):
    table(nmt, [row, *rows()[1:]])
    assert prepare("nmt", nmt, tmp_path / "out") == 0
    assert Manifest.load(tmp_path / "out").counts["skipped"] == {"label_conflict": 1}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([*rows(), "0000001.edf,normal,35,male,train"], r"Labels\.csv:6: '0000001' has another"),
        (["0000001.edf,normal,34,male"], r"Labels\.csv:2: has fewer cells"),
    ],
)
def test_a_broken_table_is_an_error(nmt, lines, said):
    table(nmt, lines)
    with pytest.raises(CorpusError, match=said):
        Nmt().sources(args(nmt))


def test_a_table_without_its_columns_is_an_error(nmt):
    (nmt / "Labels.csv").write_text("recordname,label\n0000001.edf,normal\n")
    with pytest.raises(CorpusError, match="lacks the columns age, gender, loc"):
        Nmt().sources(args(nmt))


@pytest.mark.parametrize("inside", ["..", ".", "normal", "normal/train"])
def test_the_input_may_be_any_folder_of_the_release_and_the_table_is_found(nmt, inside):
    sources = Nmt().sources(args((nmt / inside).resolve()))
    assert sources[0].labels.get("age") is not None


def test_files_outside_the_layout_are_listed_and_nothing_else_is_an_error(nmt, tmp_path):
    (nmt / "normal" / "x.edf").write_bytes(b"")
    corpus = Nmt()
    assert len(corpus.sources(args(nmt))) == 4
    assert [f["kind"] for f in corpus.findings] == ["not_in_layout"]
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "x.edf").write_bytes(b"")
    with pytest.raises(CorpusError, match="layout of nmt, such as normal/train"):
        Nmt().sources(args(tmp_path / "y"))


def test_hdf5_has_age_sex_and_pathology_as_elm_has_them(nmt, tmp_path):
    assert prepare("nmt", nmt, tmp_path / "out", "--hdf5", tmp_path / "nmt.h5") == 0
    with h5py.File(tmp_path / "nmt.h5") as h5:
        assert h5["PAT"][()].tolist() == h5["pathology"][()].tolist()
        assert sorted(set(h5["age"][()])) == [0.5, 7, 34, 81]
        assert sorted(set(h5["eval_sets"].asstr()[()])) == ["NMT_eval", "NMT_train"]
        # By recording: male, female, female, not known.
        first = np.searchsorted(h5["subject_ids"][()], range(4))
        assert h5["sex"][()][first].tolist() == [0, 1, 1, 2]
        assert h5["features"].attrs["unit"] == "1e5V" and 0.1 < h5["features"][()].std() < 40
    back = tmp_path / "back"
    assert prepare("hdf5", tmp_path / "nmt.h5", back, "--hdf5_unit", "1e5V") == 0
    assert [r.labels.get("sex") for r in load_recordings(back)] == ["M", "F", "F", None]
    with h5py.File(tmp_path / "nmt.h5", "r+") as h5:
        h5["sex"].attrs["words"] = '["M"]'
    assert prepare("hdf5", tmp_path / "nmt.h5", tmp_path / "no", "--hdf5_unit", "1e5V") == 2
