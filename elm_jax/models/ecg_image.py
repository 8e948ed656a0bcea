"""An encoder that looks at ECGs as people do: it prints the signal and runs an image tower."""

import flax.linen as nn
import jax.numpy as jnp

from elm_jax.axes import Array, Bool, Float, Int
from elm_jax.images.picture import EcgPicture
from elm_jax.models.base import Encoded
from elm_jax.models.layers import Dtype, zero_padding
from elm_jax.models.vit import Vit
from elm_jax.models.vit_config import VitConfig


class EcgImage(nn.Module):
    """Network values -> millivolts -> image -> the tower's pixels -> tower; all on the device.

    Parameters lie under ``tower``, those of :class:`elm_jax.models.vit.Vit`.

    Attributes:
      picture: how a signal becomes an image.
      sizes: of the image tower.
      mv_per_value: of each channel, millivolts a network value.
      mv_at_zero: of each channel, millivolts where the network value is 0.
      pixel_mean: of red, green and blue: what the tower's pixels are less.
      pixel_std: likewise: what they are divided by.
      interpolate_positions: the image is not of the size that the tower's positions are of.
      dtype: what the tower computes in; images are drawn in float32.
      remat: what the backward pass computes again, layer by layer (see models/remat).
    """

    picture: EcgPicture
    sizes: VitConfig
    mv_per_value: tuple[float, ...]
    mv_at_zero: tuple[float, ...]
    pixel_mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    pixel_std: tuple[float, ...] = (0.5, 0.5, 0.5)
    interpolate_positions: bool = False
    dtype: Dtype | None = None
    remat: str = "none"

    def setup(self):
        """The tower."""
        self.tower = Vit(self.sizes, self.interpolate_positions, self.dtype, self.remat)

    @property
    def patches(self) -> int:
        """How many tokens an image has."""
        rows, columns = (size // self.sizes.patch_size for size in self.picture.image_size)
        return rows * columns

    def __call__(
        self,
        signal: Float[Array, "b c t"],
        *,
        channel_id: Int[Array, " c"] | Int[Array, "b c"] | None = None,
        keep: Int[Array, "v k"] | None = None,
        valid: Bool[Array, " b"] | None = None,
        train: bool,
    ) -> Encoded:
        """Encodes network values: tokens of the image's patches, and the tower's pooled vector.

        Args:
          signal: network values (see SignalSpec), channels as ``picture`` names them.
          channel_id: not used: the picture knows its channels.
          keep: must be None: what is hidden of a signal would have to be hidden of its image.
          valid: False for rows that are padding; they may hold anything.
          train: with dropout and drop-path.

        Raises:
          ValueError: ``keep``, or other channels or windows than the picture's.
        """
        del channel_id
        if keep is not None:
            raise ValueError("an image encoder cannot leave parts of the signal out: keep=None")
        return self.tower(self.pixels(signal, valid), train=train)

    def masked(
        self,
        signal: Float[Array, "b c t"],
        *,
        hidden: Bool[Array, "b n"],
        mask_token: Float[Array, " d"],
        valid: Bool[Array, " b"] | None = None,
        train: bool,
    ) -> tuple[Encoded, Float[Array, "b y x 3"]]:
        """Encodes an image whose ``hidden`` patches are not seen; and gives all of its pixels."""
        pixels = self.pixels(signal, valid)
        return self.tower(pixels, hidden=hidden, mask_token=mask_token, train=train), pixels

    def pixels(
        self, signal: Float[Array, "b c t"], valid: Bool[Array, " b"] | None
    ) -> Float[Array, "b y x 3"]:
        """What the tower sees: pixels normalised by its mean and deviation.

        Raises:
          ValueError: other channels or windows than the picture's.
        """
        expected = len(self.picture.channels), self.picture.samples
        if signal.shape[1:] != expected:
            raise ValueError(
                f"the encoder draws signals of {expected[0]} channels x {expected[1]} samples, "
                f"found {signal.shape[1:]} (layout b c t)"
            )
        image = self.draw(zero_padding(signal, valid))
        pixels = (image - jnp.asarray(self.pixel_mean)) / jnp.asarray(self.pixel_std)
        return pixels.astype(self.dtype or pixels.dtype)

    def draw(self, signal: Float[Array, "b c t"]) -> Float[Array, "b y x 3"]:
        """Images from 0 to 1 of network values."""
        per_value, at_zero = (
            jnp.asarray(v, jnp.float32)[:, None] for v in (self.mv_per_value, self.mv_at_zero)
        )
        return self.picture(signal.astype(jnp.float32) * per_value + at_zero)
