"""What of a vocabulary is used, and how long texts become."""

from typing import Any, NamedTuple

import numpy as np

from elm_jax.axes import Bool, Int
from elm_jax.data.ecg_byte.symbols import SYMBOLS
from elm_jax.data.ecg_byte.token_file import TokenFile
from elm_jax.data.ecg_byte.tokenizer import EcgByte


class Usage(NamedTuple):
    """Counts over the records of a file.

    Attributes:
      count: how often each id occurs.
      length: symbols in each id's token.
      per_record: tokens of each record.
      shadowed: whether a later id has the same letters, so that this one never occurs.
      crossing: tokens that begin in one lead and end in another.
    """

    count: Int[np.ndarray, " v"]
    length: Int[np.ndarray, " v"]
    per_record: Int[np.ndarray, " n"]
    shadowed: Bool[np.ndarray, " v"]
    crossing: int

    @property
    def tokens(self) -> int:
        """How many there are."""
        return int(self.count.sum())

    @property
    def symbols(self) -> int:
        """How many they stand for."""
        return int((self.count * self.length).sum())

    def entropy_bits(self) -> float:
        """Of a token that is seen by itself."""
        share = self.count[self.count > 0] / self.tokens
        return float(-(share * np.log2(share)).sum())

    def length_quantile(self, share: float) -> int:
        """Symbols that ``share`` of the tokens in the texts do not exceed."""
        order = np.argsort(self.length, kind="stable")
        below = np.cumsum(self.count[order])
        return int(self.length[order][np.searchsorted(below, share * self.tokens)])


def usage_of(tokens: TokenFile, tokenizer: EcgByte, *, source: str) -> Usage:
    """Counts the tokens of a file.

    Raises:
      TokenFileError: they are of another tokenizer; names ``source``.
    """
    tokens.require_tokenizer(tokenizer, source=source)
    length, strings = tokenizer.token_lengths, tokenizer.token_strings
    last = {string: i for i, string in enumerate(strings)}
    return Usage(
        np.bincount(tokens.ids, minlength=tokenizer.vocab_size),
        length,
        np.diff(tokens.begin),
        np.asarray([last[string] != i for i, string in enumerate(strings)]),
        _crossing(tokens, length, len(tokenizer.layout.channels)),
    )


def _crossing(tokens: TokenFile, length: np.ndarray, leads: int) -> int:
    found = 0
    for ids in tokens.texts:
        ends = np.cumsum(length[ids])
        samples = ends[-1] // leads
        found += int(((ends - length[ids]) // samples != (ends - 1) // samples).sum())
    return found


def summary(usage: Usage) -> dict[str, Any]:
    """The numbers that one wants first."""
    used, per_record = usage.count > 0, usage.per_record
    return {
        "records": len(per_record),
        "tokens": usage.tokens,
        "symbols": usage.symbols,
        "symbols_per_token": usage.symbols / usage.tokens,
        "tokens_per_record_median": float(np.median(per_record)),
        "tokens_per_record_min": int(per_record.min()),
        "tokens_per_record_max": int(per_record.max()),
        "vocabulary": len(usage.count),
        "used": int(used.sum()),
        "never_used": int((~used).sum()),
        "shadowed": int(usage.shadowed.sum()),
        "single_symbols_share": float(usage.count[:SYMBOLS].sum() / usage.tokens),
        "crossing_leads_share": usage.crossing / usage.tokens,
        "token_entropy_bits": usage.entropy_bits(),
        "bits_per_symbol": usage.entropy_bits() * usage.tokens / usage.symbols,
        "length_p10": usage.length_quantile(0.1),
        "length_median": usage.length_quantile(0.5),
        "length_p90": usage.length_quantile(0.9),
        "longest_used": int(usage.length[used].max()),
        "longest": int(usage.length.max()),
    }


def token_rows(usage: Usage, tokenizer: EcgByte) -> list[dict[str, Any]]:
    """A row a token, the most frequent first."""
    order = np.argsort(-usage.count, kind="stable")
    return [
        {
            "id": int(i),
            "published_id": int(tokenizer.published_ids(np.asarray([i]))[0]),
            "token": tokenizer.token_strings[i],
            "length": int(usage.length[i]),
            "count": int(usage.count[i]),
            "share": float(usage.count[i] / usage.tokens),
        }
        for i in order
    ]


def record_rows(usage: Usage, tokens: TokenFile) -> list[dict[str, Any]]:
    """A row a record."""
    return [
        {"recording": name, "start_s": float(start), "tokens": int(n)}
        for name, start, n in zip(tokens.recording, tokens.start_s, usage.per_record, strict=True)
    ]
