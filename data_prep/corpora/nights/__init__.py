"""Simulated nights: polysomnograms and hypnograms as EDF+ files, in Sleep-EDF's cassette layout.

They exist so that learning from sleep, from files to a staged night, can be run, tested and looked
at without any data. The stages may be those of real hypnograms; the signals are a *simulation*, and
are called so in the headers, in the settings beside them and in the manifest. Figures measured on
them say whether the program works, not how well it would do on people.
"""
