"""Lines of the defect list that are about pairing and people, beside those about signals.

``elm_jax.signals.defects`` names what can be wrong with a recording; here is what can be wrong
around it. Both end up in the manifest as the same kind of dict.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

FINDING_KINDS = {
    "unexpected_error": "reading the file ended in an error that the program did not foresee",
    "storage_overflow": "samples beyond the range of int16 storage were set to its end",
    "no_deviation": "a channel has one value in all of the recording",
    "array_unreadable": "the file does not hold the arrays that its corpus has: skipped",
    "feature_constant": "features that never change say nothing: left out",
    "not_in_layout": "the file is not where the corpus's layout has recordings: skipped",
    "person_conflict": "folder and file name give different people: skipped",
    "split_conflict": "the person is in the published evaluation set too, and stays there only: "
    "skipped",
    "label_conflict": "folder and label table say different things: skipped",
    "other_channels": "the recording has other electrodes than those prepared here: skipped",
    "events_missing": "there is no file of events beside the recording: skipped",
    "events_unknown": "the recording's events are not known: kept whole, without their labels",
    "channels_marked_bad": "channels that the data set's own table marks as bad",
    "sidecar_missing": "a table that the layout has is not there: what it would say is not known",
    "sidecar_broken": "a table or description of the recording is broken: skipped",
    "events_not_asked": "no annotation of the recording is one that was asked for: skipped",
    "event_not_found": "no annotation is what was asked for: no window has this label",
    "events_unreadable": "the file of events beside the recording is not in its format: skipped",
    "events_dropped": "what the published evaluation leaves out, by its rules",
    "events_marked_bad": "trials that an expert marked as artefacts: kept",
    "events_not_understood": "rows of a file of events were left out",
    "person_excluded": "the person is on the exclusion list: skipped",
    "person_not_listed": "the person is not on the list given by --people: skipped",
    "person_unknown": "whose these signals are is not published",
    "row_doubled": "a table of the corpus has several rows of one recording: the first is used",
    "row_missing": "a table of the corpus has no row of the recording: kept, without what it says",
    "record_doubled": "two recordings have one name: the first is used",
    "record_not_listed": "the corpus's table does not have the recording: skipped",
    "padding_row": "a row of an array that is no recording: left out",
    "number_unreadable": "a cell of a table is no number, or one that can not be: left out",
    "report_empty": "the report of the recording is empty: kept, without a text",
    "code_unknown": "a code that no table of the corpus describes: kept, without a class",
    "file_missing": "a table of the corpus names files that are not there",
    "not_there": "what the command asks for is not among the files",
    "id_of_nobody": "a list of people names ids that no recording has",
    "person_unknown_in_table": "the table given by --people names a recording that is not there",
    "report_unreadable": "the text of a report beside the recordings could not be read",
    "report_without_recording": "no recording fits a line of the reports file",
    "label_without_recording": "no recording fits a line of the labels file",
    "recording_without_label": "a labels file was given and has nothing for the recording",
    "recording_not_in_split": "no line of MERL's tables names the recording: skipped",
    "split_without_recording": "a line of MERL's tables names a recording that is not there",
    "dialogue_broken": "the entry is not as its set is published: left out",
    "dialogue_repeated": "the same was said of the same record under the same name: left out",
    "dialogue_id_repeated": "several entries have one name: kept, with numbers",
    "dialogue_of_several_splits": "the entry is about people of different splits: left out",
    "record_not_named": "the entry names no record of a known corpus: left out",
    "record_not_prepared": "the record is not among the prepared recordings: left out",
    "record_left_out": "the record was skipped when its corpus was prepared: left out",
    "corpus_not_given": "no prepared directory of the record's corpus was given: left out",
}


def finding(file: str, kind: str, detail: str) -> dict[str, Any]:
    """One line of the defect list.

    Raises:
      KeyError: an unknown kind.
    """
    if kind not in FINDING_KINDS:
        raise KeyError(f"unknown kind of finding {kind!r}; known: {sorted(FINDING_KINDS)}")
    return {"file": file, "kind": kind, "detail": detail}


def count_kinds(found: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """How many there are of each kind; a line may stand for several (``count``)."""
    counts: Counter[str] = Counter()
    for item in found:
        counts[item["kind"]] += item.get("count", 1)
    return counts


def kind_sentence(kind: str) -> str:
    """What a kind means, in words."""
    from elm_jax.signals.defects import DEFECT_KINDS

    return (FINDING_KINDS | DEFECT_KINDS)[kind]
