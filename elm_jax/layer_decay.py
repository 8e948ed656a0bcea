"""Layer-wise decay of the learning rate (BEiT, Bao et al. 2022): early layers move less.

    config.optimizer.layer_decay = 0.65

Of a transformer of n layers, layer i (from 0) learns at ``decay ** (n - i)`` of the rate, its
embeddings (patches, positions, electrodes, summary and class tokens) at ``decay ** (n + 1)``; what
follows the layers, and whatever stands ahead of the network and begins anew (heads, adapters), at
the whole rate. Rules (``config.optimizer.rules``) multiply on top.

EEGPT's and DARE-EEG's fine-tuning ask for 0.65 and do not get it: their assignment looks for names
that begin with ``blocks`` or ``patch_embed``, their parameters are called ``target_encoder.blocks``
and ``encoder.blocks``, so every parameter has the whole rate (``get_num_layer_for_vit`` of both
``optim_factory.py``). Here it acts; ``layer_decay=1.0`` is what their runs did.
"""

import re
from typing import Any

import jax

from elm_jax.axes import Params
from elm_jax.trees import path_of

# The parts of a model that are transformers, and whatever of them comes before the first layer.
_LAYER = re.compile(r"(?P<part>encoder|text_tower)/(tower/)?layers?_(?P<number>\d+)/.*")
_BELOW = re.compile(
    r"(?P<part>encoder|text_tower)/(tower/)?"
    r"(patch_embed|channel_embed|position_embed|lead_embed|embeddings|summary_token|class_token|"
    r"separator_token)(/.*)?"
)


def layer_factors(params: Params, decay: float) -> Any:
    """For every parameter its factor on the rate.

    Args:
      params: arrays or their shapes.
      decay: from layer to layer.

    Raises:
      ValueError: no decay between 0 and 1, or a model without layers.
    """
    if not 0 < decay <= 1:
        raise ValueError(f"config.optimizer.layer_decay is {decay}; expected 0 < decay <= 1")
    paths = [path_of(key) for key, _ in jax.tree_util.tree_leaves_with_path(params)]
    depth: dict[str, int] = {}
    for found in filter(None, map(_LAYER.fullmatch, paths)):
        part = found["part"]
        depth[part] = max(depth.get(part, 0), int(found["number"]) + 1)
    if not depth:
        raise ValueError(
            "config.optimizer.layer_decay needs a transformer, whose layers are numbered "
            f"(layer_0, ...); this model has {sorted({p.split('/')[0] for p in paths})} without "
            "any. Use config.optimizer.rules"
        )

    def factor(key: Any, _: Any) -> float:
        path = path_of(key)
        if (found := _LAYER.fullmatch(path)) is not None:
            return decay ** (depth[found["part"]] - int(found["number"]))
        below = _BELOW.fullmatch(path)
        return decay ** (depth[below["part"]] + 1) if below and below["part"] in depth else 1.0

    return jax.tree_util.tree_map_with_path(factor, params)
