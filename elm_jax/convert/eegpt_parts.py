"""Tensors in EEGPT's layout into the network that a recipe describes."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from elm_jax.convert import eegpt, engine, network
from elm_jax.convert.engine import ConvertError, ConvertRule, Excuse, LoadReport
from elm_jax.data.spec import SignalSpec
from elm_jax.objectives.classify import Classify

FRESH_HEAD = "fresh_head"  # in ModelParts.extra: how many outputs a head has that learnt nothing
CLASSIFIER = "classifier"


def require_heads(recipe: Mapping[str, Any], source: str) -> None:
    """Raises unless the width of the encoder divides into its heads."""
    width, heads = (recipe["encoder"][k] for k in ("width", "heads"))
    if heads < 1 or width % heads:
        raise ConvertError(f"{source}: {heads} heads do not divide an encoder {width} wide")


def fill(
    state: Mapping[str, np.ndarray],
    recipe: Mapping[str, Any],
    spec: SignalSpec,
    rules: Sequence[ConvertRule],
    *,
    fresh_head: bool = False,
    excuses: Sequence[Excuse] = (),
    source: str,
) -> tuple[dict[str, Any], dict[str, Any], LoadReport]:
    """(params, model state, report) of the network that ``recipe`` describes.

    Args:
      state: tensors by PyTorch name.
      recipe: the network.
      spec: the signal that it takes.
      rules: paths begin with module and collection.
      fresh_head: the classifier is not in ``state``: it is drawn anew, from a fixed seed.
      excuses: tensors that are left out, beside those of :data:`elm_jax.convert.eegpt.EXCUSES`.
      source: for messages.

    Raises:
      ConvertError: tensors do not fit; or no such network can be built.
    """
    require_heads(recipe, source)
    try:
        objective = network.build_network(recipe, spec)
        params, model_state = network.shapes(objective, spec, {})
    except (ValueError, TypeError) as error:
        raise ConvertError(f"{source}: no network can be built from this: {error}") from error
    collections = {"params": params, **model_state}
    names = {module for own in collections.values() for module in own}
    target = {m: {c: own[m] for c, own in collections.items() if m in own} for m in sorted(names)}
    made = "rebuilt: as many outputs as asked for, and nothing learnt yet"
    missing = [Excuse(f"{CLASSIFIER}/.*", made)] if fresh_head else []
    tree, report = engine.from_torch(
        state,
        rules,
        target,
        excuses=[*eegpt.EXCUSES, *excuses],
        expected_missing=missing,
        source=source,
    )
    report.kept = {}  # nothing of it is needed to write the tensors again
    found: dict[str, dict[str, Any]] = {name: {} for name in collections}
    for module, own in tree.items():
        for collection, value in own.items():
            found[collection][module] = value
    if fresh_head:
        found["params"][CLASSIFIER] = _drawn(objective, params[CLASSIFIER])
    return found.pop("params"), found, report


def _drawn(objective: Classify, shapes: Mapping[str, Any]) -> dict[str, Any]:
    """Values for a two-stage head, as a training would start it."""
    width, hidden = shapes["probe1"]["kernel"].shape
    tokens = jnp.zeros((1, shapes["probe2"]["kernel"].shape[0] // hidden, width))

    @jax.jit
    def draw(key):
        return objective.classifier.init({"params": key, "dropout": key}, tokens, train=False)

    return jax.tree.map(np.asarray, draw(jax.random.key(0))["params"])


def by_module(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as rules name them: ``{module: {"params": ...}}``."""
    return {module: {"params": own} for module, own in params.items()}
