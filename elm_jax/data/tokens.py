"""Text to token ids: BERT's WordPiece, learnt from a corpus or loaded from a model's folder."""

import logging
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from etils import epath
from jaxtyping import Bool, Int32

from elm_jax import paths, staging

log = logging.getLogger(__name__)

# ELM's limits: texts longer than this many tokens, [CLS] and [SEP] counted, are cut.
MAX_TOKENS = {"sentence": 80, "paragraph": 150, "report": 512}
# A whole report is cut on the left, so that the impression at its end survives.
TRUNCATION_SIDE = {"sentence": "right", "paragraph": "right", "report": "left"}
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CONTINUED = "##"


class TextTooLong(ValueError):
    """A text that must be read whole has more tokens than the tower takes."""


class TextUnknown(ValueError):
    """A text of which the text tower's vocabulary has no word."""


def learn_wordpiece(
    texts: Iterable[str], *, vocab_size: int, out_dir: epath.PathLike, min_frequency: int = 2
) -> None:
    """Learns a lower-case WordPiece vocabulary; ``out_dir`` then loads as a BERT tokenizer.

    The same texts give the same files, whatever the process: byte for byte.

    Args:
      texts: the training corpus's texts.
      vocab_size: the most tokens to keep, the five special ones and single letters included.
      out_dir: folder to make; it gets vocab.txt, tokenizer.json and tokenizer_config.json.
      min_frequency: a merge seen less often is not made.

    Raises:
      ValueError: no text, or a ``vocab_size`` that the single letters alone exceed.
    """
    from tokenizers import BertWordPieceTokenizer, trainers

    blank = BertWordPieceTokenizer(lowercase=True)
    texts = list(texts)
    words = [
        word
        for text in texts
        for word, _ in blank.pre_tokenizer.pre_tokenize_str(blank.normalizer.normalize_str(text))
    ]
    if not words:
        raise ValueError(
            "there are no texts with words to learn a vocabulary from: the training recordings "
            "have no report. Prepare them with texts (python -m data_prep.prepare ... --reports "
            "FILE; of ECGs with diagnoses, --ecg_text statements)"
        )
    first = sorted({w[0] for w in words})
    later = sorted({CONTINUED + c for w in words for c in w[1:]})
    if len(alphabet := [*SPECIAL_TOKENS, *first, *later]) > vocab_size:
        raise ValueError(
            f"learn_wordpiece: vocab_size={vocab_size}, but the texts' single letters and the "
            f"special tokens alone are {len(alphabet)}"
        )
    # The trainer numbers "##x" in the order of a randomly seeded hash table and breaks ties
    # between merges by these numbers: giving it the letters beforehand, in order, fixes both.
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=alphabet,
        initial_alphabet=[],
        show_progress=False,
        continuing_subword_prefix=CONTINUED,
    )
    blank._tokenizer.train_from_iterator(words, trainer)
    vocab = blank.get_vocab(with_added_tokens=True)
    box = staging.Outbox(out_dir)
    _write_tokenizer(sorted(vocab, key=vocab.__getitem__), box.folder)
    box.close()


def _write_tokenizer(tokens: Sequence[str], out_dir: pathlib.Path) -> None:
    from transformers import BertTokenizerFast

    out_dir.mkdir(parents=True, exist_ok=True)
    vocab = {token: index for index, token in enumerate(tokens)}
    tokenizer = BertTokenizerFast(vocab=vocab, do_lower_case=True, model_max_length=512)
    tokenizer.save_pretrained(out_dir)
    (out_dir / "vocab.txt").write_text("".join(t + "\n" for t in tokens), encoding="utf-8")


def load_tokenizer(path_or_id: epath.PathLike) -> Any:
    """Loads the tokenizer of a Hugging Face model folder, or of a model id in the local cache.

    Raises:
      FileNotFoundError: neither a folder with a tokenizer nor an id that can be had; the message
        says how to get it.
    """
    from transformers import AutoTokenizer

    name = str(path_or_id)
    place = staging.local_folder(name) if paths.is_remote(name) else name
    try:
        return AutoTokenizer.from_pretrained(place)
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"no tokenizer at {name!r}: expected a folder with vocab.txt or tokenizer.json, or the "
            f"id of a model. With a network: `hf download {name} --local-dir models/"
            f"{name.rpartition('/')[2]}`, then give that folder. ({type(error).__name__}: "
            f"{str(error).splitlines()[0]})"
        ) from error


def tokenize(
    tokenizer: Any,
    texts: Sequence[str],
    *,
    mode: str | None = None,
    max_tokens: int | None = None,
    pad_to: int | None = None,
) -> tuple[Int32[np.ndarray, "n l"], Bool[np.ndarray, "n l"]]:
    """Token ids of fixed length, with [CLS] first and [SEP] last of the real ones.

    Args:
      tokenizer: from :func:`load_tokenizer`; its ``truncation_side`` is as before afterwards.
      texts: one a row.
      mode: "sentence", "paragraph" or "report": the limit of :data:`MAX_TOKENS`, and the side
        that is cut. Without it, ``max_tokens`` is needed and the right side is cut.
      max_tokens: a limit in place of the mode's, special tokens counted.
      pad_to: length of the rows if not the limit itself (shorter: the limit becomes this).

    Returns:
      token_id: int32, padded on the right.
      token_valid: True where a token is real.

    Raises:
      ValueError: an unknown mode, no limit at all, or no room between the special tokens.
    """
    if mode is not None and mode not in MAX_TOKENS:
        raise ValueError(f"mode is {mode!r}; known: {sorted(MAX_TOKENS)}")
    if mode is None and max_tokens is None:
        raise ValueError("tokenize needs mode or max_tokens")
    limit = MAX_TOKENS[mode] if max_tokens is None else max_tokens
    length = limit if pad_to is None else pad_to
    limit = min(limit, length)
    if limit < 3:
        raise ValueError(f"a limit of {limit} tokens leaves no room between [CLS] and [SEP]")
    if not texts:
        return np.zeros((0, length), np.int32), np.zeros((0, length), bool)
    side = tokenizer.truncation_side
    tokenizer.truncation_side = TRUNCATION_SIDE.get(mode, "right")
    try:
        encoded = tokenizer(list(texts), truncation=True, max_length=limit)["input_ids"]
    finally:
        tokenizer.truncation_side = side
    token_id = np.full((len(texts), length), tokenizer.pad_token_id, np.int32)
    token_valid = np.zeros((len(texts), length), bool)
    for row, ids in enumerate(encoded):
        token_id[row, : len(ids)] = ids
        token_valid[row, : len(ids)] = True
    return token_id, token_valid


def require_whole(tokenizer: Any, texts: Sequence[str], *, mode: str) -> None:
    """Raises where :func:`tokenize` would cut a text, or would know no word of it.

    Reports are cut on purpose in training; what a person asks for (a prompt, a query) is not: the
    answer would be to another question. Texts of which some words are unknown are warned of.

    Raises:
      TextTooLong: names the first such text, its tokens and the limit, and counts the others.
      TextUnknown: a text of which the vocabulary has no word: all such texts would be one to the
        tower.
    """
    if not texts:
        return
    encoded = tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]
    long = [(text, len(ids)) for text, ids in zip(texts, encoded, strict=True)]
    long = [(text, tokens) for text, tokens in long if tokens > MAX_TOKENS[mode]]
    if long:
        text, tokens = long[0]
        more = f" ({len(long) - 1} more are too long)" if len(long) > 1 else ""
        raise TextTooLong(
            f"{_begin(text)!r} has {tokens} tokens, [CLS] and [SEP] counted; the text tower takes "
            f"{MAX_TOKENS[mode]} (config.text.mode={mode!r}){more}. Shorten it, or make several of "
            f"it: they are averaged"
        )
    _require_known(tokenizer, texts, encoded)


def _require_known(tokenizer: Any, texts: Sequence[str], encoded: Sequence[Sequence[int]]) -> None:
    """Refuses a text without a known word; one line tells of those of which some are unknown."""
    special = (tokenizer.cls_token_id, tokenizer.sep_token_id)
    partly = []
    for text, ids in zip(texts, encoded, strict=True):
        words = [i for i in ids if i not in special]
        unknown = words.count(tokenizer.unk_token_id)
        if words and unknown == len(words):
            raise TextUnknown(
                f"the text tower's vocabulary has no word of {_begin(text)!r}: write it in the "
                "language, and the letters, of the reports that the model was trained on"
            )
        if unknown:
            partly.append(f"{unknown} of the {len(words)} word pieces of {_begin(text)!r}")
    if partly:
        more = f" (and some of {len(partly) - 1} more texts)" if len(partly) > 1 else ""
        log.warning(
            "%s%s are not in the text tower's vocabulary, and say nothing to it", partly[0], more
        )


def _begin(text: str, most: int = 80) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
