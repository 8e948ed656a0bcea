import pytest
from hypothesis import given
from hypothesis import strategies as st

from elm_jax.signals.montage import TCP20, derive, needed_channels
from elm_jax.signals.names import ELECTRODES, canonical_electrode, nearest_known, parse_label


@pytest.mark.parametrize(
    "label, name, reference",
    [
        ("EEG FP1-REF", "Fp1", "REF"), ("EEG FP1-LE", "Fp1", "LE"), ("EEG Fp1", "Fp1", None),
        ("Fp1.", "Fp1", None), ("Cz..", "Cz", None), ("FP1", "Fp1", None), ("T7", "T3", None),
        ("P8-AVG", "T6", "AVG"), ("EEG T8-A2", "T4", "A2"), ("C3-M2", "C3", "M2"),
        ("EEG O1-Ref", "O1", "REF"), ("POL F7", "F7", None), ("C4 - A1", "C4", "A1"),
        ("eeg fz-ref", "Fz", "REF"), ("F3-A1A2", "F3", "LE"), ("AFZ", "AFz", None),
    ],
)  # fmt: skip
def test_spellings_of_electrodes(label, name, reference):
    parsed = parse_label(label)
    assert (parsed.kind, parsed.name, parsed.reference) == ("electrode", name, reference)


@pytest.mark.parametrize(
    "label, name",
    [("FP1-F7", "Fp1-F7"), ("T7-P7", "T3-T5"), ("EEG Fpz-Cz", "Fpz-Cz"), ("T8-P8-1", "T4-T6")],
)
def test_derivations(label, name):
    assert (parse_label(label).kind, parse_label(label).name) == ("bipolar", name)


@pytest.mark.parametrize(
    "label",
    ["ECG ECG", "EEG EKG1-REF", "PHOTIC PH", "EOG horizontal", "EDF Annotations", "DC1", "-", "",
     "EMG-REF", "Resp oro-nasal", "EEG 30-LE", "SPO2"],
)  # fmt: skip
def test_what_is_no_scalp_eeg_is_never_an_electrode(label):
    assert parse_label(label).kind in ("other", "unknown")


def test_unknown_names_come_with_the_nearest_known_one():
    assert parse_label("FPI").kind == "unknown"
    assert nearest_known("FPI") == "Fp1"
    assert nearest_known("EEG CZZ-REF") == "Cz"
    assert nearest_known("OorLiAchter") is None


@given(st.text(max_size=40))
def test_any_label_can_be_read_and_reading_twice_changes_nothing(label):
    parsed = parse_label(label)
    nearest_known(label)
    if parsed.kind in ("electrode", "bipolar"):
        again = parse_label(parsed.name)
        assert (again.kind, again.name) == (parsed.kind, parsed.name)


@given(
    st.sampled_from(ELECTRODES),
    st.sampled_from(["{}", "EEG {}", "EEG {}-REF", "{}-LE", "{}..", " {} ", "{}-Avg"]),
    st.booleans(),
)
def test_every_electrode_in_every_usual_spelling(name, form, upper):
    label = form.format(name.upper() if upper else name)
    assert parse_label(label).name == name
    assert canonical_electrode(name.lower()) == name


def test_a_derivation_is_a_difference_or_taken_as_it_is_or_turned_round():
    rows, missing = derive(("Fp1-F7", "F7-T3", "T3-T5"), ("F7", "Fp1", "F7-T3", "T5-T3"))
    assert [(r.plus, r.minus, r.sign) for r in rows] == [(1, 0, 1), (2, None, 1), (3, None, -1)]
    assert not missing


def test_what_is_missing_is_named_as_the_file_would_name_it():
    assert derive(("Fp1-F7", "F7-T3"), ("Fp1",))[1] == ["F7", "T3"]
    assert derive(("Fp1-F7", "F7-T3"), ("Fp1-F7",))[1] == ["F7-T3"]
    assert {"Fp1", "F7", "Fp1-F7", "F7-Fp1"} <= needed_channels(TCP20)
