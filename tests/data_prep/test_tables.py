import json
import pathlib

import pytest

from data_prep.corpora.base import Source
from data_prep.tables import (
    TableError,
    apply_people_table,
    attach_labels,
    read_excluded,
    read_people,
    read_table,
    select_people,
)
from elm_jax.data.manifest import Manifest


def source(name, person):
    return Source(name, person, pathlib.Path(f"{name}.edf"), f"day/{name}.edf")


@pytest.fixture
def sources():
    return [source("a1", "x:a"), source("a2", "x:a"), source("b1", "x:b")]


def table(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.csv", "recording,age,note\na1,40,007\nb1,,2010_01\n"),
        ("l.tsv", "recording\tage\tnote\na1\t40\t007\nb1\t\t2010_01\n"),
        ("l.jsonl", '{"recording":"a1","age":40,"note":"007"}\n{"recording":"b1","age":null,'
                    '"note":"2010_01"}\n'),
    ],
)  # fmt: skip
def test_labels_keep_names_as_text_numbers_as_numbers_and_gaps_as_nothing(
    tmp_path, sources, name, text
):
    labelled, findings = attach_labels(sources, table(tmp_path, name, text))
    assert labelled[0].labels == {"age": 40, "note": "007"}
    assert labelled[2].labels == {"note": "2010_01"}
    assert [(f["file"], f["kind"]) for f in findings] == [("day/a2.edf", "recording_without_label")]


def test_labels_go_by_person_or_by_file_name_too(tmp_path, sources):
    by_person, _ = attach_labels(sources, table(tmp_path, "p.csv", "person,sex\na,F\nx:b,M\n"))
    assert [s.labels["sex"] for s in by_person] == ["F", "F", "M"]
    by_file, _ = attach_labels(
        sources, table(tmp_path, "f.csv", "file,k\na1.edf,1\nday/b1.edf,2\n")
    )
    assert [s.labels.get("k") for s in by_file] == [1, None, 2]


def test_a_key_that_fits_nothing_is_listed(tmp_path, sources):
    _, findings = attach_labels(sources, table(tmp_path, "l.csv", "recording,k\nzz,1\n"))
    assert findings[0]["kind"] == "label_without_recording" and "'zz'" in findings[0]["detail"]


def test_two_values_of_one_label_are_an_error(tmp_path, sources):
    path = table(tmp_path, "l.csv", "recording,k\na1,1\na1,2\n")
    with pytest.raises(TableError, match="two values of 'k'"):
        attach_labels(sources, path)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("l.csv", "recording,k\na1,1,2\n", "expected 2 columns"),
        ("l.csv", "recording,k\na1\n", "expected 2 columns"),
        ("l.csv", "recording,k\n", "no rows"),
        ("l.jsonl", "{oops\n", "not JSON"),
        ("l.jsonl", "[1]\n", "expected a JSON object"),
        ("l.xlsx", "x", "expected a .csv"),
    ],
)
def test_broken_tables_are_refused_by_name(tmp_path, name, text, said):
    with pytest.raises(TableError, match=said) as error:
        read_table(table(tmp_path, name, text))
    assert name in str(error.value)


def test_a_table_says_whose_each_recording_is(tmp_path, sources):
    path = table(tmp_path, "p.csv", "recording,person,split\na2,c,test\nzz,d,\nb1,y:b,\n")
    people = read_people(path)
    result, findings = apply_people_table(sources, people.table, path)
    assert [s.person for s in result] == ["x:a", "x:c", "y:b"]
    assert [s.split for s in result] == [None, "test", None]
    assert [f["kind"] for f in findings] == ["person_unknown_in_table"]


def test_a_list_says_whom_to_take(tmp_path, sources):
    people = read_people(table(tmp_path, "p.txt", "# chosen\nx:b  # one\n\n"))
    kept, findings = select_people(sources, people.allowed, None)
    assert [s.recording for s in kept] == ["b1"]
    assert {f["kind"] for f in findings} == {"person_not_listed"}


def test_the_same_id_elsewhere_is_another_person(sources):
    kept, _ = select_people(sources, None, frozenset({"y:a"}))
    assert len(kept) == 3
    kept, _ = select_people(sources, None, frozenset({"x:a"}))
    assert [s.recording for s in kept] == ["b1"]
    kept, _ = select_people(sources, None, frozenset({"a"}))
    assert [s.recording for s in kept] == ["b1"]


def test_people_of_a_prepared_directory_its_manifest_or_a_list_are_excluded(run, folder, tmp_path):
    def prepare(out, **more):
        status = run(
            "edf_folder", input=folder / "edf", out=folder / out,
            reports=folder / "reports.jsonl", **more,
        )  # fmt: skip
        assert status == 0
        return Manifest.load(folder / out)

    first = prepare("first", people=table(tmp_path, "p.txt", "p1\n"))
    assert first.counts["total"]["people"] == 1
    for given in (folder / "first", folder / "first" / "manifest.json"):
        rest = prepare(f"rest{len(str(given))}", exclude_people=given)
        assert {p for v in rest.people.values() for p in v} == {"local:p0", "local:p2"}
        assert rest.counts["skipped"] == {"person_excluded": 2}
    assert read_excluded(table(tmp_path, "x.txt", "tuh:a\n")) == {"tuh:a"}


def test_excluding_everybody_is_an_error(run, folder, tmp_path, capsys):
    path = table(tmp_path, "x.txt", "p0\np1\np2\n")
    status = run(
        "edf_folder", input=folder / "edf", out=folder / "o",
        reports=folder / "reports.jsonl", exclude_people=path,
    )  # fmt: skip
    assert status == 2 and "no recording is left" in capsys.readouterr().err


def test_a_rename_map_reaches_the_reader(run, tmp_path, write_edf, capsys):
    labels = ["Kanal 1", *[f"EEG {e}" for e in
              "Fp2 F7 F3 Fz F4 F8 T3 C3 Cz C4 T4 T5 P3 Pz P4 T6 O1 O2".split()]]  # fmt: skip
    write_edf(tmp_path / "edf" / "r.edf", labels=labels)
    assert run("edf_folder", input=tmp_path / "edf", out=tmp_path / "no") == 2
    path = table(tmp_path, "map.yaml", "Kanal 1: Fp1\n")
    assert run("edf_folder", input=tmp_path / "edf", out=tmp_path / "yes", rename=path) == 0
    bad = table(tmp_path, "bad.yaml", "- Fp1\n")
    assert run("edf_folder", input=tmp_path / "edf", out=tmp_path / "z", rename=bad) == 2
    assert "expected a YAML map" in capsys.readouterr().err
    assert json.loads((tmp_path / "yes" / "manifest.json").read_text())["options"]["rename"]
