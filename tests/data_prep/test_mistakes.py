"""A user's mistakes end with one message that names file, expected, found and what to do."""

import dataclasses
import pathlib

import numpy as np
import pytest

from data_prep.summary import print_summary
from elm_jax.data.manifest import Manifest


@pytest.fixture
def fails(run, folder, capsys):
    """fails(**options): the one line on stderr of a preparation that must fail."""

    def call(**more):
        paths = {"input": folder / "edf", "out": folder / "out", **more}
        assert run("edf_folder", **paths) == 2
        said = capsys.readouterr().err
        assert "Traceback" not in said and said.startswith("prepare: ")
        assert not (folder / "out").exists()
        return said

    return call


def test_files_that_are_not_there_are_named(fails, folder):
    assert "no such file" in fails(reports=folder / "no.jsonl")
    assert "no such file" in fails(labels=folder / "no.csv")
    assert "no such file" in fails(rename=folder / "no.yaml")
    assert "there is no folder" in fails(hdf5=folder / "no" / "x.h5")
    said = fails(input=folder / "edf" / "r0.edf")
    assert "expected a folder, found a file" in said


def test_an_out_that_cannot_be_written_is_named(fails, folder):
    assert "expected a folder, found a file" in fails(out=folder / "reports.jsonl")
    said = fails(out=folder / "reports.jsonl" / "below")
    assert "reports.jsonl" in said and "Not a directory" in said


def test_a_table_of_reports_is_sent_to_the_command_that_reads_it(fails, folder):
    (folder / "r.csv").write_text("report;file\n")
    assert "python -m data_prep.reports" in fails(reports=folder / "r.csv")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [b\n", "not YAML"),
        ("1: Fp1\n", "put quotes"),
        ("Frontal L: Fp1x\n", "'Fp1x', which is no known electrode or derivation; is Fp1 meant?"),
    ],
)
def test_a_rename_map_is_checked_before_any_work(fails, folder, text, said):
    (folder / "map.yaml").write_text(text)
    assert said in fails(rename=folder / "map.yaml")


@pytest.mark.parametrize(
    ("option", "name", "text"),
    [
        ("reports", "x.jsonl", '{"file": "other.edf", "report": "x"}\n'),
        ("labels", "x.csv", "file;k\nother.edf;1\n"),
        ("people", "x.csv", "file;person\nother.edf;1\n"),
    ],
)
def test_a_file_none_of_whose_lines_fits_is_of_another_folder(fails, folder, option, name, text):
    (folder / name).write_text(text)
    said = fails(**{option: folder / name})
    assert "none of its 1 lines fits one of the 6 recordings" in said and "'r0.edf'" in said


def test_ids_that_are_nobodys_reach_the_defect_list(run, folder, capsys):
    (folder / "ex.txt").write_text("p0\np1x\n")
    paths = {"input": folder / "edf", "out": folder / "out", "exclude_people": folder / "ex.txt"}
    assert run("edf_folder", reports=folder / "reports.jsonl", **paths) == 0
    defects = Manifest.load(folder / "out").defects
    assert ["'p1x'" in d["detail"] for d in defects if d["kind"] == "id_of_nobody"] == [True]
    assert "id_of_nobody" in capsys.readouterr().out


def test_the_next_command_is_the_recipe_of_the_window(run, folder, capsys):
    assert run("edf_folder", input=folder / "edf", out=folder / "out") == 0
    manifest = Manifest.load(folder / "out")
    for window_s, said in (
        (5.0, "configs/elm_5s.py --config.data.dir='a b'"),
        (60.0, "configs/elm_60s.py --config.data.dir='a b'"),
        (20.0, "configs/elm_5s.py --config.signal.window_s=20 --config.data.dir='a b'"),
    ):
        capsys.readouterr()
        spec = manifest.spec.replace(window_s=window_s)
        print_summary(pathlib.Path("a b"), dataclasses.replace(manifest, spec=spec))
        assert said in capsys.readouterr().out


def test_a_dry_run_names_the_channel_that_decides_and_recordings_of_one_file(
    run, tmp_path, write_edf, capsys
):
    path = write_edf(tmp_path / "edf" / "flat.edf")
    data = bytearray(path.read_bytes())
    np.frombuffer(data, "<i2", offset=256 * 20).reshape(-1, 19, 100)[:, 5] = 0
    path.write_bytes(data)
    for name in ("one", "two"):
        write_edf(tmp_path / "edf" / f"{name}.edf")
    assert run("edf_folder --dry_run", input=tmp_path / "edf") == 0
    assert "flat_channel [F4]" in capsys.readouterr().out
    assert run("edf_folder", input=tmp_path / "edf", out=tmp_path / "o", hdf5=tmp_path / "h") == 0
    capsys.readouterr()
    assert run("hdf5 --hdf5_unit 1e5V --dry_run", input=tmp_path / "h") == 0
    printed = capsys.readouterr().out
    assert "\none " in printed and "\ntwo " in printed


def test_what_a_result_lacks_is_said_with_what_to_do(run, tmp_path, write_edf, capsys):
    path = write_edf(tmp_path / "edf" / "one.edf")
    data = path.read_bytes()
    # The limits in volts and the unit left as it was: a typical mistake of exporters.
    wrong = data.replace(b"-3276.8 ", b"-3276800").replace(b"3276.7  ", b"3276700 ")
    path.write_bytes(wrong)
    paths = {"input": tmp_path / "edf", "out": tmp_path / "o"}
    assert run("edf_folder --split train=1", **paths) == 0
    said = capsys.readouterr().out
    assert "No recording has a report" in said and "Nobody is in split 'test'" in said
    assert "Probably in another unit than stated: one.edf" in said


def test_what_the_hdf5_layout_cannot_hold_is_said(run, folder, capsys):
    (folder / "l.csv").write_text("file,abnormal,age,note\nr0.edf,1,40,x\n")
    paths = {"input": folder / "edf", "out": folder / "out", "hdf5": folder / "x.h5"}
    more = {"labels": folder / "l.csv", "reports": folder / "reports.jsonl"}
    assert run("edf_folder", **paths, **more) == 0
    assert "no place for: reports, note." in capsys.readouterr().out
