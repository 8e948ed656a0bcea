"""Leads are known by name in any usual spelling, and nothing is guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.arguments import parse
from data_prep.signal_options import asked_signal
from elm_jax.data.spec import SpecError
from elm_jax.signals.ecg.leads import (
    LEADS,
    STANDARD_ORDER,
    WANTED_ORDER,
    listed_leads,
    nearest_lead,
    parse_lead,
)
from elm_jax.signals.profiles import profile


@pytest.mark.parametrize(
    ("label", "lead"),
    [
        ("AVR", "aVR"), ("avr", "aVR"), ("aVL", "aVL"), ("aV F", "aVF"), ("v1", "V1"),
        (" V6 ", "V6"), ("Lead I", "I"), ("lead II", "II"), ("ECG I", "I"), ("ECG Lead V2", "V2"),
        ("ekg_III", "III"), ("MDC_ECG_LEAD_AVF", "aVF"), ("MDC_ECG_LEAD_V3", "V3"),
        ("MDC_ECG_LEAD_III", "III"), ("vx", "Vx"), ("Z", "Vz"), ("DII", "II"), ("V4R", "V4R"),
    ],
)  # fmt: skip
def test_spellings_of_a_lead_are_understood(label, lead):
    assert parse_lead(label) == lead


@pytest.mark.parametrize(
    "label",
    ["MLII", "-aVR", "aVR-", "II-III", "V", "IV", "C1", "RESP", "", "ECG", "lead", "1", "VI"],
)
def test_what_is_no_known_lead_is_never_taken_for_one(label):
    assert parse_lead(label) is None


@given(st.sampled_from(LEADS), st.sampled_from(["{}", " {} ", "ECG {}", "MDC_ECG_LEAD_{}"]))
def test_any_case_and_prefix_of_a_lead_is_that_lead(lead, form):
    assert parse_lead(form.format(lead).upper()) == parse_lead(form.format(lead.lower())) == lead


@given(st.text(max_size=20))
def test_any_text_is_a_known_lead_or_none_and_has_a_near_one_or_none(label):
    assert parse_lead(label) in (*LEADS, None)
    assert nearest_lead(label) in (*LEADS, None)


def test_a_users_map_wins_and_may_leave_a_channel_out():
    labels = ("MLII", "V1", "V5", "RESP", "v1")
    assert listed_leads(labels) == ("MLII", "V1", "V5", "RESP")
    assert listed_leads(labels, {"mlii": "II", "V5": None}) == ("II", "V1", "V5", "RESP")


def test_the_wanted_order_has_avl_before_avr_and_the_same_twelve_leads():
    assert WANTED_ORDER[3:6] == ("aVL", "aVR", "aVF") and STANDARD_ORDER[3:6] == (
        "aVR",
        "aVL",
        "aVF",
    )
    assert sorted(WANTED_ORDER) == sorted(STANDARD_ORDER)
    assert profile("ecg").channels == WANTED_ORDER


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"resample": "mne_fft"}, "modality 'ecg'"),
        ({"cleaning": ("wavelet", "baseline")}, "in this order"),
        ({"cleaning": ("median",)}, "in this order"),
        ({"modality": "eeg", "cleaning": ("baseline",)}, "none but for modality 'ecg'"),
        ({"modality": "eeg", "resample": "cubic"}, "modality 'eeg'"),
    ],
)
def test_what_a_modality_does_not_have_is_refused(changes, said):
    with pytest.raises(SpecError, match=said):
        profile("ecg").replace(**changes)


def test_cleaning_is_stored_where_there_is_some_and_read_back():
    spec, cleaned = profile("ecg"), profile("ecg").replace(cleaning=("baseline", "wavelet"))
    assert "cleaning" not in spec.to_dict()
    assert type(cleaned).from_dict(cleaned.to_dict()) == cleaned


def test_what_a_directory_would_have_to_be_prepared_with_is_said_as_options():
    found = profile("ecg").replace(notch_hz=(50.0,))
    wanted = profile("ecg").replace(
        channels=("I", "V1"), window_s=2.5, resample="cubic", cleaning=("baseline",), scale=0.5
    )
    words = wanted.options_beside(found)
    assert (
        words == "--channels I,V1 --window_s 2.5 --notch_hz 0 --resample cubic --cleaning baseline"
    )
    args = parse(["ptbxl", "--input", "x", "--out", "y", *words.split()])
    assert asked_signal(args) == wanted.replace(scale=1.0)
    with pytest.raises(SpecError, match=r"(?s)window_s: expected 2.5.*\nuse --channels I,V1 --win"):
        wanted.require_same(found, source="here", hint="use OPTIONS")
