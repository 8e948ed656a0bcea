"""Files of tokens, and what is counted in them."""

import json

import numpy as np
import pytest

from elm_jax.data.ecg_byte import EcgByte, EcgLayout
from elm_jax.data.ecg_byte.arrays import write_npz
from elm_jax.data.ecg_byte.symbols import from_text, shortened
from elm_jax.data.ecg_byte.token_file import TokenFile, TokenFileError
from elm_jax.data.ecg_byte.usage import record_rows, summary, token_rows, usage_of
from elm_jax.evals.figures_ecg_byte import usage_figures

TOKENIZER = EcgByte(EcgLayout(("I", "II"), 100.0, None), ("aa", "ab", "aab", "aab", "zz"))
TEXTS = ("aabb" + "aaaa", "ba" + "ab", "bb" + "bb")


def tokens_of(*texts, **meta):
    ids, begin = TOKENIZER.encode_texts([from_text(text) for text in texts])
    n = len(texts)
    said = {"tokenizer": TOKENIZER.digest, "vocab_size": TOKENIZER.vocab_size} | meta
    names = tuple(f"Aufnahme Ä{i}" for i in range(n))
    low, high = np.zeros(n), np.ones(n)
    return TokenFile(ids.astype(np.uint16), begin, low, high, names, np.arange(n) / 4, said)


@pytest.fixture
def usage():
    return usage_of(tokens_of(*TEXTS), TOKENIZER, source="tokens.npz")


def test_every_token_is_counted_once(usage):
    # aab b aa aa | b aab | b b b b
    assert usage.count.sum() == usage.tokens == 10 and usage.symbols == 16
    assert usage.count[29] == 2 and usage.count[26] == 2 and usage.count[1] == 6
    assert usage.per_record.tolist() == [4, 2, 4]
    assert usage.crossing == 1  # `aab` in ba|ab
    assert np.flatnonzero(usage.shadowed).tolist() == [28]


def test_the_summary_is_exact(usage):
    numbers = summary(usage)
    assert numbers["symbols_per_token"] == 1.6
    assert numbers["used"] == 3 and numbers["never_used"] == 28 and numbers["shadowed"] == 1
    assert numbers["single_symbols_share"] == 0.6
    share = np.asarray([2, 2, 6]) / 10
    assert numbers["token_entropy_bits"] == pytest.approx(-(share * np.log2(share)).sum())
    assert (numbers["length_median"], numbers["length_p90"], numbers["longest_used"]) == (1, 3, 3)


def test_tables_have_a_row_a_token_and_a_row_a_record(usage):
    rows = token_rows(usage, TOKENIZER)
    assert len(rows) == TOKENIZER.vocab_size
    assert rows[0] == {
        "id": 1, "published_id": 98, "token": "b", "length": 1, "count": 6, "share": 0.6,
    }  # fmt: skip
    assert rows[1]["published_id"] == 256
    assert record_rows(usage, tokens_of(*TEXTS))[1] == {
        "recording": "Aufnahme Ä1", "start_s": 0.25, "tokens": 2,
    }  # fmt: skip


def test_figures_say_what_they_show_and_that_it_is_simulated(usage):
    drawn = usage_figures(usage, what="tiny", simulated=True)
    assert set(drawn) == {"token_lengths", "token_usage", "tokens_per_record"}
    for figure in drawn.values():
        assert "tiny\n(simulated ECG)" in figure.axes[0].get_title()
    legend = drawn["token_usage"].axes[0].get_legend().get_title().get_text()
    assert legend == "3 of 31 used, 28 never (1 shadowed)"


def test_a_file_gives_its_records_back(tmp_path):
    tokens = tokens_of(*TEXTS, corpus="tiny")
    tokens.save(tmp_path / "tokens.npz")
    loaded = TokenFile.load(tmp_path / "tokens.npz")
    assert loaded.recording == tokens.recording and loaded.meta == tokens.meta
    assert [text.tolist() for text in loaded.texts] == [text.tolist() for text in tokens.texts]
    assert loaded[0].ids.dtype == np.int32 and loaded[0].ids.tolist() == [29, 1, 26, 26]
    assert TOKENIZER.decode(*loaded[1]).shape == (2, 2)
    with np.load(tmp_path / "tokens.npz", allow_pickle=False) as plain:
        assert plain["ids"].dtype == np.uint16


def as_json(**changes):
    text = json.dumps({"format": "elm_jax ECG-Byte tokens", "version": 1} | changes)
    return np.frombuffer(text.encode(), np.uint8)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"begin": np.asarray([0, 4, 7])}, "do not fit together"),
        ({"begin": np.asarray([0, 4, 4, 10])}, "do not fit together"),
        ({"minimum_mv": np.zeros(2)}, "do not fit together"),
        ({"ids": np.full(10, 31, np.uint16)}, "beyond the vocabulary"),
        ({"meta": as_json(version=2)}, "found .*2"),
        ({"meta": as_json()}, "beyond the vocabulary"),
        ({"meta": np.frombuffer(b"{", np.uint8)}, "damaged"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, changes, expected):
    path = tmp_path / "tokens.npz"
    tokens_of(*TEXTS).save(path)
    with np.load(path) as whole:
        write_npz(path, dict(whole) | changes)
    with pytest.raises(TokenFileError, match=f"tokens.npz.*{expected}"):
        TokenFile.load(path)


def test_other_files_are_no_tokens(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 broken")
    np.save(tmp_path / "b.npy", np.zeros(3))
    (tmp_path / "b.npz").write_bytes((tmp_path / "b.npy").read_bytes())
    np.savez(tmp_path / "c.npz", ids=np.zeros(2))
    np.savez(tmp_path / "d.npz", ids=np.asarray([{}], object))
    tokens_of(*TEXTS).save(tmp_path / "e.npz")
    damaged = bytearray((tmp_path / "e.npz").read_bytes())
    damaged[200] ^= 255
    (tmp_path / "e.npz").write_bytes(damaged)
    (tmp_path / "f.npz").write_text('{"a tokenizer": "perhaps"}')
    refusals = dict(a="no .npz", b="no .npz", c="holds", d="holds", e="readable", f="no .npz")
    for name, expected in refusals.items():
        with pytest.raises(TokenFileError, match=f"{name}.npz: .*{expected}"):
            TokenFile.load(tmp_path / f"{name}.npz")


def test_tokens_of_another_tokenizer_are_not_counted():
    other = EcgByte(TOKENIZER.layout, ("aa", "bb"))
    with pytest.raises(TokenFileError, match=r"tokens.npz: made by tokenizer \w+ of 31 tokens"):
        usage_of(tokens_of(*TEXTS), other, source="tokens.npz")


def test_runs_of_a_letter_are_shortened_for_the_eye():
    assert shortened("ooooonnm") == "o5n2m"
