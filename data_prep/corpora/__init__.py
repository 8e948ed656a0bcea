"""One module a corpus: which files there are, whose they are, what belongs to them."""

import importlib

from data_prep.corpora.base import Corpus

# Word on the command line -> "module:class"; modules load when they are asked for.
CORPORA = {
    "edf_folder": "data_prep.corpora.edf_folder:EdfFolder",
    "edf_events": "data_prep.corpora.edf_events:EdfEvents",
    "eegmmidb": "data_prep.corpora.eegmmidb:Eegmmidb",
    "hdf5": "data_prep.corpora.hdf5:Hdf5",
    "tueg": "data_prep.corpora.tueg:Tueg",
    "tuab": "data_prep.corpora.tuab:Tuab",
    "tuab_windows": "data_prep.corpora.tuab_windows:TuabWindows",
    "tuev": "data_prep.corpora.tuev:Tuev",
    "tuev_rows": "data_prep.corpora.tuev_rows:TuevRows",
    "tusz": "data_prep.corpora.tusz:Tusz",
    "nmt": "data_prep.corpora.nmt:Nmt",
    "seed": "data_prep.corpora.seed:Seed",
    "tsu_ssvep": "data_prep.corpora.tsu_ssvep:TsuSsvep",
    "m3cv": "data_prep.corpora.m3cv:M3cv",
    "hgd": "data_prep.corpora.hgd:Hgd",
    "torch_tensors": "data_prep.corpora.torch_tensors:TorchTensors",
    "bcic2a": "data_prep.corpora.bcic2a:Bcic2a",
    "bcic2b": "data_prep.corpora.bcic2b:Bcic2b",
    "sleep_edfx": "data_prep.corpora.sleep_edfx:SleepEdfx",
    "sleep_physionet": "data_prep.corpora.sleep_physionet:SleepPhysionet",
    "bids": "data_prep.corpora.bids:Bids",
    "kaggle_ern": "data_prep.corpora.kaggle_ern:KaggleErn",
    "physio_p300": "data_prep.corpora.physio_p300:PhysioP300",
    "moabb": "data_prep.corpora.moabb_sets:MoabbSets",
    "feature_arrays": "data_prep.corpora.feature_arrays:FeatureArrays",
    "simulated_nights": "data_prep.corpora.nights.corpus:SimulatedNights",
    "ptbxl": "data_prep.corpora.ptbxl:Ptbxl",
    "cpsc2018": "data_prep.corpora.cpsc2018:Cpsc2018",
    "mimic_iv_ecg": "data_prep.corpora.mimic_iv_ecg:MimicIvEcg",
    "code15": "data_prep.corpora.code15:Code15",
    "csn": "data_prep.corpora.csn:Csn",
    "simulated_ecg": "data_prep.corpora.simulated_ecg.corpus:SimulatedEcg",
    "wfdb_folder": "data_prep.corpora.wfdb_folder:WfdbFolder",
    "demo": "data_prep.corpora.demo:Demo",
}


def corpus_class(name: str) -> type[Corpus]:
    """The class behind a word of the command line.

    Raises:
      KeyError: an unknown word; the message lists the known ones.
    """
    if name not in CORPORA:
        raise KeyError(f"unknown corpus {name!r}; known: {', '.join(sorted(CORPORA))}")
    module, _, attribute = CORPORA[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
