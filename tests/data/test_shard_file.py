"""Parts of records are the bytes that whole records have there; shards that are not say which."""

import os
import pathlib
import shutil
import tempfile

import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordWriter
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_shards import tiny_spec

from data_prep.write_shards import InMemory, write_dataset
from elm_jax.data.shard_file import BLOCK_BYTES, ShardError, ShardFile, signal_span
from elm_jax.data.shards import ShardReader

# Sizes whose ends fall before, on and behind the block headers, and over several of them.
sizes = st.lists(
    st.one_of(st.integers(4, 300), st.integers(BLOCK_BYTES - 200, BLOCK_BYTES + 200),
              st.integers(4, 4 * BLOCK_BYTES)),
    min_size=1, max_size=8,
)  # fmt: skip


def write(path, records, options="group_size:1,uncompressed"):
    writer = ArrayRecordWriter(str(path), options)
    for record in records:
        writer.write(record)
    writer.close()
    return ShardFile(path, len(records))


@settings(deadline=None, max_examples=40)
@given(sizes, st.integers(0, 2**31), st.data())
def test_any_stretch_of_a_record_is_found_across_block_headers(sizes, seed, data):
    records = [np.random.default_rng([seed, n]).bytes(n) for n in sizes]
    with tempfile.TemporaryDirectory() as folder:
        shard = write(pathlib.Path(folder) / "shard", records)
        file, checked = shard.open_direct(), shard.open_checked()
        for position, record in enumerate(records):
            assert shard.record(position, checked) == record
            begin = data.draw(st.integers(0, len(record) - 1))
            end = data.draw(st.integers(begin + 1, len(record)))
            out = bytearray(end - begin)
            file.read_into(memoryview(out), position, begin)
            assert out == record[begin:end]


@pytest.mark.parametrize("options", ["group_size:1,zstd:3", "group_size:3,uncompressed"])
def test_a_shard_laid_out_otherwise_is_read_whole(tmp_path, options):
    records = [bytes([i]) * 90_000 for i in range(4)]
    shard = write(tmp_path / "shard", records, options)
    assert shard.open_direct() is None
    checked = shard.open_checked()
    assert [shard.record(i, checked) for i in range(4)] == records


def test_a_record_without_the_feature_is_refused():
    for record in (b"", b"\x0a\x02\x0a\x00", b"\x08\x01", b"\xff", b"\x0a\x7f"):
        with pytest.raises(ValueError, match="no record|without 'signal'"):
            signal_span(record)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """One recording of 600 s and some shorter ones."""
    rng = np.random.default_rng(0)
    recordings = [
        InMemory(f"r{i}", f"x:p{i}", "train", (rng.normal(0, 30, (20, n)).astype(np.float32),))
        for i, n in enumerate((60_000, 500, 1_499, 7_000))
    ]
    directory = tmp_path_factory.mktemp("parts") / "shards"
    write_dataset(directory, recordings, tiny_spec(), min_shards=2)
    return directory


@pytest.mark.parametrize("wanted", [1, 7, 120])  # some windows one by one, many at once
def test_windows_read_in_part_are_those_of_the_whole_piece(stored, wanted):
    reader, again = ShardReader(stored, "train"), ShardReader(stored, "train")
    for row in reader.recordings:
        (piece,) = row.pieces
        whole = reader.read(piece.index)
        most = piece.n_samples - 500
        starts = np.random.default_rng(wanted).integers(0, most + 1, wanted)
        starts[-1] = most  # the last that fits
        expected = np.stack([whole[:, s : s + 500] for s in starts])
        for _ in range(2):  # the first time the piece is read whole, then in part
            np.testing.assert_array_equal(again.cut(piece.index, starts, 500), expected)
        with pytest.raises(IndexError, match="ends at"):
            again.cut(piece.index, starts + 1, 500)


def test_once_a_piece_was_checked_only_what_is_needed_of_it_is_read(stored, monkeypatch):
    reader, asked = ShardReader(stored, "train"), []
    for _ in range(2):  # whole and checked; then the places of the shard's records are looked up
        reader.cut(0, np.array([0]), 500)
    read = os.preadv

    def counted(fd, parts, at):
        asked.append(sum(map(len, parts)))
        return read(fd, parts, at)

    monkeypatch.setattr(os, "preadv", counted)
    monkeypatch.setattr(reader, "read", None)
    reader.cut(0, np.array([1_234]), 500)
    assert len(asked) == 20 and 20_000 <= sum(asked) < 20_200


@pytest.fixture
def copy(stored, tmp_path):
    shutil.copytree(stored, tmp_path / "copy")
    return tmp_path / "copy"


def shard_of(directory):
    return sorted(directory.glob("*-train.array_record-00000-*"))[0]


def damage_signal(path):
    content = bytearray(path.read_bytes())
    content[600_000:600_010] = b"0123456789"
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:1_000_000])


def swap(path):
    shutil.copy(path.with_name(path.name.replace("00000-of", "00001-of")), path)


@pytest.mark.parametrize("harm", [pathlib.Path.unlink, damage_signal, truncate, swap])
def test_a_deleted_damaged_cut_or_swapped_shard_is_named_with_what_to_do(copy, harm):
    path = shard_of(copy)
    harm(path)
    reader = ShardReader(copy, "train")
    with pytest.raises(
        ShardError, match="(?s)put it back from a copy.*prepare the corpus"
    ) as found:
        reader.cut(0, np.array([0]), 500)
    assert str(path) in str(found.value) and isinstance(found.value, OSError)


def test_a_shard_that_shrinks_while_it_is_open_is_an_error_too(copy):
    reader = ShardReader(copy, "train")
    reader.cut(0, np.array([0]), 500)
    truncate(shard_of(copy))
    with pytest.raises(ShardError, match="put it back"):
        reader.cut(0, np.array([59_500]), 500)


def test_few_files_are_open_however_many_shards_there_are(tmp_path, monkeypatch):
    monkeypatch.setattr("elm_jax.data.shards._OPEN_FILES", 3)
    monkeypatch.setattr("elm_jax.data.shards._OPEN_READERS", 2)
    signal = np.random.default_rng(0).normal(0, 30, (20, 500)).astype(np.float32)
    recordings = [InMemory(f"r{i}", f"x:p{i}", "train", (signal + i,)) for i in range(12)]
    write_dataset(tmp_path / "shards", recordings, tiny_spec(), min_shards=12)
    reader = ShardReader(tmp_path / "shards", "train")
    assert reader.shards == 12
    before = len(list(pathlib.Path("/proc/self/fd").iterdir()))
    expected = {i: reader.read(i) for i in range(len(reader))}
    for index in np.random.default_rng(0).permutation(np.tile(np.arange(len(reader)), 4)):
        window = reader.cut(int(index), np.array([0]), 200)[0]
        np.testing.assert_array_equal(window, expected[int(index)][:, :200])
    assert len(list(pathlib.Path("/proc/self/fd").iterdir())) <= before + 3 + 2
