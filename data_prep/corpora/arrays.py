"""Corpora whose files are no EDF: arrays, MATLAB files, or what ``mne`` reads.

A subclass says how a source becomes a :class:`~elm_jax.signals.recording.Recording`
(``from_arrays`` for arrays, ``from_mne`` for what ``mne`` reads); filters, montage and the rest
exist once, for all corpora. Beside ``EventCorpus`` it gives events cut out of such recordings:
``class Mine(EventCorpus, ArrayCorpus)``.
"""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from data_prep.corpora.base import Corpus, CorpusError, Source
from elm_jax.data.hdf5_safe import Hdf5Error, dataset, open_hdf5
from elm_jax.data.moments import moments_of
from elm_jax.data.spec import SignalSpec

if TYPE_CHECKING:
    from elm_jax.signals.pipeline import Judgement, Piece, PrepOptions
    from elm_jax.signals.recording import Recording


class ArrayCorpus(Corpus):
    """A corpus that reads its own files; sources of kind "edf" are read as everywhere.

    Trials are short, so recordings are prepared whole: nothing is cut off at their start, and none
    is skipped for its length, unless options say otherwise.

    Attributes:
      channels: labels of the rows, where they are the same in all files.
      no_electrodes: those that are no electrodes of the 10-10 system, whatever they look like.
    """

    whole_recordings = True
    channels: tuple[str, ...] = ()
    no_electrodes: tuple[str, ...] = ()

    @property
    def meant(self) -> dict[str, str | None]:
        """Label -> electrode, as readers of recordings take it; what ``--rename`` says wins."""
        return dict.fromkeys(self.no_electrodes) | (self.rename or {})

    def row_labels(self, source: Source) -> Sequence[str]:
        """Labels of a source's rows, without reading its signal.

        Raises:
          UnusableRecording: the file cannot be read.
        """
        return self.channels

    def channel_names(self, source: Source) -> tuple[str, ...]:
        """Canonical names of the rows, each once; see :meth:`Corpus.channel_names`."""
        from elm_jax.signals.recording import names_of

        if source.kind == "edf":
            return super().channel_names(source)
        return names_of(self.row_labels(source), self.meant)

    def read(self, source: Source) -> "Recording":
        """Reads one source.

        Raises:
          UnusableRecording: it cannot be used; ``defect`` says why.
        """
        raise NotImplementedError

    def pieces(
        self, source: Source, spec: SignalSpec, options: "PrepOptions"
    ) -> tuple[list["Piece"], "Judgement"]:
        """See :meth:`Corpus.pieces`."""
        from elm_jax.signals.pipeline import process

        if source.kind == "edf":
            return super().pieces(source, spec, options)
        recording, judgement = self._judged(source, spec, options)
        if recording is None or not judgement.usable:
            return [], judgement
        pieces = process(recording, spec, options)[0]
        judgement.moments = moments_of([piece.signal for piece in pieces])
        return pieces, judgement

    def judge(self, source: Source, spec: SignalSpec, options: "PrepOptions") -> "Judgement":
        """The judgement of :meth:`pieces`."""
        if source.kind == "edf":
            return super().judge(source, spec, options)
        return self._judged(source, spec, options)[1]

    def _judged(
        self, source: Source, spec: SignalSpec, options: "PrepOptions"
    ) -> tuple["Recording | None", "Judgement"]:
        from elm_jax.signals.defects import UnusableRecording
        from elm_jax.signals.pipeline import Judgement, judge

        try:
            recording = self.read(source)
            if (mend := self.mend(source)) is not None:
                recording = mend(recording)
        except UnusableRecording as verdict:
            defect = verdict.defect
            skipped = f"{defect.kind}: {defect.detail}"
            return None, Judgement(source.file, False, defects=[defect], skipped=skipped)
        return recording, judge(recording, spec, options)


def bad_array(file: str, detail: str) -> Exception:
    """What to raise for a file whose content is not what its corpus publishes."""
    from elm_jax.signals.defects import Defect, UnusableRecording

    return UnusableRecording(Defect(file, "bad_array", detail))


@contextlib.contextmanager
def as_defects(file: str, what: str, *errors: type[Exception]) -> Iterator[None]:
    """Turns a reader's errors into defects of the file; their texts are not repeated.

    Args:
      file: the name for the defect.
      what: what was expected, such as "a MATLAB file".
      *errors: the reader's, beside OSError.

    Raises:
      UnusableRecording: in place of the error.
    """
    from elm_jax.signals.defects import Defect, UnusableRecording

    try:
        yield
    except FileNotFoundError as error:
        raise UnusableRecording(Defect(file, "unreadable_file", "no such file")) from error
    except errors as error:
        raise bad_array(file, f"expected {what} ({type(error).__name__})") from error
    except OSError as error:
        if error.strerror is None:  # of the reader, not of the operating system
            raise bad_array(file, f"expected {what}") from error
        raise UnusableRecording(Defect(file, "unreadable_file", error.strerror)) from error


def mat_names(path: pathlib.Path, file: str) -> dict[str, tuple[int, ...]]:
    """Variables of a MATLAB file and their shapes; nothing is read of them.

    Raises:
      UnusableRecording: it is no MATLAB file.
    """
    import h5py
    import scipy.io

    with as_defects(file, "a MATLAB file", *mat_errors()):
        if h5py.is_hdf5(path):
            with open_hdf5(path) as stored:
                found = {name: stored.get(name, getclass=True) for name in stored}
                names = [name for name, kind in found.items() if kind is h5py.Dataset]
                return {name: stored_array(stored, name).shape[::-1] for name in names}
        return {name: tuple(shape) for name, shape, _ in scipy.io.whosmat(path)}


def read_mat(path: pathlib.Path, name: str, file: str) -> np.ndarray:
    """One variable of numbers of a MATLAB file, of version 7.3 (HDF5) or before.

    Raises:
      UnusableRecording: no MATLAB file, no such variable, or none of numbers.
    """
    import h5py
    import scipy.io

    with as_defects(file, "a MATLAB file", *mat_errors()):
        if h5py.is_hdf5(path):
            with open_hdf5(path) as stored:
                # HDF5 has the axes in the reverse of MATLAB's order.
                value = stored_array(stored, name)[()].T if name in stored else None
        else:
            value = scipy.io.loadmat(path, variable_names=[name]).get(name)
    if value is None:
        raise bad_array(file, f"has no variable {name!r}")
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
        raise bad_array(file, f"{name!r} is not an array of real numbers")
    return value


def stored_array(stored: Any, name: str) -> Any:
    """A dataset of an HDF5 file, such as ``nfo/fs``, that stands in the file itself.

    Raises:
      Hdf5Error: it lies elsewhere, or is none.
      KeyError: there is no such thing.
    """
    import h5py

    *groups, _ = name.strip("/").split("/")
    for depth in range(len(groups)):
        group = "/".join(groups[: depth + 1])
        if not isinstance(stored.get(group, getlink=True), h5py.HardLink | None):
            raise Hdf5Error(f"{group!r} is a link: only what stands in the file is read")
    return dataset(stored, name)


def mat_errors() -> tuple[type[Exception], ...]:
    """What scipy raises over a MATLAB file, beside OSError."""
    import zlib

    from scipy.io.matlab import MatReadError

    # What scipy raises depends on where the damage is; Hdf5Error is a ValueError.
    return (MatReadError, ValueError, TypeError, KeyError, NotImplementedError, zlib.error)


def require_shape(x: np.ndarray, expected: Sequence[int | None], file: str, name: str) -> None:
    """Raises UnusableRecording unless ``x`` has that shape; None stands for any length."""
    fits = x.ndim == len(expected) and all(
        want in (None, found) for want, found in zip(expected, x.shape, strict=True)
    )
    if not fits:
        wanted = " x ".join("any" if n is None else str(n) for n in expected)
        found = " x ".join(map(str, x.shape))
        raise bad_array(file, f"{name} is {found}, expected {wanted}")


def none_found(corpus: Corpus, folder: Any) -> CorpusError:
    """What to raise where no file lies in a corpus's layout."""
    left = corpus.say_findings()
    return CorpusError(
        f"--input {folder}: no recording lies in the layout of {corpus.name}, such as "
        f"{corpus.example}" + (f". Left out, such as:{left}" if left else "")
    )


def class_label(name: str, word: str, classes: Mapping[str, int]) -> dict[str, Any]:
    """``{"emotion": "happy", "emotion_class": 2}``: a word, and the number it is trained as."""
    return {name: word, f"{name}_class": classes[word]}
