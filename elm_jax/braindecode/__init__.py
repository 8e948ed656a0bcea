"""braindecode's faces over this project's networks: the classes that its users' code names."""

from elm_jax.braindecode.eegpt import EEGPT
from elm_jax.braindecode.sleep_stager import SleepStagerChambon2018

__all__ = ["EEGPT", "SleepStagerChambon2018"]
