import argparse

import pytest

from data_prep.corpora import CORPORA, corpus_class
from data_prep.corpora.base import CorpusError, Source
from data_prep.corpora.edf_folder import EdfFolder
from data_prep.corpora.tueg import Tueg


def args(folder, institution=None):
    return argparse.Namespace(input=folder, institution=institution)


def touch(root, *files):
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("an EEG report" if file.endswith(".txt") else "")


def only(corpus, root):
    (source,) = corpus.sources(args(root))
    return source


LAYOUTS = {
    "tueg v0.6": (
        "edf/004/00000692/s01_2010_10_27/a_1.edf",
        ("tuh_v06:00000692", "00000692_s01_a_1", None, None),
    ),
    "tueg v1": (
        "edf/01_tcp_ar/000/00000021/s004_2013_08_15/00000021_s004_t000.edf",
        ("tuh:00000021", "00000021_s004_t000", None, None),
    ),
    "tueg v1 without token": (
        "edf/02_tcp_le/027/00002729/s001_2006_04_12/00002729_s001.edf",
        ("tuh:00002729", "00002729_s001", None, None),
    ),
    "tueg v2": (
        "edf/000/aaaaaaaa/s001_2015_12_30/01_tcp_ar/aaaaaaaa_s001_t000.edf",
        ("tuh:aaaaaaaa", "aaaaaaaa_s001_t000", None, None),
    ),
    "tueg v2, year only": (
        "edf/000/aaaaaaaa/s001_2015/03_tcp_ar_a/aaaaaaaa_s001_t000.edf",
        ("tuh:aaaaaaaa", "aaaaaaaa_s001_t000", None, None),
    ),
    "tuab v2": (
        "edf/eval/abnormal/01_tcp_ar/107/00010782/s002_2013_10_05/00010782_s002_t001.edf",
        ("tuh:00010782", "00010782_s002_t001", "test", 1),
    ),
    "tuab v3": (
        "edf/train/normal/01_tcp_ar/aaaaamye_s001_t000.edf",
        ("tuh:aaaaamye", "aaaaamye_s001_t000", "train", 0),
    ),
    "tuab v3, abnormal": (
        "edf/eval/abnormal/01_tcp_ar/aaaaamye_s001_t000.edf",
        ("tuh:aaaaamye", "aaaaamye_s001_t000", "test", 1),
    ),
    "tusz v1.3": (
        "edf/dev_test/01_tcp_ar/002/00000258/s002_2003_07_21/00000258_s002_t000.edf",
        ("tuh:00000258", "00000258_s002_t000", "valid", None),
    ),
    "tusz v1.5": (
        "edf/dev/01_tcp_ar/002/00000258/s002_2003_07_21/00000258_s002_t000.edf",
        ("tuh:00000258", "00000258_s002_t000", "valid", None),
    ),
    "tusz v2": (
        "edf/train/aaaaaaac/s001_2002/02_tcp_le/aaaaaaac_s001_t000.edf",
        ("tuh:aaaaaaac", "aaaaaaac_s001_t000", "train", None),
    ),
}


@pytest.mark.parametrize("generation", LAYOUTS)
def test_every_published_generation_gives_person_session_and_split(tmp_path, generation):
    file, (person, recording, split, abnormal) = LAYOUTS[generation]
    touch(tmp_path, file)
    source = only(Tueg(), tmp_path)
    assert (source.person, source.recording, source.split) == (person, recording, split)
    assert source.labels.get("abnormal") == abnormal
    assert source.file == file


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_input_may_be_any_folder_of_the_release(tmp_path, depth):
    file = LAYOUTS["tuab v2"][0]
    touch(tmp_path, file)
    source = only(Tueg(), tmp_path.joinpath(*file.split("/")[:depth]))
    assert (source.split, source.labels["pathology"]) == ("test", "abnormal")


def test_a_folder_named_train_above_the_release_says_nothing(tmp_path):
    root = tmp_path / "train" / "abnormal"
    touch(root, LAYOUTS["tueg v2"][0])
    source = only(Tueg(), root)
    assert source.split is None and "abnormal" not in source.labels


@pytest.mark.parametrize(
    ("edf", "text"),
    [
        (LAYOUTS["tueg v1"][0], "edf/01_tcp_ar/000/00000021/s004_2013_08_15/00000021_s004.txt"),
        (LAYOUTS["tuab v2"][0],
         "edf/eval/abnormal/01_tcp_ar/107/00010782/s002_2013_10_05/00010782_s002.txt"),
        (LAYOUTS["tueg v0.6"][0], "edf/004/00000692/s01_2010_10_27/a_.txt"),
        (LAYOUTS["tueg v2"][0], "edf/000/aaaaaaaa/s001_2015_12_30/aaaaaaaa_s001.txt"),
        (LAYOUTS["tueg v2"][0], "edf/000/aaaaaaaa/s001_2015_12_30/01_tcp_ar/aaaaaaaa_s001.txt"),
        (LAYOUTS["tuab v3"][0], "edf/train/normal/01_tcp_ar/aaaaamye_s001.txt"),
    ],
)  # fmt: skip
def test_a_sessions_report_is_found_beside_its_recordings(tmp_path, edf, text):
    touch(tmp_path, edf, text)
    assert only(Tueg(), tmp_path).reports == ("an EEG report",)


def test_another_sessions_report_is_not_taken(tmp_path):
    touch(
        tmp_path,
        "edf/train/normal/01_tcp_ar/aaaaamye_s001_t000.edf",
        "edf/train/normal/01_tcp_ar/aaaaamye_s0011.txt",
        "edf/train/normal/01_tcp_ar/aaaaamye_s002.txt",
        "edf/train/normal/01_tcp_ar/aaaaamyf_s001.txt",
    )
    assert only(Tueg(), tmp_path).reports == ()


def test_an_unreadable_report_is_listed_and_the_recording_stays(tmp_path):
    touch(tmp_path, LAYOUTS["tuab v3"][0])
    (tmp_path / "edf/train/normal/01_tcp_ar/aaaaamye_s001.txt").write_bytes(bytes(range(256)))
    corpus = Tueg()
    assert only(corpus, tmp_path).reports == ()
    assert [f["kind"] for f in corpus.findings] == ["report_unreadable"]


def test_a_session_under_two_montages_gives_two_recordings_of_one_person(tmp_path):
    stem = "edf/000/aaaaaaaa/s001_2015"
    touch(
        tmp_path,
        f"{stem}/01_tcp_ar/aaaaaaaa_s001_t000.edf",
        f"{stem}/03_tcp_ar_a/aaaaaaaa_s001_t000.edf",
    )
    first, second = Tueg().sources(args(tmp_path))
    assert first.recording != second.recording and first.person == second.person


def test_a_file_in_another_persons_folder_is_left_out_and_listed(tmp_path):
    touch(
        tmp_path,
        LAYOUTS["tueg v2"][0],
        "edf/000/aaaaaaab/s001_2015/01_tcp_ar/aaaaaaac_s001_t000.edf",
        "edf/notes.edf",
    )
    corpus = Tueg()
    assert len(corpus.sources(args(tmp_path))) == 1
    assert sorted(f["kind"] for f in corpus.findings) == ["not_in_layout", "person_conflict"]


def test_a_folder_that_is_not_tuh_is_an_error(tmp_path):
    touch(tmp_path, "a/b.edf")
    with pytest.raises(CorpusError, match="layout of tueg"):
        Tueg().sources(args(tmp_path))


def test_any_folder_gives_its_files_in_order_without_hidden_ones(tmp_path):
    touch(tmp_path, "b/Two.EDF", "a/one.edf", "a/._one.edf", ".trash/x.edf", "c.bdf", "d.txt")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    sources = EdfFolder().sources(args(tmp_path, "clinic"))
    assert [s.file for s in sources] == ["a/one.edf", "b/Two.EDF", "c.bdf"]
    assert [s.person for s in sources] == ["clinic:a/one", "clinic:b/Two", "clinic:c"]


@pytest.mark.parametrize("person", ["", "a", ":a", "tuh:"])
def test_a_person_needs_an_institution(tmp_path, person):
    with pytest.raises(CorpusError, match="institution:id"):
        Source("r", person, tmp_path, "r.edf")


def test_an_unknown_corpus_lists_the_known():
    with pytest.raises(KeyError, match="edf_folder"):
        corpus_class("tueq")
    assert "tueg" in CORPORA
