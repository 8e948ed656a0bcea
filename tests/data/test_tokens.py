import json
import subprocess
import sys

import numpy as np
import pytest

from elm_jax.data.tokens import (
    MAX_TOKENS,
    TextTooLong,
    TextUnknown,
    learn_wordpiece,
    load_tokenizer,
    require_whole,
    tokenize,
)

WORDS = "alpha theta delta slowing sharp waves left right temporal normal abnormal spindles".split()
# Many words of equal count: ties between merges are where a learner may waver.
TEXTS = [f"{a} {b}, {a}." for a in WORDS for b in reversed(WORDS)] + ["Éclair at 10.5 Hz (T3)!"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("wordpiece")
    learn_wordpiece(TEXTS, vocab_size=200, out_dir=path)
    return path


@pytest.fixture(scope="module")
def tokenizer(folder):
    return load_tokenizer(folder)


def test_the_same_texts_give_the_same_files_in_another_process(folder, tmp_path):
    code = (
        "import sys, json; from elm_jax.data.tokens import learn_wordpiece;"
        "learn_wordpiece(json.load(sys.stdin), vocab_size=200, out_dir=sys.argv[1])"
    )
    learn_wordpiece(TEXTS, vocab_size=200, out_dir=tmp_path / "again")
    command = [sys.executable, "-c", code, str(tmp_path / "elsewhere")]
    subprocess.run(command, input=json.dumps(TEXTS), text=True, check=True)
    for path in folder.iterdir():
        for copy in ("again", "elsewhere"):
            assert (tmp_path / copy / path.name).read_bytes() == path.read_bytes(), path.name


def test_the_folder_loads_as_a_bert_tokenizer(folder, tokenizer):
    from transformers import BertTokenizerFast

    vocab = (folder / "vocab.txt").read_text().splitlines()
    assert vocab[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert len(vocab) == len(set(vocab)) <= 200
    bert = BertTokenizerFast.from_pretrained(folder)
    for text in ("Alpha slowing!", "eclair at 10", "##alpha ##a"):
        assert tokenizer(text)["input_ids"] == bert(text)["input_ids"]
    assert (
        tokenizer.convert_tokens_to_ids("[CLS]") == vocab.index("[CLS]") == tokenizer.cls_token_id
    )
    # A letter piece is a token like another, never matched as it stands in a text.
    assert tokenizer.tokenize("##a")[0] != "##a"
    assert set(tokenizer.all_special_tokens) == set(vocab[:5])


def test_common_words_are_whole_and_unknown_letters_are_unk(tokenizer):
    assert tokenizer.tokenize("ÉCLAIR 10.5")[-3:] == ["10", ".", "5"] or "[UNK]" not in (
        tokenizer.tokenize("ÉCLAIR 10.5")
    )
    assert "normal" in tokenizer.get_vocab()
    assert tokenizer.tokenize("Ω") == ["[UNK]"]


@pytest.mark.parametrize("mode", MAX_TOKENS)
def test_rows_are_as_long_as_the_limit_and_marked(tokenizer, mode):
    token_id, token_valid = tokenize(tokenizer, ["alpha", "alpha " * 600, ""], mode=mode)
    assert token_id.shape == token_valid.shape == (3, MAX_TOKENS[mode])
    assert token_id.dtype == np.int32 and token_valid.dtype == bool
    assert token_valid.sum(1).tolist() == [3, MAX_TOKENS[mode], 2]
    assert (token_id[:, 0] == tokenizer.cls_token_id).all()
    assert (token_id[~token_valid] == tokenizer.pad_token_id).all()
    assert token_id[1, -1] == token_id[2, 1] == tokenizer.sep_token_id


def test_a_report_is_cut_on_the_left_the_others_on_the_right(tokenizer):
    text = "left " + "alpha " * 600 + "right"
    left, right = (tokenizer.convert_tokens_to_ids(w) for w in ("left", "right"))
    for mode, kept, lost in (("report", right, left), ("sentence", left, right)):
        token_id, _ = tokenize(tokenizer, [text], mode=mode)
        assert kept in token_id and lost not in token_id
    assert tokenizer.truncation_side == "right"


def test_limits_may_be_given_and_rows_padded_further(tokenizer):
    token_id, token_valid = tokenize(tokenizer, ["alpha " * 9], max_tokens=5, pad_to=8)
    assert token_id.shape == (1, 8) and token_valid.sum() == 5
    token_id, token_valid = tokenize(tokenizer, ["alpha " * 9], mode="sentence", pad_to=6)
    assert token_id.shape == (1, 6) and token_valid.all()
    assert tokenize(tokenizer, [], max_tokens=4)[0].shape == (0, 4)


def test_errors_say_what_to_do(tokenizer, tmp_path):
    with pytest.raises(ValueError, match="known"):
        tokenize(tokenizer, ["a"], mode="word")
    with pytest.raises(ValueError, match="mode or max_tokens"):
        tokenize(tokenizer, ["a"])
    with pytest.raises(ValueError, match="no room"):
        tokenize(tokenizer, ["a"], max_tokens=2)
    with pytest.raises(ValueError, match="single letters"):
        learn_wordpiece(TEXTS, vocab_size=10, out_dir=tmp_path)
    with pytest.raises(ValueError, match="no texts with words .* have no report"):
        learn_wordpiece([" "], vocab_size=10, out_dir=tmp_path)
    with pytest.raises(FileNotFoundError, match="hf download"):
        load_tokenizer("ncbi/no-such-model-anywhere")
    with pytest.raises(FileNotFoundError, match="expected a folder"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("mode", ["sentence", "report"])
def test_a_prompt_is_never_cut_in_silence(tokenizer, mode):
    fits = " ".join(["left"] * (MAX_TOKENS[mode] - 2))
    require_whole(tokenizer, [fits, ""], mode=mode)
    require_whole(tokenizer, [], mode=mode)
    token, valid = tokenize(tokenizer, [fits], mode=mode)
    assert valid.all()
    expected = (
        rf"'{fits[:77]}\.\.\.' has {MAX_TOKENS[mode] + 1} tokens.* takes {MAX_TOKENS[mode]} "
        ".*1 more"
    )
    with pytest.raises(TextTooLong, match=expected):
        require_whole(tokenizer, [fits, fits + " left", fits + " left left"], mode=mode)


def test_a_prompt_of_unknown_words_is_refused_and_one_with_some_is_warned_of(tokenizer, caplog):
    require_whole(tokenizer, ["left"], mode="sentence")
    assert not caplog.records
    with pytest.raises(TextUnknown, match="has no word of '脑电图'"):
        require_whole(tokenizer, ["left", "脑电图"], mode="sentence")
    require_whole(tokenizer, ["left 脑"], mode="sentence")
    assert "1 of the 2 word pieces of 'left 脑'" in caplog.text
