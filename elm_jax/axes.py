"""The dictionary of the house: axis letters, unit suffixes and array aliases.

Axis letters (the same in signatures, einsums and docstrings):

    b  batch row          c  channel or lead     t  time sample
    p  patch              n  token               s  summary token
    d  width              h  attention head      k  head width
    v  vocabulary         e  shared embedding    g  bag
    l  text position      y  row of an image      x  column of an image

Unit suffixes in names: ``_s`` seconds, ``_hz`` hertz, ``_uv`` microvolts, ``_mv`` millivolts,
``_v`` volts, ``_steps`` and ``_epochs`` for durations of training. A name without a suffix is a
count, an index or *network values* (see :class:`elm_jax.data.spec.SignalSpec`).

Polarity of masks: ``valid`` (True is real, not padding), ``keep`` (True is visible),
``loss_mask`` (True is scored).
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int

UV_PER_V = 1e6
UV_PER_MV = 1e3

Params = Mapping[str, Any]
ModelState = Mapping[str, Any]
Batch = Mapping[str, Any]
Key = jax.Array

__all__ = [
    "UV_PER_MV", "UV_PER_V", "Array", "Batch", "Bool", "Float", "Int", "Key", "ModelState",
    "Params", "np",
]  # fmt: skip
