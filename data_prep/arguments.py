"""The command line of ``python -m data_prep.prepare``."""

import argparse
import dataclasses
import re
import shlex
import sys
from collections.abc import Sequence

from data_prep.corpora import CORPORA, corpus_class
from data_prep.corpus_options import add_corpus_options, require_own_options
from data_prep.signal_options import add_signal_options
from data_prep.split import BY, parse_fractions
from data_prep.storage import MIN_SHARDS, SHARD_BYTES

_EPILOG = """\
corpora:
  edf_folder   any folder of EDF/BDF files; give people and reports by --reports or --people
  edf_events   the same, with labels out of the files' annotations: windows around those that
               --event_labels names
  eegmmidb     PhysioNet EEG Motor Movement/Imagery: whole runs, or windows of its trials
  tueg         TUH EEG: TUEG, TUAB, TUSZ in every published folder layout, as unlabelled EEG
  tuab         TUH Abnormal EEG: normal or abnormal by recording, published train/eval split
  tuab_windows the same in 10 s, 23 electrodes, 200 Hz, as EEGPT and DARE-EEG cut it
  tuev         TUH EEG Events: 5 s around each event of a .rec file, six classes
  tuev_rows    the same for each row of a .rec file, 23 electrodes, 200 Hz, as these cut it
  tusz         TUH EEG Seizure v2: windows of seizure and background out of .csv_bi files
  nmt          NMT Scalp EEG: normal or abnormal by recording, unit error mended
  seed         SEED: clips with an emotion (Preprocessed_EEG), or raw .cnt sessions
  tsu_ssvep    Tsinghua's benchmark of visual evoked potentials: S1.mat to S35.mat
  m3cv         M3CV: epochs of 4 s in six paradigms, with their tables
  hgd          High-Gamma Dataset: whole runs, .edf or .mat
  torch_tensors  EEGPT's pretraining windows (TrainFolder, ValidFolder), people unknown
  bcic2a       BCI Competition IV 2a: imagery of four kinds, GDF with true labels in .mat
  bcic2b       BCI Competition IV 2b: left or right hand, three derivations, likewise
  sleep_edfx   Sleep-EDF Expanded, cassette study: epochs of 30 s in five stages
  sleep_physionet  the same nights at 100 Hz for relative positioning and staging, people and nights
               selectable, those without a hypnogram too (python -m data_prep.download fetches them)
  bids         any BIDS folder of EEG (EDF, BDF, BrainVision, EEGLAB, FIF): whole recordings or
               windows of events, with what participants.tsv says as labels
  kaggle_ern   INRIA BCI Challenge: right and wrong feedback, CSV with TrainLabels.csv
  physio_p300  PhysioNet erpbci: flashes with and without the target
  moabb        any data set that moabb reads (--moabb_set NAME), whole runs or windows
  hdf5         a file in ELM's published layout (needs --hdf5_unit)
  demo         simulated people; written first, to --input or beside --out
  ptbxl        PTB-XL: 12-lead ECGs with reports, SCP statements and its folds as splits
  cpsc2018     CPSC 2018: 12-lead ECGs with nine diagnoses, and its extra set with many more
  mimic_iv_ecg MIMIC-IV-ECG: 800,035 ECGs with a machine's reports and measurements
  code15       CODE-15%: ECGs of 7 or 10 s out of HDF5 parts, six diagnoses
  csn          Chapman-Shaoxing-Ningbo: ECGs with diagnoses in SNOMED CT
  wfdb_folder  any folder of ECGs in the format of WFDB (.hea); comments of the headers are texts
               and labels (PTB, CinC Challenges)
  simulated_nights  simulated nights of sleep, in the layout of sleep_physionet, likewise
  simulated_ecg  simulated ECGs with reports, in the layout of ptbxl, likewise

people:
  A person is institution:id. The same id at the same institution is the same person in every
  corpus (tuh:aaaaaaaa in TUEG and TUAB), equal ids at two institutions are two people. Splits,
  --people and --exclude_people go by person. tuab, tuev, tusz, nmt, kaggle_ern and ptbxl keep
  their published splits; who is in a test set and elsewhere stays in the test set only, and is
  listed.
  bcic2a, bcic2b, sleep_edfx and physio_p300 are benchmarked by leaving people out: --test_people.

The same command run again goes on where it was stopped. File names are kept, as names of
recordings, in the prepared directory; nothing of a file's header is (of WFDB's the comments are:
in corpora of ECGs they hold diagnoses and summaries).

large corpora (the result is the same, byte for byte, whichever way is taken):
  job array    N tasks run  --part 1/N  ...  --part N/N  into the same --out, at once or one after
               another; a killed one is run again. Then one run with --merge in place of --part.
               Tasks that cannot share a folder write to their own; copy those into one (rsync -a),
               then --merge.
  Beam         --runner (here, to try it), --runner DataflowRunner, FlinkRunner, SparkRunner, ...;
               needs  pip install 'elm_jax[beam]'  (Dataflow: 'elm_jax[dataflow]'). --input and
               --out may be gs://...; workers need this same version of elm_jax, by their image.
"""
_EXCLUSIVE = ("part", "merge", "runner")


@dataclasses.dataclass(frozen=True, order=True)
class Share:
    """One of ``count`` shares of the recordings; the first has number 1."""

    count: int
    number: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def file(self) -> str:
        """Name of its note."""
        return f"{self.number:05d}-of-{self.count:05d}.json"


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; ``split`` becomes fractions or None.

    ``words`` holds the command as it was given.

    Raises:
      SystemExit: a mistake in the command; argparse has said which.
    """
    parser = _parser()
    args = parser.parse_args(argv)
    args.words = list(sys.argv[1:] if argv is None else argv)
    published = corpus_class(args.corpus).published
    # Who asks for another signal wants nothing of the published one.
    if args.signal in (None, published.get("signal", args.signal)):
        for name, value in published.items():
            if getattr(args, name) is None:
                setattr(args, name, value)
    args.signal = args.signal or "elm"
    _require_one_way(parser, args)
    if args.input is None and not corpus_class(args.corpus).makes_input:
        parser.error(f"{args.corpus} needs --input DIR")
    if args.out is None and not (args.dry_run and args.input):
        parser.error("--out DIR is needed (only --dry_run goes without)")
    require_own_options(parser, args)
    if (args.valid_recordings or args.test_recordings) and args.split_by != "recording":
        parser.error("--valid_recordings and --test_recordings need --split_by recording")
    if (args.valid_recordings or args.test_recordings) and args.split:
        parser.error("recordings are split by their names or by --split; give one of the two")
    if args.test_people and args.split_by == "recording":
        parser.error("--test_people splits by person; leave out --split_by recording")
    if (args.workers or 0) < 0 or args.min_shards < 1 or args.shard_mb <= 0:
        parser.error("--workers must be 0 or more, --min_shards 1 or more, --shard_mb positive")
    return args


def same_command(args: argparse.Namespace, instead: str) -> str:
    """The command that was given, as another step of the same preparation.

    Args:
      args: of :func:`parse`.
      instead: what takes the place of ``--part`` or ``--merge``.
    """
    words, skip = [], False
    for word in args.words:
        name, _, value = word.partition("=")
        if skip or name in ("--merge", "--part", "--hdf5", "--dry_run"):
            skip = not skip and name in ("--part", "--hdf5") and not value
        else:
            words.append(word)
    return f"python -m data_prep.prepare {shlex.join(words)} {instead}"


def _require_one_way(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    given = [f"--{name}" for name in _EXCLUSIVE if getattr(args, name)]
    if len(given) > 1:
        parser.error(
            f"{' and '.join(given)} are ways to run the same preparation; give one of them "
            "(--part for each task of a job array, then --merge; or --runner for Apache Beam)"
        )
    if args.part and args.hdf5:
        parser.error("--hdf5 is written of the whole corpus: give it with --merge, not with --part")
    if args.beam_option and not args.runner:
        parser.error("--beam_option is for --runner; give both")
    if given and not args.out:
        parser.error(f"{given[0]} needs --out DIR")


def _part(text: str) -> Share:
    match = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if not match:
        raise argparse.ArgumentTypeError(f"expected i/N, such as 3/8, found {text!r}")
    number, count = int(match[1]), int(match[2])
    if not 1 <= number <= count:
        raise argparse.ArgumentTypeError(
            f"{text}: parts are counted from 1, here 1/{max(count, 1)} to {max(count, 1)}/"
            f"{max(count, 1)}"
        )
    return Share(count, number)


def _split(text: str) -> dict[str, float]:
    try:
        return parse_fractions(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.prepare",
        # All options, sixty lines of them, would stand above what a mistake is.
        usage="%(prog)s CORPUS --input DIR --out DIR [OPTION ...]   (--help lists all)",
        description="Turns a folder of EEGs or ECGs into shards that a model trains on.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("corpus", metavar="CORPUS", choices=sorted(CORPORA),
                        help=f"what the input is: {', '.join(sorted(CORPORA))}")  # fmt: skip
    _add_files(parser)
    add_signal_options(parser)
    _add_cuts(parser)
    add_corpus_options(parser)
    _add_splits(parser)
    _add_running(parser)
    return parser


def _add_files(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("files").add_argument
    add("--input", metavar="DIR", help="the folder of recordings (hdf5: the file)")
    add("--out", metavar="DIR", help="new directory for the shards and the manifest")
    add(
        "--reports",
        metavar="FILE",
        help="line-delimited JSON with 'report' and 'file' or 'recording' (else the line number, "
        "from 0, counts through the files by name); 'person' and labels are taken too",
    )
    add(
        "--labels",
        metavar="FILE",
        help=".csv, .tsv or .jsonl with a column file, recording or person; the others are labels",
    )
    add(
        "--people",
        metavar="FILE",
        help="a list of ids, one a line: take only these; or a table (.csv, .tsv, .jsonl) with "
        "file or recording, person, and optionally split: whose each recording is",
    )
    add(
        "--exclude_people",
        metavar="FILE|MANIFEST|DIR",
        help="a list of ids, a manifest.json or a prepared directory: leave these people out",
    )
    add(
        "--rename",
        metavar="MAP.yaml",
        help="channel name in the files: electrode or lead meant (null: leave it out)",
    )
    add("--hdf5", metavar="FILE", help="write the result as ELM's HDF5 too")
    add(
        "--dry_run",
        action="store_true",
        help="write nothing; say for every file what would be done, and what it takes",
    )


def _add_cuts(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("what is cut").add_argument
    add(
        "--drop_start_s",
        type=float,
        metavar="S",
        help="cut from the beginning of each recording (default: 10; "
        "tuev, tusz, signals but elm: 0)",
    )
    add(
        "--cut_multiple_s",
        type=float,
        metavar="S",
        help="cut each to a multiple of this; 0: do not (default: 10; "
        "tuev, tusz, signals but elm: 0)",
    )
    add(
        "--min_duration_s",
        type=float,
        metavar="S",
        help="skip recordings whose raw length is below (default: 60; "
        "tuev, tusz, signals but elm: 0)",
    )
    add(
        "--max_duration_s",
        type=float,
        metavar="S",
        help="skip recordings whose raw length is above; inf: none (default: 9000; "
        "tuev, tusz, signals but elm: none)",
    )


def _add_splits(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("people and splits").add_argument
    add(
        "--institution",
        metavar="NAME",
        help="whose people these are (default: tuh for the corpora of Temple University, the "
        "corpus's own name for other published ones, local for folders of one's own)",
    )
    add(
        "--split",
        type=_split,
        metavar="train=F,valid=F,test=F",
        help="fractions of people (default: 0.67, 0, 0.33); published splits are kept, with "
        "validation people taken from the published training people",
    )
    add(
        "--split_by",
        choices=BY,
        default="person",
        help="recording: a person's recordings may be in several splits, as for studies of one "
        "person; scores then say nothing about other people (default: person)",
    )
    for split in ("valid", "test"):
        add(
            f"--{split}_recordings",
            type=lambda text: tuple(filter(None, (part.strip() for part in text.split(",")))),
            default=(),
            metavar="PATTERN,...",
            help=f"with --split_by recording: those so named are in split {split}, such as '*R12'; "
            "all that are not named are in train",
        )
    add(
        "--test_people",
        metavar="ID,...",
        help="these people, and nobody else, are the test set; the others train (and validate, as "
        "--split says). Leaving one person out is a preparation each: --test_people A01",
    )
    add("--split_seed", type=int, default=0, metavar="N", help="(default: 0)")


def _add_running(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("running").add_argument
    add(
        "--workers",
        type=int,
        metavar="N",
        help="processes on this machine; 0: work in this one (default: one a core, or none where "
        "there is too little to do for it)",
    )
    add(
        "--shard_mb",
        type=float,
        default=SHARD_BYTES / 2**20,
        metavar="MB",
        help="size of a shard file (default: %(default)g)",
    )
    add(
        "--min_shards",
        type=int,
        default=MIN_SHARDS,
        metavar="N",
        help="files a split at least, so that several hosts can read (default: %(default)s)",
    )
    add = parser.add_argument_group("running a large corpus (see below)").add_argument
    add(
        "--part",
        type=_part,
        metavar="i/N",
        help="prepare the i-th of N shares of the recordings, counted from 1, and stop",
    )
    add("--merge", action="store_true", help="assemble what all parts have prepared")
    add(
        "--runner",
        nargs="?",
        const="DirectRunner",
        metavar="NAME",
        help="run on Apache Beam (default: DirectRunner, one recording after another here)",
    )
    add(
        "--beam_option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an option of the runner, such as project=mine or temp_location=gs://mine/tmp; may "
        "be repeated",
    )
