"""elm_jax: biosignal-language models in JAX. ``import elm_jax`` stays light on purpose."""

__version__ = "0.1.0"
