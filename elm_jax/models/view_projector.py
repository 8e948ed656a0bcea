"""What DARE-EEG compares two masked views by: a small network on the pooled visible tokens."""

import flax.linen as nn

from elm_jax.axes import Array, Float
from elm_jax.models.layers import Dense, Dtype


class ViewProjector(nn.Module):
    """Linear, ReLU, Linear; initial values are PyTorch's, as published.

    Attributes:
      sizes: (hidden, out).
      dtype: computed in.
    """

    sizes: tuple[int, int] = (512, 256)
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b d"]) -> Float[Array, "b e"]:
        """Projects pooled tokens.

        Raises:
          ValueError: ``sizes`` has not two entries.
        """
        if len(self.sizes) != 2:
            raise ValueError(f"config.objective.projection must be (hidden, out): {self.sizes}")
        x = nn.relu(Dense(self.sizes[0], dtype=self.dtype, name="hidden")(x))
        return Dense(self.sizes[1], dtype=self.dtype, name="out")(x)
