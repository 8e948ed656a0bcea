"""braindecode's faces over this project's networks: the classes that its users' code names."""

from elm_jax.braindecode.eegpt import EEGPT

__all__ = ["EEGPT"]
