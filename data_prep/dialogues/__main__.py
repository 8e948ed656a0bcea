"""Joins a published set of questions with prepared recordings.

    python -m data_prep.dialogues ecgqa_ptbxl --input ecg-qa --records prepared/ptbxl --out qa.jsonl

Beside ``qa.jsonl`` appears ``qa.findings.jsonl``: a line for each entry that gave no dialogue.
"""

import argparse
import csv
import json
import pathlib
import sys
from collections.abc import Iterable, Sequence

from etils import epath

from data_prep import durable
from data_prep.dialogues.base_records import CORPORA, PreparedRecords
from data_prep.dialogues.conversations import Conversations, EcgBench
from data_prep.dialogues.ecg_qa import FORMS, EcgQa
from data_prep.dialogues.joining import Joining, people_rows, report_lines
from data_prep.dialogues.published import Layout, signal_for_image
from data_prep.summary import print_kinds
from elm_jax.data.dialogues import DialogueError, iterate_dialogues
from elm_jax.data.manifest import SPLITS, ManifestError, NotPrepared
from elm_jax.paths import RemoteError

_QA = {"ecgqa_ptbxl": "ptbxl", "ecgqa_mimic_iv_ecg": "mimic_iv_ecg"}
# Word -> the fields that name the record, and the corpus of all where there is one.
_CONVERSATIONS = {
    "pretrain_mimic": (("ecg",), "mimic_iv_ecg"),
    "ecg_instruct_45k": (("ecg",), "mimic_iv_ecg"),
    "ecg_instruct_pulse": (("image",), None),
    "ecg_grounding": (("ecg", "image"), None),
}
_BENCH = "ecg_bench_pulse"
NAMES = (*_QA, *_CONVERSATIONS, _BENCH)
_EPILOG = """\
sets:
  ecgqa_ptbxl         ECG-QA about PTB-XL (python -m data_prep.download ecgqa fetches it)
  ecgqa_mimic_iv_ecg  ECG-QA about MIMIC-IV-ECG, of the same folder
  pretrain_mimic      ECG-Chat's Pretrain-MIMIC: reports of MIMIC-IV-ECG
  ecg_instruct_45k    ECG-Chat's ECG-Instruct-45k: conversations about MIMIC-IV-ECG
  ecg_instruct_pulse  PULSE's ECGInstruct: several corpora, named by their images' folders
  ecg_grounding       GEM's ECG-Grounding: likewise
  ecg_bench_pulse     PULSE's ECGBench, for tests: a folder or file a subset

A dialogue is in the split of its recordings' people; what is about people of two splits, or about
records that are not in a directory of --records, is left out, counted, and listed in
FILE.findings.jsonl beside FILE.jsonl.
"""


def layout_of(name: str, forms: tuple[str, ...] = FORMS) -> Layout:
    """The layout behind a word of the command line.

    Args:
      name: the word.
      forms: of ECG-QA, those that are taken.
    """
    if name in _QA:
        return EcgQa(name, _QA[name], forms)
    return EcgBench(name) if name == _BENCH else Conversations(name, *_CONVERSATIONS[name])


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line.

    Raises:
      SystemExit: a mistake in the command; argparse has said which.
    """
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.dialogues",
        usage="%(prog)s NAME --input PATH ... --records DIR ... --out FILE.jsonl [OPTION ...]",
        description="Joins a published set of questions about ECGs with prepared recordings.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("name", metavar="NAME", choices=NAMES, help="which set, see below")
    add(
        "--input",
        required=True,
        nargs="+",
        metavar="PATH",
        help="its files (.json, .jsonl, .parquet), or folders with them at any depth",
    )
    add(
        "--records",
        required=True,
        nargs="+",
        metavar="[CORPUS=]DIR",
        help="prepared directories that the set asks about; CORPUS= for one that was prepared "
        f"under another name, of {', '.join(CORPORA)}",
    )
    add("--out", required=True, metavar="FILE.jsonl", help="the file to write")
    add(
        "--form",
        choices=(*FORMS, "both"),
        default="both",
        help="ECG-QA: questions as of their templates, paraphrased, or both (default)",
    )
    add(
        "--image_word",
        choices=("image", "signal"),
        default="image",
        help="signal: where a text speaks of an image, let it speak of a signal (default: as "
        "published)",
    )
    add(
        "--reports",
        metavar="FILE.jsonl",
        help="write what is said of each recording as a reports file for data_prep.prepare, too",
    )
    add(
        "--people",
        metavar="FILE.csv",
        help="write a table for data_prep.prepare --people that puts everybody into the set's own "
        "split, too: prepared with it, the recordings are split as the set was published",
    )
    args = parser.parse_args(argv)
    if args.form != "both" and args.name not in _QA:
        parser.error(f"--form says nothing of {args.name}")
    if pathlib.Path(args.out).suffix != ".jsonl":
        parser.error(f"--out {args.out}: expected a name that ends in .jsonl")
    return args


def join(args: argparse.Namespace) -> Joining:
    """Runs a parsed command; the files appear whole, or not at all.

    Raises:
      DialogueError: the input is at fault, or nothing of it can be joined; says why.
      NotPrepared, ManifestError: ``--records`` names what is no (finished) prepared directory.
    """
    out = epath.Path(args.out)
    layout = layout_of(args.name, FORMS if args.form == "both" else (args.form,))
    records = PreparedRecords(args.records)
    if (args.reports or args.people) and len(records.corpora) > 1:
        raise DialogueError(
            f"--reports and --people are for preparing one corpus, and --records has "
            f"{', '.join(sorted(records.corpora))}; give one of them"
        )
    listing = out.with_suffix(".findings.jsonl")
    out.parent.mkdir(parents=True, exist_ok=True)
    with durable.new_file(listing) as aside, aside.open("w", encoding="utf-8") as findings:
        joining = Joining(
            layout,
            records,
            findings=lambda found: findings.write(f"{json.dumps(found, ensure_ascii=False)}\n"),
            text=signal_for_image if args.image_word == "signal" else str,
        )
        with durable.new_file(out) as temporary:
            lines = (dialogue.to_json() for dialogue in joining.dialogues(args.input))
            _write(temporary, lines)
            if not joining.counts:
                raise DialogueError(f"nothing of {args.name} could be joined:{joining.say_kinds()}")
    if args.people:
        with durable.new_file(epath.Path(args.people)) as temporary:
            with temporary.open("w", encoding="utf-8", newline="") as file:
                rows = people_rows(joining)
                csv.writer(file).writerows([("recording", "person", "split"), *rows])
    if args.reports:
        said = report_lines(iterate_dialogues(out), layout)
        with durable.new_file(epath.Path(args.reports)) as temporary:
            _write(temporary, (json.dumps(line, ensure_ascii=False) for line in said))
    return joining


def _write(path: pathlib.Path, lines: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for line in lines:
            file.write(f"{line}\n")


def print_joining(joining: Joining, args: argparse.Namespace) -> None:
    """Counts by type and split, what was left out and why, and what follows."""
    print(f"{args.name}: {joining.counts.total()} dialogues -> {args.out}")
    kinds = sorted({kind for kind, _ in joining.counts})
    rows = [[kind, *(joining.counts[kind, split] for split in SPLITS)] for kind in kinds]
    rows.append(["total", *map(sum, list(zip(*rows, strict=True))[1:])])
    width = max(len(row[0]) for row in rows) + 2
    for first, *others in [["", *SPLITS], *rows]:
        print("  " + first.ljust(width) + "".join(str(cell).rjust(9) for cell in others))
    _print_published(joining.published_splits)
    if joining.kinds:
        print("  Left out or noticed (entries):")
        print_kinds(dict(joining.kinds.most_common()))
        print(f"  Each of them: {pathlib.Path(args.out).with_suffix('.findings.jsonl')}")
    for option in ("reports", "people"):
        if file := getattr(args, option):
            print(f"Next:  python -m data_prep.prepare ... --{option} {file}")


def _print_published(counts: dict[tuple[str, str], int]) -> None:
    """Where the set's own splits are in ours, which follow the recordings' people."""
    for own in dict.fromkeys(own for own, _ in sorted(counts)):
        places = ", ".join(f"{counts[own, s]} in {s}" for s in SPLITS if counts[own, s])
        print(f"  Of the set's own {own}: {places}")


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Errors of the input end with one message and status 2."""
    args = parse(argv)
    try:
        print_joining(join(args), args)
        return 0
    except (DialogueError, NotPrepared, ManifestError, RemoteError) as error:
        print(f"dialogues: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"dialogues: {error.filename or args.out}: {error.strerror or error}", file=sys.stderr
        )
        return 2


if __name__ == "__main__":
    sys.exit(main())
