"""Named signals: what the inputs of published models are; any field of one can be overridden."""

from elm_jax.data.spec import SignalSpec, SpecError
from elm_jax.signals.ecg.leads import WANTED_ORDER
from elm_jax.signals.montage import TCP20

#: What the released 5 s encoder of ELM takes in. Its corpus's mean and std were not published: 0
#: and 1 are assumed.
ELM_SPEC = SignalSpec(
    modality="eeg", channels=TCP20, montage="tcp20", sfreq_hz=100.0, window_s=5.0,
    highpass_hz=0.1, lowpass_hz=49.0, resample="mne_fft", unit="uV", clip=800.0, scale=0.1,
    mean=0.0, std=1.0,
)  # fmt: skip

#: The 58 electrodes that EEGPT and DARE-EEG were pretrained on, in their order.
EEGPT58 = (
    "Fp1", "Fpz", "Fp2", "AF3", "AF4",
    "F7", "F5", "F3", "F1", "Fz", "F2", "F4", "F6", "F8",
    "FT7", "FC5", "FC3", "FC1", "FCz", "FC2", "FC4", "FC6", "FT8",
    "T3", "C5", "C3", "C1", "Cz", "C2", "C4", "C6", "T4",
    "TP7", "CP5", "CP3", "CP1", "CPz", "CP2", "CP4", "CP6", "TP8",
    "T5", "P5", "P3", "P1", "Pz", "P2", "P4", "P6", "T6",
    "PO7", "PO3", "POz", "PO4", "PO8", "O1", "Oz", "O2",
)  # fmt: skip

#: What EEGPT and DARE-EEG take in: millivolts against the mean of the electrodes used (so in their
#: pretraining; the recordings' own references had gone into it). Departures from their preparation:
#:
#: - A band of 0.1-75 Hz. They filter nothing while pretraining and 0.1-75 Hz for TUAB and TUEV; in
#:   this band drift stays within what int16 stores, and recordings of 160 Hz hold all of it.
#: - Resampling by the FFT. They repeat the nearest sample, which puts mirror images of the signal
#:   above half of the old rate.
#: - A clip at 800 uV, since shards hold +-1024 uV; they have none.
#:
#: No notch filter: they take out 50 Hz for TUAB and TUEV only (``notch_hz=(50.0,)``).
EEGPT_SPEC = SignalSpec(
    modality="eeg", channels=EEGPT58, montage="average", sfreq_hz=256.0, window_s=4.0,
    highpass_hz=0.1, lowpass_hz=75.0, resample="mne_fft", unit="uV", clip=800.0, scale=0.001,
    mean=0.0, std=1.0, slow_source="narrow",
)  # fmt: skip

#: The 23 electrodes that recordings of TUAB and TUEV in the montage 01_tcp_ar have, in the order of
#: BIOT, LaBraM, EEGPT and DARE-EEG.
TUH23 = (
    "Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2", "F7", "F8", "T3", "T4", "T5",
    "T6", "A1", "A2", "Fz", "Cz", "Pz", "T1", "T2",
)  # fmt: skip

#: What these papers cut TUAB and TUEV into: as referenced by the hospital, 200 Hz, windows of 10 s
#: (TUEV: 5 s), hundreds of microvolts (ten times the scale of EEGPT's pretraining). The notch is
#: theirs, too: at 50 Hz, though the hospital's mains have 60. The clip is ours: it is the largest
#: that shards hold; they have none.
TUH_SPEC = SignalSpec(
    modality="eeg", channels=TUH23, montage="electrodes", sfreq_hz=200.0, window_s=10.0,
    highpass_hz=0.1, lowpass_hz=75.0, resample="mne_fft", unit="uV", clip=1023.0, scale=0.01,
    mean=0.0, std=1.0, notch_hz=(50.0,),
)  # fmt: skip

#: Nights of Sleep-EDF as braindecode's relative positioning takes them: two derivations at the
#: recordings' own 100 Hz, a low-pass at 30 Hz and no high-pass, microvolts, windows of 30 s. The
#: clip is ours: it is the largest that shards hold, far beyond what the recorder could write.
SLEEP_SPEC = SignalSpec(
    modality="eeg", channels=("Fpz-Cz", "Pz-Oz"), montage="electrodes", sfreq_hz=100.0,
    window_s=30.0, highpass_hz=0.0, lowpass_hz=30.0, resample="mne_fft", unit="uV", clip=1023.0,
    scale=1.0, mean=0.0, std=1.0,
)  # fmt: skip

#: Twelve-lead ECGs in millivolts, in the order that ECG-Bench wants them, at its rate and window.
#: Departures: recordings of every corpus are brought into that order (it reorders MIMIC and CODE-15
#: only); resampling is polyphase by default (there: cubic interpolation, see ``ecg.resample``);
#: the clip is ours, below what shards hold. Recordings of a lower rate are used and listed.
ECG_SPEC = SignalSpec(
    modality="ecg", channels=WANTED_ORDER, montage="leads", sfreq_hz=250.0, window_s=10.0,
    highpass_hz=0.0, lowpass_hz=125.0, resample="polyphase", unit="mV", clip=10.0, scale=1.0,
    mean=0.0, std=1.0, slow_source="narrow",
)  # fmt: skip

PROFILES = {
    "elm": ELM_SPEC, "eegpt": EEGPT_SPEC, "tuh": TUH_SPEC, "sleep": SLEEP_SPEC, "ecg": ECG_SPEC,
}  # fmt: skip

#: Profiles of models that read channels by name: of a corpus they take what the dictionary knows.
BY_NAME = frozenset({"eegpt"})


def profile(name: str) -> SignalSpec:
    """The signal of that name.

    Raises:
      SpecError: an unknown name; the message lists the known ones.
    """
    if name not in PROFILES:
        raise SpecError(f"signal {name!r} is not known; known: {', '.join(sorted(PROFILES))}")
    return PROFILES[name]
