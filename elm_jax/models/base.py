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
        channel_id: Int[Array, " c"] | None = None,
        keep: Int[Array, " n"] | None = None,
        valid: Bool[Array, " b"] | None = None,
        train: bool,
    ) -> Encoded:
        """Encodes; ``valid`` rows alone touch batch statistics."""
        ...
