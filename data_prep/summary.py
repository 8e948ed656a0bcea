"""What a finished preparation says."""

import shlex
from collections import Counter
from collections.abc import Mapping
from typing import Any, TextIO

from etils import epath

from data_prep.corpora import corpus_class
from data_prep.corpora.events import say_counts
from data_prep.corpora.sleep_cassette import SleepCassette
from data_prep.findings import FINDING_KINDS, count_kinds, kind_sentence
from elm_jax.data.manifest import MANIFEST_FILE, SPLITS, Manifest
from elm_jax.data.spec import SignalSpec
from elm_jax.signals.profiles import EEGPT_SPEC, SLEEP_SPEC

_NIGHTS = "sleep_physionet"  # may read simulated nights, and is run by hand
# The recipe that is published for a window.
_RECIPES = {5.0: "elm_5s", 60.0: "elm_60s"}
# What is probed where it is not "abnormal".
_PROBED = {
    "tusz": "--config.evals.probe.labels.name=event=seiz ",
    "tuev": "--config.evals.probe.labels.name=event --config.evals.probe.labels.kind=multiclass ",
}
_MULTICLASS = "--config.labels.name=event --config.labels.kind=multiclass "
# Fields in which models that read channels by name may differ from their data, unasked.
_OPEN_FIELDS = ("channels", "window_s", "mean", "std", "slow_source")
# What a whole model is tuned on where that is what the windows are cut for.
_TUNED = {
    "tuab_windows": "--config.labels.name=abnormal ",
    "tuev_rows": _MULTICLASS,
}
_ASKED = ("cpsc2018", "csn")  # corpora with prompts of their own name
_PATCH = 75  # samples, of configs/ecg_st_mem.py; a patch of configs/ecg_mlae.py is a whole lead
_EVEN = 1.5  # classes of which the largest is no more than so many times the smallest
_ACROSS = 10  # more values of a label than these are listed down the page
_COLUMNS = ("people", "recordings", "windows", "hours", "reports")


def print_summary(out: epath.Path, manifest: Manifest) -> None:
    """Counts by split, what was skipped and why, and the next command."""
    kind = "simulated " if manifest.simulated else ""
    spec = manifest.spec
    print(f"\nPrepared {kind}corpus {manifest.corpus!r} -> {out}")
    print(
        f"  {len(spec.channels)} channels ({spec.montage}), {spec.sfreq_hz:g} Hz, "
        f"{spec.highpass_hz:g}-{spec.lowpass_hz:g} Hz, windows of {spec.window_s:g} s; "
        f"mean {spec.mean:.4g}, std {spec.std:.4g} (network values, train split)"
    )
    print("  " + "".join(name.rjust(12) for name in ("", *_COLUMNS)))
    for split in (*SPLITS, "total"):
        row = manifest.counts[split]
        cells = [f"{row[c]:.2f}" if c == "hours" else str(row[c]) for c in _COLUMNS]
        print("  " + "".join(cell.rjust(12) for cell in (split, *cells)))
    if manifest.split_by == "recording":
        homes = Counter(p for people in manifest.people.values() for p in people)
        both = sum(n > 1 for n in homes.values())
        print(
            f"  SPLIT BY RECORDING, not by person: {both} of {len(homes)} people are in several "
            "splits.\n  Scores say how well other recordings of the same people are read, and "
            "nothing about new people."
        )
    if factor := manifest.options.get("nmt_unit_factor"):
        print(f"  The files' values were multiplied by {factor:g} (--nmt_unit_factor)")
    print_channels(manifest.spec, manifest.options)
    _print_labels(manifest)
    _print_left_out(manifest)
    _print_defects(out, manifest)
    _print_gaps(manifest)
    # The demo is prepared by the main program, which goes on by itself.
    demo = manifest.simulated and manifest.corpus != _NIGHTS
    if not demo and manifest.spec.modality != "features":
        _print_next(out, manifest)


def _print_next(out: epath.Path, manifest: Manifest) -> None:
    """The command that most often follows: training, or probing what comes with labels."""
    window_s, more = manifest.spec.window_s, ""
    if manifest.spec.modality == "ecg":
        recipe, more = _of_leads(manifest)
    elif _of_sleep(manifest):
        by_split = manifest.counts.get("labels", {}).get("event", {}).values()
        staged = {stage for row in by_split for stage in row} & set(SleepCassette.classes)
        recipe, more = "relpos_sleep", "" if staged else "--config.evals.staging=None "
    elif manifest.spec.scale == EEGPT_SPEC.scale:  # for models that read channels by name
        recipe, more = _by_name(manifest)
    elif manifest.corpus in _TUNED:
        recipe, more = "eegpt_finetune", f"--config.init_from=MODEL {_TUNED[manifest.corpus]}"
    elif "labels" in manifest.counts:
        recipe, more = "elm_probe", f"--config.model=MODEL {_PROBED.get(manifest.corpus, '')}"
    elif not (recipe := _RECIPES.get(window_s, "")):
        recipe, more = "elm_5s", f"--config.signal.window_s={window_s:g} "
    print(
        f"\nNext:  python -m elm_jax.main --config configs/{recipe}.py {more}"
        f"--config.data.dir={shlex.quote(str(out))} --workdir runs/NAME"
    )


def _of_leads(manifest: Manifest) -> tuple[str, str]:
    """Recipe and options for ECGs.

    With texts a contrast; without, a masked autoencoder that takes such a window; where nobody is
    to be trained on, the question of what a finished model knows.
    """
    if not manifest.counts["train"]["people"]:
        own = f"--config.evals.zero_shot.prompt_files='(\"{manifest.corpus}\",)' "
        return "ecg_zero_shot", f"--config.model=MODEL {own if manifest.corpus in _ASKED else ''}"
    if manifest.counts["train"]["reports"]:
        return "ecg_merl", ""
    return "ecg_mlae" if manifest.spec.window_samples % _PATCH else "ecg_st_mem", ""


def _of_sleep(manifest: Manifest) -> bool:
    """Whether signals are those of ``--signal sleep``, of whatever channels."""
    ignore = (*_OPEN_FIELDS, "montage", "sfreq_hz")
    return not SLEEP_SPEC.differences(manifest.spec, ignore=ignore)


def _by_name(manifest: Manifest) -> tuple[str, str]:
    """Recipe and options for models that read channels by name: windows of events are probed."""
    if "event" not in manifest.counts.get("labels", {}):
        return "eegpt_pretrain", ""
    other = EEGPT_SPEC.differences(manifest.spec, ignore=_OPEN_FIELDS)
    more = "--config.init_signal=any " if other else ""
    return "eegpt_probe", f"--config.init_from=MODEL {more}{_MULTICLASS}"


def print_channels(spec: SignalSpec, options: Mapping[str, Any]) -> None:
    """Leads in their order; what of electrodes is not in the result, where nobody named them.

    Args:
      spec: of the signals.
      options: of the plan or the manifest.
    """
    choice = options.get("channel_choice")
    if spec.montage == "leads":
        print(f"  Leads: {', '.join(spec.channels)}")
    if not choice:
        return
    print(f"  Channels: {', '.join(spec.channels)}")
    if choice["left_out"]:
        names = (f"{name} ({n})" for name, n in choice["left_out"].items())
        where = "in the dictionary" if "set" in choice else "among these"
        print(f"  Left out, not {where} (recordings): {', '.join(names)}")
    for number, (size, count) in enumerate(choice.get("sets", ()), 1):
        if number != choice["set"]:
            print(
                f"  {count} recordings have another set, of {size} electrodes: skipped; "
                f"--channel_set {number} with another --out prepares them"
            )


def _print_labels(manifest: Manifest) -> None:
    """Recordings and windows of each value of the corpus's label, by split."""
    for name, by_split in manifest.counts.get("labels", {}).items():
        values = sorted({value for counted in by_split.values() for value in counted})
        print(f"  Windows (recordings) by label {name!r}:")
        rows = [["", *values]]
        for split in SPLITS:
            cells = [by_split.get(split, {}).get(value) for value in values]
            rows.append(
                [split, *(f"{c['windows']} ({c['recordings']})" if c else "0" for c in cells)]
            )
        if len(values) > _ACROSS:  # statements of ECGs: down the page
            rows = list(map(list, zip(*rows, strict=True)))
        width = max(12, *(len(text) + 2 for row in rows for text in row))
        for first, *others in rows:
            print("  " + first.rjust(12) + "".join(text.rjust(width) for text in others))
        if len(values) <= _ACROSS:
            _print_balance(by_split.get("train", {}), manifest.counts["train"]["windows"])


def _print_balance(counted: Mapping[str, Mapping[str, int]], total: int) -> None:
    """The shares of the train split's windows, where they are far from equal.

    Where a label is a list, a window is one of several values, and shares add up to more than all.
    """
    windows = {value: c["windows"] for value, c in counted.items() if c["windows"]}
    if len(windows) > 1 and max(windows.values()) > _EVEN * min(windows.values()):
        shares = ", ".join(f"{value} {n / total:.1%}" for value, n in sorted(windows.items()))
        print(f"  Unbalanced: of the train split's windows are {shares}")


def _print_left_out(manifest: Manifest) -> None:
    """What published evaluations leave out, added up over the recordings."""
    totals: Counter[str] = Counter()
    for defect in manifest.defects:
        if defect["kind"] == "events_dropped":
            for part in defect["detail"].split(", "):
                n, _, what = part.partition(" ")
                totals[what] += int(n)
    if totals:
        print(f"  Left out by the published rules: {say_counts(totals)}")


def _print_gaps(manifest: Manifest) -> None:
    """What the result lacks, or has too much of, and what to do."""
    total, without = manifest.counts["total"], manifest.counts["total"]["recordings_without_report"]
    if without == total["recordings"]:
        # A corpus that comes with labels is made to be probed, not to be trained on with text.
        own = getattr(corpus_class(manifest.corpus), "own_texts", ())
        if "statements" in own:
            print("  No recording has a text: --ecg_text statements makes sentences of diagnoses")
        elif "labels" not in manifest.counts and not _of_sleep(manifest):
            print("  No recording has a report: training with text needs them (--reports)")
    elif without:
        print(f"  {without} of {total['recordings']} recordings have no report")
    if not manifest.counts["train"]["people"]:
        print("  Nobody is in split 'train': it can be scored on, and not be trained on")
    if not manifest.counts["test"]["people"]:
        print("  Nobody is in split 'test': evaluation needs somebody (more people, or --split)")
    if _of_sleep(manifest) and not manifest.counts["valid"]["people"]:
        print(
            "  Nobody is in split 'valid', by whose loss training stops (more people, or --split; "
            "or train with\n  --config.validation=None --config.checkpoint.use=last)"
        )
    suspect = sorted({d["file"] for d in manifest.defects if d["kind"] == "unit_suspect"})
    if suspect:
        some = ", ".join(suspect[:5]) + (", ..." if len(suspect) > 5 else "")
        print(
            f"  Probably in another unit than stated: {some}. They were used as stated, and count "
            "in mean and std:\n  correct their unit, or move them out of --input, and prepare again"
        )


def _print_defects(out: epath.Path, manifest: Manifest) -> None:
    skipped: Mapping[str, int] = manifest.counts.get("skipped", {})
    if skipped:
        print("  Skipped recordings:")
        print_kinds(skipped)
    others = count_kinds(d for d in manifest.defects if d["kind"] not in skipped)
    if others:
        print("  Also noticed:")
        print_kinds(dict(others.most_common()))
    if manifest.defects:
        n = len(manifest.defects)
        which = f"All {n} entries" if n > 1 else "The entry"
        print(f"  {which}: 'defects' in {out / MANIFEST_FILE}")
    if "unexpected_error" in skipped:
        print("  Unexpected errors are most likely mistakes in elm_jax: please report them.")


def print_kinds(counts: Mapping[str, int], file: TextIO | None = None) -> None:
    """One line a kind: count, name, meaning."""
    for kind, n in counts.items():
        print(f"    {n:6d}  {kind}: {kind_sentence(kind)}", file=file)


SKIPPING_FINDINGS = frozenset(
    k for k, sentence in FINDING_KINDS.items() if sentence.endswith(": skipped")
)
