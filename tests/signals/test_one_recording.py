"""One recording made windows of: what makes it unusable is said, with what it lost before."""

import mne
import numpy as np
import pytest

from elm_jax.signals.one_recording import UnusableSignal, windows_of
from elm_jax.signals.pipeline import ELM_SPEC

ELECTRODES = "Fp1 Fp2 F3 F4 F7 F8 T3 T4 T5 T6 C3 C4 P3 P4 O1 O2 Cz".split()


@pytest.fixture
def raw():
    noise = np.random.default_rng(0).normal(0, 20e-6, (len(ELECTRODES), 1200))
    return mne.io.RawArray(noise, mne.create_info(ELECTRODES, 100.0, "eeg"), verbose="error")


def test_a_channel_that_is_marked_bad_is_named_where_the_montage_misses_it(raw):
    assert windows_of(raw, ELM_SPEC).signal.shape == (2, 20, 500)
    raw.info["bads"] = ["Fp1"]
    with pytest.raises(UnusableSignal, match=r"(?s)needs Fp1.*channel_marked_bad \[Fp1\]"):
        windows_of(raw, ELM_SPEC)


def test_stretches_that_left_no_window_are_named(raw):
    raw._data[0, ::300] = np.nan
    with pytest.raises(UnusableSignal, match="(?s)nothing_left.*non_finite.*taken out"):
        windows_of(raw, ELM_SPEC)
