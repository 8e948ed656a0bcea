"""From names in a config to objects: one dict per kind; an unknown name lists the known ones.

    ENCODERS    config.encoder.name     -> a linen module (models/base.Encoder)
    TOWERS      config.text.tower.name  -> a TextSource
    SAMPLERS    config.sampler.name     -> batches by step
    OBJECTIVES  config.objective.name   -> an objectives/base.Objective
    EVALS       config.evals.*.name     -> an evals/base.Eval

A new system adds an entry here, a module in its room, and a recipe in configs/.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from elm_jax.axes import Batch
from elm_jax.channels import UnknownChannels, channel_ids
from elm_jax.classifiers import adapted_spec, adapter_of, head_of, is_adapted, takes_any_window
from elm_jax.construct import construct, declared, lookup
from elm_jax.data.corpus import Corpus
from elm_jax.data.labelled import Budget, Labelled
from elm_jax.data.mixture import MixturePipeline, Part, mixture
from elm_jax.data.pipeline import BagPipeline, Kind, WindowPipeline
from elm_jax.data.samplers import BagSampler, PairSampler, Sampler
from elm_jax.data.spec import SignalSpec
from elm_jax.data.targets import Target, with_classes, with_moments
from elm_jax.data.text import distinct
from elm_jax.evals.band_power import BandPower
from elm_jax.evals.classification import Classification
from elm_jax.evals.embedding_map import EmbeddingMap
from elm_jax.evals.probe.eval import Probe
from elm_jax.evals.retrieval.eval import Retrieval
from elm_jax.evals.robustness import Robustness
from elm_jax.evals.zero_shot.eval import ZeroShot
from elm_jax.masked_objectives import dual_aligned, masked_dual
from elm_jax.models.conv_eeg import ConvEeg
from elm_jax.models.eeg_transformer import EegTransformer
from elm_jax.models.heads import SignalProjector, TextProjector
from elm_jax.models.remat import require_known
from elm_jax.objectives.base import Objective
from elm_jax.objectives.classify import Classify
from elm_jax.objectives.multi_instance import (
    MultiInstance,
    OrthogonalAlignment,
    SoftTargetContrast,
)
from elm_jax.objectives.two_tower import TwoTower
from elm_jax.processes import this_process
from elm_jax.schedules import RunLength
from elm_jax.text_source import TextSource, pretrained_bert, scratch_bert

log = logging.getLogger(__name__)

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


# -- data -----------------------------------------------------------------------------------------


TOWERS = {"pretrained_bert": pretrained_bert, "scratch_bert": scratch_bert}


def compute_dtype(config: Any) -> Any:
    """What ``config.dtype`` names: the type that models compute in."""
    return lookup(DTYPES, config.dtype, "config.dtype")


def build_text_source(
    config: Any,
    *,
    workdirs: Sequence[epath.Path],
    cache: epath.Path | None,
    corpus: Callable[[], Sequence[str]] | None = None,
) -> TextSource:
    """The text tower of ``config.text.tower``.

    Args:
      config: with ``text`` and ``dtype``.
      workdirs: where a learnt vocabulary is kept; a run that starts from another's parameters
        takes that one's too, since token numbers mean nothing without it.
      cache: where vectors of frozen towers are kept; None: nowhere.
      corpus: gives the texts to learn a vocabulary from; None: none is learnt.
    """
    make = lookup(TOWERS, config.text.tower.name, "config.text.tower.name")
    return construct(
        make,
        config.text.tower.to_dict(),
        "config.text.tower",
        mode=config.text.mode,
        corpus=corpus,
        workdirs=tuple(workdirs),
        cache=cache,
        dtype=compute_dtype(config),
    )


@runtime_checkable
class Batches(Protocol):
    """What the loop reads: a pure function of the step, behind tf.data."""

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """This process's share of a step's batch."""
        ...

    def kinds(self) -> list[Kind]:
        """A batch of every shape that comes, that of step 0 first; a step is compiled for each."""
        ...

    def dataset(self, start: int, stop: int, *, threads: int) -> Iterator[Batch]:
        """The same for a range of steps, read ahead."""
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
        sampler = construct(
            kind,
            config.sampler.to_dict(),
            "config.sampler",
            crops=windows.counts(len(reader.recordings)),
            segments=[len(s) for s in segments],
            seed=config.seed,
        )
        table = texts.table(distinct(segments))
        rows = [table.rows(s) for s in segments]
        return sampler, BagPipeline(reader, sampler, windows, table, rows, this_process())

    return make


def labelled(config: Any, corpus: Corpus, target: Target, split: str) -> Labelled:
    """The windows of a split with a label; in training, of people within the label budget."""
    given = {k: config.sampler.get(f"budget_{k}") for k in ("share", "people", "seed")}
    budget = Budget(**{k: v for k, v in given.items() if v is not None})
    recordings, windows = corpus.reader(split).recordings, corpus.windows(split)
    return Labelled.of(target, recordings, windows, budget if split == "train" else None)


# Words of config.objective.class_weight -> how far towards classes that count alike.
BALANCED = {"balanced": 1.0, "balanced_root": 0.5}


def settle_labels(config: Any, corpus: Corpus) -> None:
    """Completes ``config.objective.labels`` from ``config.labels`` and the training windows.

    What only the data know (classes, a regression's mean and deviation, balanced weights) is
    written into the config as it runs: a finished model can be read without its data.

    Raises:
      LabelError, TargetError: the labels cannot be learnt as asked.
    """
    if not config.get("labels"):
        return
    recordings, windows = corpus.reader("train").recordings, corpus.windows("train")
    target = with_classes(Target.from_dict(config.labels.to_dict()), recordings, windows)
    found = labelled(config, corpus, target, "train")
    found.require_contrast()
    target = with_moments(target, found.values[found.usable])
    with config.unlocked(), config.objective.ignore_type():
        config.objective.labels = target.to_dict()
        asked = config.objective.get("class_weight") or ()
        word = asked if isinstance(asked, str) else asked[0] if len(asked) == 1 else None
        if isinstance(word, str):  # a command line makes a tuple of it
            power = lookup(BALANCED, word, "config.objective.class_weight")
            config.objective.class_weight = found.balanced_weights(power)


def settle_length(config: Any, length: RunLength) -> None:
    """Completes ``config.objective.total_steps``, where it is left open, by the run's length.

    A momentum encoder's schedule needs it; as it is written into the config, a finished model can
    be read without its run.
    """
    if "total_steps" in config.objective and config.objective.total_steps is None:
        with config.unlocked(), config.objective.ignore_type():
            config.objective.total_steps = length.total_steps


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


# -- model ----------------------------------------------------------------------------------------

ENCODERS = {"conv_eeg": ConvEeg, "eeg_transformer": EegTransformer}


def remat(config: Any) -> str:
    """``config.remat``: what the backward pass computes again (a finished model's has none).

    Raises:
      ValueError: an unknown name.
    """
    name = config.get("remat", "none")
    require_known(name)
    return name


# What an encoder that reads channels by name leaves open. All but the first two are how signals
# were made: they change what it sees, not whether it can; differences are said in the log.
BY_NAME = (
    "channels", "window_s", "highpass_hz", "lowpass_hz", "notch_hz", "clip", "resample",
    "slow_source",
)  # fmt: skip


def fields_by_name(config: Any) -> tuple[str, ...]:
    """Fields of a SignalSpec that the encoder of ``config`` leaves open: none, mostly.

    One that is ``by_name`` reads its channels by their names: any that the dictionary has, in any
    order and number, in windows of any whole number of patches.

    Args:
      config: a run's, or the recipe of a finished model, as ``convert.network.as_config`` reads it.
    """
    encoder = lookup(ENCODERS, config.encoder.name, "config.encoder.name")
    return BY_NAME if getattr(encoder, "by_name", False) else ()


def open_fields(config: Any) -> tuple[str, ...]:
    """Fields of a SignalSpec that the whole network of ``config`` leaves open.

    None where an adapter stands ahead of the encoder: it knows channels by their place. The window
    is not open where a head has weights for every token of it.
    """
    adapter = config.objective.get("adapter")
    if is_adapted(adapter and adapter.to_dict()):
        return ()
    head = config.objective.get("head")
    fixed = () if takes_any_window(head and head.to_dict()) else ("window_s",)
    return tuple(name for name in fields_by_name(config) if name not in fixed)


def build_encoder(config: Any, spec: SignalSpec) -> Any:
    """The encoder of ``config.encoder`` for signals of ``spec``.

    Each class is given what it declares of the signal's channels: their number, their names.
    """
    make = lookup(ENCODERS, config.encoder.name, "config.encoder.name")
    known = dict(
        in_channels=len(spec.channels),
        channels=tuple(spec.channels),
        dtype=compute_dtype(config),
        remat=remat(config),
    )
    return construct(make, config.encoder.to_dict(), "config.encoder", **declared(make, known))


def _two_tower(kind: type, sampler: str = "") -> Callable[..., Objective]:
    """A builder for the objectives that have a signal and a text tower.

    ``sampler`` is the only one whose batches the loss can read. A finished model's recipe has no
    sampler, since nothing is learnt.
    """

    def build(config: Any, spec: SignalSpec, texts: TextSource | None) -> Objective:
        settings = config.objective.to_dict()
        dtype = compute_dtype(config)
        missing = {"signal_projection", "text_projection"} - set(settings)
        if missing:
            raise ValueError(f"config.objective: lacks {sorted(missing)}")
        signal_sizes, text_sizes = (
            settings.pop(f"{side}_projection") for side in ("signal", "text")
        )
        if sampler and "sampler" in config:
            if config.sampler.name != sampler:
                raise ValueError(
                    f"config.objective {config.objective.name!r} needs config.sampler.name="
                    f"{sampler!r}, found {config.sampler.name!r}"
                )
            if "style" in config.sampler:
                settings["style"] = config.sampler.style
        parts: dict[str, Any] = dict(encoder=build_encoder(config, spec))
        if signal_sizes:
            parts["signal_projector"] = SignalProjector(tuple(signal_sizes), dtype=dtype)
        if text_sizes:
            parts["text_projector"] = TextProjector(tuple(text_sizes), dtype=dtype)
        if texts is not None:
            tower = texts.module and texts.module.clone(remat=remat(config))
            parts |= dict(text_tower=tower, pooling=texts.pooling)
        return construct(kind, settings, "config.objective", **parts)

    return build


def _classify(config: Any, spec: SignalSpec, texts: TextSource | None) -> Objective:
    """A classifier; its labels are complete (see :func:`settle_labels`), or a finished model's."""
    settings = config.objective.to_dict()
    if settings.get("labels") is None:
        raise ValueError("config.objective.labels is empty: say in config.labels what is learnt")
    dtype = compute_dtype(config)
    target = Target.from_dict(settings.pop("labels"), where="config.objective.labels")
    signal_sizes, text_sizes = (settings.pop(f"{s}_projection", None) for s in ("signal", "text"))
    if text_sizes or texts is not None:
        raise ValueError("config.objective 'classify' reads no text: set config.text=None")
    adapter = adapter_of(settings.pop("adapter", None), dtype)
    encoder = build_encoder(config, adapted_spec(spec, adapter))
    parts: dict[str, Any] = dict(encoder=encoder, adapter=adapter, target=target)
    parts["classifier"] = head_of(settings, encoder, target.outputs, dtype)
    if signal_sizes:
        parts["signal_projector"] = SignalProjector(tuple(signal_sizes), dtype=dtype)
    settings["class_weight"] = tuple(settings.get("class_weight") or ())
    return construct(Classify, settings, "config.objective", **parts)


def _masked(make: Callable[[Mapping[str, Any], Any], Objective]) -> Callable[..., Objective]:
    """A builder for the objectives that hide parts of the signal from the encoder."""

    def build(config: Any, spec: SignalSpec, texts: TextSource | None) -> Objective:
        if texts is not None:
            raise ValueError(
                f"config.objective {config.objective.name!r} reads no text: set config.text=None"
            )
        return make(config.objective.to_dict(), build_encoder(config, spec))

    return build


OBJECTIVES = {
    "two_tower": _two_tower(TwoTower),  # a finished model: embeds, has no loss of its own
    "multi_instance": _two_tower(MultiInstance, "bags"),
    "soft_target_contrast": _two_tower(SoftTargetContrast, "pairs"),
    "orthogonal_alignment": _two_tower(OrthogonalAlignment, "pairs"),
    "classify": _classify,
    "masked_dual": _masked(masked_dual),
    "dual_aligned": _masked(dual_aligned),
}


def build_objective(config: Any, spec: SignalSpec, texts: TextSource | None) -> Objective:
    """The objective of ``config.objective``; ``texts`` is None for a model without a text side."""
    make = lookup(OBJECTIVES, config.objective.name, "config.objective.name")
    return make(config, spec, texts)


# -- evals ----------------------------------------------------------------------------------------

EVALS = {
    "zero_shot": ZeroShot,
    "band_power": BandPower,
    "embedding_map": EmbeddingMap,
    "probe": Probe,
    "classification": Classification,
    "retrieval": Retrieval,
    "robustness": Robustness,
}


def build_evals(config: Any) -> dict[str, Any]:
    """The evals of ``config.evals``, by name (in alphabetical order, as a ConfigDict has them)."""
    evals = {}
    for name, settings in config.evals.items():
        if not hasattr(settings, "items"):  # a setting of all evals, or one that is switched off
            continue
        make = lookup(EVALS, settings.name, f"config.evals.{name}.name")
        given = settings.to_dict()
        if "labels" in given and given["labels"] is None:  # those that the run learnt
            given["labels"] = config.to_dict().get("objective", {}).get("labels")
        evals[name] = construct(make, given, f"config.evals.{name}")
    return evals
