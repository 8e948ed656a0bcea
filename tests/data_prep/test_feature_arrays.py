"""Windows that are features: a folder of .npz files, one vector a window, as exact as said."""

import json
import re

import numpy as np
import pytest

from data_prep.corpora.feature_arrays import Arrays, Scales
from elm_jax.data.manifest import Manifest, load_recordings
from elm_jax.data.pipeline import Windows
from elm_jax.data.shards import ShardReader

CLASSES = "--class_names W,N1,N2,N3,R"


def features(n=40, d=5, seed=0):
    """Numbers of very different sizes: around -23 with a spread of 0.002, and up to a million."""
    rng = np.random.default_rng(seed)
    middle, spread = np.linspace(-23, 1e6, d), np.geomspace(0.002, 1e5, d)
    return middle + spread * rng.normal(size=(n, d))


@pytest.fixture
def nights(tmp_path):
    """Three nights of two people: one with a gap and unscored windows, one without classes."""
    folder = tmp_path / "in"
    folder.mkdir()
    x = [features(seed=i) for i in range(3)]
    x[0][7, 2], x[0][8, 0] = np.nan, np.inf
    y = np.repeat([0, 1, 2, -1, 4], 8)
    np.savez(folder / "SC4001E0.npz", X=x[0], y=y)
    np.savez(folder / "SC4002E0.npz", X=x[1], y=y.astype(float))
    x[2] = x[2].astype(np.float32)
    np.savez(folder / "SC4012E0.npz", X=x[2])
    return folder, x, y


def prepare(run, folder, out, more=CLASSES):
    people = "--person_pattern SC4\\d\\d --test_people SC401 --wake_margin_min inf"
    return run(f"feature_arrays --split train=1 {people} {more}", input=folder, out=out)


def stored(out, split):
    """``{recording: [(start_s, values in the files' units [n, d], labels)]}``."""
    reader, options = ShardReader(out, split), Manifest.load(out).options
    mean, std = np.array(options["feature_mean"]), np.array(options["feature_std"])
    found = {}
    for row in reader.recordings:
        found[row.recording] = [
            (p.start_s, reader.read(p.index).T / 1000 * std + mean, p.labels) for p in row.pieces
        ]
    return found


def test_windows_come_back_with_times_classes_and_people_as_exactly_as_is_said(
    run, nights, tmp_path
):
    folder, x, y = nights
    assert prepare(run, folder, tmp_path / "out") == 0
    manifest = Manifest.load(tmp_path / "out")
    assert manifest.spec.modality == "features" and manifest.spec.window_samples == 1
    assert manifest.people["train"] == ("local:SC400",) and manifest.people["test"] == (
        "local:SC401",
    )
    std = np.array(manifest.options["feature_std"])
    found = stored(tmp_path / "out", "train") | stored(tmp_path / "out", "test")
    seen = []
    for night, values in zip(sorted(found), x, strict=True):
        for start_s, piece, labels in found[night]:
            first = round(start_s / 30)
            wanted = values[first : first + len(piece)]
            assert (np.abs(piece - wanted) <= 0.00051 * std).all()
            if night != "SC4012E0":
                of = set(y[first : first + len(piece)])
                (number,) = of
                assert labels.get("event_class", -1) == number
                word = None if number < 0 else "W N1 N2 N3 R".split()[number]
                assert labels.get("event") == word
            seen.append((night, first, len(piece)))
    assert sum(n for name, _, n in seen if name == "SC4001E0") == 38  # two windows are not finite
    assert ("SC4001E0", 0, 7) in seen and ("SC4001E0", 9, 7) in seen
    # Without classes a night is one stretch, stored in pieces of ten minutes.
    assert [(first, n) for name, first, n in seen if name == "SC4012E0"] == [(0, 20), (20, 20)]


def test_the_moments_are_of_all_that_is_kept(run, nights, tmp_path):
    folder, x, _ = nights
    assert prepare(run, folder, tmp_path / "out") == 0
    options = Manifest.load(tmp_path / "out").options
    rows = {row.recording: row for row in load_recordings(tmp_path / "out")}
    kept = x[0][np.isfinite(x[0]).all(1)]
    own = (kept - np.array(options["feature_mean"])) / np.array(options["feature_std"])
    np.testing.assert_allclose(rows["SC4001E0"].moments.mean, own.mean(0), atol=1e-5)
    np.testing.assert_allclose(rows["SC4001E0"].moments.std, own.std(0), rtol=1e-4)


def test_normalised_by_recording_it_does_not_matter_what_else_lay_in_the_folder(
    run, nights, tmp_path
):
    folder, x, _ = nights
    assert prepare(run, folder, tmp_path / "out") == 0
    spread = tmp_path / "spread"
    spread.mkdir()
    np.savez(spread / "SC4001E0.npz", X=x[0])
    middle = x[2].astype(float).mean(0)  # of an amplifier with another gain
    np.savez(spread / "SC4012E0.npz", X=middle + 20 * (x[2] - middle))
    assert prepare(run, spread, tmp_path / "other") == 0
    values = []
    for out in ("out", "other"):
        reader = ShardReader(tmp_path / out, "train", moments="recording")
        windows = Windows.of(reader.recordings, 1)
        rows = np.flatnonzero(windows.recording == 0)
        mean, std = windows.moments(reader, rows).values()
        values.append((windows.read(reader, rows)[..., 0] / 1000 - mean) / std)
    np.testing.assert_allclose(*values, atol=0.02)  # coarser in the deviations of wilder files
    like = f"{CLASSES} --features_like {tmp_path / 'out'}"
    assert prepare(run, spread, tmp_path / "like", like) == 0
    one, other = (Manifest.load(tmp_path / out).options for out in ("out", "like"))
    assert one["feature_mean"] == other["feature_mean"]


def test_wakefulness_far_from_sleep_goes_and_is_listed(run, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    y = np.repeat([0, 1, 0, 2, 0], [100, 5, 3, 5, 70])
    for name in ("SC4001", "SC4011"):
        np.savez(folder / f"{name}.npz", X=features(len(y)), y=y)
    command = f"feature_arrays {CLASSES} --split train=1 --wake_margin_min 20"
    assert run(command, input=folder, out=tmp_path / "out") == 0
    manifest = Manifest.load(tmp_path / "out")
    assert manifest.counts["total"]["windows"] == 2 * (40 + 5 + 3 + 5 + 40)
    assert manifest.options["wake_margin_min"] == 20
    (first, _) = (d for d in manifest.defects if d["kind"] == "window_dropped")
    assert first["detail"].startswith("90 W over 20 min")
    assert load_recordings(tmp_path / "out")[0].pieces[0].start_s == 60 * 30


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: np.savez(f / "SC4021.npz", X=features(d=4)), "has 4 features and .* 5"),
        (lambda f: np.savez(f / "nobody.npz", X=features()), "finds nothing in the name 'nobody'"),
    ],
)
def test_a_folder_that_is_not_of_one_kind_is_an_error(
    run, nights, tmp_path, capsys, spoil, message
):
    spoil(nights[0])
    assert prepare(run, nights[0], tmp_path / "out") != 0
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (dict(X=np.zeros(5)), r"X is float64 of shape \(5,\)"),
        (dict(Z=np.zeros((5, 5))), r"X is none.*has \['Z'\]"),
        (dict(X=features(), y=np.zeros(3)), r"y is float64 of shape \(3,\), expected 40"),
        (dict(X=features(), y=np.full(40, 0.5)), "expected 40 whole numbers"),
        (dict(X=features(), names=["a"] * 5), "1 names for 5 features"),
    ],
)
def test_a_file_of_something_else_is_listed_and_the_others_are_prepared(
    run, nights, tmp_path, content, detail
):
    np.savez(nights[0] / "SC4022E0.npz", **content)
    (nights[0] / "SC4032E0.npz").write_bytes(b"PK\x03\x04 cut off")
    assert prepare(run, nights[0], tmp_path / "out") == 0
    listed = {d["file"]: d for d in Manifest.load(tmp_path / "out").defects}
    assert re.search(detail, listed["SC4022E0.npz"]["detail"])
    assert listed["SC4032E0.npz"]["kind"] == "array_unreadable"


def test_no_code_in_a_file_is_run(run, nights, tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("ran",))

    with (nights[0] / "SC4022E0.npz").open("wb") as file:
        np.savez(file, X=np.array([Evil()], object), allow_pickle=True)
    assert prepare(run, nights[0], tmp_path / "out") == 0
    kinds = {d["file"]: d["kind"] for d in Manifest.load(tmp_path / "out").defects}
    assert kinds["SC4022E0.npz"] == "array_unreadable"


def test_a_class_without_a_name_skips_its_file_and_options_of_signals_are_refused(
    run, nights, tmp_path, capsys
):
    assert prepare(run, nights[0], tmp_path / "two", "--class_names W,N1") == 0
    skipped = Manifest.load(tmp_path / "two").counts["skipped"]
    assert skipped == {"bad_array": 2}
    assert prepare(run, nights[0], tmp_path / "no", "--highpass_hz 1") != 0
    assert "--highpass_hz: feature_arrays are no signals" in capsys.readouterr().err
    assert not (tmp_path / "no").exists() or not any((tmp_path / "no").glob("*.json"))


def test_a_recording_that_shares_its_steps_with_one_far_wilder_is_listed(run, nights, tmp_path):
    folder, x, _ = nights
    np.savez(folder / "SC4022E0.npz", X=1e4 * x[1])
    assert prepare(run, folder, tmp_path / "out") == 0
    coarse = {d["file"] for d in Manifest.load(tmp_path / "out").defects if "coarse" in d["kind"]}
    assert coarse >= {"SC4001E0.npz", "SC4002E0.npz", "SC4012E0.npz"}


def test_features_that_never_change_are_left_out():
    x = features(n=6, d=3)
    x[:, 1] = 0.1
    scales, constant = Scales.measured(("a", "b", "c"), [x])
    assert scales.names == ("a", "c") and constant == ["b"]
    arrays = Arrays(x, np.zeros(6, np.int64), ("a", "b", "c"))
    got = scales.to_deviations(arrays)
    np.testing.assert_allclose(got.std(0), 1, rtol=1e-4)
    assert json.loads(json.dumps(scales.to_json()))["feature_mean"] == list(scales.mean)
