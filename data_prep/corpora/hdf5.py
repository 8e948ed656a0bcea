"""A file in ELM's HDF5 layout as a corpus: its crops are stored as they are, in microvolts."""

import argparse
import itertools
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from data_prep.corpora.base import SPLITS, Corpus, CorpusError, Source
from data_prep.hdf5 import ElmHdf5, Hdf5Error, Rows
from data_prep.hdf5_columns import events_of
from elm_jax.data.spec import UNITS_PER_V, SignalSpec


class Hdf5(Corpus):
    """One file. ``subject_ids`` counts recordings, and so do the lines of ELM's reports files.

    The file's signals were filtered, clipped and resampled before: none of that is done again, and
    neither is anything cut off at the start or skipped for its duration. Crops are joined where
    ``epoch_ids`` says that they follow one another; without it those of a recording are, if they
    are shorter than the window (1 s crops). ``dataset_mean`` and ``dataset_std`` must be sound, but
    are not taken over: the manifest has those of its own train split.
    """

    name = "hdf5"
    institution = "local"

    def sources(self, args: argparse.Namespace) -> list[Source]:
        """Lists the recordings.

        Raises:
          CorpusError: no unit, no people, or a file that is not in the layout or not safe.
        """
        path = pathlib.Path(args.input)
        if not args.hdf5_unit:
            raise CorpusError(
                "the HDF5 layout has no unit: give --hdf5_unit 1e5V (ELM's TUH files: volts times "
                "1e5), 1e7V or uV"
            )
        try:
            with ElmHdf5(path, args.hdf5_unit) as file:
                if not file.has_people and not args.subject_is_person:
                    raise CorpusError(
                        f"{path}: has neither 'unique_subject_ids' nor 'long_subject_id', and "
                        "'subject_ids' counts recordings: people with several would be in two "
                        "splits. If each has one, give --subject_is_person"
                    )
                file.moments()
                recordings = file.recordings()
                shape = {
                    "unit": args.hdf5_unit,
                    "crop_samples": file.shape[2],
                    "counted": file.has_epoch_ids,
                }
        except Hdf5Error as error:
            raise CorpusError(str(error)) from error
        if file.differing:
            names = ", ".join(sorted(file.differing))
            print(f"{path}: {names} differ between crops of a recording: left out of the labels")
        institution = args.institution or self.institution
        return [_source(path, rows, institution, shape) for rows in recordings]

    def spec(self, spec: SignalSpec, args: argparse.Namespace) -> SignalSpec:
        """The description itself, once the file is found to fit it.

        Raises:
          CorpusError: other channels or another rate.
        """
        try:
            with ElmHdf5(args.input, args.hdf5_unit) as file:
                file.require(channels=spec.channels, sfreq_hz=spec.sfreq_hz)
        except Hdf5Error as error:
            raise CorpusError(str(error)) from error
        return spec

    def pieces(self, source, spec, options):
        """Reads a recording's rows; see :meth:`Corpus.pieces`."""
        from elm_jax.signals.pipeline import Piece

        judgement, pieces = _empty_judgement(source, spec), []
        with ElmHdf5(source.path, source.extra["unit"]) as file:
            for start, stop, start_s, labels in _joined(source, spec):
                signal_uv = file.read_uv(start, stop)
                judgement.duration_s += signal_uv.shape[1] / spec.sfreq_hz
                if labels is None:
                    judgement.defects.append(_no_window(source, start, stop, start_s))
                    continue
                for first, last in _finite(signal_uv, start_s, spec, judgement):
                    signal = signal_uv[:, first:last] * np.float32(UNITS_PER_V[spec.unit] / 1e6)
                    pieces.append(Piece(signal, start_s + first / spec.sfreq_hz, labels))
        _conclude(judgement, pieces, spec)
        return pieces, judgement

    def judge(self, source, spec, options):
        """The judgement of :meth:`pieces`."""
        return self.pieces(source, spec, options)[1]


def _source(path: pathlib.Path, rows: Rows, institution: str, shape: dict[str, Any]) -> Source:
    person = rows.person if rows.person is not None else str(rows.subject_id)
    if rows.split is not None and rows.split not in SPLITS:
        raise CorpusError(f"{path}: split {rows.split!r} of recording {rows.subject_id}: {SPLITS}")
    return Source(
        recording=rows.recording or f"{path.stem}_{rows.subject_id:08d}",
        person=person if ":" in person else f"{institution}:{person}",
        path=path,
        file=path.name,
        labels=rows.labels,
        split=rows.split,
        kind="hdf5",
        extra={
            **shape,
            "runs": [list(run) for run in rows.runs],
            "classes": None if rows.classes is None else list(rows.classes),
            "start_s": None if rows.start_s is None else list(rows.start_s),
            # ELM's reports files number their lines as `subject_ids` does.
            "report_line": rows.subject_id,
        },
    )


# First and last row of a piece, its start in seconds, its labels.
_Joined = tuple[int, int, float, dict[str, Any] | None]


def _joined(source: Source, spec: SignalSpec) -> Iterator[_Joined]:
    """(start, stop, start_s, labels) of the rows that are read as one piece."""
    if source.extra["classes"] is not None:
        yield from _events(source, spec)
        return
    crop_samples = source.extra["crop_samples"]
    join = source.extra["counted"] or crop_samples < spec.window_samples
    known, rows = source.extra["start_s"], 0
    for index, (start, stop) in enumerate(source.extra["runs"]):
        # Where the file has no times, its crops are counted one after another.
        start_s = rows * crop_samples / spec.sfreq_hz if known is None else known[index]
        rows += stop - start
        if join:
            yield start, stop, start_s, {}
        else:
            for row in range(start, stop):
                yield row, row + 1, start_s + (row - start) * crop_samples / spec.sfreq_hz, {}


def _events(source: Source, spec: SignalSpec) -> Iterator[_Joined]:
    """As :func:`_joined` for windows around events, each in as many crops as it takes.

    Crops that are no whole window of one class have None for labels.
    Where a recording has no times, its windows are counted one after another.
    """
    classes, words = iter(source.extra["classes"]), events_of(source.labels["eval_set"])
    crop_samples, known, before = source.extra["crop_samples"], source.extra["start_s"], 0
    each = max(spec.window_samples // crop_samples, 1)
    for index, (start, stop) in enumerate(source.extra["runs"]):
        start_s = before * crop_samples / spec.sfreq_hz if known is None else known[index]
        before += stop - start
        of_rows = list(itertools.islice(classes, stop - start))
        for row in range(start, stop, each):
            found = set(of_rows[row - start : row - start + each])
            at_s = start_s + (row - start) * crop_samples / spec.sfreq_hz
            number, whole = found.pop(), row + each <= stop
            labels = {"event": words[number], "event_class": number}
            yield row, min(row + each, stop), at_s, None if found or not whole else labels


def _empty_judgement(source: Source, spec: SignalSpec):
    from elm_jax.signals.pipeline import Judgement

    return Judgement(
        file=source.file,
        usable=True,
        electrodes_found=spec.channels,
        sfreq_hz=spec.sfreq_hz,
        unit=source.extra["unit"],
        duration_s=0.0,
    )


def _finite(signal_uv, start_s: float, spec: SignalSpec, judgement) -> list[tuple[int, int]]:
    """The stretches of finite numbers that are as long as a window; the others are listed."""
    from elm_jax.signals.defects import Defect

    good = np.isfinite(signal_uv).all(axis=0)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], good, [False]])))
    stretches = [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    bad = int(np.count_nonzero(~good))
    at = {"start_s": start_s, "stop_s": start_s + signal_uv.shape[1] / spec.sfreq_hz}
    if bad:
        detail = f"{bad} of {good.size} samples"
        judgement.defects.append(Defect(judgement.file, "non_finite", detail, **at))
    long = [(a, b) for a, b in stretches if b - a >= spec.window_samples]
    if len(long) < len(stretches):
        detail = f"{len(stretches) - len(long)} stretches under {spec.window_s:g} s"
        judgement.defects.append(Defect(judgement.file, "short_stretch", detail, **at))
    return long


def _no_window(source: Source, start: int, stop: int, start_s: float):
    from elm_jax.signals.defects import Defect

    detail = f"crops {start} to {stop - 1} are not one window of one class"
    return Defect(source.file, "event_lost", detail, start_s=start_s, stop_s=start_s)


def _conclude(judgement, pieces, spec: SignalSpec) -> None:
    from elm_jax.signals import stretches
    from elm_jax.signals.defects import Defect
    from elm_jax.signals.plan import TYPICAL_UV

    if not pieces:
        judgement.usable = False
        judgement.skipped = f"nothing_left: no {spec.window_s:g} s without a gap"
        judgement.defects.append(Defect(judgement.file, "nothing_left", judgement.skipped[14:]))
        return
    changes = [stretches.changes(x, spec.sfreq_hz) for x in pieces[0].signal]
    typical_uv = float(np.median([stretches.amplitude(x) for x in changes]))
    typical_uv *= 1e6 / UNITS_PER_V[spec.unit]
    low, high = TYPICAL_UV
    if not low <= typical_uv <= high:
        detail = (
            f"typical amplitude {typical_uv:.3g} uV, expected {low:g} to {high:g}: is "
            f"--hdf5_unit {judgement.unit} right? used as stated"
        )
        judgement.defects.append(Defect(judgement.file, "unit_suspect", detail))
