"""A signal as an image without drawing: a row of pixels a lead, light where the voltage is high.

ECG-Bench's "stacked signal": the record less its least value over its range, all leads together,
as grey in three equal colours, ``12 x samples``, then resized to the tower's image. Departures: the
grey is not cut to 256 steps first; and every tower gets the whole of it, where the reference's CLIP
preprocessor takes the middle square of the stretched image, about 12 samples of a record.
"""

import jax
import jax.numpy as jnp
import numpy as np

from elm_jax.axes import Array, Float
from elm_jax.images.paper import ImageError, rows_of
from elm_jax.signals.ecg.leads import WANTED_ORDER

EPSILON = 1e-6
# As Pillow resizes: kernels are widened where the image shrinks.
METHODS = {"bilinear": "linear", "bicubic": "cubic"}


def stack(
    signal_mv: Float[Array, "b c t"],
    image_size: tuple[int, int],
    *,
    channels: tuple[str, ...],
    resample: str = "bicubic",
) -> Float[Array, "b y x 3"]:
    """Twelve leads as images from 0 to 1, from the top: I, II, III, aVL, aVR, aVF, V1 ... V6.

    Args:
      signal_mv: the twelve leads (and others, which are left out), in one unit.
      image_size: rows and columns of pixels.
      channels: names of the signal's rows, in any order.
      resample: "bilinear" or "bicubic".

    Raises:
      ImageError: a name that is no lead, a lead that is missing, or an unknown ``resample``.
    """
    if resample not in METHODS:
        raise ImageError(f"stacked ECG image: resample is {resample!r}; known: {sorted(METHODS)}")
    rows = rows_of(channels, WANTED_ORDER)
    leads = signal_mv.astype(jnp.float32)[:, np.asarray(rows)]
    least, most = (f(leads, axis=(1, 2), keepdims=True) for f in (jnp.min, jnp.max))
    grey = jnp.clip((leads - least) / (most - least + EPSILON), 0, 1)
    grey = jax.image.resize(grey, (len(grey), *image_size), METHODS[resample])
    return jnp.repeat(jnp.clip(grey, 0, 1)[..., None], 3, axis=-1)
