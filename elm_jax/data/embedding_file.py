"""Files of vectors: the layout, and reading it. HDF5, as ELM's embedding step lays it out.

One row a window, in order of recording and time:

    features            [n, e]  the projection, as published; the encoder's vector where the
                                attribute ``features`` says "encoder"
    encoder_features    [n, d]  the encoder's vector, where both were asked for
    subject_ids         [n]     counts *recordings*, from 0
    unique_subject_ids  [n]     counts people; long_subject_id [n]: their ids
    start_s             [n]     where the window begins in its recording
    session_ids, time_ids [n]   "s001" and "t000" of TUH's file names, where all names have them
    NAME                [n]     each label, under its own name; missing: NaN or ""; of labels of
                                several values (attribute ``list_labels``) JSON: '["CD", "MI"]'

Texts and prompts, where the model has a text side:

    text_embedding      [m, e]  projections of each recording's text segments
    text_subject_ids    [m]     their recordings, as in subject_ids
    texts               [m]     the segments themselves, only where asked for
    prompt_embedding    [k, e]  projections of the class prompts
    prompts [k], prompt_questions [k], prompt_classes [k]

One entry a recording: ``recordings`` (names), ``people``, ``splits``, ``epochs`` (its windows),
``trained_on`` (whether the model was trained on this person: 1, 0, or -1 where it cannot be told).

Attributes of the file: ``format``, ``format_version``, ``complete``, ``about`` (JSON; see
:attr:`EmbeddingFile.attributes`). Vectors are stored contiguously by rows, uncompressed.
"""

import functools
import json
import pathlib
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from elm_jax import paths, staging
from elm_jax.axes import Float, Int
from elm_jax.data.hdf5_safe import Hdf5Error, dataset, open_hdf5
from elm_jax.data.spec import SignalSpec

FILE_NAME = "embedding_dataset.h5"
FORMAT, FORMAT_VERSION = "elm_jax.embeddings", 1
KINDS = ("projection", "encoder", "both")

# What a label cannot be called in the file; it becomes label_NAME there.
RESERVED = {
    "features", "encoder_features", "subject_ids", "unique_subject_ids", "long_subject_id",
    "start_s", "session_ids", "time_ids", "text_embedding", "text_subject_ids", "texts",
    "prompt_embedding", "prompts", "prompt_questions", "prompt_classes", "recordings", "people",
    "splits", "epochs", "trained_on", "progress",
}  # fmt: skip


class EmbeddingFileError(Hdf5Error):
    """A file that is no file of vectors, is unfinished, or lacks what was asked of it."""


class EmbeddedRecording(NamedTuple):
    """One recording of a file: name, person, split, and the rows of its windows."""

    recording: str
    person: str
    split: str
    rows: slice


class EmbeddingFile:
    """A finished file of vectors, open for reading; a context manager.

    Vectors are memory-mapped: slice them (``file.projection[:1000]``), and only those rows are
    read. They stay readable when the file is closed.

    Args:
      path: the file, or the workdir that holds an ``embedding_dataset.h5``.

    Attributes:
      path: of the file.
      attributes: what the vectors are: ``features`` (which vector the dataset of that name holds),
        ``dtype``, ``source``, ``weights_sha256``, ``spec``, ``normalisation`` ({mean, std, from,
        assumed}), ``corpus``, ``simulated``, ``splits``, ``labels`` (label -> dataset),
        ``code_version``, ...

    Raises:
      EmbeddingFileError: not such a file, written by another format, or not finished.
    """

    def __init__(self, path: epath.PathLike):
        self.path = paths.of(path)
        if self.path.is_dir():
            self.path /= FILE_NAME
        self._require_finished()
        self._file = open_hdf5(self.path)
        try:
            self.attributes: dict[str, Any] = self._read_attributes()
            self.spec = SignalSpec.from_dict(self.attributes["spec"], source=str(self.path))
            self._check_rows()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "EmbeddingFile":
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def __len__(self) -> int:
        """Windows."""
        return len(self.subject_ids)

    def __repr__(self) -> str:
        return f"EmbeddingFile({str(self.path)!r}, {len(self)} windows)"

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    # -- vectors --------------------------------------------------------------------------------

    @property
    def projection(self) -> Float[np.ndarray, "n e"]:
        """Projected vectors.

        Raises:
          EmbeddingFileError: the file has the encoder's alone.
        """
        return self._vectors("projection", "features")

    @property
    def features(self) -> Float[np.ndarray, "n d"]:
        """The *encoder's* vectors, which are what this package calls features.

        Raises:
          EmbeddingFileError: the file has projections alone, as the published layout does.
        """
        own = "features" if self.attributes["features"] == "encoder" else "encoder_features"
        return self._vectors("encoder", own)

    def _vectors(self, kind: str, name: str) -> np.ndarray:
        held = self.attributes["features"]
        if held not in (kind, "both"):
            raise EmbeddingFileError(
                f"{self.path}: holds {held} vectors alone, asked for those of kind {kind!r}; write "
                f"it again with --config.embed.features={kind} (or both)"
            )
        return self._mapped(self._dataset(name))

    def _mapped(self, found: Any) -> np.ndarray:
        """The values of a dataset: where they lie in the file, or read if they are in chunks."""
        offset = found.id.get_offset()
        if offset is None or not found.size:
            return found[()]
        return np.memmap(
            staging.local(self.path), found.dtype, "r", offset=offset, shape=found.shape
        )

    # -- rows -----------------------------------------------------------------------------------

    @functools.cached_property
    def subject_ids(self) -> Int[np.ndarray, " n"]:
        """For each window its recording: a row of :attr:`recordings`."""
        return self._dataset("subject_ids")[()]

    @functools.cached_property
    def start_s(self) -> Float[np.ndarray, " n"]:
        """Where each window begins, in seconds from the start of its recording."""
        return self._dataset("start_s")[()]

    @functools.cached_property
    def recordings(self) -> tuple[EmbeddedRecording, ...]:
        """The recordings in order; those without windows have an empty slice."""
        names, people, splits = (self._texts(n) for n in ("recordings", "people", "splits"))
        stops = np.cumsum(self._dataset("epochs")[()]).tolist()
        rows = [slice(a, b) for a, b in zip([0, *stops], stops, strict=False)]
        return tuple(map(EmbeddedRecording, names, people, splits, rows))

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels."""
        return tuple(self.attributes["labels"])

    def label(self, name: str) -> np.ndarray:
        """A label of each window ``[n]``: numbers (NaN: missing) or text ("": missing).

        Of a label of several values objects: tuples of them, None where it is missing.

        Raises:
          EmbeddingFileError: no such label; lists the known.
        """
        if name not in self.attributes["labels"]:
            raise EmbeddingFileError(f"{self.path}: no label {name!r}; known: {self.labels}")
        found = _decoded(self._dataset(self.attributes["labels"][name])[()])
        if name not in self.attributes.get("list_labels", ()):
            return found
        values = np.empty(len(found), object)
        for i, text in enumerate(found.tolist()):
            values[i] = tuple(json.loads(text)) if text else None
        return values

    # -- texts ----------------------------------------------------------------------------------

    @property
    def text_embedding(self) -> Float[np.ndarray, "m e"]:
        """Projected text segments; :attr:`text_subject_ids` says whose.

        Raises:
          EmbeddingFileError: the file has none; says why.
        """
        return self._mapped(self._dataset("text_embedding", self.attributes["texts"]))

    @property
    def text_subject_ids(self) -> Int[np.ndarray, " m"]:
        """The recording of each text segment: a row of :attr:`recordings`."""
        return self._dataset("text_subject_ids", self.attributes["texts"])[()]

    @property
    def texts(self) -> tuple[str, ...]:
        """The text segments, where they were asked for."""
        return self._texts("texts", "--config.embed.text_strings=True keeps them")

    @property
    def prompts(self) -> dict[str, dict[str, Float[np.ndarray, "k e"]]]:
        """Projections of the class prompts: question -> class -> vectors.

        Raises:
          EmbeddingFileError: the file has none; says why.
        """
        absent = self.attributes["texts"] or "config.embed.prompts named none"
        vectors = self._dataset("prompt_embedding", absent)[()]
        keys = zip(self._texts("prompt_questions"), self._texts("prompt_classes"), strict=True)
        out: dict[str, dict[str, list[np.ndarray]]] = {}
        for (question, name), vector in zip(keys, vectors, strict=True):
            out.setdefault(question, {}).setdefault(name, []).append(vector)
        return {q: {c: np.stack(v) for c, v in classes.items()} for q, classes in out.items()}

    # -- reading --------------------------------------------------------------------------------

    def _dataset(self, name: str, absent: str = "") -> Any:
        if name not in set(self._file):  # "in file" itself would follow a link out of it
            because = f" ({absent})" if absent else ""
            raise EmbeddingFileError(f"{self.path}: has no {name!r}{because}")
        return dataset(self._file, name)

    def _texts(self, name: str, absent: str = "") -> tuple[str, ...]:
        return tuple(_decoded(self._dataset(name, absent)[()]).tolist())

    def _require_finished(self) -> None:
        unfinished = partial_path(self.path)
        if not self.path.exists() and unfinished.exists():
            raise EmbeddingFileError(
                f"{self.path}: not finished (there is a {unfinished.name}); run the same command "
                "again, it goes on where it stopped"
            )

    def _read_attributes(self) -> dict[str, Any]:
        attributes = self._file.attrs
        if attributes.get("format") != FORMAT:
            raise EmbeddingFileError(
                f"{self.path}: attribute 'format' is {attributes.get('format')!r}, expected "
                f"{FORMAT!r}: no file of vectors of this project (config.mode=embed writes one)"
            )
        if (found := attributes.get("format_version")) != FORMAT_VERSION:
            raise EmbeddingFileError(
                f"{self.path}: format_version is {found}, expected {FORMAT_VERSION}; write it again"
            )
        if not attributes.get("complete"):
            raise EmbeddingFileError(
                f"{self.path}: was not finished (attribute 'complete' is not set); write it again"
            )
        return json.loads(attributes["about"])

    def _check_rows(self) -> None:
        n = len(self.subject_ids)
        names = ["features", "start_s", *self.attributes["labels"].values()]
        names += ["encoder_features"] * (self.attributes["features"] == "both")
        wrong = {k: s for k in names if (s := self._dataset(k).shape)[0] != n}
        if wrong or int(self._dataset("epochs")[()].sum()) != n:
            raise EmbeddingFileError(
                f"{self.path}: subject_ids has {n} rows, others differ: {wrong or 'epochs'}"
            )


def partial_path(path: epath.PathLike) -> pathlib.Path:
    """Where a file is written until it is whole: beside it, or on this machine for a remote one."""
    return staging.workplace(path) / f"{paths.of(path).name}.unfinished"


def _decoded(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "S":
        return np.char.decode(values, "utf-8")
    if values.dtype.kind == "O":
        return np.asarray([v.decode() if isinstance(v, bytes) else v for v in values], str)
    return values
