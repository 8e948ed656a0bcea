"""EEGPT's and DARE-EEG's encoder in PyTorch (2.0 or later); with ``elm_torch`` it stands alone.

    import eeg_torch
    model = eeg_torch.load("FOLDER")              # from an export's config.json and weights
    features, _ = model(signal)                   # float32 [b, channels, samples], network values
    tokens = model.tokens(signal)                 # [b, patches, summary tokens * width]
    logits = eeg_torch.load_classifier("FOLDER")(tokens)      # of a model with a head

State dicts have the names of the published pretraining code (``target_encoder``: the momentum
twin, which is what embeds). Other electrodes than those of ``config.json``: ``model.tokens(signal,
channel_id=eeg_torch.channel_ids(names))``, unless the model has an adapter.

Part of elm_jax, Apache-2.0. Written from the papers' descriptions (Wang et al., NeurIPS 2024) and
the published tensors' names and shapes.
"""

import elm_torch
import heads_torch
import torch
from preprocess import canonical
from torch import nn

DICTIONARY = (
    "FP1 FPZ FP2 AF7 AF3 AF4 AF8 F7 F5 F3 F1 FZ F2 F4 F6 F8 "
    "FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 T7 C5 C3 C1 CZ C2 C4 C6 T8 "
    "TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 P7 P5 P3 P1 PZ P2 P4 P6 P8 "
    "PO7 PO5 PO3 POZ PO4 PO6 PO8 O1 OZ O2"
).split()
# What pretraining put beside the twin: nothing here needs it.
PRETRAINING = ("encoder.", "predictor.", "reconstructor.", "loss_mc.")


def channel_ids(names):
    """Numbers of electrodes in the dictionary, in any usual spelling ("Fp1", "T7", "T3").

    Raises:
      ValueError: names that the dictionary lacks.
    """
    numbers = {canonical(name): i for i, name in enumerate(DICTIONARY)}
    if unknown := [name for name in names if canonical(name) not in numbers]:
        raise ValueError(f"electrodes that this model does not know: {unknown}")
    return torch.tensor([numbers[canonical(name)] for name in names])


class Attention(nn.Module):
    """Multi-head self-attention; query, key and value come out of one layer."""

    def __init__(self, width, heads, bias):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        """[b, n, d] -> [b, n, d]."""
        b, n, d = x.shape
        parts = self.qkv(x).reshape(b, n, 3, self.heads, d // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).reshape(b, n, d))


class Mlp(nn.Module):
    """Linear, GELU, Linear."""

    def __init__(self, width, hidden):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        """[b, n, d] -> [b, n, d]."""
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class Block(nn.Module):
    """Norm, attention, norm, MLP, each added to what came in."""

    def __init__(self, width, heads, mlp_ratio, bias, eps):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=eps), nn.LayerNorm(width, eps=eps)
        self.attn = Attention(width, heads, bias)
        self.mlp = Mlp(width, int(width * mlp_ratio))

    def forward(self, x):
        """[b, n, d] -> [b, n, d]."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    """Patches of each channel, plain (a convolution) or normed (a linear layer), as tokens."""

    def __init__(self, width, size, stride, normed, pad):
        super().__init__()
        self.size, self.stride, self.normed, self.pad = size, stride or size, normed, pad
        conv = nn.Conv2d(1, width, (1, size), stride=(1, self.stride))
        self.proj = nn.Linear(size, width) if normed else conv

    def forward(self, x):
        """[b, c, t] -> [b, p, c, d]."""
        missing = -(x.shape[-1] - self.size) % self.stride
        if missing and not self.pad:
            raise ValueError(f"a window of {x.shape[-1]} samples is no whole number of patches")
        x = nn.functional.pad(x, (0, missing))
        if not self.normed:
            return self.proj(x[:, None]).transpose(1, 3)
        patches = x.unfold(-1, self.size, self.stride)
        return self.proj(nn.functional.layer_norm(patches, (self.size,))).transpose(1, 2)


class Encoder(nn.Module):
    """Signal [b, c, t] and channel numbers [c] -> tokens [b, p, s * d]."""

    def __init__(self, settings):
        super().__init__()
        width, get = settings.get("width", 512), settings.get
        self.patch_embed = PatchEmbed(
            width,
            get("patch_size", 64),
            get("patch_stride"),
            get("patch_norm", False),
            get("pad_window", False),
        )
        self.chan_embed = nn.Embedding(get("dictionary_size", len(DICTIONARY)), width)
        self.summary_token = nn.Parameter(torch.zeros(1, get("summary_tokens", 4), width))
        sizes = get("heads", 8), get("mlp_ratio", 4.0), get("qkv_bias", True), get("norm_eps", 1e-6)
        self.blocks = nn.ModuleList(Block(width, *sizes) for _ in range(get("depth", 8)))
        self.norm = nn.LayerNorm(width, eps=sizes[-1])

    def forward(self, signal, channel_id):
        """Each time patch is attended over its channels and the summary tokens alone."""
        x = self.patch_embed(signal) + self.chan_embed(channel_id)
        b, p, c, d = x.shape
        s = self.summary_token.shape[1]
        x = torch.cat([x.reshape(b * p, c, d), self.summary_token.expand(b * p, s, d)], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x[:, -s:]).reshape(b, p, s * d)


class Eeg(nn.Module):
    """Adapter, if there is one, and encoder: signal -> (features [b, s * d], projection or None).

    Args:
      config: an export's ``config.json``.
    """

    def __init__(self, config):
        super().__init__()
        settings, objective = config["recipe"]["encoder"], config["recipe"]["objective"]
        adapter = objective.get("adapter") or {}
        self.target_encoder = Encoder(settings)
        self.chan_proj = heads_torch.adapter_of(config)
        width = settings.get("width", 512) * settings.get("summary_tokens", 4)
        sizes = objective.get("signal_projection")
        self.proj = elm_torch.projector(width, sizes) if sizes else None
        names = adapter.get("channels") or config["spec"]["channels"]
        self.register_buffer("channel_id", channel_ids(names), persistent=False)

    def tokens(self, signal, channel_id=None):
        """[b, patches, summary tokens * width]."""
        if self.chan_proj is not None:
            signal = self.chan_proj(signal)
        return self.target_encoder(signal, self.channel_id if channel_id is None else channel_id)

    def forward(self, signal, channel_id=None):
        """One batch of network values."""
        features = self.tokens(signal, channel_id).mean(dim=1)
        return features, None if self.proj is None else self.proj(features)


def load(folder):
    """The encoder with its adapter, in evaluation mode.

    Raises:
      ValueError: another encoder than this.
      RuntimeError: a tensor is missing, unknown or of another shape (PyTorch names all of them).
    """
    config = elm_torch.config_of(folder, "eeg_transformer")
    return elm_torch.filled(Eeg(config), folder, leave=PRETRAINING)


def load_classifier(folder):
    """The head, in evaluation mode: it takes tokens, or features where the export has no head."""
    return elm_torch.load_classifier(folder)


def outputs(folder, signal):
    """All that the model gives for a signal, by name."""
    return elm_torch.outputs_of(load(folder), folder, signal)
