"""What saves work (sums of other rows, clipping place by place) changes no value."""

import mne
import numpy as np
import pytest

from elm_jax.signals import conditioning
from elm_jax.signals.montage import TCP20, MontageRow, derive, sums_of_others
from elm_jax.signals.pipeline import ELM_SPEC, EVAL_OPTIONS, PrepOptions, process
from elm_jax.signals.recording import from_mne
from tests.signals.conftest import ELECTRODES, eeg_like
from tests.signals.reference import mne_reference

SFREQ_HZ = 250
SECONDS = 200


def test_each_ring_of_the_montage_has_one_row_that_is_the_sum_of_others():
    rows, _ = derive(TCP20, ELECTRODES)
    sums = sums_of_others(rows)
    assert len(sums) == 4
    x = np.random.default_rng(0).standard_normal(len(ELECTRODES))
    value = [row.sign * (x[row.plus] - x[row.minus]) for row in rows]
    for row, parts in sums.items():
        assert not {other for other, _ in parts} & set(sums)
        assert np.isclose(value[row], sum(sign * value[other] for other, sign in parts))


def test_sums_follow_the_signs_and_leave_single_channels_alone():
    rows = [MontageRow("b-a", 0, 1, -1), MontageRow("b-c", 1, 2, 1), MontageRow("a", 0, None, 1)]
    assert sums_of_others(rows) == {}
    assert sums_of_others([*rows, MontageRow("c-a", 2, 0, 1)]) == {3: [(1, -1), (0, 1)]}
    assert sums_of_others([*rows, MontageRow("a-b", 1, 0, -1)]) == {3: [(0, -1)]}


# Where electrodes jump, in seconds, and how many rows are done again at the full rate for it.
PLACES = {
    "one place": ([90.0], 0),
    "neighbours": ([90.0, 92.0, 100.0], 0),
    "two places": ([45.0, 150.0], 0),
    "the first second": ([0.2], 2),
    "the last second": ([199.5], 2),
    "where the padding turns": ([(2**16 - SFREQ_HZ * SECONDS) / 2 / SFREQ_HZ], 2),
    "all over": ([10.0 * k for k in range(1, 20)], 2),
}


@pytest.mark.parametrize("places", PLACES)
def test_clipping_place_by_place_equals_mne(places, monkeypatch):
    n = SECONDS * SFREQ_HZ
    x = eeg_like(19, n, SFREQ_HZ)
    at_s, expected_full = PLACES[places]
    for k, s in enumerate(at_s):
        start = round(s * SFREQ_HZ)
        x[ELECTRODES.index("P4"), start : start + 60] += 2500 * (-1) ** k  # rows of one ring
    raw = mne.io.RawArray(x * 1e-6, mne.create_info(list(ELECTRODES), SFREQ_HZ, "eeg"), verbose=40)
    full, work_out = [], conditioning._ByFft._work_out

    def spy(self, indices, step, **more):
        full.extend(indices if step == 1 else ())
        return work_out(self, indices, step, **more)

    monkeypatch.setattr(conditioning._ByFft, "_work_out", spy)
    (piece,), _ = process(from_mne(raw), ELM_SPEC, EVAL_OPTIONS)
    expected = mne_reference(raw, pretrain=False)
    assert np.abs(expected).max() > 70
    assert len(full) == expected_full
    np.testing.assert_allclose(piece.signal * 0.1, expected, atol=4e-4, rtol=0)


def test_clipping_place_by_place_equals_mne_after_a_cut():
    x = eeg_like(19, 300 * 500 + 137, 500)
    x[3, 100_000:100_400] -= 4000
    x[5] *= 30  # an electrode that comes near the limit now and again
    raw = mne.io.RawArray(x * 1e-6, mne.create_info(list(ELECTRODES), 500, "eeg"), verbose=40)
    (piece,), _ = process(from_mne(raw), ELM_SPEC, PrepOptions())
    expected = mne_reference(raw, pretrain=True)
    np.testing.assert_allclose(piece.signal * 0.1, expected, atol=4e-4, rtol=0)
