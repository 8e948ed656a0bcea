import json

import pytest
from tiny_shards import tiny_spec

from elm_jax.data.manifest import (
    Manifest,
    ManifestError,
    PieceRow,
    RecordingRow,
    code_version,
    load_recordings,
)


def manifest(**changes):
    values = {
        "spec": tiny_spec().replace(mean=0.25, std=3.5),
        "corpus": "tueg",
        "simulated": False,
        "people": {"train": ("tuh:a", "tuh:b"), "valid": (), "test": ("tuh:c",)},
        "split_seed": 3,
        "counts": {"total": {"people": 3}},
        "storage": {"dtype": "int16", "steps_per_unit": 32, "max_piece_s": 600.0},
        "statistics": {"split": "train", "samples": 10, "mean": 0.25, "std": 3.5},
        "code_version": "x",
        "options": {"split": None},
        "inputs_sha256": "00",
        "defects": ({"file": "ä.edf", "kind": "not_edf", "detail": "d"}, {"file": "b"}),
    }
    return Manifest(**(values | changes))


@pytest.mark.parametrize("defects", [(), ({"file": "a", "kind": "k", "detail": "“q”\n"},) * 3])
def test_a_manifest_comes_back_as_it_was(tmp_path, defects):
    written = manifest(defects=defects)
    written.save(tmp_path)
    assert Manifest.load(tmp_path) == written
    assert written.steps_per_unit == 32


def test_a_manifest_has_no_time_and_sorted_keys():
    text = manifest().to_json()
    assert text == manifest(people=dict(reversed(manifest().people.items()))).to_json()
    keys = list(json.loads(text))
    assert keys[:-1] == sorted(keys[:-1])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda v: v.pop("spec"), r"lacks \['spec'\]"),
        (lambda v: v.update(colour=1), r"unknown \['colour'\]"),
        (lambda v: v.update(format=99), "format is 99, expected 1"),
        (lambda v: v["spec"].pop("unit"), "lacks .*unit"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused_by_field(tmp_path, change, said):
    path = manifest().save(tmp_path)
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=said):
        Manifest.load(tmp_path)


def test_a_cut_off_manifest_is_refused(tmp_path):
    path = manifest().save(tmp_path)
    path.write_text(path.read_text()[:100])
    with pytest.raises(ManifestError, match="not JSON"):
        Manifest.load(tmp_path)


def test_recordings_come_back_and_a_damaged_line_is_named(tmp_path):
    manifest().save(tmp_path)
    rows = [
        RecordingRow("a", "x:a", "train", (PieceRow(0, 10.0, 500),), ("text “q”\n",), {"k": 1}),
        RecordingRow("b", "x:b", "test", (PieceRow(0, 0.0, 500), PieceRow(1, 7.5, 1000))),
    ]
    path = tmp_path / "recordings.jsonl"
    path.write_text("".join(row.to_json() + "\n" for row in rows), encoding="utf-8")
    assert load_recordings(tmp_path) == rows
    assert load_recordings(tmp_path, "test") == rows[1:]
    path.write_text(rows[0].to_json() + "\n{broken\n")
    with pytest.raises(ManifestError, match=r"recordings\.jsonl:2: damaged"):
        load_recordings(tmp_path)


def test_the_code_version_names_the_libraries_that_shape_the_signal():
    assert all(name in code_version() for name in ("elm_jax", "mne", "numpy", "scipy"))
