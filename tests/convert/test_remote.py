"""Saved models in a bucket: written here and sent whole, read through a local copy."""

import pytest
from mapped_bucket import bucket  # noqa: F401  (a fixture)
from tiny_parts import tiny_parts

from elm_jax import sources
from elm_jax.convert import folder, single_file

SAVED = "gs://b/models/saved"


def test_a_saved_folder_goes_there_and_comes_back(bucket, tmp_path):  # noqa: F811
    parts = tiny_parts("tower", tmp_path)
    folder.write_folder(parts, SAVED)
    sent = [name for mode, name in bucket.opened if "w" in mode]
    assert sent[-1] == "config.json"  # by which it is known, when all the rest is there
    found = sources.read_parts(SAVED)
    assert found.weights_sha256 == parts.weights_sha256 and found.source == SAVED
    assert found.text_tower_dir.is_dir()


def test_what_stands_there_is_replaced_only_when_asked(bucket):  # noqa: F811
    first, second = (tiny_parts("projector", seed=seed) for seed in (0, 1))
    folder.write_folder(first, SAVED)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        folder.write_folder(second, SAVED)
    folder.write_folder(second, SAVED, overwrite=True)
    assert folder.read_folder(SAVED).weights_sha256 == second.weights_sha256


def test_a_single_file_and_what_lies_beside_it(bucket):  # noqa: F811
    parts, target = tiny_parts("projector"), "gs://b/models/model.safetensors"
    single_file.write_single_file(parts, target)
    assert [name for mode, name in bucket.opened if "w" in mode][-1] == "model.safetensors"
    for named in (target, "gs://b/models"):
        assert sources.read_parts(named).weights_sha256 == parts.weights_sha256
    with pytest.raises(FileExistsError, match="overwrite"):
        single_file.write_single_file(parts, target)
