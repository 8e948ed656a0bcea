"""Corpora of ECGs: what they have in common, so that one of them is little more than its tables.

A subclass lists its recordings in :meth:`EcgCorpus.records`; WFDB records it makes into sources by
:meth:`EcgCorpus.wfdb_source`. What is stored otherwise (HDF5, MATLAB) overrides
:meth:`EcgCorpus.read` and :meth:`EcgCorpus.lead_labels`.
"""

import argparse
import hashlib
import pathlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from data_prep.corpora.base import Corpus, CorpusError, Source
from elm_jax.data.moments import moments_of
from elm_jax.data.spec import SignalSpec
from elm_jax.signals.ecg.leads import LEADS, ORDERS, listed_leads

if TYPE_CHECKING:
    from elm_jax.signals.ecg.recording import EcgRecording
    from elm_jax.signals.pipeline import Judgement, Piece, PrepOptions

TEXTS = ("report", "statements", "both")


class EcgCorpus(Corpus):
    """Recordings of leads by name, prepared whole.

    Attributes:
      own_texts: what belongs to a recording, of "report" (written) and "statements" (descriptions
        of its codes); ``--ecg_text`` chooses among them.
      default_text: what is taken where ``--ecg_text`` is not given; None for no text.
      order: of the files' leads, once :meth:`sources` looked at them; for ``--lead_order file``.
    """

    modality = "ecg"
    whole_recordings = True
    file_suffixes = (".hea",)
    published = MappingProxyType({"signal": "ecg"})
    own_texts: tuple[str, ...] = ()
    default_text: str | None = None

    def __init__(self, *, rename: Mapping[str, str] | None = None):
        super().__init__(rename=rename)
        self.order: tuple[str, ...] = ()
        self.flat = "cut"

    def records(self, args: argparse.Namespace) -> list[Source]:
        """Lists the recordings under ``args.input``; reads names and tables, no signal.

        Raises:
          CorpusError: the folder is missing or holds nothing of this corpus.
        """
        raise NotImplementedError

    def sources(self, args: argparse.Namespace) -> list[Source]:
        """The records, with what the options say of all of them."""
        _require_text(self, args.ecg_text)
        if args.lead_order and args.channels not in (None, "profile"):
            raise CorpusError("--lead_order and --channels both name the leads; give one of them")
        found = self.records(args)
        self.flat = args.flat_leads
        if args.lead_order == "file":
            self.order = self._order_of(found)
        if self.flat == "cut":
            return found
        return [source.replace(extra=source.extra | {"flat": self.flat}) for source in found]

    def spec(self, spec: SignalSpec, args: argparse.Namespace) -> SignalSpec:
        """The leads in the order that ``--lead_order`` asks for."""
        if args.channels not in (None, "profile"):
            return spec
        order = args.lead_order or "wanted"
        return spec.replace(channels=self.order if order == "file" else ORDERS[order])

    def stated_options(self, args: argparse.Namespace) -> dict[str, Any]:
        """Order of the leads, texts, and what becomes of flat leads."""
        text = args.ecg_text or self.default_text
        return {
            "lead_order": args.lead_order or ("channels" if args.channels else "wanted"),
            "flat_leads": args.flat_leads,
            **({"ecg_text": text} if text else {}),
        }

    def texts(
        self, args: argparse.Namespace, *, report: str = "", statements: Iterable[str] = ()
    ) -> tuple[str, ...]:
        """The texts of a recording that ``--ecg_text`` asks for; empty ones are none.

        Args:
          args: the command.
          report: as written.
          statements: descriptions of its codes, which become sentences.
        """
        chosen = args.ecg_text or self.default_text
        both = {"report": report.strip(), "statements": as_sentences(statements)}
        return tuple(text for name, text in both.items() if text and chosen in (name, "both"))

    def wfdb_source(
        self, recording: str, person: str, header: pathlib.Path, folder: pathlib.Path, **more: Any
    ) -> Source:
        """A source of kind "wfdb".

        Its path is the file of samples where that is named like the header, so that work is shared
        by the bytes to be read; the header's text is part of what the source is.

        Args:
          recording: its name.
          person: ``institution:id``.
          header: the .hea file.
          folder: the input folder.
          **more: fields of :class:`Source`.
        """
        from elm_jax.signals.defects import UnusableRecording
        from elm_jax.signals.ecg.wfdb_file import read_header_text

        file, path, extra = header.relative_to(folder).as_posix(), header, {}
        try:
            names = read_header_text(header, file).files
        except UnusableRecording:
            names = ()  # preparing it says what is wrong
        else:
            extra["header"] = hashlib.sha256(header.read_bytes()).hexdigest()[:16]
        if names and pathlib.PurePath(names[0]).stem == header.stem:
            path = header.with_name(names[0])
        extra |= more.pop("extra", {})
        return Source(recording, person, path, file, kind="wfdb", extra=extra, **more)

    def read(self, source: Source, leads: Sequence[str]) -> "EcgRecording":
        """Reads one source.

        Args:
          source: one of :meth:`sources`.
          leads: canonical names of those that are needed.

        Raises:
          UnusableRecording: it cannot be used; ``defect`` says why.
        """
        from elm_jax.signals.ecg.wfdb_file import read_wfdb

        return read_wfdb(source.path, rename=self.rename, file=source.file, leads=leads)

    def lead_labels(self, source: Source) -> Sequence[str]:
        """What the channels of a source are called in its file; no signal is read.

        Raises:
          UnusableRecording: the file cannot be read.
        """
        from elm_jax.signals.ecg.wfdb_file import header_path, read_header_text

        return read_header_text(header_path(source.path), source.file).labels

    def channel_names(self, source: Source) -> tuple[str, ...]:
        """Canonical names of the leads, each once; see :meth:`Corpus.channel_names`."""
        return listed_leads(self.lead_labels(source), self.rename)

    def pieces(
        self, source: Source, spec: SignalSpec, options: "PrepOptions"
    ) -> tuple[list["Piece"], "Judgement"]:
        """See :meth:`Corpus.pieces`."""
        from elm_jax.signals.ecg import pipeline

        recording, unread = self._read(source, spec)
        if recording is None:
            return [], unread
        pieces, judgement = pipeline.prepare(recording, spec, options, flat=self._flat(source))
        judgement.moments = moments_of([piece.signal for piece in pieces])
        return pieces, judgement

    def judge(self, source: Source, spec: SignalSpec, options: "PrepOptions") -> "Judgement":
        """The judgement of :meth:`pieces`."""
        from elm_jax.signals.ecg import pipeline

        recording, unread = self._read(source, spec)
        if recording is None:
            return unread
        return pipeline.judge(recording, spec, options, flat=self._flat(source))

    def _read(
        self, source: Source, spec: SignalSpec
    ) -> tuple["EcgRecording | None", "Judgement | None"]:
        from elm_jax.signals.defects import UnusableRecording
        from elm_jax.signals.pipeline import unread

        try:
            return self.read(source, spec.channels), None
        except UnusableRecording as verdict:
            return None, unread(verdict.defect)

    def _flat(self, source: Source) -> str:
        return source.extra.get("flat", "cut")

    def _order_of(self, sources: Sequence[Source]) -> tuple[str, ...]:
        """The commonest order of leads; recordings that have another are brought into it by name.

        Raises:
          CorpusError: no recording has leads.
        """
        from elm_jax.signals.defects import UnusableRecording

        counts: Counter[tuple[str, ...]] = Counter()
        for source in sources:
            try:
                names = self.channel_names(source)
            except UnusableRecording:
                continue  # preparing it says what is wrong
            counts[tuple(name for name in names if name in LEADS)] += 1
        counts.pop((), None)
        if not counts:
            raise CorpusError(f"--lead_order file: no recording of {self.name} has a known lead")
        return max(counts, key=lambda order: (counts[order], len(order), order))


def as_sentences(statements: Iterable[str]) -> str:
    """``["sinus rhythm", "first degree AV block"]`` -> "Sinus rhythm. First degree AV block."."""
    words = [text.strip().rstrip(".") for text in statements]
    return " ".join(f"{text[0].upper()}{text[1:]}." for text in words if text)


def _require_text(corpus: EcgCorpus, asked: str | None) -> None:
    wanted = corpus.own_texts if asked in (None, "both") else (asked,)
    missing = [name for name in wanted if name not in corpus.own_texts]
    if missing or (asked == "both" and len(corpus.own_texts) < 2):
        has = " and ".join(corpus.own_texts) or "no text of its own; give texts by --reports"
        raise CorpusError(f"--ecg_text {asked}: {corpus.name} has {has}")
