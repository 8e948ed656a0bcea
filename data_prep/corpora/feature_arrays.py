r"""Features of consecutive windows that somebody else computed: a folder of ``.npz`` files.

    SC4001E0.npz    X [n, d]  d features of each of n consecutive windows
                    y [n]     the class of each, 0, 1, ...; below 0: none. May be missing
                    names [d] what the features are called. May be missing

A file is a recording, and each window a vector: ``d`` channels of one sample (modality "features").
``--window_s`` says how long a window is, ``--class_names W,N1,N2,N3,R`` what the classes are called
(the label ``event``, and ``event_class`` its number), ``--person_pattern 'SC4\d\d'`` which part
of a file's name is the person (or ``--people`` a table of them). Windows with a number that is not
finite are left out, and times go on. Where a class is called W, a recording is a night of sleep: of
wakefulness only what lies within ``--wake_margin_min`` of sleep is kept, as in ``sleep_edfx``.

**Storage.** Features have units and sizes of their own, int16 one step for all. So each is stored
in its standard deviations around its mean, both over all files, in steps of 1/1000 up to +-32:
rounding errs by at most 0.0005 of a deviation (recordings whose own deviation is so much smaller
that this matters are listed: ``storage_coarse``). Means and deviations stand in the manifest
(``options.feature_mean``, ``feature_std``), so that nothing but that rounding is lost. Normalised
by recording, signals do not depend on them; otherwise prepare later files for a model with
``--features_like DIR``, the directory that it was trained on. Features that never change are left
out, and listed.
"""

import argparse
import math
import pathlib
import re
import zipfile
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from data_prep.corpora.arrays import as_defects, bad_array
from data_prep.corpora.base import Corpus, CorpusError, Source, find_files
from data_prep.findings import finding
from data_prep.places import input_path
from elm_jax.axes import Bool, Float
from elm_jax.data.manifest import Manifest
from elm_jax.data.moments import moments_of
from elm_jax.data.spec import SignalSpec

if TYPE_CHECKING:
    from elm_jax.signals.pipeline import Judgement, Piece, PrepOptions

# Options of signals, which features are not any more.
_OF_SIGNALS = (
    "channels", "montage", "sfreq_hz", "highpass_hz", "lowpass_hz", "notch_hz", "resample",
    "slow_source",
)  # fmt: skip
WAKE = "W"
# A recording whose own deviation is less than 20 steps: rounding adds more than 1.4 % of noise.
_COARSE_SD = 0.02
_CLIP_SD = 32.0  # the largest that int16 holds in steps of 1/1000


class FeatureArrays(Corpus):
    """Windows as vectors; no published split."""

    name = "feature_arrays"
    example = "SC4001E0.npz with X [windows, features] and y [windows]"
    file_suffixes = (".npz",)
    counted_label = "event"
    whole_recordings = True
    published = MappingProxyType({"window_s": 30.0})

    def __init__(self, *, rename: Mapping[str, str] | None = None):
        super().__init__(rename=rename)
        self.scales: Scales | None = None
        self.class_names: tuple[str, ...] = ()
        self.wake_margin_s = math.inf

    def sources(self, args: argparse.Namespace) -> list[Source]:
        """Lists the files, and measures what a feature's deviation is over all of them.

        Raises:
          CorpusError: there is none that can be read, they have different features, or an option
            does not fit them.
        """
        folder, institution = input_path(args.input), args.institution or self.institution
        self.class_names, found, arrays = tuple(args.class_names or ()), [], []
        self.wake_margin_s = 60.0 * args.wake_margin_min
        for path in find_files(folder, self.file_suffixes):
            file = path.relative_to(folder).as_posix()
            x = self._listed(path, file)
            if x is None:
                continue
            recording = path.relative_to(folder).with_suffix("").as_posix()
            person = person_in(recording, args.person_pattern)
            found.append(Source(recording, f"{institution}:{person}", path, file, kind="npz"))
            arrays.append(x)
        if not found:
            raise CorpusError(
                f"--input {folder}: no file has X [windows, features]{self.say_findings()}"
            )
        self.scales = self._scales(found, arrays, args.features_like)
        digest = self.scales.digest()
        return [source.replace(extra={"scales": digest}) for source in found]

    def _listed(self, path: pathlib.Path, file: str) -> "Arrays | None":
        from elm_jax.signals.defects import UnusableRecording

        try:
            return read_arrays(path, file)
        except UnusableRecording as verdict:
            return self.leave_out(file, "array_unreadable", verdict.defect.detail)

    def _scales(
        self, sources: Sequence[Source], arrays: Sequence["Arrays"], like: str | None
    ) -> "Scales":
        first = arrays[0].names
        for source, own in zip(sources, arrays, strict=True):
            if own.names != first:
                raise CorpusError(
                    f"{source.file} has {len(own.names)} features and {sources[0].file} "
                    f"{len(first)}, or they have other names; expected the same in all files"
                )
        if like:
            scales = Scales.of_directory(like)
            if missing := sorted(set(scales.names) - set(first)):
                raise CorpusError(f"--features_like {like}: no file has {', '.join(missing[:8])}")
            return scales
        scales, constant = Scales.measured(first, [own.finite for own in arrays])
        if constant:
            detail = f"{', '.join(constant)}: one value in all files"
            self.findings.append(finding(sources[0].file, "feature_constant", detail))
        return scales

    def spec(self, spec: SignalSpec, args: argparse.Namespace) -> SignalSpec:
        """One sample a window, in deviations."""
        given = [name for name in _OF_SIGNALS if getattr(args, name) is not None]
        if given or args.signal != "elm":
            words = ", ".join(f"--{name}" for name in given) or f"--signal {args.signal}"
            raise CorpusError(f"{words}: feature_arrays are no signals any more; leave it out")
        window_s = spec.window_s
        return SignalSpec(
            modality="features", channels=self.scales.names, montage="features",
            sfreq_hz=1 / window_s, window_s=window_s, highpass_hz=0.0, lowpass_hz=0.5 / window_s,
            resample="polyphase", unit="sd", clip=_CLIP_SD, scale=1.0,
        )  # fmt: skip

    def stated_options(self, args: argparse.Namespace) -> dict[str, Any]:
        """What a stored deviation is, and what classes are called."""
        stated: dict[str, Any] = self.scales.to_json()
        if args.person_pattern:
            stated["person_pattern"] = args.person_pattern
        if self.class_names:
            stated["class_names"] = list(self.class_names)
        if WAKE in self.class_names:
            margin_min = args.wake_margin_min
            stated["wake_margin_min"] = "inf" if math.isinf(margin_min) else margin_min
        return stated

    def pieces(
        self, source: Source, spec: SignalSpec, options: "PrepOptions"
    ) -> tuple[list["Piece"], "Judgement"]:
        """Stretches of one class each; see :meth:`Corpus.pieces`."""
        from elm_jax.signals.defects import Defect, UnusableRecording
        from elm_jax.signals.pipeline import Judgement

        try:
            arrays = read_arrays(source.path, source.file)
            awake = self._far_awake(arrays, spec)
            pieces = self._stretches(arrays, awake, spec, source.file)
        except UnusableRecording as verdict:
            defect = verdict.defect
            skipped = f"{defect.kind}: {defect.detail}"
            return [], Judgement(source.file, False, defects=[defect], skipped=skipped)
        judgement = Judgement(
            source.file,
            True,
            electrodes_found=spec.channels,
            sfreq_hz=spec.sfreq_hz,
            unit=spec.unit,
            duration_s=len(arrays.x) * spec.window_s,
            stretches=tuple((p.start_s, p.signal.shape[1]) for p in pieces),
            moments=moments_of([piece.signal for piece in pieces]),
        )
        for piece in pieces:
            name = piece.labels.get("event", "none")
            judgement.windows[name] = judgement.windows.get(name, 0) + piece.signal.shape[1]
        if lost := int(np.count_nonzero(~arrays.usable)):
            detail = f"{lost} of {len(arrays.x)} windows: left out"
            judgement.defects.append(Defect(source.file, "non_finite", detail))
        std = np.asarray(judgement.moments.std)
        if coarse := [name for name, s in zip(spec.channels, std, strict=True) if s < _COARSE_SD]:
            detail = (
                f"{', '.join(coarse[:8])}: as small beside those of all files as {std.min():.2g}"
            )
            judgement.defects.append(Defect(source.file, "storage_coarse", detail))
        if dropped := int(awake.sum()):
            detail = f"{dropped} W over {self.wake_margin_s / 60:g} min from sleep"
            judgement.defects.append(Defect(source.file, "window_dropped", detail))
        return pieces, judgement

    def judge(self, source: Source, spec: SignalSpec, options: "PrepOptions") -> "Judgement":
        """The judgement of :meth:`pieces`; it takes no time."""
        return self.pieces(source, spec, options)[1]

    def _far_awake(self, arrays: "Arrays", spec: SignalSpec) -> Bool[np.ndarray, " n"]:
        """Windows before the first and after the last sleep that are further off than the margin.

        None, where no class is wakefulness or nobody sleeps.
        """
        out = np.zeros(len(arrays.y), bool)
        asleep = arrays.y >= 0
        if WAKE in self.class_names:
            asleep &= arrays.y != self.class_names.index(WAKE)
        if WAKE not in self.class_names or math.isinf(self.wake_margin_s) or not asleep.any():
            return out
        first, last = np.flatnonzero(asleep)[[0, -1]]
        margin = int(self.wake_margin_s // spec.window_s)
        out[: max(first - margin, 0)] = out[last + 1 + margin :] = True
        return out

    def _stretches(
        self, arrays: "Arrays", awake: Bool[np.ndarray, " n"], spec: SignalSpec, file: str
    ) -> list["Piece"]:
        """Consecutive windows of one class, with a class or without, of all that are kept."""
        from elm_jax.signals.pipeline import Piece

        state = np.where(arrays.usable & ~awake, arrays.y, _UNUSABLE)
        edges = np.flatnonzero(np.diff(state)) + 1
        begins, ends = [0, *edges.tolist()], [*edges.tolist(), len(state)]
        stored = self.scales.to_deviations(arrays)
        stretches = [(a, b) for a, b in zip(begins, ends, strict=True) if state[a] != _UNUSABLE]
        if not stretches:
            raise bad_array(file, "has no window of finite numbers")
        return [
            Piece(
                np.ascontiguousarray(stored[a:b].T),
                a * spec.window_s,
                self._labels(int(state[a]), file),
            )
            for a, b in stretches
        ]

    def _labels(self, number: int, file: str) -> dict[str, Any]:
        if number < 0:
            return {}
        if self.class_names and number >= len(self.class_names):
            raise bad_array(
                file, f"has class {number}; --class_names has {len(self.class_names)} names"
            )
        word = self.class_names[number] if self.class_names else str(number)
        return {"event": word, "event_class": number}


_UNUSABLE = np.iinfo(np.int64).min


class Arrays:
    """The content of one file.

    Attributes:
      x: float64 ``[n, d]``.
      y: int64 ``[n]``; -1 where a window has no class.
      names: of the features.
      usable: rows whose numbers are all finite, bool ``[n]``.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, names: tuple[str, ...]):
        self.x, self.y, self.names = x, y, names
        self.usable = np.isfinite(x).all(axis=1)

    @property
    def finite(self) -> Float[np.ndarray, "n d"]:
        """The usable rows."""
        return self.x[self.usable]


def read_arrays(path: pathlib.Path, file: str) -> Arrays:
    """Reads one file; no code in it is ever run.

    Raises:
      UnusableRecording: it is not such a file; says what was expected and found.
    """
    errors = (ValueError, zipfile.BadZipFile, EOFError, KeyError, NotImplementedError)
    with as_defects(file, "arrays as numpy.savez writes them", *errors):
        with np.load(path, allow_pickle=False) as stored:
            found = {name: stored[name] for name in ("X", "y", "names") if name in stored.files}
            there = sorted(stored.files)
    x, y, names = (found.get(name) for name in ("X", "y", "names"))
    if x is None or x.ndim != 2 or not x.size or x.dtype.kind not in "fiu":
        shape = "none" if x is None else f"{x.dtype} of shape {x.shape}"
        raise bad_array(file, f"X is {shape}, expected numbers [windows, features]; has {there}")
    y = np.full(len(x), -1) if y is None else y
    whole = y.dtype.kind in "iu" or (y.dtype.kind == "f" and (y == np.rint(y)).all())
    if y.shape != (len(x),) or not whole:
        raise bad_array(file, f"y is {y.dtype} of shape {y.shape}, expected {len(x)} whole numbers")
    digits = len(str(x.shape[1] - 1))
    if names is None:
        names = [f"f{i:0{digits}d}" for i in range(x.shape[1])]
    names = tuple(str(name) for name in names)
    if len(set(names)) != x.shape[1]:
        raise bad_array(file, f"names has {len(set(names))} names for {x.shape[1]} features")
    return Arrays(x.astype(np.float64), np.maximum(y.astype(np.int64), -1), names)


class Scales:
    """What a stored deviation of each feature is; see the module.

    Attributes:
      names: of the features that are stored.
      mean: of each.
      std: of each, positive.
    """

    def __init__(self, names: Sequence[str], mean: Sequence[float], std: Sequence[float]):
        self.names, self.mean, self.std = tuple(names), tuple(mean), tuple(std)

    @classmethod
    def measured(
        cls, names: tuple[str, ...], arrays: Sequence[np.ndarray]
    ) -> tuple["Scales", list[str]]:
        """Over all rows ``[n, d]`` of all files; and the names of what never changes."""
        whole = np.concatenate(arrays)
        if not len(whole):
            return cls(names, np.zeros(len(names)).tolist(), np.ones(len(names)).tolist()), []
        varies = (whole != whole[:1]).any(axis=0)
        mean, std = whole.mean(axis=0), whole.std(axis=0)
        kept = [i for i in range(len(names)) if varies[i] and std[i] > 0]
        if not kept:
            raise CorpusError(f"all {len(names)} features have one value in all files")
        own = ([names[i] for i in kept], mean[kept].tolist(), std[kept].tolist())
        return cls(*own), [name for i, name in enumerate(names) if i not in kept]

    @classmethod
    def of_directory(cls, directory: str) -> "Scales":
        """Those that a prepared directory was stored with.

        Raises:
          CorpusError: it holds no features.
        """
        manifest = Manifest.load(directory)
        options = manifest.options
        if not {"feature_mean", "feature_std"} <= set(options):
            raise CorpusError(
                f"--features_like {directory}: a directory of {manifest.corpus}; expected one that "
                "was prepared as feature_arrays"
            )
        return cls(manifest.spec.channels, options["feature_mean"], options["feature_std"])

    def to_deviations(self, arrays: Arrays) -> Float[np.ndarray, "n d"]:
        """Stored values, float32; those of unusable rows mean nothing."""
        rows = [arrays.names.index(name) for name in self.names]
        x = np.where(arrays.usable[:, None], arrays.x[:, rows], 0.0)
        return ((x - np.asarray(self.mean)) / np.asarray(self.std)).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """For the manifest."""
        return {"feature_mean": list(self.mean), "feature_std": list(self.std)}

    def digest(self) -> str:
        """Changes with anything that changes what is stored."""
        import hashlib

        return hashlib.sha256(repr((self.names, self.mean, self.std)).encode()).hexdigest()[:16]


def person_in(recording: str, pattern: str | None) -> str:
    """The part of a recording's name that is the person (``--person_pattern``); all of it if None.

    Raises:
      CorpusError: the pattern finds nothing in it.
    """
    if not pattern:
        return recording
    match = re.search(pattern, recording)
    if not match or not match[0]:
        raise CorpusError(
            f"--person_pattern {pattern!r} finds nothing in the name {recording!r}; expected the "
            "part that is the person, such as 'SC4\\d\\d'"
        )
    return match[0]
