"""The published preprocessing, step by step with mne, to compare with."""

from elm_jax.signals.montage import TCP20


def mne_reference(raw, *, pretrain: bool):
    """Volts * 1e5 [20, t], clipped at 80, at 100 Hz."""
    import mne
    import numpy as np

    last_s = raw.times[-1]
    raw = raw.copy().load_data().filter(0.1, 49.0, verbose="error")
    if pretrain:
        raw.crop(10, last_s - (last_s - 10) % 10)
    anodes, cathodes = zip(*(name.split("-") for name in TCP20), strict=True)
    raw = mne.set_bipolar_reference(raw, list(anodes), list(cathodes), verbose="error")
    raw.pick(list(TCP20))
    raw.apply_function(lambda x: np.clip(x * 1e5, -80, 80), channel_wise=False)
    return raw.resample(100, verbose="error").get_data()
