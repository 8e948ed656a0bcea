"""From ``config.sampler`` and a corpus to batches: which windows and texts come at which step.

    config.sampler = dict(name="mixture", windows_per_batch=64)

SAMPLERS is the table: a new kind is a sampler in data/, a function here that fits it to a corpus,
and a line in the table.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from elm_jax.axes import Batch
from elm_jax.channels import UnknownChannels, channel_ids
from elm_jax.construct import construct, lookup
from elm_jax.data.corpus import Corpus
from elm_jax.data.labelled import Budget, Labelled
from elm_jax.data.mixture import MixturePipeline, Part, mixture
from elm_jax.data.pipeline import BagPipeline, Kind, RowPipeline, WindowPipeline
from elm_jax.data.samplers import BagSampler, PairSampler, Sampler
from elm_jax.data.targets import Target
from elm_jax.data.text import distinct
from elm_jax.data.window_pairs import window_pairs
from elm_jax.encoders import open_fields
from elm_jax.processes import this_process
from elm_jax.text_source import TextSource

log = logging.getLogger(__name__)


@runtime_checkable
class Batches(Protocol):
    """What the loop reads: a pure function of the step."""

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """This process's share of a step's batch."""
        ...

    def kinds(self) -> list[Kind]:
        """A batch of every shape that comes, that of step 0 first; a step is compiled for each."""
        ...

    def dataset(self, start: int, stop: int, *, threads: int, by: str) -> Iterator[Batch]:
        """The same for a range of steps, read ahead; see :mod:`elm_jax.data.read_ahead`."""
        ...


def _of_texts(kind: type) -> Callable[..., tuple[Sampler, Batches]]:
    """A builder of batches of crops and text segments."""

    def make(
        config: Any, corpus: Corpus, texts: TextSource | None, split: str
    ) -> tuple[Sampler, Batches]:
        if texts is None:
            raise ValueError(f"config.sampler {config.sampler.name!r} needs reports: config.text")
        reader, windows = corpus.reader(split), corpus.windows(split)
        segments = corpus.segments(split)
        without = sum(1 for s in segments if not s)
        if without:
            log.warning("%d of %d recordings of %s have no text", without, len(segments), split)
        bags = config.sampler.get("bags_per_batch", 0)
        if bags > (usable := len(segments) - without):
            log.warning(
                "a batch has %d bags, but only %d recordings of %s have text, each once a batch: "
                "the rest is padding; lower config.sampler.bags_per_batch",
                bags,
                usable,
                split,
            )
        settings = config.sampler.to_dict()
        equal_texts = settings.pop("equal_texts", "apart")
        sampler = construct(
            kind,
            settings,
            "config.sampler",
            crops=windows.counts(len(reader.recordings)),
            segments=[len(s) for s in segments],
            seed=config.seed,
        )
        table = texts.table(distinct(segments))
        rows = [table.rows(s) for s in segments]
        of_process = dict(process=this_process(), equal_texts=equal_texts)
        return sampler, BagPipeline(reader, sampler, windows, table, rows, **of_process)

    return make


def labelled(config: Any, corpus: Corpus, target: Target, split: str) -> Labelled:
    """The windows of a split with a label; in training, of people within the label budget."""
    given = {k: config.sampler.get(f"budget_{k}") for k in ("share", "people", "seed")}
    budget = Budget(**{k: v for k, v in given.items() if v is not None})
    recordings, windows = corpus.reader(split).recordings, corpus.windows(split)
    return Labelled.of(target, recordings, windows, budget if split == "train" else None)


def _labelled_windows(
    config: Any, corpus: Corpus, texts: TextSource | None, split: str
) -> tuple[Sampler, Batches]:
    """Batches of windows with labels; all of them, in order, where nothing is learnt."""
    target = Target.from_dict(config.objective.labels.to_dict(), where="config.objective.labels")
    found = labelled(config, corpus, target, split)
    found.tell(split)
    found.require_contrast() if split == "train" else found.require_some()
    settings = {k: v for k, v in config.sampler.items() if not k.startswith("budget_")}
    extra: dict[str, Any] = dict(seed=config.seed)
    if split != "train":
        settings = {"windows_per_batch": settings["windows_per_batch"]}
        extra = dict(shuffle=False)
    sampler = construct(found.sampler, settings, "config.sampler", **extra)
    reader = corpus.reader(split)
    return sampler, WindowPipeline(reader, sampler, found.windows, found.values, this_process())


def _mixture(
    config: Any, corpus: Corpus, texts: TextSource | None, split: str
) -> tuple[Sampler, Batches]:
    """Batches of windows of every directory in turn; where nothing is learnt, all of them in order.

    A directory without anybody in a split that is only validated on is left out.
    """
    by_name = "channels" in open_fields(config)
    parts = [_part(own, split, by_name=by_name) for own in corpus.holding(split)]
    settings = config.sampler.to_dict()
    extra: dict[str, Any] = dict(parts=parts, seed=config.seed, shuffle=split == "train")
    if split != "train":
        settings = {"windows_per_batch": settings["windows_per_batch"]}
    sampler = construct(mixture, settings, "config.sampler", **extra)
    return sampler, MixturePipeline(parts, sampler, this_process())


def _window_pairs(
    config: Any, corpus: Corpus, texts: TextSource | None, split: str
) -> tuple[Sampler, Batches]:
    """Batches of pairs of windows, near to or far from each other."""
    reader, windows = corpus.reader(split), corpus.windows(split)
    sampler = construct(
        window_pairs,
        config.sampler.to_dict(),
        "config.sampler",
        windows=windows,
        recordings=reader.recordings,
        sfreq_hz=corpus.spec.sfreq_hz,
        split=split,
        seed=config.seed,
    )
    sampler.tell()
    process = this_process()
    return sampler, RowPipeline(reader, sampler, windows, label=sampler.label, process=process)


def _part(corpus: Corpus, split: str, *, by_name: bool) -> Part:
    """Raises UnknownChannels, which names the directory."""
    try:
        ids = channel_ids(corpus.spec.channels) if by_name else None
    except UnknownChannels as error:
        raise UnknownChannels(f"{corpus.directory}: {error}") from error
    return Part(corpus.reader(split), corpus.windows(split), ids)


SAMPLERS = {
    "bags": _of_texts(BagSampler),
    "pairs": _of_texts(PairSampler),
    "windows": _labelled_windows,
    "mixture": _mixture,
    "relative_position": _window_pairs,
}
OF_SEVERAL = ("mixture",)  # samplers that read the directories of config.data.more, too


def build_batches(
    config: Any, corpus: Corpus, texts: TextSource | None, split: str = "train"
) -> tuple[Sampler, Batches]:
    """The sampler of ``config.sampler`` over a split, and its batches.

    Raises:
      ManifestError: fewer training shards than processes; says how many are needed.
      ValueError: an unknown sampler, or one that does not fit the data.
    """
    make = lookup(SAMPLERS, config.sampler.name, "config.sampler.name")
    if corpus.beside and config.sampler.name not in OF_SEVERAL:
        raise ValueError(
            f"config.data.more names {len(corpus.beside)} more directories, which sampler "
            f"{config.sampler.name!r} does not read; those that do: {OF_SEVERAL}"
        )
    if split == "train":
        for own in corpus.every:
            own.reader(split).require_shards(jax.process_count())
    return make(config, corpus, texts, split)
