"""elm_jax: biosignal-language models in JAX. ``import elm_jax`` stays light on purpose."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["load_pretrained"]


def __getattr__(name: str) -> Any:
    """``elm_jax.load_pretrained``, imported when it is first used."""
    if name == "load_pretrained":
        from elm_jax.pretrained import load_pretrained

        return load_pretrained
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
