"""Options that one corpus has are mistakes where another would not read them."""

import pytest
from layouts import prepare

from data_prep.arguments import parse
from data_prep.corpora import CORPORA
from data_prep.corpus_options import OWNERS


def test_every_owner_is_a_corpus():
    assert {name for owners in OWNERS.values() for name in owners} <= set(CORPORA)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("seed --cut events", "--cut is for eegmmidb, hgd, moabb, bids; seed does not read"),
        ("tuab --event_labels T1=left", "--event_labels is for edf_events, eegmmidb, hgd, moabb"),
        ("moabb --event_offset_s 1", "--event_offset_s is for edf_events, eegmmidb, hgd"),
        ("hgd --runs 4", "--runs is for eegmmidb"),
        ("edf_folder --moabb_set A", "--moabb_set is for moabb"),
        ("eegmmidb --event_labels left", "--event_labels is for windows of events; give --cut ev"),
        ("hgd --event_offset_s=-1", "--event_offset_s is for windows of events; give --cut events"),
        ("edf_events --event_labels T1 --event_offset_s nan", "a finite number of seconds"),
        ("sleep_edfx --wake_margin_min=-5", "--wake_margin_min must be 0 or more"),
        ("sleep_physionet --nights 3", "--nights: people slept two nights, 1 and 2"),
        ("sleep_physionet --sleep_people 5-3", "5-3: ends before it begins"),
        ("bids --cut recordings --event_labels go", "is for windows of events; give --cut events"),
        ("sleep_edfx --wake_margin_min nan", "--wake_margin_min must be 0 or more"),
        ("bcic2a --test_people A01 --split_by recording", "--test_people splits by person"),
        ("wfdb_folder --person_pattern a(b", "'a(b' is no regular expression: missing )"),
        ("ptbxl --merl_split d --folds train=1-10", "in which split; leave out --folds"),
        ("csn --merl_split d --split train=1", "in which split; leave out --split"),
        ("cpsc2018 --lead_order mine", "--lead_order: invalid choice: 'mine'"),
    ],
)
def test_an_option_that_would_say_nothing_is_a_mistake(capsys, words, said):
    with pytest.raises(SystemExit) as stopped:
        parse([*words.split(), "--input", "x", "--out", "y"])
    told = capsys.readouterr().err
    assert stopped.value.code == 2 and said in told and told.count("\n") == 2


@pytest.mark.parametrize(
    "words",
    [
        "eegmmidb --cut events --event_labels left,right --event_offset_s 0.5 --runs 4,8,12",
        "edf_events --event_labels T1 --event_offset_s=-0.5",
        "sleep_edfx --wake_margin_min inf",
        "sleep_physionet --sleep_people 0-5,7 --nights 1",
        "bids --event_labels go --bids_tasks rest",
        "seed --cut recordings",  # as it is anyway
    ],
)
def test_a_corpus_takes_its_own(words):
    assert parse([*words.split(), "--input", "x", "--out", "y"]).input == "x"


@pytest.mark.parametrize(
    ("corpus", "file", "hint"),
    [("bcic2a", "x.gdf", False), ("seed", "x.mat", False), ("kaggle_ern", "x.csv", False),
     ("physio_p300", "x.edf", True)],
)  # fmt: skip
def test_a_folder_of_something_else_is_told_what_is_expected(tmp_path, capsys, corpus, file, hint):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / file).write_bytes(b"?")
    assert prepare(corpus, tmp_path / "in", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert f"no recording lies in the layout of {corpus}, such as" in said
    assert ("edf_folder" in said) == hint and "Left out: ," not in said
