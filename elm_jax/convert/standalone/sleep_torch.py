"""The encoder of sleep windows and its pair classifier in PyTorch (2.0 or later).

    import sleep_torch
    model = sleep_torch.load("FOLDER")            # from an export's config.json and weights
    features, _ = model(signal)                   # float32 [b, channels, samples], network values
    near = sleep_torch.load_pairs("FOLDER")(signal_a, signal_b)      # logits, > 0 where near
    logits = sleep_torch.load_classifier("FOLDER")(model.tokens(signal))   # of a model with a head

State dicts have the names of ``braindecode.models.SleepStagerChambon2018``. With ``elm_torch.py``
and ``heads_torch.py`` beside it, this file stands alone.

Part of elm_jax, Apache-2.0. Written from the papers' descriptions (Chambon et al., IEEE TNSRE 2018;
Banville et al., J. Neural Eng. 2021) and the tensors' names and shapes.
"""

import math

import elm_torch
import heads_torch
from torch import nn


class Sleep(nn.Module):
    """Signal [b, c, t] -> (features [b, d], projection or None).

    Args:
      config: an export's ``config.json``.
    """

    def __init__(self, config):
        super().__init__()
        spec, settings = config["spec"], config["recipe"]["encoder"]
        objective = config["recipe"]["objective"]
        adapter = objective.get("adapter") or {}
        channels = len(adapter.get("channels") or spec["channels"])
        filters = settings.get("filters", 8)
        self.chan_proj = heads_torch.adapter_of(config)
        if channels > 1:
            self.spatial_conv = nn.Conv2d(1, channels, (channels, 1))
        self.feature_extractor = nn.Sequential(
            *layers(1, filters, settings, spec["sfreq_hz"]),
            *layers(filters, filters, settings, spec["sfreq_hz"]),
        )
        times = adapter.get("samples") or round(spec["window_s"] * spec["sfreq_hz"])
        kernel, pool, pad = sizes_of(settings, spec["sfreq_hz"])
        for _ in range(2):
            times = (times + 2 * pad - kernel + 1) // pool
        width = filters * channels * times
        if outputs := settings.get("outputs"):
            dropout = nn.Dropout(settings.get("dropout", 0.25))
            self.final_layer = nn.Sequential(dropout, nn.Linear(width, outputs))
        sizes = objective.get("signal_projection")
        self.proj = elm_torch.projector(outputs or width, sizes) if sizes else None

    def features(self, x):
        """What an adapter gives, or a signal [b, c, t]: [b, filters, c, n]."""
        x = x[:, None]
        if hasattr(self, "spatial_conv"):
            x = self.spatial_conv(x).transpose(1, 2)
        return self.feature_extractor(x)

    def tokens(self, signal):
        """[b, n, filters * c]: the features at each of ``n`` times."""
        x = self.features(signal if self.chan_proj is None else self.chan_proj(signal))
        return x.flatten(1, 2).transpose(1, 2)

    def forward(self, signal):
        """One batch of network values."""
        features = self.tokens(signal).transpose(1, 2).flatten(1)
        if hasattr(self, "final_layer"):
            features = self.final_layer(features)
        return features, None if self.proj is None else self.proj(features)


def sizes_of(settings, sfreq_hz):
    """Samples of the convolutions' kernels, of the pooling and of the padding."""
    defaults = {"kernel_s": 0.5, "pool_s": 0.125, "pad_s": 0.25}
    return [math.ceil(settings.get(name, own) * sfreq_hz) for name, own in defaults.items()]


def layers(c_in, c_out, settings, sfreq_hz):
    """A convolution along time, BatchNorm where there is one, activation and max-pooling."""
    kernel, pool, pad = sizes_of(settings, sfreq_hz)
    return [
        nn.Conv2d(c_in, c_out, (1, kernel), padding=(0, pad)),
        nn.BatchNorm2d(c_out) if settings.get("batch_norm", False) else nn.Identity(),
        heads_torch.ACTIVATIONS[settings.get("activation", "relu")](),
        nn.MaxPool2d((1, pool)),
    ]


class Pairs(nn.Module):
    """Two windows each [b, c, t] -> the logits [b] of "they are near each other in time"."""

    def __init__(self, model, classifier):
        super().__init__()
        self.emb, self.head = model, classifier

    def forward(self, signal_a, signal_b):
        """One batch of network values."""
        return self.head(self.emb(signal_a)[0], self.emb(signal_b)[0])


def load(folder):
    """The encoder, in evaluation mode.

    Raises:
      ValueError: another encoder than this.
      RuntimeError: a tensor is missing, unknown or of another shape (PyTorch names all of them).
    """
    return elm_torch.filled(Sleep(elm_torch.config_of(folder, "sleep_conv")), folder)


def load_classifier(folder):
    """The classifier, in evaluation mode: of a head, it takes tokens; of pairs, two vectors."""
    return elm_torch.load_classifier(folder)


def load_pairs(folder):
    """The siamese network of an export that was trained on pairs, in evaluation mode."""
    return Pairs(load(folder), load_classifier(folder)).eval()


def outputs(folder, signal):
    """All that the model gives for a signal, by name."""
    return elm_torch.outputs_of(load(folder), folder, signal)
