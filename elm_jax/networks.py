"""From a recipe to a network that learns or embeds: its text tower and its objective by name.

    config.text.tower = dict(name="pretrained_bert", path=...)
    config.objective = dict(name="multi_instance", ...)

TOWERS and OBJECTIVES are the tables: a new objective is a module in objectives/
(objectives/base.Objective), a function here that gives it its parts, and a line in the table. A
finished model needs nothing beyond this: neither evals nor their libraries.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from etils import epath

from elm_jax.classifiers import adapted_spec, adapter_of, head_of
from elm_jax.construct import construct, lookup
from elm_jax.data.spec import SignalSpec
from elm_jax.data.targets import Target
from elm_jax.encoders import build_encoder, compute_dtype, remat
from elm_jax.masked_objectives import dual_aligned, masked_dual, masked_image, masked_recon
from elm_jax.models.heads import GeluProjector, PairHead, SignalProjector, TextProjector
from elm_jax.models.merl_head import MerlHead
from elm_jax.objectives.base import Objective
from elm_jax.objectives.classify import Classify
from elm_jax.objectives.multi_instance import (
    MultiInstance,
    OrthogonalAlignment,
    SoftTargetContrast,
)
from elm_jax.objectives.paired_contrast import Merl, PairedContrast, Siglip
from elm_jax.objectives.relative_position import RelativePosition
from elm_jax.objectives.two_tower import TwoTower
from elm_jax.text_source import TextSource, pretrained_bert, scratch_bert

TOWERS = {"pretrained_bert": pretrained_bert, "scratch_bert": scratch_bert}


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


# From the settings of config.objective, of which it takes its own, to the two projectors.
Projectors = Callable[[dict[str, Any], Any], dict[str, Any]]


def _sizes(settings: dict[str, Any]) -> tuple[Any, Any]:
    missing = {"signal_projection", "text_projection"} - set(settings)
    if missing:
        raise ValueError(f"config.objective: lacks {sorted(missing)}")
    return settings.pop("signal_projection"), settings.pop("text_projection")


def _elm_projectors(settings: dict[str, Any], dtype: Any) -> dict[str, Any]:
    signal, text = _sizes(settings)
    made = {
        "signal_projector": signal and SignalProjector(tuple(signal), dtype=dtype),
        "text_projector": text and TextProjector(tuple(text), dtype=dtype),
    }
    return {name: module for name, module in made.items() if module}


def _clip_projectors(settings: dict[str, Any], dtype: Any) -> dict[str, Any]:
    signal, text = _sizes(settings)
    made = {"signal_projector": SignalProjector(tuple(signal), dtype=dtype)}
    return made | ({"text_projector": GeluProjector(tuple(text), dtype=dtype)} if text else {})


def _merl_projectors(settings: dict[str, Any], dtype: Any) -> dict[str, Any]:
    head = settings.pop("signal_head", None) or {}
    signal, text = _sizes(settings)
    if len(signal) != 1:
        raise ValueError(
            f"config.objective.signal_projection is {tuple(signal)}; MERL's has one size: (256,)"
        )
    made = construct(MerlHead, head, "config.objective.signal_head", width=signal[0], dtype=dtype)
    text_projector = {"text_projector": GeluProjector(tuple(text), dtype=dtype)} if text else {}
    return {"signal_projector": made} | text_projector


def _two_tower(
    kind: type,
    sampler: str = "",
    projectors: Projectors = _elm_projectors,
    *,
    chosen_by: str = "name",
) -> Callable[..., Objective]:
    """A builder for the objectives that have a signal and a text tower.

    ``sampler`` is the only one whose batches the loss can read. A finished model's recipe has no
    sampler, since nothing is learnt. ``chosen_by`` is the setting that said which kind it is.
    """

    def build(config: Any, spec: SignalSpec, texts: TextSource | None) -> Objective:
        settings = config.objective.to_dict()
        settings.pop(chosen_by, None)
        heads = projectors(settings, compute_dtype(config))
        if sampler and "sampler" in config:
            if config.sampler.name != sampler:
                raise ValueError(
                    f"config.objective {config.objective.name!r} needs config.sampler.name="
                    f"{sampler!r}, found {config.sampler.name!r}"
                )
            if "style" in config.sampler:
                settings["style"] = config.sampler.style
        parts: dict[str, Any] = dict(encoder=build_encoder(config, spec)) | heads
        if texts is not None:
            tower = texts.module and texts.module.clone(remat=remat(config))
            parts |= dict(text_tower=tower, pooling=texts.pooling)
        return construct(kind, settings, "config.objective", **parts)

    return build


PAIRED = {
    "clip": _two_tower(PairedContrast, "pairs", _clip_projectors, chosen_by="loss"),
    "siglip": _two_tower(Siglip, "pairs", _clip_projectors, chosen_by="loss"),
    "merl": _two_tower(Merl, "pairs", _merl_projectors, chosen_by="loss"),
}


def _paired_contrast(config: Any, spec: SignalSpec, texts: TextSource | None) -> Objective:
    """One of PAIRED, by ``config.objective.loss``."""
    loss = config.objective.get("loss")
    return lookup(PAIRED, loss, "config.objective.loss")(config, spec, texts)


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


def _relative_position(config: Any, spec: SignalSpec, texts: TextSource | None) -> Objective:
    """A siamese encoder and the classifier of its pairs; ``encoder_frozen`` as in the others."""
    settings = config.objective.to_dict()
    if texts is not None:
        raise ValueError("config.objective 'relative_position' reads no text: set config.text=None")
    encoder = build_encoder(config, spec)
    frozen = {k: settings.pop(k) for k in ("encoder_frozen",) if k in settings}
    head = construct(PairHead, settings, "config.objective", dtype=compute_dtype(config))
    return RelativePosition(encoder=encoder, classifier=head, **frozen)


OBJECTIVES = {
    "two_tower": _two_tower(TwoTower),  # a finished model: embeds, has no loss of its own
    "multi_instance": _two_tower(MultiInstance, "bags"),
    "soft_target_contrast": _two_tower(SoftTargetContrast, "pairs"),
    "orthogonal_alignment": _two_tower(OrthogonalAlignment, "pairs"),
    "classify": _classify,
    "paired_contrast": _paired_contrast,
    "masked_dual": _masked(masked_dual),
    "dual_aligned": _masked(dual_aligned),
    "masked_recon": _masked(masked_recon),
    "masked_image": _masked(masked_image),
    "relative_position": _relative_position,
}


def build_objective(config: Any, spec: SignalSpec, texts: TextSource | None) -> Objective:
    """The objective of ``config.objective``; ``texts`` is None for a model without a text side."""
    make = lookup(OBJECTIVES, config.objective.name, "config.objective.name")
    return make(config, spec, texts)
