import json
import pathlib
import shutil

import numpy as np
import pytest
from killing import Killed, kill_at

from data_prep import work
from data_prep.corpora.base import Source
from elm_jax.data.manifest import Manifest, load_recordings
from elm_jax.data.shards import ShardReader


def prepare(run, folder, out="out", **more):
    return run(
        "edf_folder",
        input=folder / "edf",
        out=folder / out,
        **{"reports": folder / "reports.jsonl", **more},
    )


def rows(directory):
    return {row.recording: row for row in load_recordings(directory)}


def test_the_directory_is_the_same_whatever_the_worker_count(run, folder, contents):
    for workers in (0, 1, 2):
        assert prepare(run, folder, f"out{workers}", workers=workers) == 0
    assert contents(folder / "out0") == contents(folder / "out1") == contents(folder / "out2")


def test_matrix_products_round_the_same_whatever_the_worker_count(
    run, tmp_path, write_edf, contents
):
    # At a clinic's rate and length the filters' products are large enough for several threads.
    write_edf(tmp_path / "edf" / "long.edf", seconds=90, sfreq_hz=500)
    for workers in (0, 1):
        paths = {"input": tmp_path / "edf", "out": tmp_path / f"out{workers}"}
        assert run("edf_folder", workers=workers, **paths) == 0
    assert contents(tmp_path / "out0") == contents(tmp_path / "out1")


def test_it_opens_as_a_tfds_dataset_and_holds_what_the_signals_room_gives(run, folder):
    import tensorflow_datasets as tfds

    from elm_jax.signals.pipeline import ELM_SPEC, PrepOptions, prepare_file

    assert prepare(run, folder) == 0
    builder = tfds.builder_from_directory(folder / "out")
    found = {}
    for split in builder.info.splits:
        for example in builder.as_data_source(split=split):
            found[example["recording"].decode()] = example
    assert sorted(found) == [f"r{i}" for i in range(6)]
    options = PrepOptions(0.0, 5.0, 5.0, 9000.0)
    for name, example in found.items():
        pieces, _ = prepare_file(folder / "edf" / f"{name}.edf", ELM_SPEC, options)
        assert np.abs(example["signal"] / 32 - pieces[0].signal).max() <= 1 / 64 + 1e-4
        assert example["reports"][0].decode() == f"IMPRESSION: number {name[1:]}."


def test_mean_and_std_are_those_of_the_train_pieces_in_network_values(run, folder):
    assert prepare(run, folder) == 0
    reader = ShardReader(folder / "out", "train")
    spec = reader.manifest.spec
    signals = reader.read_many([p.index for row in reader.recordings for p in row.pieces])
    values = np.concatenate([s.ravel() for s in signals]) / 32 * spec.scale
    np.testing.assert_allclose([spec.mean, spec.std], [values.mean(), values.std()], rtol=1e-9)


def test_a_person_is_in_one_split_and_it_is_written_down(run, folder):
    assert prepare(run, folder) == 0
    manifest = Manifest.load(folder / "out")
    assert sorted(p for v in manifest.people.values() for p in v) == [
        "local:p0", "local:p1", "local:p2",
    ]  # fmt: skip
    for row in rows(folder / "out").values():
        assert row.person in manifest.people[row.split]
    assert manifest.counts["total"]["recordings"] == 6
    assert manifest.counts["total"]["reports"] == 6


def test_a_kill_at_any_boundary_resumes_to_the_same_bytes(run, folder, contents, monkeypatch):
    for i in range(3, 6):
        (folder / "edf" / f"r{i}.edf").unlink()
    (folder / "edf" / "broken.edf").write_bytes(b"<html>")
    assert prepare(run, folder, "whole") == 0
    expected = contents(folder / "whole")
    moment, after = 1, False
    while True:
        out = folder / "killed"
        shutil.rmtree(out, ignore_errors=True)
        with monkeypatch.context() as patch:
            kill_at(patch, moment, after)
            try:
                prepare(run, folder, "killed")
                break
            except Killed:
                pass
        finished = (out / "manifest.json").exists()
        if not finished:
            with pytest.raises(FileNotFoundError, match="not finished"):
                Manifest.load(out)
        assert prepare(run, folder, "killed") == 0
        assert contents(out) == expected, f"killed {'after' if after else 'before'} step {moment}"
        moment, after = (moment, True) if not after else (moment + 1, False)
    assert moment > 20


def test_finished_recordings_are_not_done_again(run, folder, contents, monkeypatch):
    from data_prep.corpora.edf_folder import EdfFolder

    done = []
    real = EdfFolder.pieces

    def pieces(self, source, spec, options):
        if len(done) == 4 and "stop" not in done:
            done.append("stop")
            raise Killed
        done.append(source.file)
        return real(self, source, spec, options)

    monkeypatch.setattr(EdfFolder, "pieces", pieces)
    with pytest.raises(Killed):
        prepare(run, folder)
    assert prepare(run, folder) == 0
    done.remove("stop")
    assert sorted(done) == [f"r{i}.edf" for i in range(6)]


def test_a_finished_directory_is_left_alone_and_says_so(run, folder, contents, capsys):
    assert prepare(run, folder) == 0
    before = contents(folder / "out")
    capsys.readouterr()
    assert prepare(run, folder) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert contents(folder / "out") == before


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [("window_s", 10, "window_s"), ("split_seed", 1, "split_seed"), ("drop_start_s", 1, "drop")],
)
def test_other_options_into_a_finished_directory_are_an_error(
    run, folder, capsys, option, value, said
):
    assert prepare(run, folder) == 0
    assert prepare(run, folder, **{option: value}) == 2
    assert said in capsys.readouterr().err


def test_a_changed_file_is_noticed_even_at_the_same_size(run, folder, write_edf, capsys):
    assert prepare(run, folder) == 0
    write_edf(folder / "edf" / "r0.edf", seconds=20, seed=99)
    assert prepare(run, folder) == 2
    assert "1 input files changed since, such as r0.edf" in capsys.readouterr().err


def test_an_unfinished_directory_never_mixes_two_sets_of_options(
    run, folder, contents, monkeypatch
):
    with monkeypatch.context() as patch:
        kill_at(patch, 24, False)  # after the first shard
        with pytest.raises(Killed):
            prepare(run, folder)
    assert list((folder / "out").glob("*.array_record-*"))
    assert prepare(run, folder, window_s=10) == 0
    assert prepare(run, folder, "fresh", window_s=10) == 0
    assert contents(folder / "out") == contents(folder / "fresh")


def test_a_folder_with_something_else_in_it_is_not_written_to(run, folder, capsys):
    (folder / "out").mkdir()
    (folder / "out" / "thesis.tex").write_text("x")
    assert prepare(run, folder) == 2
    assert "choose a new --out" in capsys.readouterr().err


def test_two_preparations_at_once_into_one_folder_are_refused(run, folder, capsys):
    import fcntl

    lock = folder / "out" / ".work" / "lock"
    lock.parent.mkdir(parents=True)
    with open(lock, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert prepare(run, folder) == 2
    assert "another preparation is running" in capsys.readouterr().err


def test_nothing_usable_is_an_error_with_the_reasons_counted(run, tmp_path, capsys):
    (tmp_path / "edf").mkdir()
    for i in range(3):
        (tmp_path / "edf" / f"{i}.edf").write_bytes(b"<html>not found</html>")
    assert run("edf_folder", input=tmp_path / "edf", out=tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "3  not_edf" in error and "usable" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("make", [None, "empty"])
def test_a_missing_or_empty_input_folder_is_said(run, tmp_path, capsys, make):
    if make:
        (tmp_path / "edf").mkdir()
    assert run("edf_folder", input=tmp_path / "edf", out=tmp_path / "out") == 2
    assert "no such folder" in (error := capsys.readouterr().err) or "holds no" in error


def test_bad_files_are_listed_and_the_run_goes_on(run, folder, capsys):
    (folder / "edf" / "html.edf").write_bytes(b"<html>")
    (folder / "edf" / "gone.edf").symlink_to(folder / "nowhere")
    assert prepare(run, folder) == 0
    manifest = Manifest.load(folder / "out")
    kinds = {d["file"]: d["kind"] for d in manifest.defects}
    assert kinds == {"html.edf": "not_edf", "gone.edf": "unreadable_file"}
    assert manifest.counts["skipped"] == {"not_edf": 1, "unreadable_file": 1}
    out = capsys.readouterr().out
    assert "1  not_edf" in out and "python -m elm_jax.main" in out


def test_a_mistake_in_the_program_is_listed_without_its_message(run, folder, monkeypatch, capsys):
    from data_prep.corpora.edf_folder import EdfFolder

    real = EdfFolder.pieces

    def pieces(self, source, spec, options):
        if source.file == "r1.edf":
            raise ValueError("patient JANE DOE")
        return real(self, source, spec, options)

    monkeypatch.setattr(EdfFolder, "pieces", pieces)
    assert prepare(run, folder) == 0
    text = (folder / "out" / "manifest.json").read_text() + capsys.readouterr().out
    assert "JANE" not in text and "unexpected_error" in text and "ValueError at" in text


def test_a_dry_run_writes_nothing_and_says_the_same(run, folder, contents, capsys):
    (folder / "edf" / "html.edf").write_bytes(b"<html>")
    before = contents(folder)
    status = run(
        "edf_folder --dry_run",
        input=folder / "edf",
        out=folder / "out",
        reports=folder / "reports.jsonl",
    )
    out = capsys.readouterr().out
    assert status == 0 and contents(folder) == before
    assert "r0.edf" in out and "100 Hz" in out and "uV" in out and "20 s" in out
    assert "skip: not_edf" in out and "6 of 7 recordings usable, 3 people" in out
    assert "of disk" in out


def test_long_pieces_are_cut_and_join_again(run, tmp_path, write_edf):
    write_edf(tmp_path / "edf" / "long.edf", seconds=1300, sfreq_hz=100)
    command = "edf_folder --split test=1 --cut_multiple_s 0"
    assert run(command, input=tmp_path / "edf", out=tmp_path / "out") == 0
    (row,) = load_recordings(tmp_path / "out")
    assert [p.n_samples for p in row.pieces] == [60000, 60000, 10000]
    assert [p.start_s for p in row.pieces] == [0, 600, 1200]


def test_the_real_recordings_are_stored_within_golden_tolerance(run, tmp_path, shared):
    data = shared / "data" / "eegmat"
    keep = tmp_path / "edf"
    keep.mkdir()
    for name in ("Subject00_1.edf", "Subject00_2.edf"):
        (keep / name).symlink_to(data / name)
    status = run(
        "edf_folder --drop_start_s 10 --cut_multiple_s 10 --min_duration_s 60",
        input=keep,
        out=tmp_path / "out",
        reports=data / "reports.jsonl",
    )
    assert status == 0
    row = rows(tmp_path / "out")["Subject00_1"]
    reader = ShardReader(tmp_path / "out", row.split)
    stored = np.concatenate([reader.read(p.index) for p in row.pieces], axis=1)
    golden = np.load(shared / "golden" / "prep" / "Subject00_1_pretrain.npz")["data"]
    scale = reader.manifest.spec.scale / reader.manifest.steps_per_unit
    assert stored.shape == golden.shape
    assert np.abs(stored * scale - golden).max() <= 2e-3
    assert row.reports and json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert pathlib.Path(tmp_path / "out" / "features.json").exists()


def test_it_writes_elms_hdf5_beside_and_reads_it_back(run, folder, capsys):
    assert prepare(run, folder, hdf5=folder / "elm.h5") == 0
    assert prepare(run, folder, hdf5=folder / "elm.h5") == 0
    assert "left as it is" in capsys.readouterr().out
    assert run("hdf5 --hdf5_unit 1e5V", input=folder / "elm.h5", out=folder / "back") == 0
    first, back = Manifest.load(folder / "out"), Manifest.load(folder / "back")
    assert back.people == first.people
    assert back.counts["total"]["windows"] == first.counts["total"]["windows"]
    for split in ("train", "test"):
        a, b = ShardReader(folder / "out", split), ShardReader(folder / "back", split)
        for one, two in zip(a.recordings, b.recordings, strict=True):
            assert one.recording == two.recording
            whole = two.pieces[0].n_samples
            np.testing.assert_array_equal(
                a.read(one.pieces[0].index)[:, :whole], b.read(two.pieces[0].index)
            )


def test_people_without_names_are_warned_about(run, folder, capsys):
    assert run("edf_folder", input=folder / "edf", out=folder / "out") == 0
    assert "No people are named" in capsys.readouterr().out


def test_tuab_keeps_its_official_split_and_the_same_person_in_tueg_is_excluded(
    run, tmp_path, write_edf
):
    names = "FP1 FP2 F7 F3 FZ F4 F8 T3 C3 CZ C4 T4 T5 P3 PZ P4 T6 O1 O2".split()
    labels = [f"EEG {name}-REF" for name in names]
    tuab, tueg = tmp_path / "tuab" / "edf", tmp_path / "tueg" / "edf"
    for i, (part, kind) in enumerate([("train", "normal"), ("eval", "abnormal")]):
        file = tuab / part / kind / "01_tcp_ar" / f"aaaaaaa{'ab'[i]}_s001_t000.edf"
        write_edf(file, seed=i, labels=labels)
    report = tuab / "train" / "normal" / "01_tcp_ar" / "aaaaaaaa_s001.txt"
    report.write_text("IMPRESSION: é.", encoding="cp1252")
    for person in ("aaaaaaab", "aaaaaaac"):
        file = tueg / "000" / person / "s002_2012" / "02_tcp_le" / f"{person}_s002_t000.edf"
        write_edf(file, seed=7, labels=[f"EEG {name}-LE" for name in names])
    assert run("tueg", input=tuab.parent, out=tmp_path / "a") == 0
    found = rows(tmp_path / "a")
    assert found["aaaaaaaa_s001_t000"].split == "train"
    assert found["aaaaaaaa_s001_t000"].reports == ("IMPRESSION: é.",)
    assert found["aaaaaaab_s001_t000"].split == "test"
    assert found["aaaaaaab_s001_t000"].labels["abnormal"] == 1
    status = run(
        "tueg --split train=1", input=tueg, out=tmp_path / "g", exclude_people=tmp_path / "a"
    )
    assert status == 0
    assert Manifest.load(tmp_path / "g").people["train"] == ("tuh:aaaaaaac",)


def test_little_work_starts_no_processes_and_much_starts_one_a_core(tmp_path, monkeypatch):
    monkeypatch.setattr(work.os, "cpu_count", lambda: 4)

    def sources(*sizes_mb):
        made = []
        for i, size_mb in enumerate(sizes_mb):
            path = tmp_path / f"{i}.edf"
            with path.open("wb") as file:
                file.truncate(int(size_mb * 1e6))
            made.append(Source(str(i), f"here:{i}", path, path.name))
        return made

    assert work.workers_for(None, sources(50, 50, 50)) == 0
    assert work.workers_for(None, sources(200, 200)) == 2
    assert work.workers_for(None, sources(500, 500)) == 4
    assert work.workers_for(1, sources(1)) == 1 and work.workers_for(0, sources(900)) == 0
