"""Published corpora that can be fetched: one module each, with the files of one."""

import importlib

from data_prep.downloads.base import Download

# Word on the command line -> "module:class"; modules load when they are asked for.
DOWNLOADS = {
    "sleep_physionet": "data_prep.downloads.sleep_physionet:SleepPhysionet",
    "ptbxl": "data_prep.downloads.physionet:PtbXl",
    "cpsc2018": "data_prep.downloads.physionet:Cpsc2018",
    "csn": "data_prep.downloads.physionet:Csn",
    "mimic_iv_ecg": "data_prep.downloads.physionet:MimicIvEcg",
    "code15": "data_prep.downloads.zenodo:Code15",
    "ecgqa": "data_prep.downloads.github:EcgQa",
    "mimic_iv": "data_prep.downloads.by_application:MimicIv",
    "tuh_eeg": "data_prep.downloads.by_application:Tuh",
}


def download_class(name: str) -> type[Download]:
    """The class behind a word of the command line.

    Raises:
      KeyError: an unknown word; the message lists the known ones.
    """
    if name not in DOWNLOADS:
        raise KeyError(f"unknown download {name!r}; known: {', '.join(sorted(DOWNLOADS))}")
    module, _, attribute = DOWNLOADS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
