"""``python -m data_prep.ecg_byte COMMAND``; errors of the input end with one message, status 2."""

import argparse
import dataclasses
import io
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from data_prep.ecg_byte.arguments import cluster_options, parse
from data_prep.ecg_byte.list_file import RecordList
from data_prep.ecg_byte.records import EcgRecords, few
from elm_jax import paths, tables
from elm_jax.data.ecg_byte import EcgByte, EcgLayout
from elm_jax.data.ecg_byte.symbols import shortened
from elm_jax.data.ecg_byte.token_file import TokenFile
from elm_jax.signals.ecg.leads import WANTED_ORDER
from elm_jax.signals.profiles import profile


def sample(args: argparse.Namespace) -> None:
    """``sample``: a list of records."""
    from data_prep.ecg_byte.sample import draw_at_random, draw_by_clusters

    records = EcgRecords(args.directory, args.split)
    if args.by == "random":
        drawn = draw_at_random(records, args.records, seed=args.seed)
    else:
        options = cluster_options(args) | {"seed": args.seed, "threads": args.threads or 1}
        drawn = draw_by_clusters(records, args.records, **options)
    drawn.save(_out(args.out))
    print("\n".join(drawn.drawn))
    print(f"Wrote {args.out}: {len(drawn)} records.")


def train(args: argparse.Namespace) -> None:
    """``train``: a tokenizer."""
    from data_prep.ecg_byte.train import train as run

    records = EcgRecords(args.directory, args.split)
    options = {name: getattr(args, name) for name in ("merges", "least", "cross_records")}
    run(records, _list(args), **options).save(_out(args.out))
    print(f"Wrote {args.out}.")


def encode(args: argparse.Namespace) -> None:
    """``encode``: a file of tokens."""
    from data_prep.ecg_byte.encode import encode as run

    records = EcgRecords(args.directory, args.split)
    tokens = run(records, _list(args), EcgByte.load(args.tokenizer))
    tokens.save(_out(args.out))
    symbols = len(tokens) * len(records.layout.channels) * records.layout.samples
    print(
        f"Wrote {args.out}: {len(tokens):,} records, {len(tokens.ids):,} tokens, "
        f"{symbols / len(tokens.ids):.2f} symbols each."
    )
    if flat := tokens.meta["flat"]:
        print(f"Left out, flat: {few(flat)}.")


def decode(args: argparse.Namespace) -> None:
    """``decode``: signals."""
    from data_prep.ecg_byte.encode import compare
    from data_prep.ecg_byte.encode import decode as run

    tokens, tokenizer = _tokens(args)
    if paths.is_remote(args.out):
        raise ValueError(f"--out {args.out}: signals are written in place; give a local file")
    # Whether there is something to compare with is known before gigabytes are written.
    records = EcgRecords(args.compare, tokens.meta["splits"]) if args.compare else None
    rows = records.find(tokens.recording, tokens.start_s) if records else None
    shape = run(tokens, tokenizer, _out(args.out))
    print(f"Wrote {args.out}: float32 {list(shape)}, millivolts.")
    if records:
        levels, millivolts = compare(tokens, records, rows, np.load(args.out, mmap_mode="r"))
        print(f"Against {args.compare}: off by {levels:.4f} levels, {millivolts:.4f} mV at most.")


def stats(args: argparse.Namespace) -> None:
    """``stats``: tables and figures."""
    from elm_jax.data.ecg_byte import usage
    from elm_jax.evals.figures_ecg_byte import usage_figures

    tokens, tokenizer = _tokens(args)
    found = usage.usage_of(tokens, tokenizer, source=args.tokens)
    folder = _out(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    numbers = usage.summary(found) | {k: tokens.meta[k] for k in ("corpus", "simulated", "splits")}
    paths.write_text(folder / "summary.json", json.dumps(numbers, indent=1) + "\n")
    rows = {
        "tokens.csv": usage.token_rows(found, tokenizer),
        "records.csv": usage.record_rows(found, tokens),
    }
    for name, table in rows.items():
        paths.write_text(folder / name, tables.to_csv(table))
    what = f"{tokens.meta['corpus']}, {tokenizer.vocab_size:,} ids"
    drawn = usage_figures(found, what=what, simulated=tokens.meta["simulated"])
    for name, figure in drawn.items():
        _save_figure(folder / f"{name}.png", figure)
    print("\n".join(f"{k:26} {tables.format_value(v)}" for k, v in numbers.items()))
    print(f"Wrote {folder}: summary.json, {', '.join(rows)}, {', '.join(drawn)} (.png).")


def import_(args: argparse.Namespace) -> None:
    """``import``: a released tokenizer as ours."""
    from elm_jax.data.ecg_byte.published import read_published

    given = {"channels": args.leads, "sfreq_hz": args.sfreq_hz, "window_s": args.window_s}
    assumed = [name for name, value in given.items() if value is None]
    usual = {"channels": WANTED_ORDER, "sfreq_hz": profile("ecg").sfreq_hz, "window_s": None}
    layout = EcgLayout(**{k: usual[k] if v is None else v for k, v in given.items()})
    tokenizer = read_published(args.pickle, layout, assumed=assumed)
    tokenizer.save(_out(args.out))
    print(f"Wrote {args.out}: {tokenizer.vocab_size:,} ids.")
    for name in assumed:
        print(f"Assumed, since the file does not tell: {name} = {getattr(layout, name)}")


def signal2vec(args: argparse.Namespace) -> None:
    """``signal2vec``: vectors of tokens."""
    from data_prep.ecg_byte import vectors
    from elm_jax.evals.figures_ecg_byte import vector_map
    from elm_jax.signal2vec import Settings, save

    tokens, tokenizer = _tokens(args)
    settings = Settings(**{f.name: getattr(args, f.name) for f in dataclasses.fields(Settings)})
    found = vectors.train(tokens, settings, args.seed)
    out = _out(args.out)
    save(out, found, vectors.meta_of(tokens, tokenizer, settings, args.seed))
    rows = vectors.neighbour_rows(found, tokenizer, args.neighbours)
    paths.write_text(out.with_suffix(".neighbours.csv"), tables.to_csv(rows))
    what = f"{tokens.meta['corpus']}, {int(found.trained.sum()):,} tokens"
    plane = vectors.plane(found, tokenizer)
    figure = vector_map(*plane, what=what, simulated=tokens.meta["simulated"])
    _save_figure(out.with_suffix(".png"), figure)
    _print_neighbours(rows)
    print(
        f"Wrote {out}, {out.stem}.neighbours.csv, {out.stem}.png; last loss {found.loss[-1]:.4f}."
    )


def _print_neighbours(rows: Sequence[Mapping[str, Any]]) -> None:
    """The three nearest of the most frequent tokens; runs of a letter by their length."""
    shown: dict[str, list[str]] = {}
    for row in rows:
        if row["rank"] <= 3 and (row["token"] in shown or len(shown) < 10):
            near = f"{shortened(row['neighbour'])} {row['cosine']:.2f}"
            shown.setdefault(row["token"], []).append(near)
    table = [{"token": shortened(t), "nearest": ", ".join(near)} for t, near in shown.items()]
    print("\n".join(tables.aligned(table)))


def _list(args: argparse.Namespace) -> RecordList | None:
    return RecordList.load(args.list) if args.list else None


def _tokens(args: argparse.Namespace) -> tuple[TokenFile, EcgByte]:
    tokens, tokenizer = TokenFile.load(args.tokens), EcgByte.load(args.tokenizer)
    tokens.require_tokenizer(tokenizer, source=args.tokens)
    return tokens, tokenizer


def _out(path: str) -> epath.Path:
    """Where a file is to be written, in a folder that is there."""
    out = paths.of(path)
    if not paths.is_remote(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    return out


def _save_figure(path: epath.Path, figure: Any) -> None:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=120)
    path.write_bytes(drawn.getvalue())


COMMANDS = {
    "sample": sample,
    "train": train,
    "encode": encode,
    "decode": decode,
    "stats": stats,
    "import": import_,
    "signal2vec": signal2vec,
}


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0, or 2 with a message where the input is at fault."""
    args = parse(argv)
    try:
        COMMANDS[args.command](args)
    except OSError as error:
        known = error.filename and error.strerror
        told = f"{error.filename}: {error.strerror}" if known else error
        print(f"ecg_byte: {told}", file=sys.stderr)
        return 2
    except (ValueError, ImportError) as error:
        print(f"ecg_byte: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
