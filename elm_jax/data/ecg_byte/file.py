"""The file of a tokenizer: JSON that says everything, and is believed in nothing."""

import json
from collections.abc import Sequence
from typing import Any

from etils import epath

from elm_jax import paths
from elm_jax.data.ecg_byte.layout import EcgLayout, LayoutError
from elm_jax.data.ecg_byte.symbols import LETTERS, NORMALISATION, SYMBOLS
from elm_jax.data.ecg_byte.training import MAX_IDS

FORMAT, VERSION = "elm_jax ECG-Byte tokenizer", 1
MAX_LETTERS = 50_000_000  # of all tokens together: a released one has 110,000
_IMPORT = (
    "ECG-Bench's .pkl files are imported by: python -m data_prep.ecg_byte import FILE.pkl --out "
    "FILE.json"
)
_FIELDS = ("format", "version", "signal", "assumed", "normalisation", "training", "pairs", "tokens")


class TokenizerFileError(ValueError):
    """A file that is no tokenizer of this version; names the file, the field and what is wrong."""


def to_json(tokenizer: Any) -> str:
    """The text of the file: one token a line, so that two can be compared by eye."""
    head = {
        "format": FORMAT,
        "version": VERSION,
        "signal": tokenizer.layout.to_dict(),
        "assumed": list(tokenizer.assumed),
        "normalisation": NORMALISATION,
        "training": dict(tokenizer.training),
    }
    pairs = None if tokenizer.pairs is None else [list(p) for p in tokenizer.pairs]
    text = json.dumps(head, indent=1, ensure_ascii=False)[:-2]
    return f'{text},\n "pairs": {json.dumps(pairs)},\n "tokens": {_lines(tokenizer.merged)}\n}}\n'


def _lines(values: Sequence[str]) -> str:
    return "[\n  " + ",\n  ".join(json.dumps(v) for v in values) + "\n ]"


def read(path: epath.PathLike) -> dict[str, Any]:
    """The fields of an EcgByte, checked.

    Raises:
      FileNotFoundError: there is no such file.
      TokenizerFileError: it is something else, of another version, or damaged.
    """
    try:
        values = json.loads(paths.read_text(path))
    except UnicodeDecodeError as error:
        raise TokenizerFileError(f"{path}: no text, so not a tokenizer file; {_IMPORT}") from error
    except ValueError as error:
        raise TokenizerFileError(f"{path}: not JSON ({error})") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise TokenizerFileError(f"{path}: not a tokenizer file (no format {FORMAT!r}); {_IMPORT}")
    if values.get("version") != VERSION:
        raise TokenizerFileError(
            f"{path}: version is {values.get('version')!r}, this elm_jax reads {VERSION}"
        )
    if set(values) != set(_FIELDS):
        missing, unknown = set(_FIELDS) - set(values), set(values) - set(_FIELDS)
        raise TokenizerFileError(f"{path}: lacks {sorted(missing)}, has unknown {sorted(unknown)}")
    return _checked(values, str(path))


def _checked(values: dict[str, Any], path: str) -> dict[str, Any]:
    if values["normalisation"] != NORMALISATION:
        raise TokenizerFileError(
            f"{path}: normalisation is {values['normalisation']}, expected {NORMALISATION}"
        )
    try:
        layout = EcgLayout.from_dict(values["signal"], source=f"{path}: signal")
    except LayoutError as error:
        raise TokenizerFileError(str(error)) from error
    assumed, training = values["assumed"], values["training"]
    known = set(layout.to_dict())
    if not isinstance(assumed, list) or not set(map(str, assumed)) <= known:
        raise TokenizerFileError(f"{path}: assumed is {assumed}, expected some of {sorted(known)}")
    if not isinstance(training, dict):
        raise TokenizerFileError(f"{path}: training is {training!r}, expected an object")
    tokens, pairs = values["tokens"], values["pairs"]
    if not isinstance(tokens, list) or not all(isinstance(t, str) for t in tokens):
        raise TokenizerFileError(f"{path}: tokens must be a list of texts")
    if pairs is not None:
        pairs = _pairs_of(pairs, path)
    require_tokens(tokens, pairs, source=path)
    return {
        "layout": layout,
        "merged": tuple(tokens),
        "pairs": pairs,
        "training": training,
        "assumed": tuple(assumed),
    }


def _pairs_of(values: Any, path: str) -> tuple[tuple[int, int], ...]:
    if not isinstance(values, list):
        raise TokenizerFileError(f"{path}: pairs must be null or a list, is {values!r}")
    for number, pair in enumerate(values):
        if not isinstance(pair, list) or [type(v) for v in pair] != [int, int]:
            raise TokenizerFileError(f"{path}: pair {number} is {pair!r}, expected two ids")
    return tuple((a, b) for a, b in values)


def require_tokens(
    merged: Sequence[str], pairs: Sequence[tuple[int, int]] | None, *, source: str
) -> None:
    """Raises unless these are merged tokens, each the two that it is said to be made of.

    Raises:
      TokenizerFileError: names ``source`` and the token.
    """
    if not 1 <= len(merged) <= MAX_IDS - SYMBOLS:
        raise TokenizerFileError(
            f"{source}: {len(merged)} merged tokens, expected 1 to {MAX_IDS - SYMBOLS}"
        )
    if (letters := sum(map(len, merged))) > MAX_LETTERS:
        raise TokenizerFileError(
            f"{source}: tokens have {letters:,} letters together, expected at most {MAX_LETTERS:,}"
        )
    for number, token in enumerate(merged):
        if len(token) < 2 or not set(token) <= set(LETTERS):
            raise TokenizerFileError(
                f"{source}: token {SYMBOLS + number} is {token[:40]!r}, expected two or more "
                "letters a to z"
            )
    if pairs is None:
        return
    if len(pairs) != len(merged):
        raise TokenizerFileError(f"{source}: {len(pairs)} pairs for {len(merged)} tokens")
    strings = [*LETTERS, *merged]
    for token, (first, second) in enumerate(pairs, SYMBOLS):
        known = 0 <= first < token and 0 <= second < token
        if not known or strings[first] + strings[second] != strings[token]:
            raise TokenizerFileError(
                f"{source}: token {token} is {strings[token][:40]!r}, which is not the tokens "
                f"{first} and {second} together"
            )
