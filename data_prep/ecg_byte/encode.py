"""A prepared directory as tokens, and tokens as signals again."""

import os
import pathlib

import numpy as np
from tqdm import tqdm

from data_prep.ecg_byte.list_file import RecordList
from data_prep.ecg_byte.records import EcgRecords
from data_prep.ecg_byte.train import rows_of
from elm_jax.axes import Int
from elm_jax.data.ecg_byte import EcgByte
from elm_jax.data.ecg_byte.symbols import is_flat, quantum_mv
from elm_jax.data.ecg_byte.token_file import TokenFile


def encode(records: EcgRecords, chosen: RecordList | None, tokenizer: EcgByte) -> TokenFile:
    """The tokens of records in the order of the list, or as stored; flat ones are left out, listed.

    Holds two bytes a token.

    Raises:
      LayoutError: the directory holds another signal than the tokenizer's.
    """
    tokenizer.layout.require(records.layout, source=records.directory)
    ids, kept, ranges, flat = [], [], [], []
    rows = rows_of(records, chosen)
    lengths = []
    with tqdm(total=len(rows), desc="encode", unit="record", disable=None) as bar:
        for own, signal in records.batches(rows):
            texts = []
            for row, x in zip(own, signal, strict=True):
                if is_flat(x):
                    flat.append(records.name(row))
                    continue
                found = tokenizer.symbols(x, source=records.name(row))
                texts.append(found.symbols)
                ranges.append((found.minimum_mv, found.maximum_mv))
                kept.append(int(row))
            found_ids, begin = tokenizer.encode_texts(texts)
            ids.append(found_ids.astype(np.uint16))
            lengths.append(np.diff(begin))
            bar.update(len(own))
    if not kept:
        raise ValueError(f"{records.directory}: all {len(rows)} records are flat: no tokens")
    return _file(records, tokenizer, ids, lengths, kept, ranges, flat)


def _file(
    records: EcgRecords,
    tokenizer: EcgByte,
    ids: list[np.ndarray],
    lengths: list[np.ndarray],
    kept: list[int],
    ranges: list[tuple[float, float]],
    flat: list[str],
) -> TokenFile:
    minimum_mv, maximum_mv = np.asarray(ranges, np.float64).reshape(-1, 2).T
    return TokenFile(
        ids=np.concatenate(ids),
        begin=np.cumsum([0, *np.concatenate(lengths)]),
        minimum_mv=minimum_mv,
        maximum_mv=maximum_mv,
        recording=tuple(records.recording[row] for row in kept),
        start_s=records.start_s[kept],
        meta={
            "tokenizer": tokenizer.digest,
            "vocab_size": tokenizer.vocab_size,
            "signal": records.layout.to_dict(),
            "corpus": records.manifest.corpus,
            "simulated": records.manifest.simulated,
            "splits": list(records.splits),
            "flat": flat,
        },
    )


def decode(tokens: TokenFile, tokenizer: EcgByte, out: str | os.PathLike) -> tuple[int, ...]:
    """Writes the signals of all records as one ``.npy``, float32 ``[n c t]`` in millivolts.

    Returns:
      its shape.

    Raises:
      SymbolError, LayoutError: ids that are no record.
    """
    out = pathlib.Path(out)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    first = tokenizer.decode(*tokens[0])
    shape = (len(tokens), *first.shape)
    try:
        written = np.lib.format.open_memmap(temporary, "w+", np.float32, shape)
        for row in tqdm(range(len(tokens)), desc="decode", unit="record", disable=None):
            written[row] = tokenizer.decode(*tokens[row])
        written.flush()
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)
    return shape


def compare(
    tokens: TokenFile, records: EcgRecords, rows: Int[np.ndarray, " n"], signals: np.ndarray
) -> tuple[float, float]:
    """How far decoded signals are from the stored ones: at most, in levels and in millivolts.

    Args:
      tokens: the records as ids.
      records: of the directory that they may be of.
      rows: where each is in it.
      signals: decoded, ``[n c t]``.
    """
    levels, millivolts = 0.0, 0.0
    for begin in range(0, len(rows), 256):
        own = rows[begin : begin + 256]
        error = np.abs(records.read(own) - signals[begin : begin + len(own)]).max(axis=(1, 2))
        ends = range(begin, begin + len(own))
        quantum = [quantum_mv(tokens.minimum_mv[i], tokens.maximum_mv[i]) for i in ends]
        levels = max(levels, float((error / quantum).max()))
        millivolts = max(millivolts, float(error.max()))
    return levels, millivolts
