"""A preparation in parts, as a job array does it, ends in the bytes of one run."""

import json
import shutil
import threading

import pytest
from killing import Killed, kill_at

from data_prep import shares
from data_prep.arguments import Share, parse, same_command
from data_prep.corpora.base import Source


@pytest.fixture
def prepare(run, folder):
    """prepare("--part 1/2", out="out", **more): over six recordings and a broken one."""
    (folder / "edf" / "broken.edf").write_bytes(b"<html>")

    def call(step, out="out", **more):
        paths = {"input": folder / "edf", "out": folder / out}
        return run(f"edf_folder {step}", **paths, **{"reports": folder / "reports.jsonl", **more})

    return call


@pytest.fixture
def expected(prepare, folder, contents):
    """The contents of one run over everything."""
    assert prepare("", "whole") == 0
    return contents(folder / "whole")


def test_parts_in_any_order_and_a_merge_give_the_bytes_of_one_run(
    prepare, folder, contents, expected, capsys
):
    for step in ("3/4", "1/4", "4/4", "2/4"):
        assert prepare(f"--part {step}") == 0
        assert not (folder / "out" / "manifest.json").exists()
    said = capsys.readouterr().out
    assert "4 of 4 parts are finished." in said and "--out" in said and "--merge" in said
    assert prepare("--merge") == 0
    assert contents(folder / "out") == expected
    assert "Prepared corpus" in capsys.readouterr().out
    for step in ("--merge", "--part 2/4"):
        assert prepare(step) == 0
        assert "nothing to do" in capsys.readouterr().out
    assert contents(folder / "out") == expected


def test_more_parts_than_recordings_and_folders_of_their_own_do_as_well(
    prepare, folder, contents, expected
):
    for i in range(1, 10):
        own = f"own{i % 2}"
        assert prepare(f"--part {i}/9", own) == 0
        shutil.copytree(folder / own, folder / "out", dirs_exist_ok=True)
    assert prepare("--merge") == 0
    assert contents(folder / "out") == expected


def test_a_merge_that_comes_too_early_names_what_is_missing_and_the_command(
    prepare, folder, contents, expected, capsys
):
    assert prepare("--merge") == 2
    assert "no part was prepared here" in capsys.readouterr().err
    assert not (folder / "out").exists()
    assert prepare("--part 2/4") == 0
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, 6, True)
        with pytest.raises(Killed):
            prepare("--part 4/4")
    capsys.readouterr()
    for step in ("--merge", "--merge --dry_run"):
        assert prepare(step) == 2
        said = capsys.readouterr().err
        assert "4 of 7 recordings are not prepared yet: parts 1,3-4 of 4" in said
        assert "4/4: 1 of 2 recordings missing:" in said and "3/4: was not begun:" in said
        assert f"--out {folder / 'out'}" in said and "--part 4/4\n" in said
        assert "2/4" not in said and said.count("--merge") == 1
    for i in (1, 3, 4):
        assert prepare(f"--part {i}/4") == 0
    assert prepare("--merge") == 0
    assert contents(folder / "out") == expected


@pytest.mark.parametrize("step", ["--part 1/2", "--merge"])
def test_a_kill_at_any_boundary_of_a_part_or_a_merge_loses_nothing(
    prepare, folder, contents, expected, step
):
    assert prepare("--part 2/2", "before") == 0
    if step == "--merge":
        assert prepare("--part 1/2", "before") == 0
    moment, after, killed = 1, False, True
    while killed:
        out = folder / "killed"
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(folder / "before", out)
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, moment, after)
            try:
                prepare(step, "killed")
                killed = False
            except Killed:
                pass
        assert prepare(step, "killed") == 0 and prepare("--merge", "killed") == 0
        assert contents(out) == expected, f"killed {'after' if after else 'before'} step {moment}"
        moment, after = (moment, True) if not after else (moment + 1, False)
    assert moment > 10


def test_parts_run_at_once_even_one_of_them_twice(prepare, folder, contents, expected):
    codes = []
    steps = ("1/2", "2/2", "1/2")
    tasks = [
        threading.Thread(target=lambda s=s: codes.append(prepare(f"--part {s}"))) for s in steps
    ]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join()
    assert codes == [0, 0, 0]
    assert prepare("--merge") == 0
    assert contents(folder / "out") == expected


def test_a_merge_waits_for_parts_that_are_still_running(prepare, folder, capsys):
    from data_prep import locks

    assert prepare("--part 1/1") == 0
    with locks.held(folder / "out", shared=True):
        assert prepare("--merge") == 2
        assert "another preparation is running here" in capsys.readouterr().err
        assert prepare("--part 1/1") == 0


@pytest.mark.parametrize("step", ["--part 2/2", "--merge"])
def test_parts_of_other_options_input_or_program_are_refused_with_the_differences(
    prepare, folder, write_edf, monkeypatch, capsys, step
):
    assert prepare("--part 1/2") == 0
    if step == "--merge":
        assert prepare("--part 2/2") == 0
    capsys.readouterr()

    def refused(said, **more):
        assert prepare(step, **more) == 2
        error = capsys.readouterr().err
        assert "part 1/2: " + said in error and "delete" in error

    refused("window_s: there 5.0, now 10.0", window_s=10)
    with monkeypatch.context() as patch:
        patch.setattr("data_prep.plan.code_version", lambda: "elm_jax 9")
        refused("the program: there elm_jax 0")
    (folder / "edf" / "r5.edf").touch()
    refused("the times of the input files")
    write_edf(folder / "edf" / "r6.edf")
    refused("the input files, or the reports")
    assert not (folder / "out" / "manifest.json").exists()


def test_an_error_that_nobody_foresaw_is_listed_by_the_merge_and_tried_again_by_the_part(
    prepare, folder, monkeypatch
):
    from data_prep.corpora.edf_folder import EdfFolder

    tries = []
    real = EdfFolder.pieces

    def pieces(self, source, spec, options):
        if source.file == "r1.edf":
            tries.append(source.file)
            raise ValueError("patient JANE DOE")
        return real(self, source, spec, options)

    monkeypatch.setattr(EdfFolder, "pieces", pieces)
    for _ in range(2):
        assert prepare("--part 1/1") == 0
    assert len(tries) == 2
    assert prepare("--merge") == 0
    manifest = json.loads((folder / "out" / "manifest.json").read_text())
    assert manifest["counts"]["skipped"] == {"not_edf": 1, "unexpected_error": 1}
    assert not list((folder / "out").glob(".work"))


def test_the_plain_command_finishes_what_parts_have_begun(
    prepare, folder, contents, expected, capsys
):
    assert prepare("--part 1/2") == 0
    assert prepare("") == 0
    # The broken file has no size to speak of, and is among them or not.
    assert "of 7 recordings were finished before" in capsys.readouterr().out
    assert contents(folder / "out") == expected


def test_recordings_of_one_file_are_shared_out_too(run, folder, contents):
    paths = {"input": folder / "edf", "out": folder / "edf_out", "hdf5": folder / "elm.h5"}
    assert run("edf_folder", **paths) == 0
    for step in ("", "--part 2/2", "--part 1/2", "--merge"):
        out = folder / ("out" if step else "whole")
        assert run(f"hdf5 --hdf5_unit 1e5V {step}", input=folder / "elm.h5", out=out) == 0
    assert contents(folder / "out") == contents(folder / "whole")


def test_a_dry_run_of_a_part_is_about_its_recordings_and_writes_nothing(prepare, folder, capsys):
    named = []
    for i in (1, 2):
        assert prepare(f"--part {i}/2 --dry_run") == 0
        said = capsys.readouterr().out
        assert f"Part {i}/2 would prepare" in said and "of 7 recordings" in said
        named += [line.split()[0] for line in said.splitlines() if line.startswith(("r", "b"))]
    assert sorted(named) == ["broken.edf", *(f"r{i}.edf" for i in range(6))]
    assert not (folder / "out").exists()
    assert prepare("--part 1/1") == 0
    assert prepare("--merge --dry_run") == 0
    assert "All 7 recordings are prepared" in capsys.readouterr().out
    assert not (folder / "out" / "manifest.json").exists()


def test_shares_have_every_recording_once_and_about_the_same_work(tmp_path):
    sources = []
    for i in range(40):
        path = tmp_path / f"{i}.edf"
        path.write_bytes(bytes(1000 * (i % 7) ** 2))
        sources.append(Source(f"r{i:02d}", "x:p", path, path.name))
    divided = shares.divide(sources, 4)
    assert divided == shares.divide(sources, 4)
    assert sorted(i for own in divided for i in own) == list(range(40))
    loads = [sum(1000 * (i % 7) ** 2 for i in own) for own in divided]
    assert max(loads) - min(loads) <= 36_000
    assert [len(own) for own in shares.divide(sources[:2], 3)] == [1, 1, 0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--part 0/3", "parts are counted from 1, here 1/3 to 3/3"),
        ("--part 4/3", "parts are counted from 1"),
        ("--part 2", "expected i/N, such as 3/8, found '2'"),
        ("--part 1/2 --runner", "--part and --runner are ways to run the same preparation"),
        ("--part 1/2 --merge", "--part and --merge are ways"),
        ("--merge --runner Flink", "--merge and --runner are ways"),
        ("--part 1/2 --hdf5 x.h5", "give it with --merge"),
        ("--beam_option a=b", "--beam_option is for --runner"),
    ],
)
def test_options_that_contradict_end_with_one_line(capsys, words, said):
    with pytest.raises(SystemExit) as stopped:
        parse(["edf_folder", "--input", "x", "--out", "y", *words.split()])
    assert stopped.value.code == 2 and said in capsys.readouterr().err


def test_the_next_command_is_the_one_given_with_another_step():
    words = ["tueg", "--input", "a b", "--part", "2/8", "--out", "o", "--workers=3"]
    args = parse(words)
    assert args.part == Share(8, 2)
    expected = "python -m data_prep.prepare tueg --input 'a b' --out o --workers=3 --merge"
    assert same_command(args, "--merge") == expected
    args = parse(["tueg", "--input", "a b", "--out", "o", "--workers=3", "--hdf5", "x", "--merge"])
    assert same_command(args, "--part 1/2") == expected.replace("--merge", "--part 1/2")


def test_parts_of_the_demo_want_its_recordings_written_first(run, tmp_path, capsys):
    assert run("demo --demo_people 2 --part 1/2", out=tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert "is not written yet" in said and "people=2, seed=0" in said
    assert not (tmp_path / "out").exists()
