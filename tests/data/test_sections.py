import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elm_jax.data import sections
from elm_jax.data.sections import DEFAULT_HEADINGS, segment_report, split_sentences

CASES = [
    "standard", "preamble", "lowercase", "no_headings", "unicode_sep", "no_requested",
    "empty_paragraph", "double_heading", "ltm",
]  # fmt: skip


@pytest.fixture(scope="module")
def golden(shared):
    values = json.loads((shared / "golden/elm/reports.json").read_text())
    return {case["name"]: case for case in values["cases"]}, values["requested_headings_default"]


@pytest.mark.parametrize("mode", sections.MODES)
@pytest.mark.parametrize("headings", ["default", "all"])
@pytest.mark.parametrize("name", CASES)
def test_golden_reports(golden, name, headings, mode):
    case = golden[0][name]
    wanted = "all" if headings == "all" else DEFAULT_HEADINGS
    assert (
        segment_report(case["report"], mode=mode, headings=wanted)
        == (case["expected"][headings][mode])
    )


def test_default_headings_are_the_published_request(golden):
    assert set(DEFAULT_HEADINGS) == set(golden[1])
    assert sorted(golden[0]) == sorted(CASES)


def test_a_heading_needs_the_start_of_a_line_and_a_colon():
    report = "IMPRESSION: The day 3: record was three hours.\nToday EVENTS: none.\nDay shift\n"
    assert segment_report(report, mode="paragraph", headings="all") == [
        "IMPRESSION: The day 3: record was three hours. Today EVENTS: none. Day shift"
    ]


def test_text_before_the_first_heading_goes_wherever_else_it_occurs():
    report = "Normal.\nIMPRESSION: Normal. Normal."
    assert segment_report(report, mode="report") == ["IMPRESSION: Normal. Normal."]


def test_windows_line_ends_indents_and_wide_blanks():
    report = "  CLINICAL   HISTORY :\tSyncope.\r\n\r\n\tIMPRESSION:\r\n\r\n  Normal\r\n EEG."
    assert segment_report(report, mode="paragraph") == [
        "CLINICAL HISTORY: Syncope.", "IMPRESSION: Normal EEG.",
    ]  # fmt: skip


def test_heading_left_out_and_prefix_put_before_every_segment():
    report = "HISTORY: Syncope. Fall.\nIMPRESSION: Normal."
    assert segment_report(
        report, mode="sentence", include_heading=False, prefix="Clinical EEG report: "
    ) == [
        "Clinical EEG report: Syncope.", "Clinical EEG report: Fall.",
        "Clinical EEG report: Normal.",
    ]  # fmt: skip
    assert segment_report(report, mode="report", prefix="R: ") == [
        "R: HISTORY: Syncope. Fall. IMPRESSION: Normal."
    ]


def test_another_language_brings_its_headings(tmp_path):
    path = tmp_path / "de.txt"
    path.write_text("# Befund\nBEURTEILUNG\nÄUSSERER EINDRUCK:\n", encoding="utf-8")
    known = sections.load_headings(path)
    report = "Beurteilung: Normal. Kein Anfall.\nÄußerer Eindruck: wach.\nIMPRESSION: text"
    assert segment_report(
        report, mode="paragraph", headings=["beurteilung"], known_headings=known
    ) == ["Beurteilung: Normal. Kein Anfall. Äußerer Eindruck: wach. IMPRESSION: text"]
    report = report.replace("Äußerer", "Äusserer")
    assert len(segment_report(report, mode="paragraph", headings="all", known_headings=known)) == 2
    path.write_text("# nothing\n")
    with pytest.raises(ValueError, match="expected one heading a line"):
        sections.load_headings(path)


def test_one_heading_given_as_text_is_an_error_not_its_letters():
    with pytest.raises(ValueError, match="list of names"):
        segment_report("IMPRESSION: x", mode="report", headings="IMPRESSION")
    with pytest.raises(ValueError, match="known"):
        segment_report("IMPRESSION: x", mode="word")


@pytest.mark.parametrize("text", ["", "  \n\u2028 ", "IMPRESSION:\nHR:"])
@pytest.mark.parametrize("mode", sections.MODES)
def test_nothing_gives_nothing(text, mode):
    assert segment_report(text, mode=mode, headings="all") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The rate is 9 to 10. It is reactive.", ["The rate is 9 to 10.", "It is reactive."]),
        ("1. Slowing. 2. Spikes at T3.", ["1. Slowing.", "2. Spikes at T3."]),
        ("due to:\n1. Slowing\n2. Spikes", ["due to:", "1. Slowing", "2. Spikes"]),
        ("Seen at 3 p.m. The EEG ended.", ["Seen at 3 p.m.", "The EEG ended."]),
        ("It is No. 3 of 4. No. Yes.", ["It is No. 3 of 4.", "No.", "Yes."]),
        ("For 2 sec. at T3. For 3 sec. Then.", ["For 2 sec. at T3.", "For 3 sec.", "Then."]),
        ("J. Smith vs. F. Jones.", ["J. Smith vs. F. Jones."]),
        ("(See Fig. 2.) Next.", ["(See Fig. 2.)", "Next."]),
        ("One line\n\nanother line", ["One line", "another line"]),
        ("...", ["..."]),
    ],
)
def test_sentences(text, expected):
    assert split_sentences(text) == expected


PIECES = [*"aZ 1.:!?\n\r\u2028()'", "HR:", "\nIMPRESSION: ", "Dr. ", " e.g. ", "2. "]
REPORT_TEXT = st.lists(st.sampled_from(PIECES), max_size=60).map("".join) | st.text(max_size=60)


@settings(max_examples=150, deadline=None)
@given(REPORT_TEXT)
def test_no_mode_loses_or_adds_a_word(text):
    by_mode = {
        mode: " ".join(segment_report(text, mode=mode, headings="all")).split()
        for mode in sections.MODES
    }
    assert by_mode["report"] == by_mode["paragraph"] == by_mode["sentence"]


@settings(max_examples=100, deadline=None)
@given(REPORT_TEXT)
def test_segments_are_never_blank_nor_broken_over_lines(text):
    for mode in sections.MODES:
        for segment in segment_report(text, mode=mode, headings="all"):
            assert segment.strip() == segment != ""
            assert "\n" not in segment and "  " not in segment


def test_wanted_names_of_another_language_begin_sections():
    report = "ANAMNESE: Sturz.\nBefund 2: Alpha.\nBEURTEILUNG: Unauffällig.\n"
    wanted = ("Befund", "BEURTEILUNG")
    assert segment_report(report, mode="paragraph", headings=wanted) == [
        "Befund 2: Alpha.", "BEURTEILUNG: Unauffällig.",
    ]  # fmt: skip
    # A request that is part of a known name stays a request, and cuts nowhere else.
    text = "IMPRESSION: a\nEEG: b\nHISTORY: c\n"
    assert segment_report(text, mode="paragraph", headings=("IMP", "EEG")) == [
        "IMPRESSION: a EEG: b"
    ]
