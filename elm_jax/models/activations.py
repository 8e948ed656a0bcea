"""Activations by name, each PyTorch's function of that name with its default settings."""

import functools
from collections.abc import Callable

import jax

from elm_jax.axes import Array
from elm_jax.models.layers import elu

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "elu": elu,
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "identity": lambda x: x,
    "leaky_relu": jax.nn.leaky_relu,
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "selu": jax.nn.selu,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "tanh": jax.nn.tanh,
}


_TANH_GELU = functools.partial(jax.nn.gelu, approximate=True)
# By the names of ``hidden_act`` in Hugging Face's config.json.
HF_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": ACTIVATIONS["gelu"],
    "gelu_new": _TANH_GELU,
    "gelu_fast": _TANH_GELU,
    "gelu_pytorch_tanh": _TANH_GELU,
    "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "swish": jax.nn.silu,
    "tanh": jax.nn.tanh,
}

# Those that never fall: the largest of several values stays the largest.
RISING = frozenset(ACTIVATIONS) - {"gelu", "silu"}


def activation(name: str) -> Callable[[Array], Array]:
    """The activation that ``config.encoder.activation`` names.

    Raises:
      ValueError: an unknown name; lists the known ones.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"encoder.activation is {name!r}; known: {sorted(ACTIVATIONS)}")
    return ACTIVATIONS[name]
