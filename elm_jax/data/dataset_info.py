"""What TensorFlow Datasets' ``dataset_info.json`` says of the files of a split; read as JSON.

``tensorflow_datasets.builder_from_directory`` gives the same, and would import itself, and for
some of its parts TensorFlow, in every process that reads.
"""

import json
from collections.abc import Mapping
from typing import Any

from etils import epath

from elm_jax import paths
from elm_jax.data.manifest import ManifestError

FILE = "dataset_info.json"


def shard_files(directory: epath.PathLike, split: str) -> list[tuple[str, int]]:
    """Names of the files of a split, in order, and how many records each holds.

    Raises:
      ManifestError: the file is gone, damaged, or tells of no such split.
    """
    path = paths.of(directory) / FILE
    try:
        with paths.told():
            info = json.loads(path.read_text(encoding="utf-8"))
        found = next(part for part in info["splits"] if part["name"] == split)
        records = [int(count) for count in found["shardLengths"]]
        return [(_name(info, found, i), count) for i, count in enumerate(records)]
    except FileNotFoundError as error:
        raise ManifestError(f"{path}: it is gone; prepare the corpus again") from error
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        raise ManifestError(
            f"{path}: damaged, or without split {split!r} ({error!r}); prepare the corpus again"
        ) from error


def _name(info: Mapping[str, Any], split: Mapping[str, Any], index: int) -> str:
    """The name of a shard, by the template that stands in the file."""
    of = f"{index:05d}-of-{len(split['shardLengths']):05d}"
    return split["filepathTemplate"].format(
        DATASET=info["name"], SPLIT=split["name"], FILEFORMAT=info["fileFormat"], SHARD_X_OF_Y=of
    )
