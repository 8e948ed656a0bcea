"""A multilayer perceptron on whole windows in PyTorch (2.0 or later); with ``elm_torch`` it stands.

    import mlp_torch
    model = mlp_torch.load("FOLDER")              # from an export's config.json and weights
    features, _ = model(signal)                   # float32 [b, channels, samples], network values

Part of elm_jax, Apache-2.0.
"""

import elm_torch
import heads_torch
from torch import nn


class Mlp(nn.Module):
    """Signal [b, c, t] -> (features [b, d], projection or None).

    Args:
      config: an export's ``config.json``.
    """

    def __init__(self, config):
        super().__init__()
        settings, objective = config["recipe"]["encoder"], config["recipe"]["objective"]
        spec, adapter = config["spec"], objective.get("adapter") or {}
        samples = adapter.get("samples") or round(spec["window_s"] * spec["sfreq_hz"])
        width = len(adapter.get("channels") or spec["channels"]) * samples
        self.chan_proj = heads_torch.adapter_of(config)
        self.hidden, self.norms = nn.ModuleList(), nn.ModuleList()
        for size in settings.get("hidden", (64,)):
            self.hidden.append(nn.Linear(width, size))
            self.norms.append(nn.BatchNorm1d(size) if settings.get("batch_norm") else nn.Identity())
            width = size
        self.act = heads_torch.ACTIVATIONS[settings.get("activation", "relu")]()
        self.dropout = nn.Dropout(settings.get("dropout", 0.0))
        outputs = settings.get("outputs")
        self.out = nn.Linear(width, outputs) if outputs else nn.Identity()
        sizes = objective.get("signal_projection")
        self.proj = elm_torch.projector(outputs or width, sizes) if sizes else None

    def tokens(self, signal):
        """[b, 1, d]: the one vector of a window."""
        x = signal if self.chan_proj is None else self.chan_proj(signal)
        x = x.flatten(1)
        for dense, norm in zip(self.hidden, self.norms, strict=True):
            x = self.dropout(self.act(norm(dense(x))))
        return self.out(x)[:, None]

    def forward(self, signal):
        """One batch of network values."""
        features = self.tokens(signal)[:, 0]
        return features, None if self.proj is None else self.proj(features)


def load(folder):
    """The encoder, in evaluation mode.

    Raises:
      ValueError: another encoder than this.
      RuntimeError: a tensor is missing, unknown or of another shape (PyTorch names all of them).
    """
    return elm_torch.filled(Mlp(elm_torch.config_of(folder, "mlp")), folder)


def outputs(folder, signal):
    """All that the model gives for a signal, by name."""
    return elm_torch.outputs_of(load(folder), folder, signal)
