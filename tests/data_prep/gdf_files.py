"""GDF 1.25 as BCI Competition IV has it, and sessions of it; imported by the tests here."""

import struct

import numpy as np

LABELS_2A = (
    "EEG-Fz", *["EEG"] * 6, "EEG-C3", "EEG", "EEG-Cz", "EEG", "EEG-C4", *["EEG"] * 7, "EEG-Pz",
    "EEG", "EEG", "EOG-left", "EOG-central", "EOG-right",
)  # fmt: skip
LABELS_2B = ("EEG:C3", "EEG:Cz", "EEG:C4", "EOG:ch01", "EOG:ch02", "EOG:ch03")
UV_PER_STEP = 0.1


def gdf_bytes(signal_uv, labels, events, sfreq_hz=250, unit="uV"):
    """A GDF 1.25 file of one-second records; NaN is stored as the lowest value.

    Args:
      signal_uv: [c, t], whole seconds.
      labels: of the channels.
      events: (onset in seconds, type, duration in seconds).
      sfreq_hz: sampling rate.
      unit: physical dimension that the header states.
    """
    n_records, c = signal_uv.shape[1] // sfreq_hz, len(labels)
    out = [b"GDF 1.25", b"X X".ljust(80), b"".ljust(80), b"2005011912000000"]
    out += [struct.pack("<q", 256 * (c + 1)), b"\0" * 24, b"\0" * 20]
    out += [struct.pack("<qIII", n_records, 1, 1, c)]
    out += [label.encode().ljust(16, b"\0") for label in labels]
    out += [b"".ljust(80)] * c + [unit.encode().ljust(8)] * c
    limits = (-32768 * UV_PER_STEP, 32767 * UV_PER_STEP)
    out += [struct.pack("<d", limit) * c for limit in limits]
    out += [struct.pack("<q", limit) * c for limit in (-32768, 32767)]
    out += [b"".ljust(80)] * c
    out += [struct.pack("<i", sfreq_hz) * c, struct.pack("<i", 3) * c, b"\0" * 32 * c]
    steps = np.where(np.isnan(signal_uv), -32768, np.rint(signal_uv / UV_PER_STEP)).astype("<i2")
    records = steps.reshape(c, n_records, sfreq_hz).swapaxes(0, 1)
    out.append(np.ascontiguousarray(records).tobytes())
    positions = [round(t * sfreq_hz) + 1 for t, _, _ in events]
    out += [b"\x03", struct.pack("<I", sfreq_hz)[:3], struct.pack("<I", len(events))]
    out.append(np.asarray(positions, "<u4").tobytes())
    out.append(np.asarray([code for _, code, _ in events], "<u2").tobytes())
    out.append(np.zeros(len(events), "<u2").tobytes())
    out.append(np.asarray([round(d * sfreq_hz) for *_, d in events], "<u4").tobytes())
    return b"".join(out)


def session(path, codes, *, labels=LABELS_2A, seed=0, every_s=8, rejected=(), gap_after=None):
    """A session: a trial begins 2 s before each cue, cues come every ``every_s`` from 3 s on.

    Args:
      path: of the file.
      codes: type of each cue.
      labels: of the channels.
      seed: of the noise.
      every_s: from cue to cue.
      rejected: numbers of trials that an expert marked.
      gap_after: number of the trial after which 100 samples are missing, 5 s after its cue.

    Returns:
      when each cue comes, in seconds.
    """
    cues_s = [3.0 + every_s * k for k in range(len(codes))]
    rng = np.random.default_rng(seed)
    n = 250 * (int(cues_s[-1]) + 8)
    signal_uv = rng.normal(size=(len(labels), n)).cumsum(axis=1)
    signal_uv -= np.linspace(0, 1, n) * signal_uv[:, -1:]
    signal_uv *= 0.5
    if gap_after is not None:
        at = round((cues_s[gap_after] + 5) * 250)
        signal_uv[:, at : at + 100] = np.nan
    events = [(0.0, 32766, 0.0)]
    for k, (cue_s, code) in enumerate(zip(cues_s, codes, strict=True)):
        events.append((cue_s - 2, 768, 7.5))
        if k in rejected:
            events.append((cue_s - 2, 1023, 7.5))
        events.append((cue_s, code, 1.25))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gdf_bytes(signal_uv, labels, events))
    return cues_s


def true_labels(path, classes, name="classlabel"):
    """A file of true labels."""
    from scipy.io import savemat

    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {name: np.asarray(classes, np.uint8).reshape(-1, 1)})
