"""EDF file to network windows: ours against mne doing the same steps, in one run.

Both read the file, band-pass 0.1-49 Hz, make the 20 TCP derivations, clip at 800 uV, resample to
100 Hz and cut 5 s windows. mne reads only the 17 electrodes needed. One thread each, runs
alternate, medians of the processor time are compared (wall time stands beside it); the peak memory
of ours is taken in a process of its own.

    python benchmarks/edf_to_features.py [--minutes 20] [--sfreq_hz 250] [--repeats 9] [FILE.edf]

Without FILE, a recording is simulated and written as EDF first.
"""

import os

if __name__ == "__main__":  # others import from here, with threads of their own
    for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[_variable] = "1"

import argparse  # noqa: E402
import json  # noqa: E402
import pathlib  # noqa: E402
import statistics  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402

import figures  # noqa: E402
import numpy as np  # noqa: E402

from elm_jax.signals.names import parse_label  # noqa: E402
from elm_jax.signals.pipeline import ELM_SPEC, EVAL_OPTIONS, prepare_file, windows  # noqa: E402

NAMES = "Fp1 Fp2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 Fz Cz Pz".split()
NEEDED = [name for name in NAMES if name not in ("Fz", "Pz")]


def write_simulated(path: pathlib.Path, minutes: float, sfreq_hz: int, *, clipping: int) -> None:
    """19 electrodes of alpha and noise; ``clipping`` of them have a movement of 3 mV."""
    import edfio
    from scipy.signal import lfilter

    rng, n = np.random.default_rng(0), int(minutes * 60 * sfreq_hz)
    t, signals = np.arange(n) / sfreq_hz, []
    for i, name in enumerate(NAMES):
        x = lfilter([1.0], [1.0, -0.95], rng.standard_normal(n)) * 6
        x += 20 * np.sin(2 * np.pi * (9.5 + 0.05 * i) * t)
        if i < clipping:
            x[n // 2 : n // 2 + sfreq_hz] += 3000
        signals.append(
            edfio.EdfSignal(
                x, sfreq_hz, label=f"EEG {name.upper()}-REF", physical_dimension="uV",
                physical_range=(-3276.7, 3276.7),
            )
        )  # fmt: skip
    edfio.Edf(signals).write(path)


def ours(path: pathlib.Path) -> np.ndarray:
    """Network windows [b, 20, 500] by elm_jax.signals."""
    pieces, judgement = prepare_file(path, ELM_SPEC, EVAL_OPTIONS)
    if len(pieces) != 1:
        raise SystemExit(f"{path.name}: expected one piece, got {len(pieces)}: {judgement.skipped}")
    return windows(pieces[0].signal, ELM_SPEC)


def by_mne(path: pathlib.Path) -> np.ndarray:
    """The same windows by mne, in its own words."""
    import mne

    raw = mne.io.read_raw_edf(path, preload=False, verbose="error")
    names = {label: parse_label(label).name for label in raw.ch_names}
    raw.pick([label for label, name in names.items() if name in NEEDED])
    raw.rename_channels({label: names[label] for label in raw.ch_names})
    raw.load_data(verbose="error")
    raw.filter(ELM_SPEC.highpass_hz, ELM_SPEC.lowpass_hz, verbose="error")
    anodes, cathodes = zip(*(row.split("-") for row in ELM_SPEC.channels), strict=True)
    raw = mne.set_bipolar_reference(raw, list(anodes), list(cathodes), copy=False, verbose="error")
    raw.pick(list(ELM_SPEC.channels))
    clip_v = ELM_SPEC.clip * 1e-6
    raw.apply_function(lambda x: np.clip(x, -clip_v, clip_v), channel_wise=False)
    raw.resample(ELM_SPEC.sfreq_hz, verbose="error")
    return windows((raw.get_data() * 1e6).astype(np.float32), ELM_SPEC)


def _high_water_bytes() -> int:
    """Peak resident memory of this process; getrusage would count the parent's before exec."""
    status = pathlib.Path("/proc/self/status").read_text()
    (line,) = [row for row in status.splitlines() if row.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def peak_memory(path: pathlib.Path) -> float:
    """Peak of ours over a process that has done the same to a short file, in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        short = pathlib.Path(folder) / "short.edf"
        write_simulated(short, 0.5, 250, clipping=0)
        peaks = []
        for file in (short, path):
            command = [sys.executable, __file__, "--peak_of", str(file)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            peaks.append(json.loads(done.stdout.splitlines()[-1]))
    return peaks[1] - peaks[0]


def compare(path: pathlib.Path, repeats: int, title: str) -> dict[str, float]:
    """Prints one block of figures for one file; gives its ratios."""
    cpu: dict[str, list[float]] = {"ours": [], "mne": []}
    wall: dict[str, list[float]] = {"ours": [], "mne": []}
    results = {}
    for repeat in range(repeats + 1):
        for name, run in (("ours", ours), ("mne", by_mne)):
            starts = time.process_time(), time.perf_counter()
            results[name] = run(path)
            if repeat:  # the first round warms caches and imports
                cpu[name].append(time.process_time() - starts[0])
                wall[name].append(time.perf_counter() - starts[1])
    difference = np.abs(results["ours"] - results["mne"]).max()
    from elm_jax.signals.recording import read_edf

    used = read_edf(path, channels=NEEDED).signal_uv.nbytes
    memory = peak_memory(path)
    print(f"{title}: {len(results['ours'])} windows")
    ratios = {}
    for kind, times in (("processor", cpu), ("wall", wall)):
        ours_s, mne_s = (statistics.median(times[name]) for name in ("ours", "mne"))
        ratios[f"{kind}_ratio"] = mne_s / ours_s
        words = f"ours {ours_s * 1e3:.0f} ms, mne {mne_s * 1e3:.0f} ms"
        print(f"  {kind} time: {words}, ratio {mne_s / ours_s:.2f} (medians of {repeats})")
    print(f"  largest difference {difference:.1e} network values (golden tolerance 2e-3)")
    print(
        f"  peak memory {memory / 2**20:.0f} MiB, {memory / used:.2f} x the channels in float32 "
        f"({used / 2**20:.0f} MiB)"
    )
    return ratios | {"memory_ratio": memory / used}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=pathlib.Path, help="a real EDF; else simulated")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--sfreq_hz", type=int, default=250)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--peak_of", type=pathlib.Path, help=argparse.SUPPRESS)
    figures.add_json(parser)
    args = parser.parse_args()
    if args.peak_of:
        ours(args.peak_of)
        print(json.dumps(_high_water_bytes()))
        return
    if args.file:
        figures.write(args.json, compare(args.file, args.repeats, args.file.name))
        return
    measured = {}
    with tempfile.TemporaryDirectory() as folder:
        for clipping, words in ((0, "nothing clips"), (3, "3 electrodes clip")):
            path = pathlib.Path(folder) / "simulated.edf"
            write_simulated(path, args.minutes, args.sfreq_hz, clipping=clipping)
            title = f"simulated, {args.minutes:g} min at {args.sfreq_hz} Hz, {words}"
            ratios = compare(path, args.repeats, title)
            measured |= {f"{name}/{clipping}_clip": ratio for name, ratio in ratios.items()}
    figures.write(args.json, measured)


if __name__ == "__main__":
    main()
