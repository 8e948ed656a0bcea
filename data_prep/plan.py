"""All that is decided before any signal is read: which recordings, whose, and what is done."""

import argparse
import copy
import dataclasses
import functools
import hashlib
import json
import math
import pathlib
from typing import Any

from etils import epath

from data_prep.assemble import PARTS_DIR
from data_prep.channel_choice import choose_channels
from data_prep.corpora import corpus_class
from data_prep.corpora.base import Corpus, CorpusError, Source
from data_prep.pairing import pair, read_rename, require_unique, warn_of_unnamed_people
from data_prep.parts import Recipe
from data_prep.places import ask_ahead
from data_prep.signal_options import asked_signal
from data_prep.split import hold_out, named_splits, settle_splits, split_recordings
from data_prep.work import PrepareError, size_of
from elm_jax.data.manifest import WORK_DIR, code_version
from elm_jax.data.spec import SignalSpec
from elm_jax.paths import is_remote

# Corpora whose input must be a disk's.
_READ_IN_PLACE = (
    "hdf5", "demo", "simulated_nights", "nmt", "seed", "tsu_ssvep", "m3cv", "hgd",
    "torch_tensors", "moabb", "bids",
)  # fmt: skip
# Options that name a file which is read while planning.
_TABLES = ("reports", "labels", "people", "exclude_people", "rename")
# Splits whose recordings can be named.
_NAMED = ("valid", "test")


@dataclasses.dataclass
class Plan:
    """What a command of this project decides; the same for every process that is given it.

    Attributes:
      corpus: where the recordings come from.
      sources: the recordings, by name.
      findings: what was left out or fits nothing.
      recipe: what is done to a recording.
      fractions: of people, by split; None for the default.
      options: every option that shapes the result, JSON-ready.
    """

    corpus: Corpus
    sources: list[Source]
    findings: list[dict[str, Any]]
    recipe: Recipe
    fractions: dict[str, float] | None
    options: dict[str, Any]

    @functools.cached_property
    def inputs_sha256(self) -> str:
        """Digest of the files' names and sizes and of all that was paired with them."""
        rows = [
            [s.file, size_of(s), s.recording, s.person, s.split, s.reports, s.labels, s.extra]
            for s in self.sources
        ]
        return _sha256([rows, self.findings])

    @functools.cached_property
    def keys(self) -> list[str]:
        """The name under which each recording's finished work is found again."""
        return [self.recipe.key(source) for source in self.sources]

    @functools.cached_property
    def state(self) -> str:
        """Digest of everything, the files' times included: which unfinished work may go on."""
        return _sha256([self.inputs_sha256, self.keys, self.options])

    def described(self) -> dict[str, Any]:
        """What another process's plan is compared with; see :func:`differences`."""
        return {
            "options": self.options,
            "inputs_sha256": self.inputs_sha256,
            "code_version": code_version(),
            "state": self.state,
        }


def _sha256(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def differences(there: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs between two plans as :meth:`Plan.described` has them, one line each.

    Only what both say is compared.
    """
    different = options_that_differ(there["options"], now["options"])
    if there["inputs_sha256"] != now["inputs_sha256"]:
        different.append("the input files, or the reports, labels or people given with them")
    if there.get("code_version", now["code_version"]) != now["code_version"]:
        different.append(f"the program: there {there['code_version']}, now {now['code_version']}")
    if not different and there.get("state", now["state"]) != now["state"]:
        different.append("the times of the input files: they were written or copied since")
    return different


def options_that_differ(there: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """``["window_s: there 5.0, now 10.0"]``, in the words of the command line."""
    there, now = _flat(there), _flat(now)
    return [
        f"{key}: there {there.get(key)!r}, now {now.get(key)!r}"
        for key in sorted(set(there) | set(now))
        if there.get(key) != now.get(key)
    ]


def _flat(options: dict[str, Any]) -> dict[str, Any]:
    """``{"spec": {"window_s": 5}}`` -> ``{"window_s": 5}``."""
    flat = {k: v for k, v in options.items() if k not in ("spec", "preparation")}
    return flat | options.get("spec", {}) | options.get("preparation", {})


def make_plan(args: argparse.Namespace) -> Plan:
    """Lists the sources, pairs them with their tables, and fixes every option.

    Raises:
      CorpusError, ReportsError, TableError, SpecError: the input or an option is at fault.
      PrepareError: a file that this cannot read where it lies.
    """
    _require_readable(args)
    kind = corpus_class(args.corpus)
    rename = read_rename(args.rename, kind.modality)
    corpus = kind(rename=rename)
    spec, options = _spec_and_options(args, corpus)
    _require_modality(corpus, spec, args)
    sources = corpus.sources(args)
    spec = corpus.spec(spec, args)
    findings = list(corpus.findings)
    sources, more = pair(sources, args)
    findings += more
    if corpus.settles_splits and args.split_by == "person":
        sources, more = settle_splits(sources)
        findings += more
    if args.test_people:
        sources = hold_out(sources, args.test_people)
    require_unique(sources)
    choice = choose_channels(corpus, sources, spec, args)
    spec, sources, findings = choice.spec, choice.sources, findings + choice.findings
    patterns = {split: getattr(args, f"{split}_recordings") for split in _NAMED}
    sources = named_splits(sources, patterns)
    # Now, not after hours of work: a person in two published splits is an error.
    split_recordings(sources, args.split, args.split_seed, args.split_by)
    if args.split_by == "person" and not corpus.recording_is_person:
        warn_of_unnamed_people(sources)
    sources = sorted(sources, key=lambda s: s.recording)
    ask_ahead([source.path for source in sources])
    written = {
        "corpus": corpus.name,
        "spec": {k: v for k, v in spec.to_dict().items() if k not in ("mean", "std")},
        "preparation": {k: _jsonable(v) for k, v in dataclasses.asdict(options).items()},
        "rename": rename or {},
        "hdf5_unit": args.hdf5_unit,
        "subject_is_person": args.subject_is_person,
        "split": args.split,
        "split_seed": args.split_seed,
        **({"test_people": args.test_people} if args.test_people else {}),
        **({"merl_split": pathlib.Path(args.merl_split).name} if args.merl_split else {}),
        "shard_mb": args.shard_mb,
        "min_shards": args.min_shards,
        **_split_by(args),
        **choice.options,
        **corpus.stated_options(args),
    }
    # It goes to every worker; what was found while listing does not.
    worker = copy.copy(corpus)
    worker.findings = []
    recipe = Recipe(worker, spec, options, out_path(args) / WORK_DIR / PARTS_DIR)
    return Plan(corpus, sources, findings, recipe, args.split, written)


def _require_modality(corpus: Corpus, spec: SignalSpec, args: argparse.Namespace) -> None:
    if spec.modality != corpus.modality:
        raise CorpusError(
            f"--signal {args.signal}: signals of modality {spec.modality!r}, and {args.corpus} "
            f"holds {corpus.modality!r}; leave --signal out, or name one of that modality"
        )


def _split_by(args: argparse.Namespace) -> dict[str, Any]:
    """Stated where it is not by person: manifests without it are."""
    if args.split_by == "person":
        return {}
    named = {f"{split}_recordings": getattr(args, f"{split}_recordings") for split in _NAMED}
    return {"split_by": args.split_by} | {k: list(v) for k, v in named.items() if v}


def out_path(args: argparse.Namespace) -> epath.Path:
    """``--out``, absolute: workers may have another working folder."""
    out = args.out or "."
    return epath.Path(out if is_remote(out) else pathlib.Path(out).absolute())


def _require_readable(args: argparse.Namespace) -> None:
    for name in _TABLES:
        path = getattr(args, name)
        if path and is_remote(path):
            raise PrepareError(
                f"--{name} {path}: expected a file of this machine, found a remote one; copy it "
                "here first (gcloud storage cp), it is small"
            )
    in_place = args.corpus in _READ_IN_PLACE or corpus_class(args.corpus).modality == "ecg"
    if args.input and is_remote(args.input) and in_place:
        raise PrepareError(
            f"--input {args.input}: {args.corpus} is read in place, which an object store does not "
            "allow; copy it to a disk, or mount the bucket (gcsfuse), and give that path"
        )


def _jsonable(value: Any) -> Any:
    return "inf" if isinstance(value, float) and math.isinf(value) else value


def _spec_and_options(args: argparse.Namespace, corpus: Corpus):
    from elm_jax.signals.pipeline import EVAL_OPTIONS, PrepOptions

    spec = asked_signal(args)
    # What pretraining cuts off and skips is ELM's rule.
    options = EVAL_OPTIONS if corpus.whole_recordings or args.signal != "elm" else PrepOptions()
    given = {
        field.name: getattr(args, field.name)
        for field in dataclasses.fields(options)
        if getattr(args, field.name) is not None
    }
    if given.get("cut_multiple_s") == 0:
        given["cut_multiple_s"] = None
    return spec, dataclasses.replace(options, **given)
