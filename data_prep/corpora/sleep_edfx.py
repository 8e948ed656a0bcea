"""Sleep-EDF Expanded, the cassette study, as EEGPT's benchmark takes it: epochs of 30 s in stages.

The layout, its stages and what is left out of a night stand in
:mod:`data_prep.corpora.sleep_cassette` (78 people, two nights each).

Two derivations, Fpz-Cz and Pz-Oz, stored as they are, in the band and at the rate of EEGPT. EEGPT
subtracts the mean of the two from each, standardises each window, and takes people 39 to 82 only,
since its script begins there; here is everybody. There is no published split: ``--split``, or
``--test_people SC400``.
"""

from types import MappingProxyType

from data_prep.corpora.sleep_cassette import EPOCH_S, SleepCassette


class SleepEdfx(SleepCassette):
    """Nights with a hypnogram; a window is a piece."""

    name = "sleep_edfx"
    published = MappingProxyType(
        {
            "signal": "eegpt", "channels": "Fpz-Cz,Pz-Oz", "montage": "electrodes",
            "window_s": EPOCH_S, "lowpass_hz": 30.0,
        }
    )  # fmt: skip
