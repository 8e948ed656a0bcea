"""Pairs of windows beside braindecode's sampler: of the same windows, in the same proportions."""

import numpy as np
import pytest
from braindecode_reference import import_braindecode
from pair_law import law_of, recordings_of, same_law, times_of

from elm_jax.data.window_pairs import window_pairs

pandas = pytest.importorskip("pandas", reason="braindecode brings it")

SFREQ_HZ = 1.0
DRAWS = 1200  # of braindecode's, which takes half a millisecond for each
# Pieces of each recording, tau_pos_s, tau_neg_s, tau_max_s; every window has partners.
CASES = {
    "within a recording": ([[(0, 5)], [(0, 4)]], (1, 2, None), "same_recording"),
    "no farther than": ([[(0, 6)], [(10, 5)]], (1, 2, 3), "same_recording"),
    "with gaps": ([[(0, 2), (20, 3)], [(0, 6)]], (2, 3, None), "same_recording"),
    "other recordings": ([[(0, 2)], [(0, 4)], [(0, 3)]], (1, 2, None), "other_recording"),
}


def metadata_of(rows, windows):
    """As ``BaseConcatDataset.get_metadata`` of braindecode has it, of one session."""
    begin = times_of(rows, windows, SFREQ_HZ).round().astype(int)
    return pandas.DataFrame({"subject": windows.recording, "i_start_in_trial": begin})


@pytest.mark.parametrize("name", CASES)
def test_pairs_are_distributed_as_braindecodes(name):
    layout, (pos, neg, most), negatives = CASES[name]
    rows, windows = recordings_of(layout, SFREQ_HZ)
    law = law_of(rows, windows, SFREQ_HZ, pos, neg, most, negatives)
    theirs = import_braindecode("samplers").RelativePositioningSampler(
        metadata_of(rows, windows),
        tau_pos=pos,
        tau_neg=neg,
        n_examples=DRAWS,
        tau_max=most,
        same_rec_neg=negatives == "same_recording",
        random_state=0,
    )
    assert same_law([(int(a), int(b), y == 1) for a, b, y in theirs], law)
    tau = dict(tau_pos_s=pos, tau_neg_s=neg, tau_max_s=most, negatives=negatives)
    ours = window_pairs(windows, rows, SFREQ_HZ, split="train", **tau)
    window, near = ours.draw(np.random.default_rng(0), 100 * DRAWS)
    assert same_law(list(zip(*window.T.tolist(), near.tolist(), strict=True)), law)


def test_where_braindecode_stops_ours_draws_every_pair_that_has_a_counterpart():
    rows, windows = recordings_of([[(0, 6), (50, 1)], [(0, 6)]], SFREQ_HZ)
    theirs = import_braindecode("samplers").RelativePositioningSampler(
        metadata_of(rows, windows), tau_pos=1, tau_neg=2, n_examples=DRAWS, random_state=0
    )
    with pytest.raises(NotImplementedError):
        theirs.presample()
    ours = window_pairs(windows, rows, SFREQ_HZ, split="train", tau_pos_s=1.0, tau_neg_s=2.0)
    window, near = ours.draw(np.random.default_rng(0), 100 * DRAWS)
    found = list(zip(*window.T.tolist(), near.tolist(), strict=True))
    law = law_of(rows, windows, SFREQ_HZ, 1, 2, None, "same_recording")
    assert same_law(found, law) and not {first for first, _, _ in found} & {6}
