import pytest
from hypothesis import given
from hypothesis import strategies as st

from elm_jax.channels import DICTIONARY, UnknownChannels, channel_ids, known_channels
from elm_jax.signals.montage import TCP20
from elm_jax.signals.names import canonical_electrode

SPELLINGS = ["{}", "EEG {}", "EEG {}-REF", "{}-LE", "{}..", " {} "]


def test_the_dictionary_is_the_published_one():
    module = pytest.importorskip("braindecode_reference").import_eegpt()
    assert list(DICTIONARY) == list(module.EEGPT_CHANNELS) and len(set(DICTIONARY)) == 62
    assert channel_ids(DICTIONARY) == tuple(range(62))


@given(
    st.permutations(range(62)).flatmap(
        lambda order: st.integers(1, 62).map(lambda n: tuple(order[:n]))
    ),
    st.sampled_from(SPELLINGS),
    st.sampled_from([str.upper, str.lower, str.title]),
)
def test_any_subset_in_any_order_and_spelling_has_its_numbers(ids, spelling, case):
    assert channel_ids(spelling.format(case(DICTIONARY[i])) for i in ids) == ids


def test_old_and_new_names_of_the_10_20_system_are_one_electrode():
    old = channel_ids(("T3", "T4", "T5", "T6"))
    assert old == channel_ids(("T7", "T8", "P7", "P8"))
    assert [DICTIONARY[i] for i in old] == ["T7", "T8", "P7", "P8"]
    # the house's canonical spelling, which a SignalSpec stores, reads back
    assert channel_ids(canonical_electrode(name) for name in DICTIONARY) == tuple(range(62))


@pytest.mark.parametrize(
    "name", ["AFZ", "T9", "T10", "IZ", "A2-A1", "ECG", "M1", "Fp1-F7", "", "12"]
)
def test_what_the_dictionary_lacks_is_refused_by_name_and_never_guessed(name):
    with pytest.raises(UnknownChannels) as error:
        channel_ids(("Cz", name, "Pz"))
    assert repr(name) in str(error.value) and "1 of 3" in str(error.value)
    assert "DICTIONARY" in str(error.value)
    assert known_channels(("Cz", name, "Pz")) == (("Cz", "Pz"), (name,))


def test_every_unknown_name_is_listed_and_a_misspelt_one_with_what_it_may_mean():
    with pytest.raises(UnknownChannels, match="'FPI' .is 'Fp1' meant") as error:
        channel_ids(("FPI", "ECG", "T9"))
    assert "'ECG'" in str(error.value) and "'T9'" in str(error.value)


def test_bipolar_montages_are_refused():
    with pytest.raises(UnknownChannels, match="20 of 20"):
        channel_ids(TCP20)


def test_one_electrode_under_two_names_is_refused():
    with pytest.raises(UnknownChannels, match="T3.*T7"):
        channel_ids(("T3", "Cz", "T7"))
