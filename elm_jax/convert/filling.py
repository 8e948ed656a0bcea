"""PyTorch tensors into the network that a recipe describes, with a head that is new if asked."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from elm_jax.convert import engine, network
from elm_jax.convert.engine import ConvertError, ConvertRule, Excuse, LoadReport
from elm_jax.data.spec import SignalSpec
from elm_jax.objectives.base import Objective

FRESH_HEAD = "fresh_head"  # in ModelParts.extra: how many outputs a head has that learnt nothing
CLASSIFIER = "classifier"
# Draws a head's parameters: given the objective, their shapes and a key.
Draw = Callable[[Any, Mapping[str, Any], Any], Mapping[str, Any]]


def fill(
    state: Mapping[str, np.ndarray],
    recipe: Mapping[str, Any],
    spec: SignalSpec,
    rules: Sequence[ConvertRule],
    *,
    draw_head: Draw | None = None,
    excuses: Sequence[Excuse] = (),
    text_width: int | None = None,
    source: str,
) -> tuple[dict[str, Any], dict[str, Any], LoadReport]:
    """(params, model state, report) of the network that ``recipe`` describes.

    Args:
      state: tensors by PyTorch name.
      recipe: the network.
      spec: the signal that it takes.
      rules: paths begin with module and collection.
      draw_head: the classifier is not in ``state``: this draws it anew, from a fixed seed.
      excuses: tensors that are left out.
      text_width: of the vectors that its text projector takes; None: it has none.
      source: for messages.

    Raises:
      ConvertError: tensors do not fit; or no such network can be built.
    """
    try:
        objective = network.build_network(recipe, spec)
        text = network.text_inputs(recipe, text_width=text_width, bert=None)
        params, model_state = network.shapes(objective, spec, text)
    except (ValueError, TypeError) as error:
        raise ConvertError(f"{source}: no network can be built from this: {error}") from error
    collections = {"params": params, **model_state}
    names = {module for own in collections.values() for module in own}
    target = {m: {c: own[m] for c, own in collections.items() if m in own} for m in sorted(names)}
    made = "rebuilt: as many outputs as asked for, and nothing learnt yet"
    tree, report = engine.from_torch(
        state,
        rules,
        target,
        excuses=excuses,
        expected_missing=[] if draw_head is None else [Excuse(f"{CLASSIFIER}/.*", made)],
        source=source,
    )
    found: dict[str, dict[str, Any]] = {name: {} for name in collections}
    for module, own in tree.items():
        for collection, value in own.items():
            found[collection][module] = value
    if draw_head is not None:
        found["params"][CLASSIFIER] = _drawn(draw_head, objective, params[CLASSIFIER])
    return found.pop("params"), found, report


def _drawn(draw_head: Draw, objective: Objective, shapes: Mapping[str, Any]) -> dict[str, Any]:
    """Values for a head, as a training would start it."""
    draw = jax.jit(lambda key: draw_head(objective, shapes, key))
    return jax.tree.map(np.asarray, draw(jax.random.key(0)))
