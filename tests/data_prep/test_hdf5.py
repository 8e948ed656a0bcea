import argparse
import dataclasses
import json

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.corpora.base import CorpusError
from data_prep.corpora.hdf5 import Hdf5
from data_prep.hdf5 import ElmHdf5, Hdf5Error
from data_prep.reports_file import ReportEntry, attach
from elm_jax.signals.pipeline import ELM_SPEC, PrepOptions

N, C, T = 7, 20, 500
SUBJECT = np.array([0, 0, 0, 1, 1, 4, 4])
PEOPLE = np.array([0, 0, 0, 0, 0, 1, 1])


def signal(n=N, t=T, c=C, seed=0):
    """Typical EEG, in 1e5V."""
    return np.random.default_rng(seed).normal(0, 3, (n, c, t)).astype(np.float32)


def write(path, *, leave_out=(), **columns):
    values = {
        "features": signal(), "subject_ids": SUBJECT, "unique_subject_ids": PEOPLE,
        "dataset_mean": 0.0, "dataset_std": 1.0,
    }  # fmt: skip
    with h5py.File(path, "w") as file:
        for name, value in {**values, **columns}.items():
            if name not in leave_out:
                file[name] = value
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "elm.h5"


def arguments(path, **more):
    values = {"hdf5_unit": "1e5V", "subject_is_person": False, "institution": None}
    return argparse.Namespace(input=str(path), **{**values, **more})


def sources(path, **more):
    return Hdf5().sources(arguments(path, **more))


def pieces(source, spec=ELM_SPEC):
    return Hdf5().pieces(source, spec, PrepOptions())


# ---- the layout


def test_subject_ids_count_recordings_and_people_are_their_own(path):
    found = sources(write(path))
    assert [s.recording for s in found] == ["elm_00000000", "elm_00000001", "elm_00000004"]
    assert [s.person for s in found] == ["local:0", "local:0", "local:1"]
    assert sources(path, institution="tuh")[0].person == "tuh:0"


def test_names_of_people_come_before_their_numbers(path):
    names = np.array(["aaaaaaab", "aaaaaaab", "aaaaaaab", "x:1", "x:1", "c", "c"])
    for values in (names.astype("S8"), names.astype(object)):
        found = sources(write(path, long_subject_id=values), institution="tuh")
        assert [s.person for s in found] == ["tuh:aaaaaaab", "x:1", "tuh:c"]


def test_without_people_it_is_refused_unless_each_recording_is_one(path):
    write(path, leave_out=["unique_subject_ids"])
    with pytest.raises(CorpusError, match="--subject_is_person"):
        sources(path)
    found = sources(path, subject_is_person=True)
    assert [s.person for s in found] == ["local:0", "local:1", "local:4"]


def test_a_unit_is_required_and_kept(path):
    write(path)
    with pytest.raises(CorpusError, match="--hdf5_unit 1e5V"):
        sources(path, hdf5_unit=None)
    values_uv = {}
    for unit in ("1e5V", "1e7V", "uV"):
        (source, *_) = sources(path, hdf5_unit=unit)
        assert source.extra["unit"] == unit
        values_uv[unit] = pieces(source)[0][0].signal
    assert np.allclose(values_uv["1e5V"], signal()[0] * 10, rtol=1e-6)
    assert np.allclose(values_uv["uV"], signal()[0], rtol=1e-6)
    assert np.allclose(values_uv["1e7V"], signal()[0] / 10, rtol=1e-6)
    with pytest.raises(Hdf5Error, match="known"):
        ElmHdf5(path, "V")


def test_a_wrong_unit_is_noticed_by_the_amplitude(path):
    write(path)
    assert not pieces(sources(path)[0])[1].defects
    judgement = pieces(sources(path, hdf5_unit="1e7V")[0])[1]
    assert [d.kind for d in judgement.defects] == ["unit_suspect"] and judgement.usable


def test_one_second_crops_are_joined(path):
    crops = signal(n=14, t=100)
    subject = np.repeat([3, 5], [6, 8])
    write(path, features=crops, subject_ids=subject, unique_subject_ids=subject)
    first, second = sources(path)
    ((piece,), judgement) = pieces(first)
    assert piece.signal.shape == (C, 600) and judgement.duration_s == 6.0
    assert np.array_equal(piece.signal, np.concatenate(crops[:6], axis=1) * np.float32(10))
    assert pieces(second)[0][0].signal.shape == (C, 800)


def test_whole_windows_stay_apart_unless_epoch_ids_join_them(path):
    found = pieces(sources(write(path))[0])[0]
    assert [p.start_s for p in found] == [0.0, 5.0, 10.0]
    write(path, epoch_ids=np.array([0, 1, 5, 0, 1, 0, 1]))
    found = pieces(sources(path)[0])[0]
    assert [p.signal.shape[1] for p in found] == [1000, 500]


def test_embeddings_any_case_of_labels_and_missing_values(path):
    write(
        path,
        leave_out=["features"],
        embeddings=signal(),
        Ages=np.array([30, 30, 30, np.nan, np.nan, 41.5, 41.5])[:, None],
        Sex=np.array(["F", "F", "F", "M", "M", "", ""], object),
        PAT=np.array([1, 1, 1, 0, 0, 0, 1]),
    )
    labels = [s.labels for s in sources(path)]
    assert labels == [
        {"age": 30, "sex": "F", "pathology": 1, "abnormal": 1},
        {"sex": "M", "pathology": 0, "abnormal": 0},
        {"age": 41.5},
    ]


def test_labels_that_change_within_a_recording_are_named(path, capsys):
    sources(write(path, age=np.arange(N)))
    assert "age differ between crops" in capsys.readouterr().out


def test_means_and_deviations_scalar_or_one_a_channel(path):
    write(path, dataset_mean=np.ones((1, C, 1)), dataset_std=np.array([2.0]))
    with ElmHdf5(path, "1e5V") as file:
        mean, std = file.moments()
    assert mean.shape == (C,) and std.shape == () and std == 2
    for column in ({"dataset_std": 0.0}, {"dataset_mean": np.nan}, {"dataset_mean": np.ones(3)}):
        with pytest.raises(CorpusError, match="dataset_"):
            sources(write(path, **column))


def test_lines_of_a_reports_file_count_as_subject_ids_do(path):
    entries = [ReportEntry(line=n, reports=(f"report {n}",)) for n in range(5)]
    found, unmatched = attach(entries, sources(write(path)))
    assert [s.reports for s in found] == [("report 0",), ("report 1",), ("report 4",)]
    assert [e.line for e in unmatched] == [2, 3]


@pytest.mark.parametrize(
    ("columns", "leave_out", "match"),
    [
        ({}, ["features"], "expected a dataset 'features' or 'embeddings'"),
        ({}, ["subject_ids"], "no 'subject_ids'"),
        ({"features": signal()[0]}, [], r"expected numbers \[n, c, t\]"),
        ({"features": np.array([[["a"]]], "S1")}, [], "expected numbers"),
        ({"subject_ids": SUBJECT[:3]}, [], "a value for each of the 7 crops"),
        ({"subject_ids": SUBJECT + 0.5}, [], "whole numbers"),
        ({"unique_subject_ids": np.arange(N)}, [], "has the people"),
        ({"splits": np.array(["eval"] * 5, "S4")}, [], "split 'eval'"),
    ],
)
def test_another_layout_is_an_error_that_says_what_is_missing(path, columns, leave_out, match):
    with pytest.raises(CorpusError, match=match):
        sources(write(path, leave_out=leave_out, **columns))


def test_other_channels_or_another_rate_are_an_error(path):
    with pytest.raises(CorpusError, match="has 19 channels"):
        Hdf5().spec(ELM_SPEC, arguments(write(path, features=signal(c=19))))
    write(path)
    with h5py.File(path, "a") as file:
        file["features"].attrs["sfreq_hz"] = 200.0
    with pytest.raises(CorpusError, match="200"):
        Hdf5().spec(ELM_SPEC, arguments(path))


def test_not_a_number_is_cut_out_and_listed(path):
    crops = signal(n=12, t=100)
    crops[6, 3, 10] = np.nan
    crops[11] = np.inf
    zeros = np.zeros(12, int)
    write(path, features=crops, subject_ids=zeros, unique_subject_ids=zeros)
    found, judgement = pieces(sources(path)[0])
    assert [p.signal.shape[1] for p in found] == [610] and found[0].start_s == 0
    assert [d.kind for d in judgement.defects] == ["non_finite", "short_stretch"]
    write(path, features=crops * np.nan, subject_ids=zeros, unique_subject_ids=zeros)
    found, judgement = pieces(sources(path)[0])
    assert not found and not judgement.usable and "nothing_left" in judgement.skipped


# ---- files of strangers


def refused(path, match):
    with pytest.raises(CorpusError, match=match):
        sources(path)


@pytest.mark.parametrize("name", ["features", "subject_ids", "age", "long_subject_id", "splits"])
def test_links_are_refused_wherever_they_lead(path, tmp_path, name):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["x"] = signal() if name == "features" else PEOPLE
    for link in (h5py.ExternalLink(secret, "x"), h5py.ExternalLink("gone.h5", "x"),
                 h5py.SoftLink("/dataset_mean"), h5py.SoftLink("/nowhere")):  # fmt: skip
        write(path, leave_out=[name])
        with h5py.File(path, "a") as file:
            file[name] = link
        refused(path, "is a link to .* refused")


def test_external_storage_is_refused(path, tmp_path):
    (tmp_path / "raw.bin").write_bytes(signal().tobytes())
    write(path, leave_out=["features"])
    with h5py.File(path, "a") as file:
        external = [(str(tmp_path / "raw.bin"), 0, signal().nbytes)]
        file.create_dataset("features", (N, C, T), np.float32, external=external)
    refused(path, "stored outside the file")


def test_virtual_datasets_are_refused(path, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = signal()
    write(path, leave_out=["features"])
    layout = h5py.VirtualLayout((N, C, T), np.float32)
    layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "x", (N, C, T))
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset("features", layout)
    refused(path, "virtual dataset")


@pytest.mark.parametrize("how", ["contiguous", "chunked", "deflated"])
def test_shapes_larger_than_the_file_are_refused(path, how):
    write(path, leave_out=["features"])
    more = {"contiguous": {}, "chunked": {"chunks": (1, C, T)}}.get(
        how, {"chunks": (1, C, T), "compression": "gzip"}
    )
    n = 10**3 if how == "contiguous" else 10**9
    with h5py.File(path, "a") as file:
        features = file.create_dataset("features", (n, C, T), np.float32, **more)
        if how != "contiguous":
            features[0] = signal(n=1)[0]
    assert path.stat().st_size < 2**20
    refused(path, "refused")


def test_a_bomb_in_one_chunk_is_refused(path):
    write(path, leave_out=["features"])
    with h5py.File(path, "a") as file:
        shape = (N, C, 2**19)
        file.create_dataset("features", shape, np.float32, chunks=shape, compression="gzip")
        file["features"].id.write_direct_chunk((0, 0, 0), b"x" * 2**19)
    refused(path, "smaller chunks")


def test_what_is_packed_honestly_is_read(path):
    write(path, leave_out=["features"])
    with h5py.File(path, "a") as file:
        half = signal().astype(np.float16)
        file.create_dataset("features", data=half, chunks=(1, C, T), compression="gzip")
    found = pieces(sources(path)[0])[0]
    assert np.array_equal(found[0].signal, half[0].astype(np.float32) * 10)


def test_what_is_no_hdf5_is_refused(path):
    refused(path, "no such file")
    path.write_bytes(b"<html>")
    refused(path, "not an HDF5 file")
    write(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(path, "not an HDF5 file, or damaged")
    with h5py.File(path, "w") as file:
        file.create_group("features")
    refused(path, "is a group")


# ---- writing


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Two simulated people prepared, written as HDF5, and prepared again from it."""
    from data_prep.arguments import parse
    from data_prep.prepare import prepare

    root = tmp_path_factory.mktemp("round")
    common = ["--workers", "0", "--min_shards", "1"]
    args = parse(["demo", "--out", str(root / "one"), *common, "--hdf5", str(root / "one.h5")])
    args.demo_people = 3
    assert prepare(args) == 0
    command = ["hdf5", "--input", str(root / "one.h5"), "--out", str(root / "two"), *common]
    assert prepare(parse([*command, "--hdf5_unit", "1e5V"])) == 0
    return root


def test_round_trip_is_equal_within_the_storage(prepared):
    from elm_jax.data.shards import ShardReader, load_recordings

    one, two = (load_recordings(prepared / name) for name in ("one", "two"))
    by_name = {row.recording: row for row in two}
    assert len(one) == len(two)
    for row in one:
        again = by_name[row.recording]
        assert (again.person, again.split) == (row.person, row.split)
        assert again.labels["abnormal"] == row.labels["abnormal"]
        assert (again.labels["age"], again.labels["sex"]) == (row.labels["age"], row.labels["sex"])
        a, b = (ShardReader(prepared / name, row.split) for name in ("one", "two"))
        assert len(again.pieces) == len(row.pieces)
        for piece, other in zip(row.pieces, again.pieces, strict=True):
            windows = piece.n_samples // 500 * 500
            assert other.start_s == piece.start_s
            assert np.array_equal(a.read(piece.index)[:, :windows], b.read(other.index))


def test_written_files_are_elms_layout_float32_uncompressed(prepared):
    with h5py.File(prepared / "one.h5") as file:
        features = file["features"]
        assert features.dtype == np.float32 and features.compression is None
        assert features.shape[1:] == (20, 500)
        assert features.attrs["unit"] == "1e5V"
        chunk_bytes = np.prod(features.chunks) * 4
        assert features.chunks[1:] == (20, 500) and 2**14 <= chunk_bytes <= 2**21
        n = len(features)
        for name in ("subject_ids", "unique_subject_ids", "long_subject_id", "epoch_ids", "age"):
            assert file[name].shape == (n,)
        # As ELM's own reader takes it: crops of one number are one recording, in 1e5V.
        assert sorted(set(file["subject_ids"][:])) == list(range(len(file["recordings"])))
        assert 0.3 < np.std(features[:]) < 10
        assert np.all(file["dataset_std"][()] > 0)


def test_a_file_that_says_another_unit_is_refused(prepared):
    with pytest.raises(CorpusError, match="says that its unit is 1e5V"):
        sources(prepared / "one.h5", hdf5_unit="uV")


def test_writing_and_reading_stream(prepared, monkeypatch):
    """No read of the signals asks for more than one recording's rows."""
    spans = []
    read = ElmHdf5.read_uv

    def spy(self, start, stop):
        spans.append(stop - start)
        return read(self, start, stop)

    monkeypatch.setattr(ElmHdf5, "read_uv", spy)
    found = sources(prepared / "one.h5")
    assert not spans
    for source in found:
        pieces(source)
    with ElmHdf5(prepared / "one.h5", "1e5V") as file:
        assert sum(spans) == file.shape[0] and max(spans) < file.shape[0]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_every_row_belongs_to_exactly_one_recording(tmp_path_factory, subject):
    path = tmp_path_factory.mktemp("rows") / "x.h5"
    subject = np.array(subject)
    write(path, features=signal(n=subject.size, t=4, c=2), subject_ids=subject,
          unique_subject_ids=subject)  # fmt: skip
    with ElmHdf5(path, "uV") as file:
        found = file.recordings()
    rows = sorted(r for rec in found for a, b in rec.runs for r in range(a, b))
    assert rows == list(range(subject.size))
    assert all((subject[a:b] == rec.subject_id).all() for rec in found for a, b in rec.runs)
    assert json.dumps([dataclasses.asdict(rec) for rec in found])
