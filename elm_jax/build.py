"""From names in a config to objects: one dict per kind; an unknown name lists the known ones.

    ENCODERS    config.encoder.name     -> a linen module (models/base.Encoder)     encoders.py
    TOWERS      config.text.tower.name  -> a TextSource                             networks.py
    OBJECTIVES  config.objective.name   -> an objectives/base.Objective             networks.py
    SAMPLERS    config.sampler.name     -> batches by step                          batches.py
    EVALS       config.evals.*.name     -> an evals/base.Eval                       here

A new system adds an entry to these, a module in its room, and a recipe in configs/. Heads and
adapters of classifiers are in classifiers.py.
"""

from typing import Any

from elm_jax.batches import OF_SEVERAL, SAMPLERS, Batches, build_batches, labelled
from elm_jax.construct import construct, lookup
from elm_jax.encoders import (
    BY_NAME,
    DTYPES,
    ENCODERS,
    build_encoder,
    compute_dtype,
    fields_by_name,
    open_fields,
    remat,
)
from elm_jax.evals.band_power import BandPower
from elm_jax.evals.classification import Classification
from elm_jax.evals.embedding_map import EmbeddingMap
from elm_jax.evals.pretext import Pretext
from elm_jax.evals.probe.eval import Probe
from elm_jax.evals.retrieval.eval import Retrieval
from elm_jax.evals.robustness import Robustness
from elm_jax.evals.zero_shot.eval import ZeroShot
from elm_jax.networks import OBJECTIVES, TOWERS, build_objective, build_text_source
from elm_jax.settle import BALANCED, settle_labels, settle_length

__all__ = [
    "BALANCED", "BY_NAME", "DTYPES", "ENCODERS", "EVALS", "OBJECTIVES", "OF_SEVERAL", "SAMPLERS",
    "TOWERS", "Batches", "build_batches", "build_encoder", "build_evals", "build_objective",
    "build_text_source", "compute_dtype", "fields_by_name", "labelled", "open_fields", "remat",
    "settle_labels", "settle_length",
]  # fmt: skip

EVALS = {
    "zero_shot": ZeroShot,
    "band_power": BandPower,
    "embedding_map": EmbeddingMap,
    "probe": Probe,
    "classification": Classification,
    "retrieval": Retrieval,
    "robustness": Robustness,
    "pretext": Pretext,
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
