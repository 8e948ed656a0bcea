"""What a signal is called where people read of it."""

_WORDS = {"ecg": "ECG"}  # features that are no voltages are made of EEG


def word_of(modality: str) -> str:
    """The short name: "ECG", or "EEG" of all else."""
    return _WORDS.get(modality, "EEG")


def simulated_word(simulated: bool, modality: str) -> str:
    """What is simulated, "ECG" or "EEG"; empty where nothing is."""
    return word_of(modality) if simulated else ""
