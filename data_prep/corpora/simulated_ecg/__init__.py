"""Simulated ECGs: twelve leads, reports and statements, in PTB-XL's layout.

They exist so that learning from ECGs and their reports, from files to a diagnosis, can be run,
tested and looked at without any data. Waves, findings and sentences are a *simulation*, and are
called so in the headers, in the table's column ``device``, in the settings beside them and in the
manifest. Figures measured on them say whether the program works, not how well it would do on
people.
"""

from data_prep.corpora.simulated_ecg.prompts import HELD_OUT_PROMPTS

__all__ = ["HELD_OUT_PROMPTS"]
