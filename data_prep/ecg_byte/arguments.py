"""The command line of ``python -m data_prep.ecg_byte``."""

import argparse
import dataclasses
from collections.abc import Sequence
from typing import Any

from data_prep.ecg_byte.option_types import leads, positive, ratio, whole
from elm_jax.data.manifest import SPLITS
from elm_jax.signal2vec import Settings
from elm_jax.signals.ecg.leads import ORDERS

_DESCRIPTION = """\
ECG-Byte: electrocardiograms as tokens. Each record (a window of a prepared ECG directory) is scaled
between its smallest and largest value, written in 26 levels lead after lead, and cut into the
tokens of a vocabulary that byte-pair encoding has learnt.

  python -m data_prep.prepare ptbxl --input PTBXL --out shards/ptbxl
  python -m data_prep.ecg_byte sample shards/ptbxl --records 500 --by clusters --out list.txt
  python -m data_prep.ecg_byte train shards/ptbxl --list list.txt --merges 5000 --out ecg_byte.json
  python -m data_prep.ecg_byte encode shards/ptbxl --tokenizer ecg_byte.json --out tokens.npz
  python -m data_prep.ecg_byte stats tokens.npz --tokenizer ecg_byte.json --out usage
"""
_EPILOG = """\
`COMMAND --help` explains each. Files are written whole or not at all; the same command with the
same files and seed writes the same bytes. Needs numba: pip install 'elm_jax[ecg]'.
"""
_RAW = argparse.RawDescriptionHelpFormatter


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; ``command`` says which.

    Raises:
      SystemExit: a mistake in the command; argparse has said which.
    """
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.ecg_byte",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=_RAW,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for add in (_sample, _train, _encode, _decode, _stats, _import, _signal2vec):
        add(commands)
    args = parser.parse_args(argv)
    if args.command == "sample" and args.by != "clusters" and _cluster_options(args):
        commands.choices["sample"].error(f"{_cluster_options(args)} say nothing of --by {args.by}")
    return args


def _command(commands: Any, name: str, line: str, text: str) -> argparse.ArgumentParser:
    return commands.add_parser(name, help=line, description=text, formatter_class=_RAW)


def _directory(parser: argparse.ArgumentParser, splits: str) -> None:
    parser.add_argument("directory", metavar="DIR", help="a prepared directory of ECGs")
    parser.add_argument(
        "--split",
        nargs="+",
        choices=SPLITS,
        default=splits.split(),
        help=f"whose records (default: {splits or 'all that hold any'})",
    )


def _tokens(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tokens", metavar="TOKENS", help="the file that `encode` wrote")
    _tokenizer(parser)


def _tokenizer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tokenizer", required=True, metavar="FILE", help="of `train` or `import`")


_CLUSTER_DEFAULTS = {"clusters": 20, "components": 16, "share": "proportional"}


def _cluster_options(args: argparse.Namespace) -> str:
    """Options of clusters that were given."""
    given = [n for n in (*_CLUSTER_DEFAULTS, "threads") if getattr(args, n) is not None]
    return ", ".join(f"--{name}" for name in given)


def _sample(commands: Any) -> None:
    parser = _command(
        commands,
        "sample",
        "draw records to train on, into a list",
        "Draws records into a list: plain text, how it was drawn, then a line a record.\n\n"
        "--by random gives each record the same chance. --by clusters describes each by its looks\n"
        "(how far and steeply each lead moves, its bands, the beats), divides them by k-means on\n"
        "principal components, and draws from each cluster; `--share equal` then shows rare looks\n"
        "as often as common ones. Flat records are never drawn.",
    )
    _directory(parser, "train")
    add = parser.add_argument
    add("--records", type=whole(1), required=True, metavar="N", help="how many to draw")
    add("--by", choices=("random", "clusters"), default="random", help="default: random")
    add("--clusters", type=whole(1), metavar="K", help="clusters to form (20)")
    add("--components", type=whole(1), metavar="N", help="principal components, at most (16)")
    add(
        "--share",
        choices=("proportional", "equal"),
        help="of each cluster as many as its size says (default), or as many of each",
    )
    add("--threads", type=whole(1), metavar="N", help="for k-means and BLAS (1)")
    add("--seed", type=whole(0), default=0, help="of the draw and of k-means (0)")
    add("--out", required=True, metavar="FILE", help="the list")


def _train(commands: Any) -> None:
    parser = _command(
        commands,
        "train",
        "train a vocabulary on records",
        "Learns a vocabulary: starting with 26 levels, the pair of tokens that stands together\n"
        "most often becomes a new token, as often as --merges says. Equal counts are decided by\n"
        "the smallest ids, so the same records always give the same vocabulary.\n\n"
        "Memory: about 8 bytes a symbol (12 leads x 2,500 samples = 30,000 symbols a record), and\n"
        "1 more while records are read; at worst 17. At most 2 thousand million symbols.",
    )
    _directory(parser, "train")
    add = parser.add_argument
    add("--list", metavar="FILE", help="only the records of this list (default: all)")
    add("--merges", type=whole(1), default=5000, metavar="N", help="tokens to add (5000)")
    add(
        "--least",
        type=whole(1),
        default=1,
        metavar="N",
        help="stop where no pair occurs so often (1)",
    )
    add(
        "--cross_records",
        action="store_true",
        help="let tokens reach from one record into the next, as the published trainer does",
    )
    add("--out", required=True, metavar="FILE.json", help="the tokenizer")


def _encode(commands: Any) -> None:
    parser = _command(
        commands,
        "encode",
        "write the tokens of a directory",
        "Writes the tokens of every record into one .npz: ids (0 to 25 levels, then merges in\n"
        "order), where each record's begin, its minimum and maximum, recording and time. At each\n"
        "place the longest token is taken. Leads, rate and window must be the tokenizer's. Flat\n"
        "records are left out and listed. Memory: 2 bytes a token.",
    )
    _directory(parser, "")
    _tokenizer(parser)
    parser.add_argument(
        "--list", metavar="FILE", help="only the records of this list, in its order"
    )
    parser.add_argument("--out", required=True, metavar="FILE.npz", help="the tokens")


def _decode(commands: Any) -> None:
    parser = _command(
        commands,
        "decode",
        "write the signals of tokens",
        "Writes the signals of tokens as one .npy, float32 [records, leads, samples] in\n"
        "millivolts, in the order of the token file. Each sample is off by at most half a level,\n"
        "1/52 of its record's range.",
    )
    _tokens(parser)
    parser.add_argument("--compare", metavar="DIR", help="say how far they are from these shards")
    parser.add_argument("--out", required=True, metavar="FILE.npy", help="the signals")


def _stats(commands: Any) -> None:
    parser = _command(
        commands,
        "stats",
        "say which tokens are used, in tables and figures",
        "Writes into a folder: summary.json, tokens.csv (a row a token, the most frequent first),\n"
        "records.csv (tokens of each record), and figures of token lengths, use, and text lengths.",
    )
    _tokens(parser)
    parser.add_argument("--out", required=True, metavar="FOLDER", help="made where it is missing")


def _import(commands: Any) -> None:
    parser = _command(
        commands,
        "import",
        "read a tokenizer that ECG-Bench released",
        "Reads ECG-Bench's pickled (vocab, merges) and writes our JSON. The pickle may hold plain\n"
        "data only: whatever it names from a module is refused with its name, and nothing of it\n"
        "is run. It does not tell which signals it is for; what is not given here is assumed to\n"
        "be ECG-Bench's (wanted order of leads, 250 Hz, windows of any length), and marked so.",
    )
    add = parser.add_argument
    add("pickle", metavar="FILE.pkl", help="such as ecg_byte_tokenizer_5000_500000.pkl")
    add(
        "--leads",
        type=leads,
        metavar="NAME,...",
        help=f"their order: names, or {' or '.join(ORDERS)} (default: wanted)",
    )
    add("--sfreq_hz", type=positive, metavar="HZ", help="samples a second (default: 250)")
    add("--window_s", type=positive, metavar="S", help="length of a record (default: any)")
    add("--out", required=True, metavar="FILE.json", help="the tokenizer")


def _signal2vec(commands: Any) -> None:
    parser = _command(
        commands,
        "signal2vec",
        "train vectors of tokens",
        "Trains a vector of each token from the tokens beside it (skip-gram with negative\n"
        "sampling) and writes: FILE.npz (vector, id, count, trained, loss, meta),\n"
        "FILE.neighbours.csv with the nearest tokens of each by cosine, and FILE.png, a map.\n"
        "The same seed gives the same vectors.",
    )
    _tokens(parser)
    said = {
        "width": "of a vector", "window": "tokens to either side, at most",
        "negatives": "random tokens a pair", "pairs": "pairs to train on, in all",
        "batch_pairs": "pairs a step", "learning_rate": "at first; falls along a cosine",
        "weight_decay": "decoupled, of Adam", "noise_power": "of the frequencies noise is drawn by",
        "min_count": "tokens that occur more rarely are left out",
        "subsample": "frequent tokens are thinned out from this frequency on; 0: none are",
    }  # fmt: skip
    for field in dataclasses.fields(Settings):
        kind = whole(0) if isinstance(field.default, int) else ratio
        usual = f"{field.default:,}" if isinstance(field.default, int) else f"{field.default:g}"
        line = f"{said[field.name]} ({usual})"
        parser.add_argument(f"--{field.name}", type=kind, default=field.default, help=line)
    add = parser.add_argument
    add("--neighbours", type=whole(1), default=10, metavar="N", help="listed for each token (10)")
    add("--seed", type=whole(0), default=0, help="of everything random (0)")
    add("--out", required=True, metavar="FILE.npz", help="the vectors")


def cluster_options(args: argparse.Namespace) -> dict:
    """Those of clusters, with what was not given."""
    values = {n: getattr(args, n) for n in _CLUSTER_DEFAULTS}
    return {n: _CLUSTER_DEFAULTS[n] if v is None else v for n, v in values.items()}
