"""What every encoder of the house takes and gives."""

from typing import NamedTuple, Protocol, runtime_checkable

from elm_jax.axes import Array, Bool, Float, Int


class Encoded(NamedTuple):
    """An encoder's output: a sequence of tokens and one pooled vector a row."""

    tokens: Float[Array, "b n d"]
    pooled: Float[Array, "b d"]


@runtime_checkable
class Encoder(Protocol):
    """A linen module from signals to vectors; layout ``b c t`` at the door."""

    def __call__(
        self,
        signal: Float[Array, "b c t"],
        *,
        channel_id: Int[Array, " c"] | Int[Array, "b c"] | None = None,
        keep: Int[Array, "v k"] | Int[Array, "b g k"] | None = None,
        valid: Bool[Array, " b"] | None = None,
        train: bool,
    ) -> Encoded:
        """Encodes.

        Args:
          signal: network values.
          channel_id: which electrode each of the signal's rows is, for all windows or each; for
            encoders that have ``by_name``.
          keep: what is visible, for encoders that can be shown a part: ``k`` channels of each of
            ``v`` time patches, as ``patch * c + channel``; or, of every row by itself, ``k``
            patches of each of ``g`` groups.
          valid: False for rows of padding: they touch no batch statistics.
          train: with dropout, and by the batch's statistics.
        """
        ...
