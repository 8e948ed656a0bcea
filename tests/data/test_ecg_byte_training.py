"""ECG-Byte's training is the naive recount: same merges, same counts, same text, only sooner."""

import itertools
import json

import ecg_byte_naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elm_jax.data.ecg_byte import compiled, training
from elm_jax.data.ecg_byte.symbols import from_text
from elm_jax.data.ecg_byte.training import TrainingError, train_merges


def records_of(*letters):
    return [from_text(text) for text in letters]


def assert_naive(records, merges, **options):
    pairs, counts, ids = ecg_byte_naive.train(records, merges, **options)
    found = train_merges(iter(records), merges, **options)
    assert [tuple(pair) for pair in found.pairs.tolist()] == pairs
    assert found.counts.tolist() == counts
    assert found.ids.tolist() == ids
    assert (found.records, found.symbols) == (len(records), sum(map(len, records)))


# Few letters and long runs: overlapping pairs, and tokens that follow themselves.
runs = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), min_size=1, max_size=12)


def of_runs(drawn):
    return np.concatenate([np.full(n, symbol, np.uint8) for symbol, n in drawn])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(runs, min_size=1, max_size=5),
    st.integers(1, 60),
    st.integers(1, 3),
    st.booleans(),
)
def test_merges_are_those_of_a_recount_at_every_merge(drawn, merges, least, cross_records):
    records = [of_runs(own) for own in drawn]
    assert_naive(records, merges, least=least, cross_records=cross_records)


@pytest.mark.parametrize("text", ["aa", "aaa", "aaaa", "aaaaaaa", "aabaab", "baab", "abababab"])
@pytest.mark.parametrize("cross_records", [False, True])
def test_overlapping_pairs_count_each_and_are_merged_left_to_right(text, cross_records):
    assert_naive(records_of(text, text), 8, cross_records=cross_records)


def test_of_equally_frequent_pairs_the_smallest_first_id_then_the_smallest_second_is_merged():
    found = train_merges(records_of("cdxabyacz"), 3)  # every pair once
    assert found.pairs.tolist()[0] == [0, 1]
    assert_naive(records_of("cdxabyacz"), 8)


def test_no_token_crosses_records_unless_asked():
    records = records_of("ab", "cab", "c")  # `bc` only across records, twice
    assert [1, 2] not in train_merges(records, 4).pairs.tolist()
    assert train_merges(records, 4).ids.tolist()[-1] == 2
    assert_naive(records, 4)
    assert_naive(records, 4, cross_records=True)


def test_it_ends_where_no_pair_is_left_or_is_frequent_enough():
    assert len(train_merges(records_of("abcd"), 50).pairs) == 3
    assert train_merges(records_of("ababab", "cd"), 50, least=2).counts.min() >= 2
    assert len(train_merges(records_of("a", "b"), 5).pairs) == 0


@pytest.mark.parametrize("least", [1, 2])
def test_lists_that_are_tidied_and_arrays_that_grow_change_nothing(monkeypatch, least):
    kernels, tidied = compiled.merging(), itertools.count()

    class Counted:
        def __getattr__(self, name):
            return getattr(kernels, name)

        def tidy(self, work):
            next(tidied)
            kernels.tidy(work)

    monkeypatch.setattr(training, "merging", Counted)
    monkeypatch.setattr(training, "_SPARE", 1.0)
    monkeypatch.setattr(training, "_ENTRIES", 700)  # all pairs of letters, and few more
    rng = np.random.default_rng(0)
    records = [rng.integers(0, 12, n).astype(np.uint8) for n in (1500, 700, 3)]
    assert_naive(records, 300, least=least)
    assert_naive([np.zeros(999, np.uint8)], 20, least=least)
    assert next(tidied) >= 2


def test_the_golden_merges_and_ids_come_out_ties_included(shared):
    golden = json.loads((shared / "golden/ecg_byte/encode.json").read_text())
    records = [from_text(record["symbols"]) for record in golden["records"].values()]
    found = train_merges(records, 300, cross_records=True)
    strings = list("abcdefghijklmnopqrstuvwxyz")
    for first, second in found.pairs:
        strings.append(strings[first] + strings[second])
    expected = [bytes(sequence).decode() for sequence, _ in golden["bpe"]["merges"]]
    assert strings[26:] == expected
    ids = [i + 97 if i < 26 else i - 26 + 256 for i in found.ids.tolist()]
    assert ids == golden["bpe"]["ids"]
    assert max(golden["bpe"]["tied_candidates"]) > 1  # else ties would not have been seen


def test_progress_counts_up_to_the_merges_done(monkeypatch):
    monkeypatch.setattr(training, "_BUDGET", 1)
    told = []
    train_merges(records_of("abcabcabdabdxyzxyz"), 5, progress=told.append)
    assert told == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("records", "merges", "expected"),
    [
        ([], 5, "no records"),
        ([np.zeros(0, np.uint8)], 5, "record 0"),
        ([np.zeros(4, np.uint8), np.full(3, 26, np.uint8)], 5, "record 1: symbol 26"),
        ([np.zeros(4, np.int64)], 5, "uint8"),
        ([np.zeros(4, np.uint8)], 0, "expected 1 to 65508"),
        ([np.zeros(4, np.uint8)], 65509, "expected 1 to 65508"),
    ],
)
def test_what_cannot_be_trained_on_is_named(records, merges, expected):
    with pytest.raises(TrainingError, match=expected):
        train_merges(records, merges)


def test_more_symbols_than_places_can_number_are_refused_before_they_are_copied(monkeypatch):
    monkeypatch.setattr(training, "MAX_SYMBOLS", 10)
    with pytest.raises(TrainingError, match=r"more than 10 symbols \(after 3 records\).*sample"):
        train_merges(iter([np.zeros(4, np.uint8)] * 9), 5)


def test_without_numba_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "numba", None)
    with pytest.raises(ImportError, match=r"training a tokenizer needs numba.*elm_jax\[ecg\]"):
        train_merges(records_of("abab"), 2)


def test_where_compiled_code_cannot_be_kept_the_message_says_how_to_help(monkeypatch):
    def fail(name):
        if name != "numba":
            raise RuntimeError("cannot cache function 'run': no locator available")

    monkeypatch.setattr(compiled.importlib, "import_module", fail)
    with pytest.raises(OSError, match="encoding signals: numba finds no folder.*NUMBA_CACHE_DIR"):
        compiled.matching()
