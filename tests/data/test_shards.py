import json
import pickle
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
from tiny_shards import tiny_spec

from data_prep.write_shards import InMemory, write_dataset
from elm_jax.data.dataset_info import shard_files
from elm_jax.data.shards import ManifestError, NotPrepared, ShardReader, load_recordings


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A directory, and what was put in."""
    rng = np.random.default_rng(0)
    recordings = [
        InMemory(
            f"r{i}",
            f"x:p{i // 2}",
            "train" if i < 8 else "test",
            tuple(
                rng.normal(0, 30, (20, 500 * int(k))).astype(np.float32)
                for k in rng.integers(1, 4, 1 + i % 2)
            ),
            reports=("Grüße — “normal” EEG.",) * (i % 3),
            labels={"age": i, "sex": None, "note": "a\nb"},
        )
        for i in range(10)
    ]
    directory = tmp_path_factory.mktemp("stored") / "shards"
    write_dataset(directory, recordings, tiny_spec(), min_shards=3)
    return directory, recordings


def test_every_piece_comes_back_to_half_a_step(stored):
    directory, recordings = stored
    for split in ("train", "test"):
        reader = ShardReader(directory, split)
        own = [r for r in recordings if r.split == split]
        assert [row.recording for row in reader.recordings] == [r.recording for r in own]
        for row, given in zip(reader.recordings, own, strict=True):
            assert (row.reports, row.labels, row.person) == (
                given.reports, given.labels, given.person,
            )  # fmt: skip
            for piece, signal in zip(row.pieces, given.pieces, strict=True):
                found = reader.read(piece.index)
                assert found.dtype == np.int16 and found.shape == (20, piece.n_samples)
                assert np.abs(found / reader.manifest.steps_per_unit - signal).max() <= 1 / 64


def test_pieces_come_in_the_order_asked_for(stored):
    reader = ShardReader(stored[0], "train")
    order = np.random.default_rng(1).permutation(len(reader)).tolist() * 2
    for index, signal in zip(order, reader.read_many(order), strict=True):
        np.testing.assert_array_equal(signal, reader.read(index))


def test_threads_share_a_reader_from_its_first_read_on(stored):
    reader, fresh = ShardReader(stored[0], "train"), ShardReader(stored[0], "train")
    expected = [reader.read(i) for i in range(len(reader))]
    wrong, start = [], threading.Barrier(8)

    def work(seed):
        start.wait()
        for i in np.random.default_rng(seed).integers(0, len(fresh), 40):
            if not np.array_equal(fresh.read(int(i)), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(s,)) for s in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_reader_pickles_by_path(stored):
    reader = ShardReader(stored[0], "test")
    reader.read(0)
    blob = pickle.dumps(reader)
    assert len(blob) < 1000
    np.testing.assert_array_equal(pickle.loads(blob).read(1), reader.read(1))


@pytest.mark.parametrize("index", [-1, 10_000])
def test_an_index_out_of_range_is_an_error(stored, index):
    with pytest.raises(IndexError, match="no piece"):
        ShardReader(stored[0], "train").read(index)


def test_tfds_opens_the_directory_with_its_splits(stored):
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(stored[0])
    assert sorted(builder.info.splits) == ["test", "train"]
    example = builder.as_data_source(split="train")[0]
    assert sorted(example) == [
        "labels", "person", "piece", "recording", "reports", "signal", "start_s",
    ]  # fmt: skip
    assert json.loads(example["labels"]) == {"age": 0, "note": "a\nb", "sex": None}


def test_the_files_of_a_split_are_those_that_tfds_names(stored):
    import tensorflow_datasets as tfds

    splits = tfds.builder_from_directory(stored[0]).info.splits
    for name, split in splits.items():
        files = zip(sorted(split.filenames), split.shard_lengths, strict=True)
        assert shard_files(stored[0], name) == list(files)


@pytest.mark.parametrize("damage", ["", "{}", "[1]", '{"splits": [{"name": "train"}]}', None])
def test_a_damaged_list_of_files_is_named_with_what_to_do(stored, tmp_path, damage):
    folder = shutil.copytree(stored[0], tmp_path / "copy")
    info = folder / "dataset_info.json"
    info.unlink() if damage is None else info.write_text(damage)
    with pytest.raises(ManifestError, match=r"dataset_info.json.*prepare the corpus again"):
        ShardReader(folder, "train").read(0)


def test_reading_pulls_in_no_tensorflow(stored):
    code = (
        "import sys; from elm_jax.data.shards import ShardReader; "
        f"ShardReader({str(stored[0])!r}, 'train').read(0); "
        "heavy = {'tensorflow', 'tensorflow_datasets', 'torch', 'mne', 'flax'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert out.stdout.strip() == "[]"


def test_a_missing_directory_is_named_with_what_to_do(tmp_path):
    with pytest.raises(NotPrepared, match=r"nowhere: no such directory.*data_prep\.prepare"):
        ShardReader(tmp_path / "nowhere", "train")


def test_an_unfinished_directory_says_so(tmp_path):
    (tmp_path / ".work").mkdir()
    with pytest.raises(NotPrepared, match="was not finished.*run the same command again"):
        load_recordings(tmp_path)


def test_a_folder_of_something_else_says_so(tmp_path):
    with pytest.raises(NotPrepared, match="not a prepared corpus"):
        load_recordings(tmp_path)


def test_an_empty_split_is_an_error_that_counts_the_others(stored):
    with pytest.raises(ManifestError, match="'valid' holds no recordings.*'train': 4"):
        ShardReader(stored[0], "valid")
    assert load_recordings(stored[0], "valid") == []


def test_an_unknown_split_is_an_error(stored):
    with pytest.raises(ManifestError, match="known"):
        ShardReader(stored[0], "eval")


def test_shards_of_another_preparation_are_noticed(stored, tmp_path):
    import shutil

    mixed = tmp_path / "mixed"
    shutil.copytree(stored[0], mixed)
    lines = (mixed / "recordings.jsonl").read_text().splitlines(keepends=True)
    (mixed / "recordings.jsonl").write_text("".join(lines[1:]))
    with pytest.raises(ManifestError, match="two preparations"):
        ShardReader(mixed, "train").read(0)


def test_training_on_fewer_shards_than_processes_is_refused_with_the_number_to_use(stored):
    reader = ShardReader(stored[0], "train")
    reader.require_shards(3)
    with pytest.raises(
        ManifestError, match="'train' lies in 3 shards, fewer than the 5 .*--min_shards 5"
    ) as found:
        reader.require_shards(5)
    assert str(stored[0]) in str(found.value)
    with pytest.raises(ManifestError, match="has 12 pieces in all, so start at most as many"):
        reader.require_shards(13)
