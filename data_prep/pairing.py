"""What belongs to which recording: rename maps, reports, people, labels, lists of people."""

import argparse
import pathlib
from collections.abc import Sequence
from typing import Any

from data_prep.corpora.base import CorpusError, Source
from data_prep.findings import finding
from data_prep.merl_splits import apply_merl_split, read_merl_split
from data_prep.report_texts import TextError, decode
from data_prep.reports_file import ReportsError, attach, read_reports_file
from data_prep.tables import (
    TableError,
    apply_people_table,
    attach_labels,
    is_list,
    list_unknown_ids,
    read_excluded,
    read_people,
    select_people,
)


def read_rename(path: str | None, modality: str = "eeg") -> dict[str, str | None] | None:
    """Reads ``--rename``: channel name in the files -> channel meant, or None to leave it out.

    Args:
      path: of the map; None gives None.
      modality: of the signals, which says what names mean: "eeg" or "ecg".

    Raises:
      TableError: no such file, no YAML map of texts, or a name that is no electrode (or lead).
    """
    if path is None:
        return None
    import yaml

    if not pathlib.Path(path).is_file():
        raise TableError(f"--rename {path}: no such file")
    try:
        values = yaml.safe_load(decode(pathlib.Path(path).read_bytes(), path))
    except (yaml.YAMLError, TextError) as error:
        raise TableError(f"--rename {path}: not YAML ({' '.join(str(error).split())})") from error
    fine = isinstance(values, dict) and all(
        isinstance(k, str) and (v is None or isinstance(v, str)) for k, v in values.items()
    )
    if not fine:
        raise TableError(
            f"--rename {path}: expected a YAML map from the file's channel names to electrodes (or "
            "leads of an ECG), such as 'EEG 1: Fp1' (null leaves a channel out; put quotes around "
            "a bare number)"
        )
    known, what, nearest, example = _NAMES[modality]()
    for name, meant in values.items():
        if meant and not known(meant):
            near = nearest(meant)
            raise TableError(
                f"--rename {path}: {name!r} is to be {meant!r}, which is no known {what}"
                f"{f'; is {near} meant?' if near else f', such as {example}'}"
            )
    return values


def _names_of_eeg() -> tuple[Any, ...]:
    from elm_jax.signals.names import nearest_known, parse_label

    def known(name: str) -> bool:
        return parse_label(name).kind in ("electrode", "bipolar")

    return known, "electrode or derivation", nearest_known, "Fp1 or Fp1-F7"


def _names_of_ecg() -> tuple[Any, ...]:
    from elm_jax.signals.ecg.leads import nearest_lead, parse_lead

    return parse_lead, "lead", nearest_lead, "II or aVR"


# Modality -> what tells a known name, what it is called, the nearest one, an example.
_NAMES = {"eeg": _names_of_eeg, "ecg": _names_of_ecg}


def pair(
    sources: list[Source], args: argparse.Namespace
) -> tuple[list[Source], list[dict[str, Any]]]:
    """Reports, people, labels, selection; in this order, as each may name the next one's keys.

    Returns:
      The sources that stay, and findings for all that fits nothing or was taken out.

    Raises:
      ReportsError, TableError: a file that cannot be read, or none of whose lines fits a recording.
      CorpusError: nobody is left.
    """
    findings = []
    if args.reports:
        entries = read_reports_file(args.reports)
        sources, unmatched = attach(entries, sources)
        name = pathlib.Path(args.reports).name
        if len(unmatched) == len(entries):
            raise ReportsError(_none_fits("--reports", args.reports, len(entries), sources))
        for entry in unmatched:
            wanted = entry.file or entry.recording or "no file or recording named"
            detail = f"line {entry.line} (from 0): {wanted}"
            findings.append(finding(name, "report_without_recording", detail))
    people = read_people(args.people) if args.people else None
    if people and people.table:
        sources, more = apply_people_table(sources, people.table, args.people)
        if len(more) == len(people.table):
            raise TableError(_none_fits("--people", args.people, len(more), sources))
        findings += more
    if args.labels:
        sources, more = attach_labels(sources, args.labels)
        if sum(f["kind"] == "recording_without_label" for f in more) == len(sources):
            rows = len(more) - len(sources)
            raise TableError(_none_fits("--labels", args.labels, rows, sources))
        findings += more
    if args.merl_split:
        split = read_merl_split(args.merl_split)
        sources, more = apply_merl_split(sources, split, args.merl_split)
        findings += more
    excluded = read_excluded(args.exclude_people) if args.exclude_people else None
    if people and people.allowed:
        findings += list_unknown_ids(args.people, people.allowed, sources)
    if excluded and is_list(args.exclude_people):
        findings += list_unknown_ids(args.exclude_people, excluded, sources)
    sources, more = select_people(sources, people and people.allowed, excluded)
    if not sources:
        raise CorpusError(
            f"no recording is left: {len(more)} were taken out by --people or --exclude_people"
        )
    return sources, findings + more


def _none_fits(option: str, path: str, n: int, sources: Sequence[Source]) -> str:
    first = min(sources, key=lambda s: s.file)
    return (
        f"{option} {path}: none of its {n} lines fits one of the {len(sources)} recordings; "
        f"expected names such as file {first.file!r} or recording {first.recording!r}. Is it of "
        "this --input?"
    )


def require_unique(sources: Sequence[Source]) -> None:
    """Raises CorpusError if two files would be recordings of one name."""
    seen: dict[str, str] = {}
    for source in sources:
        if source.recording in seen:
            raise CorpusError(
                f"{seen[source.recording]} and {source.file} are both named {source.recording!r}; "
                "rename one of them"
            )
        seen[source.recording] = source.file


def warn_of_unnamed_people(sources: Sequence[Source]) -> None:
    """Leakage between splits is silent, so the case in which it is likely is said aloud."""
    if len(sources) > 1 and all(s.person.partition(":")[2] == s.recording for s in sources):
        print(
            "No people are named: every recording counts as a person of its own. If people have "
            "several, name them\n('person' in --reports, or a table by --people), or they leak "
            "between train and test."
        )
