"""The Tsinghua benchmark of steady-state visual evoked potentials (Wang et al. 2016).

    S1.mat .. S35.mat   data: 64 x 1500 x 40 x 6 (channel, time, target, block), uV at 250 Hz
    Freq_Phase.mat      freqs, phases: 1 x 40, the flicker of each target

A file is a person (``tsu_ssvep:1``). Each of its 240 trials (0.5 s of cue, 5 s of flicker, 0.5 s)
is a gap-free stretch with the labels ``target`` (0 to 39), ``block`` and, with ``Freq_Phase.mat``,
``frequency_hz``. The order in which the trials were shown is not published: they stand one after
another, blocks outermost. The names of the rows are those of the release's ``64-channels.loc``.

There is no published split: people are split by the seed. EEGPT's published script takes pieces of
1 s (its reader's default) and stretches each to 4 s; here time is kept. Trials are shorter than a
filter of 0.1 Hz is long: each has an offset and a slope of its own, while from 0.5 Hz on they are
within 1 % of what a continuous recording would give.
"""

import argparse
import pathlib
import re
from types import MappingProxyType
from typing import TYPE_CHECKING

from data_prep.corpora.arrays import ArrayCorpus, read_mat, require_shape
from data_prep.corpora.base import Source
from data_prep.findings import finding

if TYPE_CHECKING:
    from elm_jax.signals.recording import Recording

CHANNELS = (
    "FP1 FPZ FP2 AF3 AF4 F7 F5 F3 F1 FZ F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 "
    "T7 C5 C3 C1 CZ C2 C4 C6 T8 M1 TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 M2 "
    "P7 P5 P3 P1 PZ P2 P4 P6 P8 PO7 PO5 PO3 POZ PO4 PO6 PO8 CB1 O1 OZ O2 CB2"
).split()  # fmt: skip
SFREQ_HZ = 250.0
FLICKER_FILE = "Freq_Phase.mat"
SHAPE = (64, 1500, 40, 6)

_PERSON = re.compile(r"S(\d{1,2})", re.IGNORECASE)


class TsuSsvep(ArrayCorpus):
    """People as recordings, trials as their stretches."""

    name = "tsu_ssvep"
    institution = "tsu_ssvep"
    example = "S1.mat"
    counted_label = "frequency_hz"
    published = MappingProxyType({"signal": "eegpt", "channels": "profile"})
    channels = tuple(CHANNELS)
    no_electrodes = ("CB1", "CB2")  # over the cerebellum
    file_suffixes = (".mat",)

    def sources(self, args: argparse.Namespace) -> list[Source]:
        """Lists the people.

        Raises:
          CorpusError: no file is named as one.
        """
        flickers: dict[pathlib.Path, list[float]] = {}
        return self.collect(args, lambda path, file: self._source(path, file, args, flickers))

    def _source(
        self,
        path: pathlib.Path,
        file: str,
        args: argparse.Namespace,
        flickers: dict[pathlib.Path, list[float]],
    ) -> Source | None:
        if path.name.lower() == FLICKER_FILE.lower():
            return None
        named = _PERSON.fullmatch(path.stem)
        if named is None:
            return self.leave_out(file, "not_in_layout", "not S1.mat to S35.mat")
        if path.parent not in flickers:
            flickers[path.parent] = self._flickers(path.parent, file)
        return Source(
            recording=path.stem,
            person=f"{args.institution or self.institution}:{int(named[1])}",
            path=path,
            file=file,
            kind="mat",
            extra={"flicker_hz": flickers[path.parent]},
        )

    def _flickers(self, folder: pathlib.Path, file: str) -> list[float]:
        """Frequency of each target; empty, and listed, where the file is missing or odd."""
        from elm_jax.signals.defects import UnusableRecording

        name = (pathlib.PurePosixPath(file).parent / FLICKER_FILE).as_posix()
        try:
            values = read_mat(folder / FLICKER_FILE, "freqs", name).ravel()
            if len(values) == SHAPE[2]:
                return [round(float(value), 3) for value in values]
            detail = f"{len(values)} frequencies, expected {SHAPE[2]}"
        except UnusableRecording as verdict:
            detail = verdict.defect.detail
        self.findings.append(finding(name, "recording_without_label", detail))
        return []

    def read(self, source: Source) -> "Recording":
        """All trials of a person."""
        from elm_jax.signals.recording import from_arrays

        data = read_mat(source.path, "data", source.file)
        require_shape(data, SHAPE, source.file, "data")
        flicker_hz = source.extra["flicker_hz"]
        trials, labels = [], []
        for block in range(SHAPE[3]):
            for target in range(SHAPE[2]):
                trials.append(data[:, :, target, block])
                hertz = {"frequency_hz": flicker_hz[target]} if flicker_hz else {}
                labels.append({"target": target, "block": block} | hertz)
        return from_arrays(
            trials, CHANNELS, SFREQ_HZ, "uV", labels=labels, rename=self.meant, file=source.file
        )
