"""Models that look at pictures of ECGs in PyTorch (2.0 or later): drawing, and image towers.

    import image_torch
    model = image_torch.load("FOLDER")            # from an export's config.json and weights
    features, projection = model(signal)          # float32 [b, leads, samples], network values
    tokens = model.tokens(signal)                 # [b, patches, width]
    images = model.picture(signal)                # [b, rows, columns, 3], from 0 to 1

``picture.npz`` has the tables that drawing needs. With ``elm_torch.py`` and ``heads_torch.py``
beside it, this file stands alone.

Part of elm_jax, Apache-2.0. Written from the papers' descriptions (Dosovitskiy et al., ICLR 2021;
Radford et al., ICML 2021; Zhai et al., ICCV 2023).
"""

import math
import pathlib

import elm_torch
import heads_torch
import numpy as np
import torch
from torch import nn
from torch.nn import functional

NAME = "ecg_image"
NOWHERE = 1e6  # an image row that no image has
# What pretraining put behind the encoder: nothing here needs it.
PRETRAINING = ("decoder.",)


class QuickGelu(nn.Module):
    """OpenAI's approximation."""

    def forward(self, x):
        """Any shape."""
        return x * torch.sigmoid(1.702 * x)


ACTIVATIONS = {
    "gelu": nn.GELU,
    "quick_gelu": QuickGelu,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "swish": nn.SiLU,
    "tanh": nn.Tanh,
} | {name: lambda: nn.GELU(approximate="tanh")
     for name in ("gelu_new", "gelu_fast", "gelu_pytorch_tanh")}  # fmt: skip
# Class token, bias of the patches, norm ahead, norm of all tokens behind, poolings.
TRAITS = {
    "vit": (True, True, False, True, "dense"),
    "clip": (True, False, True, False, "class"),
    "siglip": (False, True, False, True, "attention"),
}
# What a config leaves out: the published base sizes.
BASE = dict(
    patch_size=16, width=768, depth=12, heads=12, mlp_width=3072, activation="gelu",
    norm_eps=1e-12, qkv_bias=True, pooler_width=None, pooler_activation="tanh", projection=None,
)  # fmt: skip
PUBLISHED = {
    "vit": {},
    "clip": dict(patch_size=32, activation="quick_gelu", norm_eps=1e-5),
    "siglip": dict(activation="gelu_pytorch_tanh", norm_eps=1e-6),
}


# -- drawing --------------------------------------------------------------------------------------


class Picture(nn.Module):
    """Network values [b, c, t] -> images [b, y, x, 3] from 0 to 1.

    Args:
      tables: the arrays of ``picture.npz``.
    """

    def __init__(self, tables):
        super().__init__()
        self.on_paper = "background" in tables
        self.numbers = {k: v.item() for k, v in tables.items() if v.ndim == 0}
        for name, value in tables.items():
            if value.ndim:
                self.register_buffer(name, torch.from_numpy(np.array(value)), persistent=False)

    def forward(self, signal):
        """One batch."""
        signal_mv = signal * self.mv_per_value[:, None] + self.mv_at_zero[:, None]
        return self.printed(signal_mv) if self.on_paper else self.stacked(signal_mv)

    def stacked(self, signal_mv):
        """A row of grey pixels a lead, resized."""
        leads = signal_mv[:, self.rows.long()]
        least, most = leads.amin((1, 2), keepdim=True), leads.amax((1, 2), keepdim=True)
        grey = ((leads - least) / (most - least + 1e-6)).clamp(0, 1)
        grey = (self.down @ grey @ self.across.T).clamp(0, 1)
        return grey[..., None].expand(*grey.shape, 3)

    def printed(self, signal_mv):
        """Traces on paper; what leaves its row is marked."""
        flat = signal_mv.flatten(1)
        before, after = flat[:, self.edge.long()], flat[:, self.edge.long() + 1]
        values = torch.cat(
            [flat[:, self.inside.long()], before + self.part * (after - before)], dim=-1
        )
        high = torch.where(self.drawn, values.amax(-1), -math.inf)
        low = torch.where(self.drawn, values.amin(-1), math.inf)
        spread = int(self.numbers["spread"])

        def widest(x):
            return functional.max_pool1d(x, 2 * spread + 1, stride=1, padding=spread)

        high, low = widest(high), -widest(-low)
        inked = widest(self.drawn.float()[None]) > 0
        pen, per_mv = self.numbers["pen_px"], self.numbers["px_per_mv"]
        zero = self.zero_px[:, None]
        above, below = zero - self.reach_px[:, :1], zero + self.reach_px[:, 1:]
        top, bottom = zero - high * per_mv - pen / 2, zero - low * per_mv + pen / 2
        over, under = inked & (top < above), inked & (bottom > below)
        top = torch.where(inked, torch.minimum(torch.maximum(top, above), below - pen), NOWHERE)
        bottom = torch.where(
            inked, torch.minimum(torch.maximum(bottom, above + pen), below), NOWHERE
        )
        ink = torch.maximum(self.layer(top, bottom, 0), self.layer(top, bottom, 1))
        image = self.background + ink[..., None] * (self.trace - self.background)
        return self.marked(image, over, under)

    def layer(self, top, bottom, first):
        """Ink of every other row of traces."""
        rows, columns, _ = self.background.shape
        pitch, parts = int(self.numbers["pitch_px"]), int(self.numbers["cells_per_px"])
        start = (self.zero_px[first::2] - pitch)[:, None, None, None]
        y = start + torch.arange(2 * pitch, device=top.device)[:, None, None]
        cut = [e[:, first::2].unflatten(-1, (columns, parts))[:, :, None] for e in (top, bottom)]
        covered = (torch.minimum(y + 1, cut[1]) - torch.maximum(y, cut[0])).clamp(0, 1)
        ink = covered.mean(-1).flatten(1, 2)
        begin = int(self.zero_px[first]) - pitch
        whole = functional.pad(ink, (0, 0, max(begin, 0), rows))
        return whole[:, max(-begin, 0) :][:, :rows]

    def marked(self, image, over, under):
        """Blue, where a trace goes on beyond its row."""
        parts = int(self.numbers["cells_per_px"])
        flags = torch.cat([over, under], dim=1).float().unflatten(-1, (-1, parts)).mean(-1)
        marks = torch.einsum("brx,ry->byx", flags, self.marks).clamp(max=1)
        return image + marks[..., None] * (self.clipped - image)


# -- the tower ------------------------------------------------------------------------------------


class Attention(nn.Module):
    """Of ``x`` to ``context``."""

    def __init__(self, width, heads, qkv_bias=True):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width, qkv_bias) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, x, context):
        """[b, n, d] and [b, m, d] -> [b, n, d]."""
        split = [
            layer(y).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, y in ((self.query, x), (self.key, context), (self.value, context))
        ]
        mixed = functional.scaled_dot_product_attention(*split)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two linear layers."""

    def __init__(self, width, hidden, activation):
        super().__init__()
        self.up, self.act = nn.Linear(width, hidden), ACTIVATIONS[activation]()
        self.down = nn.Linear(hidden, width)

    def forward(self, x):
        """[b, n, d] -> [b, n, d]."""
        return self.down(self.act(self.up(x)))


class Layer(nn.Module):
    """Norm, attention, norm, MLP, each beside a skip connection."""

    def __init__(self, s):
        super().__init__()
        self.attention_norm = nn.LayerNorm(s["width"], eps=s["norm_eps"])
        self.attention = Attention(s["width"], s["heads"], s["qkv_bias"])
        self.mlp_norm = nn.LayerNorm(s["width"], eps=s["norm_eps"])
        self.mlp = Mlp(s["width"], s["mlp_width"], s["activation"])

    def forward(self, x):
        """[b, n, d] -> [b, n, d]."""
        y = self.attention_norm(x)
        x = x + self.attention(y, y)
        return x + self.mlp(self.mlp_norm(x))


class Pool(nn.Module):
    """SigLIP's: a learnt query over all tokens, and an MLP."""

    def __init__(self, s):
        super().__init__()
        self.probe = nn.Parameter(torch.zeros(s["width"]))
        self.attention = Attention(s["width"], s["heads"])
        self.norm = nn.LayerNorm(s["width"], eps=s["norm_eps"])
        self.mlp = Mlp(s["width"], s["mlp_width"], s["activation"])

    def forward(self, x):
        """[b, n, d] -> [b, d]."""
        y = self.attention(self.probe.expand(len(x), 1, -1), x)
        return (y + self.mlp(self.norm(y)))[:, 0]


class PatchEmbed(nn.Conv2d):
    """One linear map a patch."""

    def forward(self, image):
        """[b, y, x, 3] -> [b, n, d]."""
        return super().forward(image.permute(0, 3, 1, 2)).flatten(2).transpose(1, 2)


class Tower(nn.Module):
    """Pixels [b, y, x, 3] -> (tokens [b, n, d], pooled [b, e]).

    Args:
      s: sizes; see :func:`sizes_of`.
    """

    def __init__(self, s):
        super().__init__()
        self.s, width = s, s["width"]
        self.has_class, bias, pre_norm, self.all_normed, _ = TRAITS[s["name"]]
        self.grid = [size // s["patch_size"] for size in s["image_size"]]
        self.patch_embed = PatchEmbed(3, width, s["patch_size"], s["patch_size"], bias=bias)
        places = math.prod(self.grid) + int(self.has_class)
        self.position_embed = nn.Parameter(torch.zeros(places, width))
        if self.has_class:
            self.class_token = nn.Parameter(torch.zeros(width))
        norm = lambda: nn.LayerNorm(width, eps=s["norm_eps"])  # noqa: E731
        self.pre_norm = norm() if pre_norm else nn.Identity()
        self.layers = nn.ModuleList(Layer(s) for _ in range(s["depth"]))
        if self.all_normed or s["pooling"] == "class":
            self.norm = norm()
        if s["pooling"] == "attention":
            self.pool = Pool(s)
        if s["pooling"] == "dense":
            self.pooler = nn.Linear(width, s["pooler_width"] or width)
            self.pooler_act = ACTIVATIONS[s["pooler_activation"]]()
        if s["projection"]:
            self.projection = nn.Linear(width, s["projection"], bias=False)

    def positions(self, rows, columns):
        """Of the grid, interpolated to an image of another size."""
        if [rows, columns] == self.grid:
            return self.position_embed
        extra = int(self.has_class)
        table = self.position_embed[extra:].unflatten(0, self.grid).permute(2, 0, 1)[None]
        table = functional.interpolate(table, (rows, columns), mode="bicubic")
        return torch.cat([self.position_embed[:extra], table[0].flatten(1).T])

    def forward(self, image):
        """One batch of normalised pixels."""
        x, size = self.patch_embed(image), self.s["patch_size"]
        if self.has_class:
            x = torch.cat([self.class_token.expand(len(x), 1, -1), x], dim=1)
        x = self.pre_norm(x + self.positions(image.shape[1] // size, image.shape[2] // size))
        for layer in self.layers:
            x = layer(x)
        x = self.norm(x) if self.all_normed else x
        tokens = x[:, 1:] if self.has_class else x
        return tokens, self.pooled(x, tokens)

    def pooled(self, x, tokens):
        """[b, e] of all tokens and those of patches."""
        how = self.s["pooling"]
        if how == "attention":
            return self.pool(x)
        if how == "mean":
            return tokens.mean(1)
        y = x[:, 0] if self.all_normed else self.norm(x[:, 0])
        if how == "dense":
            y = self.pooler_act(self.pooler(y))
        return self.projection(y) if self.s["projection"] else y


def sizes_of(encoder):
    """Sizes of the tower of ``recipe.encoder``, whatever it leaves out included."""
    given = {k: v for k, v in encoder["tower"].items() if v is not None}
    s = BASE | PUBLISHED[given["name"]] | given
    size = given.get("image_size") or encoder.get("image_size") or 224
    s["image_size"] = [size, size] if isinstance(size, int) else list(size)
    s["pooling"] = given.get("pooling") or TRAITS[s["name"]][-1]
    return s


class EcgImage(nn.Module):
    """Signal [b, c, t] -> (features [b, d], projection or None).

    Args:
      config: an export's ``config.json``.
      tables: the arrays of its ``picture.npz``.
    """

    def __init__(self, config, tables):
        super().__init__()
        settings, objective = config["recipe"]["encoder"], config["recipe"]["objective"]
        self.chan_proj = heads_torch.adapter_of(config)
        self.picture = Picture(tables)
        s = sizes_of(settings)
        self.tower = Tower(s)
        width = s["projection"] or s["width"]
        if s["pooling"] == "dense":
            width = s["pooler_width"] or width
        sizes = objective.get("signal_projection")
        self.proj = elm_torch.projector(width, sizes) if sizes else None

    def encoded(self, signal):
        """(tokens, features) of one batch of network values."""
        x = signal if self.chan_proj is None else self.chan_proj(signal)
        image = self.picture(x)
        return self.tower((image - self.picture.pixel_mean) / self.picture.pixel_std)

    def tokens(self, signal):
        """[b, n, d]: one a patch."""
        return self.encoded(signal)[0]

    def forward(self, signal):
        """One batch of network values."""
        features = self.encoded(signal)[1]
        return features, None if self.proj is None else self.proj(features)


def load(folder):
    """The encoder, in evaluation mode.

    Raises:
      ValueError: another encoder than this.
      RuntimeError: a tensor is missing, unknown or of another shape (PyTorch names all of them).
    """
    config = elm_torch.config_of(folder, NAME)
    with np.load(pathlib.Path(folder) / "picture.npz", allow_pickle=False) as file:
        tables = {name: file[name] for name in file.files}
    return elm_torch.filled(EcgImage(config, tables), folder, leave=PRETRAINING)


def load_classifier(folder):
    """The classifier, in evaluation mode: of a head, it takes tokens; else one vector."""
    return elm_torch.load_classifier(folder)


def outputs(folder, signal):
    """All that the model gives for a signal, by name."""
    return elm_torch.outputs_of(load(folder), folder, signal)
