"""Encoders of ECGs in PyTorch (2.0 or later): MERL's network, ST-MEM, MTAE, MLAE.

    import ecg_torch
    model = ecg_torch.load("FOLDER")              # from an export's config.json and weights
    features, projection = model(signal)          # float32 [b, leads, samples], network values
    tokens = model.tokens(signal)                 # [b, times or patches, width]
    logits = ecg_torch.load_classifier("FOLDER")(tokens)      # of a model with a head
    first, second = model.views(tokens)           # of MERL: its two views of a signal

State dicts have the published names. With ``elm_torch.py`` and ``heads_torch.py`` beside it, this
file stands alone.

Part of elm_jax, Apache-2.0. Written from the papers' descriptions (Liu et al., ICML 2024; Na et
al., ICLR 2024; Zhang et al., IEEE TIM 2023) and the published tensors' names and shapes.
"""

import elm_torch
import heads_torch
import torch
from torch import nn

NAMES = ("resnet1d", "vit1d")
BLOCKS = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
}
SIZES = {"small": (384, 12, 6), "base": (768, 12, 12)}  # width, depth, heads
HEAD_WIDTH = 64
# What pretraining put behind the encoder: nothing here needs it.
PRETRAINING = ("mask_embedding", "decoder_", "to_decoder_embedding", "to_patch_embedding")


def conv_norm(c_in, c_out, taps, stride):
    """A padded convolution without bias, and its BatchNorm."""
    conv = nn.Conv1d(c_in, c_out, taps, stride, padding=taps // 2, bias=False)
    return conv, nn.BatchNorm1d(c_out)


class ResidualBlock(nn.Module):
    """Convolutions of 3 taps, or of 1, 3 and 1, beside a skip connection."""

    def __init__(self, c_in, width, stride, bottleneck):
        super().__init__()
        sizes = [(width, 1, 1), (width, 3, stride), (4 * width, 1, 1)]
        sizes = sizes if bottleneck else [(width, 3, stride), (width, 3, 1)]
        self.count, last = len(sizes), c_in
        for i, (c_out, taps, own) in enumerate(sizes, start=1):
            conv, norm = conv_norm(last, c_out, taps, own)
            self.add_module(f"conv{i}", conv)
            self.add_module(f"bn{i}", norm)
            last = c_out
        changes = stride != 1 or c_in != last
        self.shortcut = nn.Sequential(*(conv_norm(c_in, last, 1, stride) if changes else ()))

    def forward(self, x):
        """[b, c, t] -> [b, f, u]."""
        y = x
        for i in range(1, self.count + 1):
            y = self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(y))
            y = y.relu() if i < self.count else y
        return (y + self.shortcut(x)).relu()


class ResNet1d(nn.Module):
    """The network: [b, leads, t] -> [b, n, d].

    Args:
      leads: of the signal.
      settings: ``recipe.encoder`` of a ``config.json``.
    """

    def __init__(self, leads, settings):
        super().__init__()
        blocks, bottleneck = BLOCKS[settings.get("depth", 18)]
        width = settings.get("width", 64)
        self.conv1, self.bn1 = conv_norm(leads, width, 7, 2)
        self.blocks, c_in = settings.get("blocks") or blocks, width
        for stage, count in enumerate(self.blocks):
            own, layer = width << stage, []
            for i in range(count):
                layer.append(ResidualBlock(c_in, own, 2 if stage and not i else 1, bottleneck))
                c_in = own * (4 if bottleneck else 1)
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layer))
        self.width = c_in

    def forward(self, x):
        """One batch of network values."""
        x = self.bn1(self.conv1(x)).relu()
        for stage in range(len(self.blocks)):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        return x.transpose(1, 2)


# -- transformers ---------------------------------------------------------------------------------


class PreNorm(nn.Module):
    """A layer norm, and a module behind it."""

    def __init__(self, width, fn, eps):
        super().__init__()
        self.norm, self.fn = nn.LayerNorm(width, eps=eps), fn

    def forward(self, x):
        """[b, n, d] -> [b, n, d]."""
        return self.fn(self.norm(x))


class Attention(nn.Module):
    """Self-attention whose heads have a width of their own."""

    def __init__(self, width, heads, head_width):
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(width, 3 * heads * head_width)
        self.to_out = nn.Sequential(nn.Linear(heads * head_width, width))

    def forward(self, x):
        """[b, n, d] -> [b, n, d]."""
        b, n, _ = x.shape
        q, k, v = self.to_qkv(x).reshape(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.to_out(mixed.transpose(1, 2).reshape(b, n, -1))


class FeedForward(nn.Module):
    """Linear, GELU, Linear; the published one has dropouts between."""

    def __init__(self, width, hidden):
        super().__init__()
        none = nn.Identity
        self.net = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), none(), nn.Linear(hidden, width), none()
        )

    def forward(self, x):
        """[b, n, d] -> [b, n, d]."""
        return self.net(x)


class Block(nn.Module):
    """Attention and MLP, each added to what came in."""

    def __init__(self, width, heads, head_width, hidden, eps):
        super().__init__()
        self.attn = PreNorm(width, Attention(width, heads, head_width), eps)
        self.ff = PreNorm(width, FeedForward(width, hidden), eps)

    def forward(self, x):
        """[b, n, d] -> [b, n, d]."""
        x = x + self.attn(x)
        return x + self.ff(x)


class Vit(nn.Module):
    """The encoder of a masked autoencoder: [b, leads, t] -> [b, patches, d].

    Args:
      leads: of the signal.
      samples: of a window.
      settings: ``recipe.encoder`` of a ``config.json``.
    """

    def __init__(self, leads, samples, settings):
        super().__init__()
        named = SIZES[settings.get("size", "base")]
        sizes = (settings.get(k) for k in ("width", "depth", "heads"))
        width, depth, heads = (own or size for own, size in zip(sizes, named, strict=True))
        eps = settings.get("norm_eps", 1e-5)
        self.layout, self.size = settings.get("layout", "st_mem"), settings.get("patch_size")
        values, patches = {
            "st_mem": lambda: (self.size, samples // self.size),
            "mtae": lambda: (leads * self.size, samples // self.size),
            "mlae": lambda: (samples, leads),
        }[self.layout]()
        special = 2 if self.layout == "st_mem" else 1
        self.pos_embedding = nn.Parameter(torch.zeros(1, patches + special, width))
        if self.layout == "st_mem":
            self.sep_embedding = nn.Parameter(torch.zeros(width))
            every = (nn.Parameter(torch.zeros(width)) for _ in range(leads))
            self.lead_embeddings = nn.ParameterList(every)
        else:
            self.cls_embedding = nn.Parameter(torch.zeros(width))
        self.to_patch_embedding = nn.Sequential(
            nn.Identity(),  # the published one cuts patches here
            nn.LayerNorm(values, eps=eps),
            nn.Linear(values, width),
            nn.LayerNorm(width, eps=eps),
        )
        own = heads, settings.get("head_width", HEAD_WIDTH)
        hidden = int(width * settings.get("mlp_ratio", 4.0))
        for i in range(depth):
            self.add_module(f"block{i}", Block(width, *own, hidden, eps))
        self.norm = nn.LayerNorm(width, eps=eps)
        self.depth, self.width = depth, width

    def patches(self, signal):
        """[b, c, t] -> [b, groups, patches, values]."""
        b, c, t = signal.shape
        if self.layout == "mlae":
            return signal[:, None]
        cut = signal.reshape(b, c, t // self.size, self.size)
        if self.layout == "st_mem":
            return cut
        return cut.permute(0, 2, 3, 1).reshape(b, 1, t // self.size, self.size * c)

    def forward(self, signal):
        """One batch of network values: the tokens of patches, without special ones."""
        x = self.to_patch_embedding(self.patches(signal))
        b, g, n, d = x.shape
        position = self.pos_embedding[0]
        x = x + position[1 : n + 1]
        if self.layout == "st_mem":
            first, last = (self.sep_embedding + position[i] for i in (0, -1))
            x = torch.cat([first.expand(b, g, 1, d), x, last.expand(b, g, 1, d)], dim=2)
            x = x + torch.stack(list(self.lead_embeddings))[:, None]
        else:
            x = torch.cat([(self.cls_embedding + position[0]).expand(b, g, 1, d), x], dim=2)
        x = x.reshape(b, -1, d)
        for i in range(self.depth):
            x = self.get_submodule(f"block{i}")(x)
        return self.norm(x).reshape(b, g, -1, d)[:, :, 1 : n + 1].reshape(b, g * n, d)


# -- MERL's head ----------------------------------------------------------------------------------


class AttentionPool(nn.Module):
    """A learnt token attends to all tokens: [b, n, d] -> [b, d]."""

    def __init__(self, tokens, width, heads):
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.zeros(1, tokens + 1, width))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.mhsa = nn.MultiheadAttention(width, heads, batch_first=True)
        self.c_proj = nn.Linear(width, width)

    def forward(self, x):
        """One batch; the learnt token has its position twice, as published."""
        first = (self.cls_token + self.positional_embedding[:, :1]).expand(len(x), -1, -1)
        x = torch.cat([first, x], dim=1) + self.positional_embedding
        return self.c_proj(self.mhsa(x[:, :1], x, x, need_weights=False)[0][:, 0])


class Ecg(nn.Module):
    """Adapter, if there is one, encoder and head: signal -> (features [b, d], projection or None).

    Args:
      config: an export's ``config.json``.
    """

    def __init__(self, config):
        super().__init__()
        spec, settings = config["spec"], config["recipe"]["encoder"]
        objective = config["recipe"]["objective"]
        adapter = objective.get("adapter") or {}
        leads = len(adapter.get("channels") or spec["channels"])
        samples = adapter.get("samples") or round(spec["window_s"] * spec["sfreq_hz"])
        self.chan_proj = heads_torch.adapter_of(config)
        if settings["name"] == "resnet1d":
            encoder = self.ecg_encoder = ResNet1d(leads, settings)
            tokens = -(-samples // 2)
            for _ in encoder.blocks[1:]:
                tokens = -(-tokens // 2)
        else:
            encoder = self.encoder = Vit(leads, samples, settings)
            tokens = encoder.pos_embedding.shape[1]
        sizes = objective.get("signal_projection")
        self.pooling = None
        self.proj = None
        if objective.get("loss") == "merl":
            self._add_merl(encoder.width, tokens, sizes[0], objective.get("signal_head") or {})
        elif sizes:
            self.proj = elm_torch.projector(encoder.width, sizes)

    def _add_merl(self, width, tokens, out, head):
        self.pooling = head.get("pooling", "attention")
        if self.pooling == "attention":
            self.downconv = nn.Conv1d(width, out, 1)
            self.att_pool_head = AttentionPool(tokens, out, head.get("heads", 4))
            width = out
        else:
            hidden = head.get("hidden", 256)
            self.proj_e = nn.Sequential(
                nn.Linear(width, hidden),
                nn.BatchNorm1d(hidden),
                nn.ReLU(),
                nn.Linear(hidden, out),
                nn.BatchNorm1d(out),
            )
        self.linear1 = nn.Linear(width, out, bias=False)
        self.linear2 = nn.Linear(width, out, bias=False)

    def tokens(self, signal):
        """[b, n, d]: one a stretch of time, or a patch."""
        encoder = self.encoder if hasattr(self, "encoder") else self.ecg_encoder
        return encoder(signal if self.chan_proj is None else self.chan_proj(signal))

    def down(self, tokens):
        """Of MERL's attention: tokens [b, n, d] -> [b, n, e]."""
        return self.downconv(tokens.transpose(1, 2)).transpose(1, 2)

    def views(self, tokens):
        """Of MERL: both views of a signal, by its tokens, without dropout."""
        seen = (self.down(tokens) if self.pooling == "attention" else tokens).mean(dim=1)
        return self.linear1(seen), self.linear2(seen)

    def forward(self, signal):
        """One batch of network values."""
        tokens = self.tokens(signal)
        features = tokens.mean(dim=1)
        if self.pooling == "attention":
            return features, self.att_pool_head(self.down(tokens))
        if self.pooling == "mlp":
            return features, self.proj_e(features)
        return features, None if self.proj is None else self.proj(features)


def load(folder):
    """The encoder with its adapter and its head, in evaluation mode.

    Raises:
      ValueError: another encoder than these.
      RuntimeError: a tensor is missing, unknown or of another shape (PyTorch names all of them).
    """
    config = elm_torch.read_config(folder)
    if (found := config["recipe"]["encoder"]["name"]) not in NAMES:
        raise ValueError(f"{folder}: its encoder is {found!r}, expected one of {NAMES}")
    return elm_torch.filled(Ecg(config), folder, leave=PRETRAINING)


def load_classifier(folder):
    """The head, in evaluation mode: it takes tokens, or features where the export has no head."""
    return elm_torch.load_classifier(folder)


def outputs(folder, signal):
    """All that the model gives for a signal, by name."""
    return elm_torch.outputs_of(load(folder), folder, signal)
