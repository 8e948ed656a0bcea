"""The High-Gamma Dataset (Schirrmeister et al. 2017): executed movements, 128 electrodes, 500 Hz.

    data/train/1.edf .. 14.edf    the runs before the last two      (moabb's Schirrmeister2017)
    data/test/1.edf  .. 14.edf    the last two runs
    data/train/1.mat ..           the same as MATLAB 7.3 files of the BBCI toolbox, uV

A file is a recording, prepared whole; its folder becomes the label ``part``. Train and test are of
the same people (``hgd:1``): they are no split of people, who are split by the seed; how well one
learns from a person's earlier runs what his later ones show is asked by windows around the EDF
files' annotations (the corpus ``edf_events``). Electrodes between those of the 10-10 system
(``FFC5h``) have no canonical name and are left out, as are those of eyes and muscles.
"""

import argparse
import contextlib
import pathlib
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from data_prep.corpora.arrays import ArrayCorpus, as_defects, bad_array
from data_prep.corpora.base import CorpusError, Source

if TYPE_CHECKING:
    from elm_jax.signals.recording import Recording

PARTS = ("train", "test")
_PERSON = re.compile(r"\d{1,2}")


class Hgd(ArrayCorpus):
    """Files of runs that were joined by their publisher."""

    name = "hgd"
    institution = "hgd"
    example = "data/train/1.edf"
    counted_label = "part"
    published = MappingProxyType({"signal": "eegpt", "channels": "profile"})
    file_suffixes = (".edf", ".mat")

    def sources(self, args: argparse.Namespace) -> list[Source]:
        """Lists the files.

        Raises:
          CorpusError: none lies in the layout, or one is there as .edf and as .mat.
        """
        found = self.collect(args, lambda path, file: self._source(path, file, args))
        seen: dict[str, Source] = {}
        for source in found:
            if (other := seen.setdefault(source.recording, source)) is not source:
                raise CorpusError(
                    f"{other.file} and {source.file} are the same recording; give one kind of file"
                )
        return found

    def _source(self, path: pathlib.Path, file: str, args: argparse.Namespace) -> Source | None:
        part = path.absolute().parent.name.lower()
        if part not in PARTS or not _PERSON.fullmatch(path.stem):
            return self.leave_out(file, "not_in_layout", "not train/1.edf or test/1.edf")
        person = int(path.stem)
        return Source(
            recording=f"{part}_{person}",
            person=f"{args.institution or self.institution}:{person}",
            path=path,
            file=file,
            labels={"part": part},
            kind=path.suffix.lower()[1:],
        )

    def row_labels(self, source: Source) -> list[str]:
        """Those of a ``.mat`` file."""
        import h5py

        with _reading(source.file), h5py.File(source.path) as stored:
            return _names(stored)

    def read(self, source: Source) -> "Recording":
        """A ``.mat`` file."""
        from elm_jax.signals.recording import from_arrays

        signal, names, sfreq_hz = read_bbci(source.path, source.file)
        return from_arrays([signal], names, sfreq_hz, "uV", rename=self.rename, file=source.file)


def read_bbci(path: pathlib.Path, file: str) -> tuple[np.ndarray, list[str], float]:
    """Electrodes ``[c, t]`` in uV, their names and their rate, of a BBCI file saved with ``-v7.3``.

    ``nfo/clab`` names the rows, which are the variables ``ch1``, ``ch2``, ...; ``nfo/fs`` is the
    rate. Rows that are no electrode are not read.

    Raises:
      UnusableRecording: it is no such file.
    """
    import h5py

    from elm_jax.signals.names import parse_label

    with _reading(file), h5py.File(path) as stored:
        names = _names(stored)
        sfreq_hz = float(np.ravel(stored["nfo"]["fs"][()])[0])
        wanted = [i for i, name in enumerate(names) if parse_label(name).kind == "electrode"]
        rows = [np.ravel(stored[f"ch{i + 1}"][()]).astype(np.float32) for i in wanted]
    if not rows or len({len(row) for row in rows}) > 1 or sfreq_hz <= 0:
        raise bad_array(file, f"{len(rows)} electrodes, not all of one length, {sfreq_hz:g} Hz")
    return np.stack(rows), [names[i] for i in wanted], sfreq_hz


def _reading(file: str) -> contextlib.AbstractContextManager[None]:
    return as_defects(file, "a BBCI file of MATLAB 7.3", KeyError, ValueError, TypeError)


def _names(stored: Any) -> list[str]:
    """Names of the rows: references to arrays of characters."""
    references = np.ravel(stored["nfo"]["clab"][()])
    return ["".join(map(chr, np.ravel(stored[reference][()]))) for reference in references]
