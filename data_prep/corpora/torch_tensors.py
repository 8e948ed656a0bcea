"""EEGPT's published pretraining windows: PyTorch tensors in files that are named ``.edf``.

    merged/TrainFolder/0/PhysioNetMI_0.edf      58 x 1536 float, 256 Hz, mV
    merged/TrainFolder/0/tsu_benchmark_17.edf   58 x 1024
    merged/ValidFolder/0/seed_4.edf             58 x 2560

Its loader takes any folder names below (0 to 4). The rows are the published order of 58 electrodes,
against their mean. Files are read as tensors and nothing else (``weights_only``: no code of a file
is run). Files of one folder and set, by hundreds of their numbers, are one recording, each a
gap-free stretch of its own; the label ``set`` is the first part of the file's name.

**Whose a window is, is not known.** Which windows are in ValidFolder was drawn window by window, so
the same people, and neighbouring seconds of one recording, are in both. The two folders are kept as
published (train, valid), no file is in the test split, and the manifest's findings say it: a loss
on ValidFolder says nothing about new people. Nor can leakage be seen: these windows hold people of
PhysioNet MI, SEED and the SSVEP benchmark, whom no list of people can exclude. Their ids are of the
institution ``unknown_person``: models remember having seen people who are not known, and say so
wherever they are evaluated. To test on one of those sets, prepare the others from their sources.
"""

import argparse
import importlib.util
import pathlib
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from data_prep.corpora.arrays import ArrayCorpus, as_defects, bad_array, none_found, require_shape
from data_prep.corpora.base import CorpusError, Source, find_files
from data_prep.findings import finding
from data_prep.places import input_path
from elm_jax.data.people import UNNAMED
from elm_jax.signals.profiles import EEGPT58

if TYPE_CHECKING:
    import numpy as np

    from elm_jax.signals.recording import Recording

SFREQ_HZ = 256.0
SPLITS = {"trainfolder": "train", "validfolder": "valid"}
TOGETHER = 100  # files a recording

_NAME = re.compile(r"(?P<set>.+?)_?(?P<number>\d+)")


class TorchTensors(ArrayCorpus):
    """Windows of unknown people."""

    name = "torch_tensors"
    institution = UNNAMED
    example = "merged/TrainFolder/0/PhysioNetMI_0.edf"
    published = MappingProxyType({"signal": "eegpt", "channels": "profile"})
    channels = EEGPT58

    def sources(self, args: argparse.Namespace) -> list[Source]:
        """Lists the files, by hundreds.

        Raises:
          CorpusError: none lies in the layout, PyTorch is missing, or an institution is named.
        """
        if args.institution:
            raise CorpusError(
                f"--institution {args.institution}: torch_tensors are windows of several "
                "institutions' people, who are not named; leave the option out, so that models "
                "remember that they have seen people who are not known"
            )
        if importlib.util.find_spec("torch") is None:
            raise CorpusError(
                "torch_tensors: these files are PyTorch tensors, and PyTorch is not installed: "
                "pip install 'elm_jax[torch]'"
            )
        folder = input_path(args.input)
        groups: dict[tuple[pathlib.Path, str, str, int], list[tuple[int, pathlib.Path]]] = {}
        for path in find_files(folder, (".edf",)):
            split = path.absolute().parent.parent.name
            named = _NAME.fullmatch(path.stem)
            if named is None or split.lower() not in SPLITS:
                file = path.relative_to(folder).as_posix()
                self.leave_out(file, "not_in_layout", "not TrainFolder/<n>/<set>_<number>.edf")
                continue
            number = int(named["number"])
            key = (path.parent, SPLITS[split.lower()], named["set"], number // TOGETHER)
            groups.setdefault(key, []).append((number, path))
        if not groups:
            raise none_found(self, folder)
        found = [self._source(folder, key, files) for key, files in groups.items()]
        n = sum(len(source.extra["files"]) for source in found)
        detail = (
            f"{n} windows of people who are not named: the same people may be in train and valid, "
            "and in any corpus that a model is tested on"
        )
        self.findings.append(finding(folder.name, "person_unknown", detail))
        print(f"torch_tensors: {detail}.")
        return found

    def _source(
        self,
        folder: pathlib.Path,
        key: tuple[pathlib.Path, str, str, int],
        files: list[tuple[int, pathlib.Path]],
    ) -> Source:
        where, split, name, hundred = key
        paths = [path for _, path in sorted(files)]
        recording = f"{split}_{where.name}_{name}_{hundred * TOGETHER:06d}"
        return Source(
            recording=recording,
            # A person of its own, so that nothing is claimed; see the module.
            person=f"{self.institution}:{recording}",
            path=paths[0],
            file=paths[0].relative_to(folder).as_posix(),
            labels={"set": name},
            split=split,
            kind="torch",
            extra={"files": [[path.name, path.stat().st_size] for path in paths]},
        )

    def read(self, source: Source) -> "Recording":
        """The windows of a recording."""
        from elm_jax.signals.recording import from_arrays

        trials = []
        for name, _ in source.extra["files"]:
            file = (pathlib.PurePosixPath(source.file).parent / name).as_posix()
            x = read_tensor(source.path.parent / name, file)
            require_shape(x, (len(EEGPT58), None), file, "the tensor")
            trials.append(x)
        return from_arrays(trials, EEGPT58, SFREQ_HZ, "mV", rename=self.meant, file=source.file)


def read_tensor(path: pathlib.Path, file: str) -> "np.ndarray":
    """One stored tensor of real numbers as float32; nothing else in a file is ever run.

    Raises:
      UnusableRecording: the file holds anything else.
    """
    import pickle

    import torch

    errors = (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, TypeError)
    with as_defects(file, "one PyTorch tensor", *errors):
        value: Any = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(value, torch.Tensor) or value.is_complex():
        raise bad_array(file, "is not one PyTorch tensor of real numbers")
    return value.detach().to(torch.float32).numpy()
