"""Options of the command line that single corpora have; given for another one they are mistakes."""

import argparse
import math
import re

# Corpora of ECGs.
_ECG = (
    "ptbxl", "cpsc2018", "mimic_iv_ecg", "code15", "csn", "simulated_ecg", "wfdb_folder",
)  # fmt: skip
# Option -> the corpora that read it.
OWNERS = {
    "lead_order": _ECG,
    "flat_leads": _ECG,
    "ecg_text": _ECG,
    "records": ("ptbxl", "simulated_ecg"),
    "folds": ("ptbxl", "simulated_ecg"),
    "cpsc_part": ("cpsc2018",),
    "merl_split": ("ptbxl", "cpsc2018", "csn"),
    "code15_unit_mv": ("code15",),
    "event_labels": ("edf_events", "eegmmidb", "hgd", "moabb", "bids"),
    "event_offset_s": ("edf_events", "eegmmidb", "hgd", "bids"),
    "cut": ("eegmmidb", "hgd", "moabb", "bids"),
    "runs": ("eegmmidb",),
    "bids_sessions": ("bids",),
    "bids_tasks": ("bids",),
    "bids_runs": ("bids",),
    "bids_keep_bad": ("bids",),
    "hdf5_unit": ("hdf5",),
    "subject_is_person": ("hdf5",),
    "nmt_unit_factor": ("nmt",),
    "moabb_set": ("moabb",),
    "wake_margin_min": ("sleep_edfx", "sleep_physionet", "simulated_nights", "feature_arrays"),
    "sleep_people": ("sleep_edfx", "sleep_physionet", "simulated_nights"),
    "nights": ("sleep_edfx", "sleep_physionet", "simulated_nights"),
    "class_names": ("feature_arrays",),
    "person_pattern": ("feature_arrays", "wfdb_folder"),
    "features_like": ("feature_arrays",),
    "demo_people": ("demo", "simulated_nights", "simulated_ecg"),
    "demo_seed": ("demo", "simulated_nights", "simulated_ecg"),
    "demo_hours": ("simulated_nights",),
    "hypnograms": ("simulated_nights",),
}
# What says something of events only.
_OF_EVENTS = ("event_labels", "event_offset_s")
# Corpora that are cut around their events unless told otherwise.
_CUT_EVENTS = ("bids",)


def add_corpus_options(parser: argparse.ArgumentParser) -> None:
    """Adds them as a group of their own."""
    group = parser.add_argument_group("of single corpora")
    _add_event_options(group)
    _add_unit_options(group)
    add_sleep_options(group)
    add_ecg_options(group)
    _add_feature_options(group)
    _add_demo_options(group)


def _add_event_options(group: argparse._ActionsContainer) -> None:
    """Adds those of corpora with events, or parts to choose among."""
    add = group.add_argument
    add(
        "--event_labels",
        type=_event_labels,
        metavar="TEXT=LABEL,...",
        help="edf_events, eegmmidb, hgd, moabb, bids: events to cut windows from, and their "
        "labels, such as T1=left,T2=right; classes are numbered in this order",
    )
    add(
        "--event_offset_s",
        type=float,
        default=0.0,
        metavar="S",
        help="edf_events, eegmmidb, hgd, bids: windows begin so long after the event (default: 0)",
    )
    add(
        "--cut",
        choices=("recordings", "events"),
        help="eegmmidb, hgd, moabb: whole runs (default), or windows of their trials with labels; "
        "bids: the same, and windows of events are the default",
    )
    add(
        "--runs",
        type=_numbers,
        default=(),
        metavar="N,...",
        help="eegmmidb: only these of the runs 1 to 14, such as 4,8,12 (default: all)",
    )
    for entity in ("sessions", "tasks", "runs"):
        add(
            f"--bids_{entity}",
            type=_names,
            default=(),
            metavar="NAME,...",
            help=f"bids: only these {entity}, as the files' names have them (default: all)",
        )
    add(
        "--bids_keep_bad",
        action="store_true",
        help="bids: use channels that channels.tsv marks as bad, too (they are listed either way)",
    )
    add("--moabb_set", metavar="NAME", help="moabb: a class of moabb.datasets, as BNCI2014_001")


def _add_unit_options(group: argparse._ActionsContainer) -> None:
    """Adds what the files of a corpus do not tell."""
    add = group.add_argument
    add("--hdf5_unit", choices=("1e5V", "1e7V", "uV"), help="hdf5: what the file's values are")
    add(
        "--subject_is_person",
        action="store_true",
        help="hdf5: take subject_ids, which count recordings, for people",
    )
    add(
        "--nmt_unit_factor",
        type=float,
        default=100.0,
        metavar="F",
        help="nmt: multiply the values by this (default: 100, as they are that much too small for "
        "the unit that the files state; 1: for copies in which that is mended)",
    )


def _add_feature_options(group: argparse._ActionsContainer) -> None:
    """Adds those of features and of nights, and who a file is of."""
    add = group.add_argument
    add(
        "--wake_margin_min",
        type=float,
        default=30.0,
        metavar="MIN",
        help="nights of sleep (sleep_edfx, sleep_physionet, feature_arrays with a class W): how "
        "much of wakefulness is kept before the first and after the last epoch of sleep (default: "
        "30; inf: all)",
    )
    add(
        "--class_names",
        type=lambda text: tuple(part.strip() for part in text.split(",")),
        metavar="NAME,...",
        help="feature_arrays: what the classes 0, 1, ... are called, such as W,N1,N2,N3,R",
    )
    add(
        "--person_pattern",
        type=_pattern,
        metavar="REGEX",
        help="feature_arrays, wfdb_folder: which part of a file's path is the person, such as "
        "'SC4\\d\\d' or 'patient\\d+' "
        "(default: all of it)",
    )
    add(
        "--features_like",
        metavar="DIR",
        help="feature_arrays: store features in the deviations of this prepared directory",
    )


def _add_demo_options(group: argparse._ActionsContainer) -> None:
    """Adds those of simulated corpora."""
    add = group.add_argument
    add(
        "--demo_people",
        type=int,
        metavar="N",
        help="demo, simulated_nights, simulated_ecg: people to simulate (default: 96; 10, with two "
        "nights each; 400)",
    )
    add(
        "--demo_seed",
        type=int,
        metavar="N",
        help="demo, simulated_nights, simulated_ecg: seed of the simulation (default: 0)",
    )
    add(
        "--demo_hours",
        type=float,
        metavar="H",
        help="simulated_nights: how long people sleep, to try programs on less (default: drawn, "
        "about 7.8); not with --hypnograms",
    )
    add(
        "--hypnograms",
        metavar="DIR",
        help="simulated_nights: real hypnograms of Sleep-EDF, whose stages the nights take "
        "(default: stages are drawn)",
    )


def add_ecg_options(group: argparse._ActionsContainer) -> None:
    """Adds those of corpora of ECGs."""
    add = group.add_argument
    add(
        "--lead_order",
        choices=("wanted", "standard", "file"),
        help="ECGs: which leads, in which order: wanted (I, II, III, aVL, aVR, aVF, V1-V6, as "
        "ECG-Bench wants them; default), standard (aVR before aVL, as most files have them) or "
        "file (those of the files, in their commonest order, the Frank leads of 15-lead files too)",
    )
    add(
        "--flat_leads",
        choices=("cut", "keep"),
        default="cut",
        help="ECGs: stretches of 2 s and more in which a lead has one value: cut them out and skip "
        "recordings in which one never varies (default), or keep and list them, as benchmarks that "
        "score every recording need it",
    )
    add(
        "--ecg_text",
        choices=("report", "statements", "both"),
        help="ECGs: the text of a recording: its written report, the descriptions of its codes, or "
        "both (default: the report where the corpus has one, else no text)",
    )
    add(
        "--records",
        choices=("100", "500"),
        help="ptbxl: which of its two sets of files, by their rate in Hz (default: 500)",
    )
    add(
        "--folds",
        type=_folds,
        metavar="SPLIT=N-M,...",
        help="ptbxl: which folds are in which split, such as train=1-8,test=9-10; recordings of "
        "other folds are left out (default: train=1-8,valid=9,test=10, as published)",
    )
    add(
        "--merl_split",
        metavar="FOLDER|FILE,...",
        help="ptbxl, cpsc2018, csn: the tables of one task that MERL was tested on "
        "(finetune/data_split/ptbxl/super_class): only the recordings that they name, in their "
        "splits and with their classes",
    )
    add(
        "--cpsc_part",
        choices=("main", "extra", "both"),
        default="main",
        help="cpsc2018: the records of the challenge (A0001, ...; default), those that were left "
        "over and published in 2020 (Q0001, ...), or both",
    )
    add(
        "--code15_unit_mv",
        type=float,
        default=1.0,
        metavar="MV",
        help="code15: millivolts that a unit of the files is taken for (default: 1; the publishers "
        "contradict themselves, and amplitudes are twice those of other corpora: 0.5 fits them)",
    )


def _folds(text: str) -> dict[str, tuple[int, ...]]:
    folds: dict[str, tuple[int, ...]] = {}
    for part in re.split(r",(?=\s*[a-z]+=)", text.strip()):
        split, equals, numbers = part.strip().partition("=")
        if not equals or split not in ("train", "valid", "test") or split in folds:
            raise argparse.ArgumentTypeError(
                f"expected train=1-8,valid=9,test=10, each split once, found {text!r}"
            )
        folds[split] = number_ranges(numbers)
    numbers = [n for some in folds.values() for n in some]
    if len(set(numbers)) < len(numbers) or not set(numbers) <= set(range(1, 11)):
        raise argparse.ArgumentTypeError(
            f"{text!r}: folds are 1 to 10, and each is in one split at most"
        )
    return folds


def add_sleep_options(parser: argparse._ActionsContainer) -> None:
    """Adds those that choose nights of Sleep-EDF, for preparing and for fetching them."""
    add = parser.add_argument
    add(
        "--sleep_people",
        type=number_ranges,
        default=(),
        metavar="N-M,...",
        help="sleep_edfx, sleep_physionet: only these people, by the numbers in the files' names, "
        "such as 0-5,7 (default: all that are there)",
    )
    add(
        "--nights",
        type=_numbers,
        default=(),
        metavar="N,...",
        help="sleep_edfx, sleep_physionet: only this night of each person, 1 or 2 (default: both)",
    )


def require_own_options(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Ends with a message where an option says nothing of this corpus, or nothing possible.

    Raises:
      SystemExit: a mistake in the command; argparse has said which.
    """
    anyway = "events" if args.corpus in _CUT_EVENTS else "recordings"
    cut = args.cut or anyway
    args.cut = None if cut == anyway else cut
    for name, owners in OWNERS.items():
        given = getattr(args, name) != parser.get_default(name)
        if given and args.corpus not in owners:
            parser.error(f"--{name} is for {', '.join(owners)}; {args.corpus} does not read it")
        if given and name in _OF_EVENTS and "cut" in _of(args.corpus) and cut != "events":
            parser.error(f"--{name} is for windows of events; give --cut events with it")
    args.cut = cut
    for name in ("folds", "split", "test_people"):
        if args.merl_split and getattr(args, name):
            parser.error(f"--merl_split says who is in which split; leave out --{name}")
    if not 0 < args.nmt_unit_factor < math.inf:
        parser.error("--nmt_unit_factor must be a positive number")
    if not 0 < args.code15_unit_mv < math.inf:
        parser.error("--code15_unit_mv must be a positive number")
    if not args.wake_margin_min >= 0:
        parser.error("--wake_margin_min must be 0 or more")
    if not set(args.nights) <= {1, 2}:
        parser.error("--nights: people slept two nights, 1 and 2")
    if not math.isfinite(args.event_offset_s):
        parser.error("--event_offset_s must be a finite number of seconds")


def _of(corpus: str) -> set[str]:
    return {name for name, owners in OWNERS.items() if corpus in owners}


def _event_labels(text: str) -> dict[str, str]:
    from data_prep.corpora.edf_events import parse_event_labels

    try:
        return parse_event_labels(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from error
    return text


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in text.split(","))))


def _numbers(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+(,\d+)*", text.strip()):
        raise argparse.ArgumentTypeError(f"expected numbers such as 4,8,12, found {text!r}")
    return tuple(map(int, text.split(",")))


def number_ranges(text: str) -> tuple[int, ...]:
    """Reads ``0-5,7`` as the numbers 0 to 5 and 7, each once, in order.

    Raises:
      argparse.ArgumentTypeError: it is no such list, or a range ends before it begins.
    """
    if not re.fullmatch(r"\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?)*", text.strip()):
        raise argparse.ArgumentTypeError(f"expected numbers such as 0-5,7, found {text!r}")
    numbers: set[int] = set()
    for part in text.strip().split(","):
        first, last = int(part.partition("-")[0]), int(part.rpartition("-")[2])
        if last < first:
            raise argparse.ArgumentTypeError(f"{part}: ends before it begins, in {text!r}")
        numbers.update(range(first, last + 1))
    return tuple(sorted(numbers))
