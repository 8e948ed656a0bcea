"""Tensors in EEGPT's layout into the network that a recipe describes."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from elm_jax.axes import Key
from elm_jax.convert import eegpt, filling
from elm_jax.convert.engine import ConvertError, ConvertRule, Excuse, LoadReport
from elm_jax.data.spec import SignalSpec
from elm_jax.objectives.classify import Classify


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
    params, model_state, report = filling.fill(
        state,
        recipe,
        spec,
        rules,
        draw_head=_two_stage if fresh_head else None,
        excuses=[*eegpt.EXCUSES, *excuses],
        source=source,
    )
    report.kept = {}  # nothing of it is needed to write the tensors again
    return params, model_state, report


def _two_stage(objective: Classify, shapes: Mapping[str, Any], key: Key) -> Mapping[str, Any]:
    """Values of a two-stage head."""
    width, hidden = shapes["probe1"]["kernel"].shape
    tokens = jnp.zeros((1, shapes["probe2"]["kernel"].shape[0] // hidden, width))
    made = objective.classifier.init({"params": key, "dropout": key}, tokens, train=False)
    return made["params"]


def by_module(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as rules name them: ``{module: {"params": ...}}``."""
    return {module: {"params": own} for module, own in params.items()}
