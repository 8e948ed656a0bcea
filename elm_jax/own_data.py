"""A folder of one's own EDF files, prepared for a recipe on the way.

    --config.edf.dir=FOLDER --config.edf.labels=labels.csv --config.edf.people=people.csv

stands for ``python -m data_prep.prepare edf_folder --input FOLDER ...`` (with
``--config.edf.event_labels``: ``edf_events``) and ``--config.data.dir`` of what it wrote, beside
the workdir. That command does the work, in a process of its own; what is prepared already is used
again.
"""

import logging
from collections.abc import Mapping
from typing import Any

from etils import epath

from elm_jax import demo, paths

log = logging.getLogger(__name__)

# config.edf's entry -> the option of data_prep.prepare.
OPTIONS = (
    "signal", "labels", "people", "event_labels", "event_offset_s", "channels", "rename",
    "sfreq_hz", "window_s", "highpass_hz", "lowpass_hz", "notch_hz", "split", "split_by",
    "valid_recordings", "test_recordings", "test_people",
)  # fmt: skip


def command_for(edf: Mapping[str, Any], out: epath.Path) -> list[str]:
    """The command that prepares ``config.edf`` into ``out``.

    Raises:
      ValueError: nothing says what is to be told apart, or an entry is unknown.
    """
    unknown = sorted(set(edf) - {"dir", "more", *OPTIONS})
    if unknown:
        raise ValueError(f"config.edf: unknown {unknown}; known: {['dir', 'more', *OPTIONS]}")
    if not (edf.get("labels") or edf.get("event_labels")):
        raise ValueError(
            "config.edf says nothing of labels: give --config.edf.labels=TABLE.csv (a column file, "
            "recording or person; the others are labels) or --config.edf.event_labels=T1=left,"
            "T2=right (of annotations in the files)"
        )
    corpus = "edf_events" if edf.get("event_labels") else "edf_folder"
    command = ["data_prep.prepare", corpus, "--input", str(edf["dir"]), "--out", str(out)]
    for name in OPTIONS:
        value = edf.get(name)
        if value not in (None, "", ()):
            # A value that begins with a sign would be read as an option.
            joined = ",".join(map(str, value)) if isinstance(value, list | tuple) else value
            command.append(f"--{name}={joined}")
    return [*command, *map(str, edf.get("more", ()))]


def fill_in(config: Any, workdir: epath.Path) -> None:
    """Prepares ``config.edf.dir``, where it is named, and names the result in ``config.data.dir``.

    Raises:
      OSError: it could not be prepared.
      ValueError: ``config.edf`` cannot be used, or ``config.data.dir`` is named, too.
    """
    edf = config.get("edf")
    if not edf or not edf.dir:
        return
    if config.data.dir:
        raise ValueError(
            f"config.edf.dir={edf.dir} and config.data.dir={config.data.dir} are both named: the "
            "first is a folder of EDF files, the second one that was prepared already"
        )
    if paths.is_remote(workdir):
        raise ValueError(
            "config.edf.dir needs a local --workdir, beside which the data are prepared; prepare "
            "them by `python -m data_prep.prepare` and give config.data.dir"
        )
    out = workdir.parent / f"{workdir.name}_data"
    command = command_for(edf.to_dict(), out)
    if not edf.people and edf.get("split_by", "person") != "recording":
        log.warning(
            "people   config.edf.people is empty: every file counts as another person. Where one "
            "person has several, their files fall into training and test, and scores are too good"
        )
    demo.run_command(command, f"{edf.dir} as training data")
    with config.unlocked():
        config.data.dir = str(out)
