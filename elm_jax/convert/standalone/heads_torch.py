"""Adapters, classifiers and activations in PyTorch (2.0 or later), for the files of encoders.

Weights that are constrained lie as free ones under ``parametrizations.weight.original`` and are
brought to their greatest norm where they are used.

Part of elm_jax, Apache-2.0. Written from the papers' descriptions (Wang et al., NeurIPS 2024) and
the published tensors' names and shapes.
"""

import torch
from torch import nn
from torch.nn.utils import parametrize

ACTIVATIONS = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "identity": nn.Identity,
    "leaky_relu": nn.LeakyReLU,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}


class MaxNorm(nn.Module):
    """Scales each output's weights to a length of at most ``limit``; None: as they are."""

    def __init__(self, limit):
        super().__init__()
        self.limit = limit

    def forward(self, weight):
        """Weights of any layer, outputs first."""
        return weight if self.limit is None else weight.renorm(p=2, dim=0, maxnorm=self.limit)


def constrained(layer, limit):
    """The layer, its weights constrained."""
    parametrize.register_parametrization(layer, "weight", MaxNorm(limit))
    return layer


# -- adapters -------------------------------------------------------------------------------------


class Adapter(nn.Module):
    """Signal [b, c, t] -> [b, e, u], by an export's ``recipe.objective.adapter``.

    Args:
      settings: that section.
      in_channels: of the signal.
    """

    def __init__(self, settings, in_channels):
        super().__init__()
        self.samples = settings.get("samples", 0)
        self.mode = settings.get("interpolation", "nearest")
        self.kind = settings["name"]
        channels = len(settings.get("channels", ()))
        if self.kind == "conv":
            conv = nn.Conv1d(in_channels, channels, 1)
            self.proj = constrained(conv, settings.get("max_norm", 1.0))
        elif self.kind == "linear":
            self.proj = nn.Linear(in_channels, channels)
        elif self.kind == "conv_stack":
            self._stack(settings, in_channels, channels)
        elif self.kind != "none":
            raise ValueError(f"adapter {self.kind!r}: this file knows none such")

    def _stack(self, settings, width, channels):
        """1x1 convolutions, then a filter of each channel along time."""
        limit, bias = settings.get("max_norm", 1.0), settings.get("bias", True)
        self.layers, normed = settings.get("layers", 1), settings.get("norm", False)
        for i in range(self.layers):
            out = channels if i == self.layers - 1 else min(2 * width, 256)
            self.add_module(f"mix_{i}", constrained(nn.Conv1d(width, out, 1, bias=bias), limit))
            if normed:
                self.add_module(f"norm_{i}", nn.BatchNorm1d(out))
            width = out
        self.bends = settings.get("temporal_activation", True)
        if size := settings.get("temporal_kernel", 0):
            conv = nn.Conv1d(
                width,
                width,
                size,
                groups=width,
                bias=settings.get("temporal_bias", False),
                padding=settings.get("temporal_padding", "valid"),
            )
            self.filter = constrained(conv, settings.get("temporal_max_norm", 1.0))
            self.filter_norm = nn.BatchNorm1d(width)

    def forward(self, x):
        """One batch of network values."""
        if self.samples and self.samples != x.shape[-1]:
            options = {} if self.mode == "nearest" else {"align_corners": False}
            x = nn.functional.interpolate(x, size=self.samples, mode=self.mode, **options)
        if self.kind == "conv":
            return self.proj(x)
        if self.kind == "linear":
            return self.proj(x.transpose(1, 2)).transpose(1, 2)
        if self.kind == "conv_stack":
            return self._stacked(x)
        return x

    def _stacked(self, x):
        for i in range(self.layers):
            x = getattr(self, f"mix_{i}")(x)
            if hasattr(self, f"norm_{i}"):
                x = nn.functional.gelu(getattr(self, f"norm_{i}")(x))
        if hasattr(self, "filter"):
            x = self.filter_norm(self.filter(x))
            x = nn.functional.gelu(x) if self.bends else x
        return x


def adapter_of(config):
    """The adapter of an export; None where it has none."""
    settings = config["recipe"]["objective"].get("adapter")
    return Adapter(settings, len(config["spec"]["channels"])) if settings else None


# -- heads ----------------------------------------------------------------------------------------


def linear_of(state, name, limit):
    """A constrained linear layer with the sizes of a state dict's tensors."""
    out, width = state[f"{name}.parametrizations.weight.original"].shape
    return constrained(nn.Linear(width, out, bias=f"{name}.bias" in state), limit)


class LinearHead(nn.Module):
    """All tokens [b, n, d] -> logits [b, k]; ``pooling``: "flatten", "mean" or "max" over time."""

    def __init__(self, state, settings):
        super().__init__()
        self.pooling = settings.get("pooling", "flatten")
        self.out = linear_of(state, "out", settings.get("max_norm", 1.0))

    def forward(self, tokens):
        """One batch."""
        return self.out(pooled(tokens, self.pooling))


def pooled(tokens, how):
    """[b, n, d] -> [b, n * d] or [b, d]."""
    pools = {"flatten": lambda x: x.flatten(1), "mean": lambda x: x.mean(1)}
    return (pools | {"max": lambda x: x.amax(1)})[how](tokens)


class TwoStageHead(nn.Module):
    """A linear layer for each token, then one over all of them."""

    def __init__(self, state, settings):
        super().__init__()
        first, second = settings.get("max_norm", (1.0, 0.25))
        self.probe1 = linear_of(state, "probe1", first)
        self.probe2 = linear_of(state, "probe2", second)

    def forward(self, tokens):
        """One batch."""
        return self.probe2(self.probe1(tokens).flatten(1))


class MlpHead(nn.Module):
    """Constrained linear layers with LayerNorm and GELU between, on pooled or single tokens."""

    def __init__(self, state, settings, summary_tokens):
        super().__init__()
        attends = settings["name"] == "attention"
        self.pooling = "attention" if attends else settings.get("pooling", "flatten")
        self.per_token = settings.get("per_token", False)
        self.summary_tokens = settings.get("summary_tokens", summary_tokens)
        first, last = settings.get("max_norm", (1.0, 0.25))
        self.layers = len(settings.get("hidden", (256, 128)))
        for i in range(self.layers):
            dense = linear_of(state, f"hidden_{i}", first)
            self.add_module(f"hidden_{i}", dense)
            self.add_module(f"norm_{i}", nn.LayerNorm(dense.out_features))
        self.out = linear_of(state, "out", last)
        if "pool.attention.weight" in state:
            width = state["pool.attention.weight"].shape[1]
            self.pool = nn.ModuleDict({"attention": nn.Linear(width, 1)})

    def forward(self, x):
        """One batch of tokens."""
        if not self.per_token:
            x = self._attended(x) if self.pooling == "attention" else pooled(x, self.pooling)
        for i in range(self.layers):
            x = getattr(self, f"norm_{i}")(getattr(self, f"hidden_{i}")(x))
            x = nn.functional.gelu(x)
        return self.out(x.flatten(1))

    def _attended(self, x):
        b, n, d = x.shape
        each = x.reshape(b, n * self.summary_tokens, d // self.summary_tokens)
        weight = torch.softmax(self.pool["attention"](each), dim=1)
        return (each * weight).sum(1)


class PairHead(nn.Module):
    """The vectors [b, d] of two windows each -> the logits [b] of "they are near"."""

    def __init__(self, width, dropout=0.5):
        super().__init__()
        self.clf = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, 1))

    def forward(self, a, b):
        """One batch."""
        return self.clf((a - b).abs()).flatten()


def pair_head_of(state, settings):
    """The classifier of pairs of an export, in evaluation mode, its weights loaded.

    Raises:
      RuntimeError: tensors that do not fit it.
    """
    head = PairHead(state["clf.1.weight"].shape[1], settings.get("dropout", 0.5))
    head.load_state_dict(state, strict=True)
    return head.eval()


def head_of(state, config):
    """The head on tokens of an export, in evaluation mode, its weights loaded.

    Raises:
      ValueError: a head that this file does not know.
      RuntimeError: tensors that do not fit it.
    """
    settings = config["recipe"]["objective"]["head"]
    state = {name.removeprefix("final_layer."): value for name, value in state.items()}
    tokens = config["recipe"]["encoder"].get("summary_tokens", 4)
    if config["recipe"]["encoder"]["name"] != "eeg_transformer":
        tokens = 1
    heads = {
        "linear": LinearHead,
        "two_stage": TwoStageHead,
        "mlp": lambda *args: MlpHead(*args, tokens),
        "attention": lambda *args: MlpHead(*args, tokens),
    }
    if settings["name"] not in heads:
        raise ValueError(f"head {settings['name']!r}: this file knows {sorted(heads)}")
    head = heads[settings["name"]](state, settings)
    head.load_state_dict(state, strict=True)
    return head.eval()
