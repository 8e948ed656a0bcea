"""ECG-Bench's pickles: read as data, and whatever is more than data refused by its name."""

import os
import pickle
import struct

import numpy as np
import pytest

from elm_jax.data.ecg_byte import EcgLayout, published
from elm_jax.data.ecg_byte.published import (
    NotATokenizer,
    PickleRefused,
    read_pickle,
    read_published,
)
from elm_jax.data.ecg_byte.symbols import from_text

LAYOUT = EcgLayout(("I", "II"), 250.0, None)


def released(*merged):
    """``(vocab, merges)`` as ECG-Bench's trainer gives them."""
    vocab = {b: chr(b) if b < 128 else f"<{b}>" for b in range(256)}
    merges = [(list(token.encode()), 256 + i) for i, token in enumerate(merged)]
    return vocab | {i: bytes(sequence).decode() for sequence, i in merges}, merges


def written(path, content, **options):
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, **options))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_released_pickle_of_any_protocol_becomes_a_tokenizer(tmp_path, protocol):
    path = written(tmp_path / "t.pkl", released("pp", "pq", "pppq"), protocol=protocol)
    tokenizer = read_published(path, LAYOUT, assumed=("channels", "sfreq_hz"))
    assert tokenizer.merged == ("pp", "pq", "pppq") and tokenizer.pairs is None
    assert tokenizer.assumed == ("channels", "sfreq_hz")
    assert tokenizer.training["source"] == "ECG-Bench, t.pkl"
    ids = tokenizer.encode_symbols(from_text("pppqz"))
    assert tokenizer.published_ids(ids).tolist() == [258, 122]


class Runs:
    """A pickle that runs a command when it is read by Python's own reader."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


class Loads:
    def __reduce__(self):
        return eval, ("1",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_names_a_function_is_refused_with_the_name_and_not_run(tmp_path, protocol):
    mark = tmp_path / "ran"
    path = written(tmp_path / "t.pkl", (Runs(mark), released("pp")[1]), protocol=protocol)
    with pytest.raises(PickleRefused, match=r"t.pkl: refused: the pickle names posix.system"):
        read_published(path, LAYOUT, assumed=())
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ([Loads()], "eval"),
        ({"a": np.zeros(2)}, r"numpy\."),
        (EcgLayout, r"elm_jax.data.ecg_byte.layout.EcgLayout"),
        ({1, 2}, "set"),  # protocols below 4 name it
        (bytearray(b"a"), "bytearray"),
        (1j, "complex"),
    ],
)
def test_classes_are_refused_too_harmless_or_not(tmp_path, content, name):
    with pytest.raises(PickleRefused, match=f"names .*{name}"):
        read_pickle(written(tmp_path / "t.pkl", content, protocol=2))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x80\x04\x82\x01.", "EXT1"),  # the extension registry
        (b"Pname\n.", "PERSID"),
        (b"cos\nsystem\n(S'true'\ntR.", "os.system"),
        (b"(S'true'\nios\nsystem\n.", "os.system"),  # the oldest way to make an instance
        (b"\x80\x02]r" + struct.pack("<I", 2**31) + b".", "LONG_BINPUT 2147483648"),
        (b"]p4000000000\n.", "PUT 4000000000"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"ab.", "not a pickle|broken"),
        (b"\x80\x04]", "not a pickle|broken"),
        (b"h\x05.", "broken"),  # from a memo that is empty
        (b"", "not a pickle"),
        (b'{"format": 1}', "not a pickle"),
    ],
)
def test_hand_made_pickles_are_refused(tmp_path, content, expected):
    with pytest.raises(PickleRefused, match=expected):
        read_pickle(written(tmp_path / "t.pkl", content))


def test_a_pickle_that_is_too_large_is_not_even_read(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "MAX_BYTES", 1000)
    with pytest.raises(PickleRefused, match="at most 1,000"):
        read_pickle(written(tmp_path / "t.pkl", released("pp")))


def test_a_small_pickle_of_one_long_token_shared_by_thousands_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "MAX_LETTERS", 10_000)
    vocab, _ = released()
    shared = list(b"p" * 1000)
    path = written(tmp_path / "t.pkl", (vocab, [(shared, 256 + i) for i in range(1000)]))
    with pytest.raises(NotATokenizer, match="more than 10,000 letters"):
        read_published(path, LAYOUT, assumed=())


def changed(vocab=None, merges=None):
    own = released("pp", "ppq")
    return (own[0] | (vocab or {}), own[1] if merges is None else merges)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"a": 1}, r"expected \(vocab, merges\), found dict"),
        ((1, 2), "found int and int"),
        (changed({257: "pq"}), "vocab has 'pq' for id 257, the merges say 'ppq'"),
        (changed({97: "b"}), "vocab has 'b' for id 97"),
        (changed({300: "x"}), "vocab has 259 ids, expected 258"),
        (changed(merges=[([112, 112], 256)]), "vocab has 258 ids, expected 257"),
        (changed(merges=[([112, 112], 257)]), "merge 0 has id 257, expected 256"),
        (changed(merges=[([112], 256)]), "two or more bytes"),
        (changed(merges=[([112, 48], 256)]), "no vocabulary of ECG-Byte"),
        (changed(merges=[([112, True], 256)]), "merge 0"),
        (changed(merges=[("pp", 256)]), "merge 0 is not"),
        (changed(merges=[[112]]), "merge 0 is not"),
    ],
)
def test_data_that_is_no_tokenizer_is_named(tmp_path, content, expected):
    with pytest.raises(NotATokenizer, match=expected):
        read_published(written(tmp_path / "t.pkl", content), LAYOUT, assumed=())


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_published(tmp_path / "t.pkl", LAYOUT, assumed=())
