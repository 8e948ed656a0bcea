"""A preparation on Apache Beam ends in the bytes of a local one."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from layouts import REF, prepare, rec, records

from data_prep.assemble import ShardJob
from data_prep.corpora.base import Source
from data_prep.parts import Part
from data_prep.storage import Shard, Stored
from data_prep.work import PrepareError

ROOT = pathlib.Path(__file__).resolve().parents[2]

needs_beam = pytest.mark.skipif(
    importlib.util.find_spec("apache_beam") is None,
    reason="apache-beam is not installed: pip install -c constraints.txt -e '.[beam]'",
)


@pytest.fixture
def beam(run, folder):
    """beam(out="out", **more): the command on a DirectRunner in this process."""

    def call(out="out", **more):
        paths = {"input": folder / "edf", "out": folder / out, "workers": 1}
        return run("edf_folder --runner", **paths, **{"reports": folder / "reports.jsonl", **more})

    return call


def local(run, folder, out="local", **more):
    paths = {"input": folder / "edf", "out": folder / out}
    return run("edf_folder", **paths, **{"reports": folder / "reports.jsonl", **more})


@needs_beam
def test_beam_gives_the_bytes_of_a_local_run_bad_files_included(
    run, beam, folder, contents, monkeypatch, capsys
):
    import tensorflow_datasets as tfds

    from data_prep.corpora.edf_folder import EdfFolder

    (folder / "edf" / "broken.edf").write_bytes(b"<html>")
    (folder / "edf" / "gone.edf").symlink_to(folder / "nowhere")
    real = EdfFolder.pieces

    def pieces(self, source, spec, options):
        if source.file == "r1.edf":
            raise ValueError("patient JANE DOE")
        return real(self, source, spec, options)

    # The one process of the runner is this one.
    monkeypatch.setattr(EdfFolder, "pieces", pieces)
    assert local(run, folder) == 0
    capsys.readouterr()
    assert beam() == 0
    said = capsys.readouterr().out
    assert "preparing 8 recordings on DirectRunner" in said and "unexpected_error" in said
    assert contents(folder / "out") == contents(folder / "local")
    builder = tfds.builder_from_directory(folder / "out")
    assert set(builder.info.splits) == {"train", "test"}
    for split in builder.info.splits:
        pairs = zip(records(folder / "out", split), records(folder / "local", split), strict=True)
        for (start_s, labels, signal), expected in pairs:
            assert (start_s, labels) == expected[:2]
            np.testing.assert_array_equal(signal, expected[2])
    assert beam() == 0
    assert "nothing to do" in capsys.readouterr().out


@needs_beam
def test_labels_of_windows_come_through_and_what_was_finished_is_not_done_again(
    tmp_path, write_edf, contents, monkeypatch, capsys
):
    from data_prep import on_beam

    for i, part in enumerate(("train", "eval")):
        person = f"aaaaaaa{'ab'[i]}"
        path = tmp_path / "tuev" / "edf" / part / person / f"{person}_00000001.edf"
        write_edf(path, seconds=30, seed=i, labels=REF)
        rec(path.with_suffix(".rec"), (5, 6, 1), (12, 13, 6))
    assert prepare("tuev", tmp_path / "tuev", tmp_path / "local") == 0
    command = ("tuev", tmp_path / "tuev", tmp_path / "out", "--runner", "direct", "--workers", 1)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(on_beam, "write_all", stop)
        assert prepare(*command) == 130
    assert not (tmp_path / "out" / "manifest.json").exists()
    monkeypatch.setattr(on_beam, "make_part", None)
    assert prepare(*command) == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "local")
    assert {labels["event"] for _, labels, _ in records(tmp_path / "out", "train")} == {
        "spsw", "bckg",
    }  # fmt: skip


@needs_beam
def test_a_worker_that_fails_ends_the_command_in_words_and_the_next_goes_on(
    beam, folder, contents, run, monkeypatch, capsys
):
    from data_prep import on_beam

    with monkeypatch.context() as patch:

        def make(recipe, source, key):
            raise MemoryError

        patch.setattr(on_beam, "make_part", make)
        assert beam() == 2
    said = capsys.readouterr().err
    assert "prepare: DirectRunner: r5.edf: not enough memory" in said
    assert "the same command goes on" in said
    assert beam() == 0 and local(run, folder) == 0
    assert contents(folder / "out") == contents(folder / "local")


@needs_beam
def test_workers_of_another_version_are_refused():
    from data_prep import on_beam

    with pytest.raises(PrepareError, match=r"a worker has elm_jax .*, the command elm_jax 9: give"):
        on_beam._get_ready("elm_jax 9")


@needs_beam
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--runner Fink", "--runner Fink: no such runner; known: "),
        ("--runner no.such.Runner", "--runner no.such.Runner: No module named 'no'"),
        ("--runner --beam_option paralelism=3", "--beam_option paralelism: the runner has no"),
        ("--runner --beam_option direct_num_workers=x", "invalid int value: 'x'"),
        ("--runner --beam_option runner=Flink", "name the runner by --runner"),
        ("--runner Spark --workers 1", "--workers 1: how many workers there are is SparkRunner's"),
        (
            "--runner --workers 2",
            "--beam_option direct_running_mode=multi_processing --beam_option",
        ),
    ],
)
def test_a_runner_or_an_option_that_is_not_known_is_said_before_any_work(
    run, folder, capsys, words, said
):
    assert run(f"edf_folder {words}", input=folder / "edf", out=folder / "out") == 2
    error = capsys.readouterr().err
    assert error.startswith("prepare: ") and said in error
    assert not (folder / "out").exists()


def test_without_beam_the_extra_is_named(beam, folder, monkeypatch, capsys):
    for name in [m for m in sys.modules if m.partition(".")[0] == "apache_beam"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    assert beam() == 2
    said = capsys.readouterr().err
    assert "pip install 'elm_jax[beam]'" in said and "--part i/N" in said
    assert not (folder / "out").exists()


@needs_beam
def test_a_dry_run_says_where_it_would_run(run, folder, capsys):
    command = "edf_folder --dry_run --runner --beam_option job_name=mine"
    assert run(command, input=folder / "edf", out=folder / "out") == 0
    said = capsys.readouterr().out
    assert "Would run on DirectRunner, " in said and "job_name=mine" in said
    assert "6 of 6 recordings usable" in said and not (folder / "out").exists()


def test_what_goes_to_workers_comes_back_as_it_was():
    source = Source(
        "r", "x:p", pathlib.Path("/a/r.edf"), "r.edf", ("text",), {"k": None}, "train",
        extra={"events": [[0.1, 1 / 3, "spsw"]]},
    )  # fmt: skip
    rows = [
        Stored(f"r{i}", "x:p", "train", (0.0, 1 / 3), (500, 700), ("é",), {"age": 40.5}, 2**70, 3)
        for i in range(3)
    ]
    rows[2] = Stored("r2", "x:p", "train", (0.0,), (9,), piece_labels=({"event": "spsw"},))
    parts = [Part(f"k{i}", None, (0.0,), (500,), 2**70, 4, ({"kind": "k"},)) for i in range(3)]
    shard = Shard("train", "f", ((1, 1), (2, 0)))
    job = ShardJob.of(shard, rows, [(source, part) for part in parts])
    assert job.rows == tuple(rows[1:]) and job.shard.items == ((0, 1), (1, 0))
    for value in (source, job):
        assert type(value).from_dict(json.loads(json.dumps(value.to_dict()))) == value


@needs_beam
def test_from_a_bucket_into_a_bucket(write_edf, contents, tmp_path):
    """In a process of its own: TensorFlow's client reads its surroundings once."""
    import fake_gcs

    edf = tmp_path / "tueg" / "edf"
    for i, person in enumerate(("aaaaaaaa", "aaaaaaab", "aaaaaaac")):
        session = edf / "000" / person / "s001_2012"
        file = session / "01_tcp_ar" / f"{person}_s001_t000.edf"
        write_edf(file, seconds=90, seed=i, labels=REF)
        (session / f"{person}_s001.txt").write_text(f"IMPRESSION: number {i}.")
    assert prepare("tueg", tmp_path / "tueg", tmp_path / "local") == 0
    objects = fake_gcs.Objects("mine")
    objects.upload(tmp_path / "tueg", "gs://mine/tueg")
    command = [
        sys.executable, "-m", "data_prep.prepare", "tueg", "--runner", "--workers", "1",
        "--min_shards", "1", "--input", "gs://mine/tueg", "--out", "gs://mine/shards/a",
    ]  # fmt: skip
    with fake_gcs.serve(objects, tmp_path) as served:
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | served, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    expected = contents(tmp_path / "local")
    assert b"number 2" in expected["recordings.jsonl"]
    assert [name for name in objects.names("gs://mine/shards/a") if name] == sorted(expected)
    for name, content in expected.items():
        assert objects.read(f"gs://mine/shards/a/{name}") == content, name
