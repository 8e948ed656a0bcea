"""A folder of EDF files in place of a prepared directory: the command that stands for it."""

import logging

import pytest
from etils import epath
from ml_collections import ConfigDict

from configs import common
from data_prep import arguments
from elm_jax import demo, own_data


def config_of(data_dir="", **edf):
    config = ConfigDict(dict(data=dict(dir=data_dir), edf=common.edf_folder()))
    for name, value in edf.items():
        config.edf[name] = value
    return config.lock()


@pytest.fixture
def commands(monkeypatch):
    seen = []
    monkeypatch.setattr(demo, "run_command", lambda command, what: seen.append(command))
    return seen


def parsed(command):
    module, *words = command
    assert module == "data_prep.prepare"
    return arguments.parse(words)


def test_every_entry_is_an_option_that_the_command_has(commands, tmp_path):
    config = config_of(
        dir="FOLDER", labels="l.csv", people="p.csv", channels="C3,Cz", rename="names.yaml",
        sfreq_hz=128.0, window_s=2.0, highpass_hz=0.5, lowpass_hz=40.0, notch_hz="50",
        split="train=0.6,valid=0.2,test=0.2", test_people="A01", more=("--drop_start_s=3",),
    )  # fmt: skip
    own_data.fill_in(config, epath.Path(tmp_path) / "mine")
    args = parsed(commands[0])
    assert (args.corpus, args.input, args.signal) == ("edf_folder", "FOLDER", "eegpt")
    assert (args.labels, args.people, args.channels) == ("l.csv", "p.csv", "C3,Cz")
    assert (args.sfreq_hz, args.window_s, args.notch_hz) == (128.0, 2.0, (50.0,))
    assert args.drop_start_s == 3 and str(args.out) == config.data.dir == f"{tmp_path}/mine_data"
    known = {name for name in own_data.OPTIONS if hasattr(args, name)}
    assert known == set(own_data.OPTIONS)
    assert set(common.edf_folder()) == {"dir", "more", *own_data.OPTIONS}


def test_labels_of_annotations_are_read_by_the_corpus_of_annotations(commands, tmp_path):
    config = config_of(
        dir="FOLDER", event_labels="T1=left,T2=right", event_offset_s=-0.5,
        split_by="recording", valid_recordings="*R08", test_recordings="*R12",
    )  # fmt: skip
    own_data.fill_in(config, epath.Path(tmp_path) / "mine")
    args = parsed(commands[0])
    assert args.corpus == "edf_events" and args.event_labels == {"T1": "left", "T2": "right"}
    assert args.event_offset_s == -0.5 and args.split_by == "recording"


def test_who_gives_no_people_is_warned_unless_recordings_are_what_is_split(
    commands, tmp_path, caplog
):
    with caplog.at_level(logging.WARNING):
        config = config_of(dir="F", labels="l.csv", split_by="recording")
        own_data.fill_in(config, epath.Path(tmp_path) / "a")
        assert not caplog.records
        own_data.fill_in(config_of(dir="F", labels="l.csv"), epath.Path(tmp_path) / "b")
    assert "every file counts as another person" in caplog.text


def test_nothing_happens_where_no_folder_is_named(commands, tmp_path):
    own_data.fill_in(config_of(data_dir="SHARDS"), epath.Path(tmp_path))
    own_data.fill_in(ConfigDict(dict(data=dict(dir=""))), epath.Path(tmp_path))
    assert not commands


@pytest.mark.parametrize(
    ("edf", "data_dir", "message"),
    [
        (dict(dir="F"), "", "says nothing of labels"),
        (dict(dir="F", labels="l.csv"), "SHARDS", "are both named"),
    ],
)
def test_what_cannot_be_meant_is_refused(commands, edf, data_dir, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        own_data.fill_in(config_of(data_dir, **edf), epath.Path(tmp_path))
    assert not commands
