"""The exact distribution of pairs of windows, by enumeration, and a test of draws against it."""

import collections

import numpy as np
from scipy import stats

from elm_jax.data.manifest import PieceRow, RecordingRow
from elm_jax.data.pipeline import Windows


def recordings_of(layout, sfreq_hz, samples=None):
    """Recordings whose pieces begin at some second and hold so many windows; and the windows."""
    samples = samples or round(sfreq_hz)
    rows, index = [], 0
    for i, pieces in enumerate(layout):
        own = []
        for start_s, windows in pieces:
            own.append(PieceRow(index, start_s, windows * samples))
            index += 1
        rows.append(RecordingRow(f"rec{i}", f"p{i}", "train", tuple(own)))
    return rows, Windows.of(rows, samples)


def times_of(rows, windows, sfreq_hz):
    """When each window begins in its recording, in seconds."""
    begin_s = {piece.index: piece.start_s for row in rows for piece in row.pieces}
    return np.asarray([begin_s[i] for i in windows.piece]) + windows.start / sfreq_hz


def law_of(rows, windows, sfreq_hz, tau_pos_s, tau_neg_s, tau_max_s, negatives):
    """(first, second, near) -> probability, of every pair that can be drawn; {} where none can."""
    time_s, recording = times_of(rows, windows, sfreq_hz), windows.recording
    apart_s = np.abs(time_s[:, None] - time_s)
    same, most_s = recording[:, None] == recording, np.inf if tau_max_s is None else tau_max_s
    near = same & (apart_s > 0) & (apart_s <= tau_pos_s)
    far = same & (apart_s > 0) & (apart_s >= tau_neg_s) & (apart_s <= most_s)
    far = far if negatives == "same_recording" else near
    firsts = np.flatnonzero(near.any(axis=1) & far.any(axis=1))
    usable = np.unique(recording[firsts])
    if not len(usable) or (negatives == "other_recording" and len(usable) < 2):
        return {}
    law = {}
    for first in firsts:
        home = recording[first]
        chance = 0.5 / len(usable) / np.sum(recording[firsts] == home)
        shares = {(w, True): 1 / near[first].sum() for w in np.flatnonzero(near[first])}
        if negatives == "same_recording":
            shares |= {(w, False): 1 / far[first].sum() for w in np.flatnonzero(far[first])}
        else:
            others = [r for r in usable if r != home]
            for w in np.flatnonzero(np.isin(recording, others)):
                shares[w, False] = 1 / len(others) / np.sum(recording == recording[w])
        for (second, is_near), share in shares.items():
            law[int(first), int(second), is_near] = chance * share
    assert abs(sum(law.values()) - 1) < 1e-9
    return law


def same_law(found, law, *, level=1e-4):
    """Whether draws fit a law: none that cannot be, and Pearson's chi-square."""
    counts = collections.Counter(found)
    assert set(counts) <= set(law)
    keys = sorted(law)
    expected = np.asarray([law[key] for key in keys]) * len(found)
    assert expected.min() >= 5  # else the statistic does not follow its distribution
    return stats.chisquare([counts[key] for key in keys], expected).pvalue > level
