"""Options of the command line that say what the signals shall be: a named one, and what differs."""

import argparse
import math
from typing import Any

from elm_jax.data.spec import CLEANING, RESAMPLERS, SLOW_SOURCES, SignalSpec, SpecError
from elm_jax.signals.ecg.leads import nearest_lead, parse_lead
from elm_jax.signals.montage import MONTAGES
from elm_jax.signals.names import EARS, nearest_known, parse_label
from elm_jax.signals.profiles import BY_NAME, PROFILES, profile

# Words for --channels that are not lists.
CHOICES = ("profile", "dictionary")
# Options that take the place of a field of the named signal.
_FIELDS = (
    "montage", "window_s", "sfreq_hz", "highpass_hz", "lowpass_hz", "notch_hz", "resample",
    "slow_source", "cleaning",
)  # fmt: skip


def add_signal_options(parser: argparse.ArgumentParser) -> None:
    """Adds them as a group of their own."""
    add = parser.add_argument_group("signals").add_argument
    add(
        "--signal",
        choices=sorted(PROFILES),
        help="what the signals shall be: elm (20 derivations, 100 Hz, 5 s; default), eegpt "
        "(electrodes against their mean, 256 Hz, 4 s; default of the corpora that are its "
        "benchmarks, with their own window and band), tuh (23 electrodes as recorded, 200 Hz, "
        "10 s; default of tuab_windows and tuev_rows), sleep (Fpz-Cz and Pz-Oz, 100 Hz, 30 s, to "
        "30 Hz; default of sleep_physionet) or ecg (12 leads in mV, 250 Hz, 10 s; default of the "
        "corpora of ECGs); the options below override its fields",
    )
    add(
        "--channels",
        metavar="CHOICE|LIST",
        help="electrodes or derivations such as C3,Cz,C4, leads such as I,II,V1; profile: those of "
        "--signal (default for elm and ecg); dictionary: those of the recordings that models which "
        "read channels by name know, the others are listed (default for eegpt, but that corpora of "
        "trials have their own)",
    )
    add(
        "--channel_set",
        type=int,
        default=1,
        metavar="N",
        help="with --channels dictionary, where recordings have different electrodes: prepare the "
        "N-th commonest set (default: 1), skip the others",
    )
    add("--montage", choices=MONTAGES, help="(default: --signal's)")
    add("--window_s", type=float, metavar="S", help="model window (default: --signal's)")
    add("--sfreq_hz", type=float, metavar="HZ", help="rate to resample to, up or down")
    add("--highpass_hz", type=float, metavar="HZ", help="lower edge of the band; 0: none")
    add("--lowpass_hz", type=float, metavar="HZ", help="upper edge of the band")
    add(
        "--notch_hz",
        type=_frequencies,
        metavar="HZ,...",
        help="take these out (mains: 50 or 60, and its multiples within the band); 0: none",
    )
    add(
        "--resample",
        choices=RESAMPLERS,
        help="mne_fft as the released weights have it (default of EEG), polyphase (default of "
        "ecg), or for an ECG cubic: splines on true time, without a low-pass",
    )
    add(
        "--slow_source",
        choices=SLOW_SOURCES,
        help="recordings whose rate cannot hold the band: refuse them (default for elm), or narrow "
        "the band for them and list them (default for eegpt and ecg)",
    )
    add(
        "--cleaning",
        type=_cleaning,
        metavar="STEP,...",
        help="ecg: baseline (its wander, by medians over 200 and 600 ms), wavelet (noise above "
        "12 Hz, by thresholds), or both; mains: --notch_hz; bands: --highpass_hz, --lowpass_hz "
        "(default: nothing is taken out)",
    )


def asked_signal(args: argparse.Namespace) -> SignalSpec:
    """The signal that the options describe; with ``--channels dictionary`` its channels are open.

    Raises:
      SpecError: an impossible combination, or channels that are no electrodes or derivations.
    """
    named = profile(args.signal)
    fields: dict[str, Any] = {
        name: getattr(args, name) for name in _FIELDS if getattr(args, name) is not None
    }
    ecg = named.modality == "ecg"
    if args.channels not in (None, *CHOICES):
        fields["channels"] = (_leads if ecg else _channels)(args.channels)
    # No upper edge is stated as half of the rate, whatever rate is asked for.
    if "sfreq_hz" in fields and named.lowpass_hz == named.sfreq_hz / 2:
        fields.setdefault("lowpass_hz", fields["sfreq_hz"] / 2)
    spec = named.replace(**fields)
    if ecg and spec.montage != named.montage:
        raise SpecError(f"--montage {spec.montage}: an ECG has leads; leave it out")
    if ecg and by_dictionary(args):
        raise SpecError("--channels dictionary: it is of electrodes; name leads, such as I,II,V1")
    if spec.montage == "tcp20" and spec.channels != named.channels:
        raise SpecError(
            f"--channels {args.channels}: the montage tcp20 is of 20 derivations; give --montage "
            "electrodes (as recorded) or --montage average (against their mean) with it"
        )
    if spec.montage == "average" and (pairs := [c for c in spec.channels if "-" in c]):
        raise SpecError(
            f"--channels: the montage average is of electrodes, found {', '.join(pairs)}; give "
            "--montage electrodes for derivations"
        )
    if by_dictionary(args) and spec.montage == "tcp20":
        raise SpecError(
            "--channels dictionary: the dictionary is of electrodes, and the montage tcp20 of "
            "derivations; give --montage average with it"
        )
    if args.channel_set < 1 or (args.channel_set > 1 and not by_dictionary(args)):
        raise SpecError(
            f"--channel_set {args.channel_set}: sets are counted from 1, and there are several "
            "only with --channels dictionary"
        )
    return spec


def by_dictionary(args: argparse.Namespace) -> bool:
    """Whether channels are those that the dictionary knows."""
    return args.channels == "dictionary" or (args.channels is None and args.signal in BY_NAME)


def _channels(text: str) -> tuple[str, ...]:
    names = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        parsed = parse_label(word)
        if parsed.kind not in ("electrode", "bipolar"):
            near = nearest_known(word)
            hint = f"; is {near} meant?" if near else f", or one of the words {', '.join(CHOICES)}"
            raise SpecError(
                f"--channels: {word!r} is no electrode or derivation, such as C3 or C3-Cz{hint}"
            )
        if parsed.reference in EARS:
            raise SpecError(
                f"--channels: {word!r} names an ear as the reference; electrodes are taken as the "
                f"recordings are referenced (--montage electrodes), or against their mean "
                f"(--montage average): give {parsed.name}"
            )
        names.append(parsed.name)
    if not names:
        raise SpecError(f"--channels {text!r}: names no channel; expected a list such as C3,Cz,C4")
    return tuple(names)


def _leads(text: str) -> tuple[str, ...]:
    names = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        if (lead := parse_lead(word)) is None:
            near = nearest_lead(word)
            hint = f"; is {near} meant?" if near else ""
            raise SpecError(f"--channels: {word!r} is no lead, such as II, aVR or V1{hint}")
        names.append(lead)
    if not names:
        raise SpecError(f"--channels {text!r}: names no lead; expected a list such as I,II,V1")
    return tuple(names)


def _cleaning(text: str) -> tuple[str, ...]:
    words = {part.strip() for part in text.split(",")} - {""}
    if not words or words - set(CLEANING):
        raise argparse.ArgumentTypeError(f"expected some of {', '.join(CLEANING)}, found {text!r}")
    return tuple(word for word in CLEANING if word in words)


def _frequencies(text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected 50 or 50,100, found {text!r}") from None
    if not all(math.isfinite(v) and v >= 0 for v in values):
        raise argparse.ArgumentTypeError(f"expected frequencies, found {text!r}")
    return () if values == (0,) else values
