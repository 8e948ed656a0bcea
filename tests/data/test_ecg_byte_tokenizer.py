"""EcgByte: signals to the reference's ids and back within half a level; files that are checked."""

import dataclasses
import json
import pickle

import ecg_byte_naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from elm_jax.data.ecg_byte import EcgByte, EcgLayout
from elm_jax.data.ecg_byte.file import TokenizerFileError
from elm_jax.data.ecg_byte.layout import LayoutError
from elm_jax.data.ecg_byte.published import merged_of
from elm_jax.data.ecg_byte.symbols import (
    SymbolError,
    from_text,
    is_flat,
    quantum_mv,
    to_signal,
    to_symbols,
    to_text,
)
from elm_jax.data.ecg_byte.tokenizer import IdError
from elm_jax.data.ecg_byte.training import TrainingError

TWO = EcgLayout(("I", "II"), 100.0, None)
ANY = EcgLayout(("I",), 100.0, None)


def tokenizer_of(*merged, layout=TWO):
    return EcgByte(layout, merged)


# -- levels --------------------------------------------------------------------------------------


def signals(dtype, width):
    shape = st.tuples(st.integers(1, 3), st.integers(1, 20))
    values = st.floats(-1e3, 1e3, width=width)
    return hnp.arrays(dtype, shape, elements=values).filter(lambda x: not is_flat(x))


@settings(max_examples=200, deadline=None)
@given(st.one_of(signals(np.float32, 32), signals(np.float64, 64)))
def test_a_decoded_signal_is_off_by_at_most_half_a_level_and_the_rounding_to_float32(signal):
    symbols, low, high = to_symbols(signal)
    back = to_signal(symbols, low, high, leads=len(signal))
    assert back.dtype == np.float32 and back.shape == signal.shape
    half = quantum_mv(low, high) / 2
    rounding = float(np.spacing(np.float32(max(-low, high) + half))) / 2
    error = np.abs(back.astype(np.float64) - signal.astype(np.float64)).max()
    assert error <= half * (1 + 1e-9) + rounding


def test_levels_count_from_the_smallest_value_lead_after_lead_and_the_largest_is_25():
    signal = np.asarray([[-1.0, 0.0, 1.0], [0.95, -0.9, 0.5]], np.float32)
    assert to_text(to_symbols(signal).symbols) == "amzzbt"


def test_half_a_level_is_reached_at_the_smallest_value():
    signal = np.asarray([[0.0, 26.0]])
    symbols, low, high = to_symbols(signal)
    assert to_signal(symbols, low, high, leads=1)[0, 0] == pytest.approx(quantum_mv(low, high) / 2)


def test_the_golden_records_have_the_golden_symbols(shared):
    wfdb = pytest.importorskip("wfdb")
    golden = json.loads((shared / "golden/ecg_byte/encode.json").read_text())
    for name, expected in golden["records"].items():
        path = shared / f"data/ptbxl/records100/00000/{name}_lr"
        signal = wfdb.rdrecord(str(path)).p_signal.T.astype(np.float32)
        found = to_symbols(signal)
        assert to_text(found.symbols) == expected["symbols"]
        assert (found.minimum_mv, found.maximum_mv) == (expected["min"], expected["max"])


@pytest.mark.parametrize(
    ("signal", "expected"),
    [
        (np.zeros((2, 0)), r"shape \(2, 0\) holds no sample"),
        (np.full((2, 3), 0.5), "every value is 0.5 mV; a flat record"),
        (np.asarray([[0.0, 1.0], [np.nan, np.inf]]), "2 values are not finite.*lead 1, sample 0"),
        (np.asarray([[0.0, 1e7]]), "no millivolts"),
    ],
)
def test_a_signal_without_symbols_is_named_with_the_reason(signal, expected):
    with pytest.raises(SymbolError, match=f"^a.hea: .*{expected}|^a.hea: {expected}"):
        to_symbols(signal, source="a.hea")


@pytest.mark.parametrize(
    ("symbols", "low", "high", "expected"),
    [
        (np.arange(5), 0.0, 1.0, "5 symbols do not divide into 2 leads"),
        (np.arange(0), 0.0, 1.0, "0 symbols"),
        (np.asarray([0, 26]), 0.0, 1.0, "from 0 to 26"),
        (np.asarray([0, 1]), 1.0, 1.0, "the first below the second"),
        (np.asarray([0, 1]), 0.0, float("nan"), "two finite values"),
    ],
)
def test_symbols_that_are_no_signal_are_refused(symbols, low, high, expected):
    with pytest.raises(SymbolError, match=expected):
        to_signal(symbols, low, high, leads=2)


# -- ids -----------------------------------------------------------------------------------------

words = st.lists(st.text("abc", min_size=2, max_size=6), min_size=1, max_size=12)


@settings(max_examples=150, deadline=None)
@given(words, st.lists(st.text("abcd", min_size=0, max_size=40), min_size=1, max_size=4))
def test_ids_are_the_longest_token_at_each_place_and_come_back_as_the_same_letters(merged, texts):
    tokenizer = tokenizer_of(*merged, layout=ANY)
    ids, begin = tokenizer.encode_texts([from_text(text) for text in texts])
    for text, first, last in zip(texts, begin[:-1], begin[1:], strict=True):
        own = ids[first:last]
        assert own.tolist() == ecg_byte_naive.encode(tokenizer.token_strings, text)
        assert to_text(tokenizer.decode_symbols(own)) == text
    published = tokenizer.published_ids(ids)
    assert np.array_equal(tokenizer.from_published_ids(published), ids)


@pytest.mark.parametrize("name", ["1000_25", "5000_500000"])
def test_released_tokenizers_give_the_golden_ids(shared, name):
    folder = shared / "golden/ecg_byte"
    released = json.loads((folder / f"ecg_byte_tokenizer_{name}.json").read_text())
    vocab = {int(k): v for k, v in released["vocab"].items()}
    tokenizer = EcgByte(TWO, merged_of(vocab, released["merges"], source=name))
    golden = json.loads((folder / "encode.json").read_text())
    for record in golden["records"].values():
        symbols = from_text(record["symbols"])
        ids = tokenizer.encode_symbols(symbols)
        assert tokenizer.published_ids(ids).tolist() == record[f"ecg_byte_tokenizer_{name}"]
        assert np.array_equal(tokenizer.decode_symbols(ids), symbols)


def test_of_two_tokens_with_the_same_letters_the_later_one_is_found():
    tokenizer = tokenizer_of("aa", "aaa", "aaa")
    assert tokenizer.encode_symbols(from_text("aaaaa")).tolist() == [28, 26]


def test_a_signal_comes_back_and_tokens_may_reach_over_two_leads():
    signal = np.asarray([[0.0, 0.0, 1.0], [1.0, 0.5, 0.0]], np.float32)
    tokenizer = tokenizer_of("aa", "zz")
    tokens = tokenizer.encode(signal)
    assert tokens.ids.tolist() == [26, 27, 12, 0] and tokens.ids.dtype == np.int32
    assert (tokens.minimum_mv, tokens.maximum_mv) == (0.0, 1.0)
    assert np.abs(tokenizer.decode(*tokens) - signal).max() <= 1 / 51


@pytest.mark.parametrize(
    ("ids", "expected"),
    [([0, 28], "28 at 1"), ([-1, 0], "-1 at 0"), ([97, 98], "from_published_ids")],
)
def test_ids_of_another_vocabulary_are_refused(ids, expected):
    with pytest.raises(IdError, match=expected):
        tokenizer_of("aa", "zz").decode(np.asarray(ids), 0.0, 1.0)


@pytest.mark.parametrize("wrong", [96, 123, 255, 258, -1])
def test_ids_that_no_released_tokenizer_gives_are_refused(wrong):
    with pytest.raises(IdError, match=f"{wrong} at 1 is none of this tokenizer's published ids"):
        tokenizer_of("aa", "zz").from_published_ids(np.asarray([97, wrong]))


def test_another_number_of_leads_or_samples_is_refused_with_what_is_expected():
    tokenizer = tokenizer_of("aa", layout=EcgLayout(("I", "II"), 100.0, 0.05))
    signal = np.linspace(0, 1, 10, dtype=np.float32).reshape(2, 5)
    assert np.abs(tokenizer.decode(*tokenizer.encode(signal)) - signal).max() < 1 / 50
    for wrong in (signal[:1], signal[:, :4], np.vstack([signal, signal])):
        with pytest.raises(LayoutError, match=r"^a.hea: shape .* 2 leads \(I, II\) of 5 samples"):
            tokenizer.encode(wrong, source="a.hea")
    with pytest.raises(LayoutError, match=r"6 ids: shape \(2, 3\)"):
        tokenizer.decode(np.zeros(6, np.int64), 0.0, 1.0)


def test_levels_beyond_the_alphabet_are_refused():
    with pytest.raises(IdError, match="from 0 to 26"):
        tokenizer_of("aa").encode_symbols(np.asarray([0, 26]))


def test_it_travels_to_worker_processes():
    tokenizer = tokenizer_of("aa", "aab")
    symbols = from_text("aabaa")
    expected = tokenizer.encode_symbols(symbols).tolist()
    assert pickle.loads(pickle.dumps(tokenizer)).encode_symbols(symbols).tolist() == expected


# -- files ---------------------------------------------------------------------------------------


def trained(**options):
    texts = [from_text(text) for text in ("abababcab", "bcabcc")]
    return EcgByte.train(texts, TWO, 4, note={"corpus": "tiny"}, **options)


def test_a_file_says_how_the_tokenizer_was_trained_and_gives_it_back(tmp_path):
    tokenizer = trained()
    tokenizer.save(tmp_path / "ecg_byte.json")
    loaded = EcgByte.load(tmp_path / "ecg_byte.json")
    assert loaded == tokenizer and loaded.digest == tokenizer.digest
    content = json.loads((tmp_path / "ecg_byte.json").read_text())
    assert content["signal"] == TWO.to_dict()
    assert content["training"] == {
        "merges": 4, "least": 1, "cross_records": False, "ties": "the smallest (id, id)",
        "merges_done": 4, "records": 2, "symbols": 15, "tokens": len_after(tokenizer),
        "count_of_last_merge": content["training"]["count_of_last_merge"], "corpus": "tiny",
    }  # fmt: skip


def len_after(tokenizer):
    pairs, _, ids = ecg_byte_naive.train([from_text("abababcab"), from_text("bcabcc")], 4)
    assert list(tokenizer.pairs) == pairs
    return len(ids)


def test_training_again_writes_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        trained().save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_another_signal_is_another_digest():
    other = EcgLayout(("II", "I"), 100.0, None)
    assert trained().digest != dataclasses.replace(trained(), layout=other).digest


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"format": "other"}, "not a tokenizer file.*import FILE.pkl"),
        ({"version": 2}, "version is 2, this elm_jax reads 1"),
        ({"more": 1}, r"has unknown \['more'\]"),
        ({"signal": {"channels": ["I"]}}, "signal: expected.*sfreq_hz"),
        ({"signal": TWO.to_dict() | {"unit": "uV"}}, "unit 'mV'"),
        ({"signal": TWO.to_dict() | {"channels": ["I", "I"]}}, "unique"),
        ({"signal": TWO.to_dict() | {"sfreq_hz": True}}, "in numbers"),
        ({"signal": TWO.to_dict() | {"sfreq_hz": -1.0}}, "sfreq_hz must be positive"),
        ({"signal": TWO.to_dict() | {"window_s": 0.015}}, "whole number of samples"),
        ({"normalisation": {"levels": 25}}, "normalisation is"),
        ({"assumed": ["colour"]}, "assumed is"),
        ({"training": []}, "training is"),
        ({"tokens": []}, "0 merged tokens"),
        ({"tokens": ["ab", "ba", "abab", 3]}, "list of texts"),
        ({"tokens": ["ab", "A1", "abab", "aba"]}, "token 27 is 'A1'"),
        ({"tokens": ["ab", "a", "abab", "aba"]}, "two or more letters"),
        ({"tokens": ["ab", "ba", "abab", "abb"]}, "token 27 is 'ba', which is not the tokens"),
        ({"pairs": [[0, 1]]}, "1 pairs for 4 tokens"),
        ({"pairs": [[0, 1], [0, 1], [0], [0, 1]]}, r"pair 2 is \[0\]"),
        ({"pairs": [[0, 30], [0, 1], [0, 1], [0, 1]]}, "token 26"),
        ({"pairs": "none"}, "pairs must be null or a list"),
    ],
)
def test_a_damaged_file_is_named_with_the_field(tmp_path, changes, expected):
    path = tmp_path / "ecg_byte.json"
    trained().save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(TokenizerFileError, match=f"(?s){path}.*{expected}"):
        EcgByte.load(path)


def test_what_is_not_json_and_what_is_not_there_are_said_so(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(TokenizerFileError, match="a.json: not JSON"):
        EcgByte.load(tmp_path / "a.json")
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04]\x94.")
    with pytest.raises(TokenizerFileError, match="a.pkl: no text.* are imported by: python -m"):
        EcgByte.load(tmp_path / "a.pkl")
    with pytest.raises(FileNotFoundError):
        EcgByte.load(tmp_path / "none.json")


def test_a_vocabulary_needs_something_to_merge():
    with pytest.raises(TrainingError, match="no pair occurs 6 times in 15 symbols"):
        trained(least=6)
