import argparse

import h5py
import pytest
from layouts import REF, kinds, prepare

from data_prep.corpora.base import CorpusError
from data_prep.corpora.tuab import Tuab
from data_prep.split import settle_splits
from elm_jax.data.labels import window_labels
from elm_jax.data.manifest import Manifest, load_recordings
from elm_jax.data.pipeline import Windows

FILES = (
    "train/normal/01_tcp_ar/aaaaaaaa_s001_t000",
    "train/normal/01_tcp_ar/aaaaaaab_s001_t000",
    "train/abnormal/01_tcp_ar/aaaaaaac_s002_t001",
    "eval/normal/01_tcp_ar/aaaaaaad_s001_t000",
    "eval/abnormal/01_tcp_ar/aaaaaaae_s001_t000",
)


@pytest.fixture
def tuab(tmp_path, write_edf):
    """Three recordings to train on, two to test on; returns the release."""
    for i, stem in enumerate(FILES):
        write_edf(tmp_path / "tuab" / "edf" / f"{stem}.edf", seconds=75, seed=i, labels=REF)
    return tmp_path / "tuab"


def args(folder):
    return argparse.Namespace(input=folder, institution=None)


def test_every_window_is_labelled_as_its_recording_and_published_splits_are_kept(
    tuab, tmp_path, capsys
):
    assert prepare("tuab", tuab, tmp_path / "out") == 0
    rows = load_recordings(tmp_path / "out")
    assert {(r.recording[:8], r.split, r.labels["abnormal"]) for r in rows} == {
        ("aaaaaaaa", "train", 0), ("aaaaaaab", "train", 0), ("aaaaaaac", "train", 1),
        ("aaaaaaad", "test", 0), ("aaaaaaae", "test", 1),
    }  # fmt: skip
    train = [r for r in rows if r.split == "train"]
    # 75 s without their first 10, to a multiple of 10: 60 s, one set of windows a recording.
    assert window_labels(train, Windows.of(train, 500), "abnormal").tolist() == [0] * 24 + [1] * 12
    counted = Manifest.load(tmp_path / "out").counts["labels"]["pathology"]
    assert counted["train"]["normal"] == {"recordings": 2, "windows": 24}
    assert "label 'pathology'" in capsys.readouterr().out


def test_training_people_may_be_split_into_train_and_valid(tuab, tmp_path):
    assert prepare("tuab", tuab, tmp_path / "out", "--split", "train=0.5,valid=0.5") == 0
    people = Manifest.load(tmp_path / "out").people
    assert people["test"] == ("tuh:aaaaaaad", "tuh:aaaaaaae")
    assert sorted(people["train"] + people["valid"]) == [f"tuh:aaaaaaa{c}" for c in "abc"]
    assert people["valid"]


def test_who_is_in_both_published_sets_stays_in_the_evaluation_set_only(tuab, tmp_path, write_edf):
    write_edf(
        tuab / "edf" / "train" / "abnormal" / "01_tcp_ar" / "aaaaaaae_s002_t000.edf",
        seconds=75, labels=REF,
    )  # fmt: skip
    assert prepare("tuab", tuab, tmp_path / "out") == 0
    manifest = Manifest.load(tmp_path / "out")
    assert manifest.people["test"] == ("tuh:aaaaaaad", "tuh:aaaaaaae")
    assert manifest.counts["skipped"] == {"split_conflict": 1} and "split_conflict" in kinds(
        manifest
    )


def test_both_labels_of_one_person_in_the_training_set_are_kept(tuab, tmp_path, write_edf):
    write_edf(
        tuab / "edf" / "train" / "abnormal" / "01_tcp_ar" / "aaaaaaaa_s002_t000.edf",
        seconds=75, labels=REF,
    )  # fmt: skip
    sources = Tuab().sources(args(tuab))
    assert sorted(s.labels["abnormal"] for s in sources if s.person == "tuh:aaaaaaaa") == [0, 1]
    assert settle_splits(sources) == (sources, [])


def test_test_goes_before_valid_and_valid_before_train(tuab):
    (source, *_) = Tuab().sources(args(tuab))
    three = [source.replace(split=split) for split in ("train", "valid", "test", None)]
    kept, findings = settle_splits(three)
    assert [s.split for s in kept] == ["test", None] and len(findings) == 2
    kept, findings = settle_splits(three[:2])
    assert [s.split for s in kept] == ["valid"]
    assert "published in train and in valid" in findings[0]["detail"]


def test_files_outside_the_layout_are_listed_and_nothing_else_is_an_error(tuab, tmp_path):
    (tuab / "edf" / "aaaaaaaf_s001_t000.edf").write_bytes(b"")
    corpus = Tuab()
    assert len(corpus.sources(args(tuab))) == 5
    assert [f["kind"] for f in corpus.findings] == ["not_in_layout"]
    other = tmp_path / "x" / "000" / "aaaaaaaa" / "s001_2015" / "01_tcp_ar"
    other.mkdir(parents=True)
    (other / "aaaaaaaa_s001_t000.edf").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"layout of tuab, such as edf/eval/abnormal"):
        Tuab().sources(args(tmp_path / "x"))


def test_hdf5_has_pathology_under_elms_names(tuab, tmp_path):
    assert prepare("tuab", tuab, tmp_path / "out", "--hdf5", tmp_path / "tuab.h5") == 0
    with h5py.File(tmp_path / "tuab.h5") as h5:
        assert h5["PAT"][()].tolist() == h5["pathology"][()].tolist()
        assert h5["PAT"][()].tolist() == [0] * 24 + [1] * 12 + [0] * 12 + [1] * 12
        assert sorted(set(h5["eval_sets"].asstr()[()])) == ["TUAB_eval", "TUAB_train"]
        assert h5["time_ids"].asstr()[24] == "t001" and h5["session_ids"].asstr()[24] == "s002"
    back = tmp_path / "back"
    assert prepare("hdf5", tmp_path / "tuab.h5", back, "--hdf5_unit", "1e5V") == 0
    assert [r.labels["abnormal"] for r in load_recordings(back)] == [0, 0, 1, 0, 1]


def test_a_dry_run_says_every_recordings_label_and_counts_them(tuab, tmp_path, capsys):
    assert prepare("tuab", tuab, tmp_path / "out", "--dry_run") == 0
    said = capsys.readouterr().out
    assert said.count("pathology: normal") == 3 and said.count("pathology: abnormal") == 2
    assert "recordings: 2 abnormal, 3 normal" in said
