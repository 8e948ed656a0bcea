"""Clinical reports cut into report, paragraph or sentence segments.

A *section* is a heading at the start of a line and the text up to the next one. A *paragraph* is
one section; a *sentence* is one sentence of it; a *report* is all wanted sections in one text.
The heading list is ELM's (Gijsen & Ritter 2025); another language brings its own.
"""

import functools
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from etils import epath

from elm_jax import paths

MODES = ("report", "paragraph", "sentence")

# Every heading that ends a section, wanted or not (ELM's list, kept in full: it is a format).
KNOWN_HEADINGS = (
    "DATE OF STUDY", "START DATE OF STUDY", "END DATE OF STUDY", "REASON FOR STUDY", "DAY",
    "RECORDING ENVIRONMENT", "EVENT", "EEG TYPE", "HISTORY", "CLINICAL HISTORY", "MEDICATIONS",
    "AED", "INTRODUCTION", "SEDATION", "SEIZURE TIME", "SEIZURES", "ABNORMAL DISCHARGES",
    "TECHNIQUE", "TECHNICAL ISSUE", "TECHNICAL PROBLEM", "TECHNICAL DIFFICULTIES",
    "DESCRIPTION OF THE RECORD", "DESCRIPTION OF RECORD", "DESCRIPTION", "EEG BACKGROUND",
    "BACKGROUND", "EPILEPTIFORM ACTIVITY", "OTHER PAROXYSMAL ACTIVITY (NON-EPILEPTIFORM)",
    "ACTIVATION PROCEDURES", "INDUCTION PROCEDURES", "EVENTS", "HEART RATE", "HR",
    "CONDITIONS OF THE RECORDING", "RANDOM WAKEFULNESS AND SLEEP", "IMPRESSION",
    "CLINICAL CORRELATION", "CORRELATION", "CONCLUSION", "SUMMARY", "SUMMARY OF FINDINGS",
    "DIAGNOSIS", "INTERPRETATION",
)  # fmt: skip

# The sections that ELM pretrains on; the rest (technique, heart rate, ...) says little of the EEG.
DEFAULT_HEADINGS = (
    "CLINICAL HISTORY", "HISTORY", "MEDICATIONS", "AED", "DESCRIPTION OF THE RECORD",
    "DESCRIPTION", "EEG BACKGROUND", "RANDOM WAKEFULNESS AND SLEEP", "EVENTS", "EVENT",
    "EPILEPTIFORM ACTIVITY", "OTHER PAROXYSMAL ACTIVITY (NON-EPILEPTIFORM)", "CORRELATION",
    "CLINICAL CORRELATION", "IMPRESSION", "CONCLUSION", "SUMMARY OF FINDINGS", "SUMMARY",
    "DIAGNOSIS", "INTERPRETATION",
)  # fmt: skip

LINE_BREAKS = re.compile(r"\r\n?|[\u2028\u2029\x0b\x0c\x85]")
TITLES = {"dr", "mr", "mrs", "ms", "prof", "st", "jr", "sr", "ph", "capt", "lt"}
# Shortenings that may also end a sentence: they do so before a capital letter, else not.
SHORTENINGS = {
    "approx", "avg", "bilat", "cf", "dept", "eg", "esp", "etc", "fig", "freq", "hr", "hrs", "hx",
    "ie", "incl", "inc", "lat", "ltd", "max", "min", "mins", "mo", "mos", "no", "post", "pt",
    "resp", "rt", "lt", "sec", "secs", "temp", "vs", "wk", "wks", "yr", "yrs",
}  # fmt: skip
# Words that begin a sentence after an acronym ("at 3 p.m. The patient"), where any other capital
# may just go on ("U.S.A. Protocol").
STARTERS = {
    "a", "an", "the", "this", "that", "these", "those", "there", "he", "she", "it", "they", "we",
    "his", "her", "its", "their", "no", "in", "on", "at", "during", "after", "but", "however",
    "eeg", "patient", "occasional", "rare",
}  # fmt: skip
SENTENCE_END = re.compile(r"[.!?]+[\"')\]]*(?=\s)")
LIST_NUMBER = re.compile(r"\(?\d{1,2}")


class Section(NamedTuple):
    """One section of a report: its heading as written ("" for a report without any), its text."""

    heading: str
    text: str


def load_headings(path: epath.PathLike) -> tuple[str, ...]:
    """Reads a heading list: UTF-8, one a line, blank lines and lines with ``#`` left out.

    Raises:
      ValueError: the file names no heading.
    """
    lines = paths.read_text(path).splitlines()
    headings = tuple(s for line in lines if (s := line.strip().rstrip(":")) and s[0] != "#")
    if not headings:
        raise ValueError(f"{path}: expected one heading a line, found none")
    return headings


@functools.cache
def _heading_pattern(known_headings: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(known_headings, key=len, reverse=True)
    # Any run of blanks inside a heading may be typed for one blank.
    names = "|".join(r"[^\S\n]+".join(map(re.escape, h.split())) for h in longest_first)
    return re.compile(
        rf"^[^\S\n]*(?P<heading>(?:{names})(?:[^\S\n]*\#?\d+)?)[^\S\n]*[:\uff1a]",
        re.IGNORECASE | re.MULTILINE,
    )


def split_sections(report: str, *, known_headings: Sequence[str] = KNOWN_HEADINGS) -> list[Section]:
    """Cuts a report at its headings; line breaks inside a section's text are kept.

    A heading is a known name at the start of a line (any case, longest name first) with an
    optional number and a colon. Text before the first heading and empty sections are left out; a
    report without headings is one section whose heading is "".
    """
    report = LINE_BREAKS.sub("\n", report)
    found = list(_heading_pattern(tuple(known_headings)).finditer(report))
    if not found:
        return [Section("", report.strip())] if report.strip() else []
    ends = [m.start() for m in found[1:]] + [len(report)]
    sections = [
        Section(" ".join(m["heading"].split()), report[m.end() : end].strip())
        for m, end in zip(found, ends, strict=True)
    ]
    return [s for s in sections if s.text]


def split_sentences(text: str) -> list[str]:
    """Cuts a section's text into sentences; blanks collapse.

    A sentence ends at ``.``, ``!`` or ``?`` before a blank, but not after a title ("Dr. Smith"),
    an initial or acronym ("y.o. man"), nor after a list number, which opens its item ("1. Left
    temporal slowing."). Empty lines, and line breaks before a list number, end one too.
    """
    blocks = re.split(r"\n\s*\n|\n(?=\s*\(?\d{1,2}[.)]\s)", LINE_BREAKS.sub("\n", text))
    return [sentence for block in blocks for sentence in _sentences_of_block(block)]


def _sentences_of_block(block: str) -> list[str]:
    text = " ".join(block.split())
    sentences, start = [], 0
    for end in SENTENCE_END.finditer(text):
        if _ends_sentence(text[start : end.start()], end.group(), text[end.end() :].lstrip()):
            sentences.append(text[start : end.end()].strip())
            start = end.end()
    return [s for s in [*sentences, text[start:].strip()] if s]


def _ends_sentence(before: str, mark: str, after: str) -> bool:
    """Whether a mark is the end, given the sentence up to it and the text behind it."""
    words = before.split()
    if mark[0] != "." or mark.startswith("..") or not words:
        return True
    word, follower = words[-1].lstrip("(["), (after.split() or [""])[0]
    if LIST_NUMBER.fullmatch(word):
        # "9 to 10. The" ends; "due to: 1. Left", and "2. Diffuse" as a new sentence, do not.
        return len(words) > 1 and not words[-2].endswith((":", ";", ","))
    if word.lower() in TITLES and mark == ".":
        return False
    if re.fullmatch(r"(?:[^\W\d_]\.)+[^\W\d_]", word):
        return follower.lower().strip(",.:;") in STARTERS and follower[0].isupper()
    if len(word) == 1 and word.isalpha():
        return False
    if word.lower() == "no":
        return not follower[:1].isdigit()
    if word.lower() in SHORTENINGS:
        return follower[:1].isupper() and word.lower() not in {"eg", "ie", "cf", "vs"}
    return True


def _wanted(heading: str, headings: Sequence[str]) -> bool:
    return not heading or any(request.casefold() in heading.casefold() for request in headings)


def _new_names(headings: Sequence[str], known_headings: Sequence[str]) -> list[str]:
    """Wanted names that are no part of a known heading: with them missing, nothing would be cut."""
    known = [name.casefold() for name in known_headings]
    return [h for h in headings if h.strip() and not any(h.casefold() in name for name in known)]


def segment_report(
    report: str,
    *,
    mode: str,
    headings: Sequence[str] | Literal["all"] = DEFAULT_HEADINGS,
    include_heading: bool = True,
    prefix: str = "",
    known_headings: Sequence[str] = KNOWN_HEADINGS,
) -> list[str]:
    """The segments of one report that a text tower sees.

    Args:
      report: the report's text, line breaks included (headings are found by them).
      mode: "report" (all wanted sections in one segment), "paragraph" (a segment a section) or
        "sentence" (a segment a sentence; its section's heading stays on the first).
      headings: the sections wanted: a request selects every heading that contains it; "all" takes
        every section. A report without any heading is always taken, as one section.
      include_heading: whether ``HEADING: `` is kept before its text.
      prefix: put before every segment as it is (a blank at its end is the caller's).
      known_headings: the names that begin a section, wanted or not. Names in ``headings`` that
        none of them contains (another language's) begin sections too.

    Returns:
      Segments in the order of the report; an empty list where no wanted section has text.

    Raises:
      ValueError: an unknown mode, or ``headings`` given as one string other than "all".
    """
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}; known: {MODES}")
    if isinstance(headings, str) and headings != "all":
        raise ValueError(f'headings is the text {headings!r}; expected "all" or a list of names')
    segments: list[str] = []
    if headings != "all":
        known_headings = (*known_headings, *_new_names(headings, known_headings))
    for section in split_sections(report, known_headings=known_headings):
        if headings != "all" and not _wanted(section.heading, headings):
            continue
        sentences = (
            split_sentences(section.text)
            if mode == "sentence"
            else [" ".join(section.text.split())]
        )
        if include_heading and section.heading:
            sentences[0] = f"{section.heading}: {sentences[0]}"
        segments += sentences
    if mode == "report" and segments:
        segments = [" ".join(segments)]
    return [prefix + s for s in segments]
