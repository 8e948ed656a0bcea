"""EEGPT's pretraining networks in PyTorch, written for comparison: equal weights, equal values.

The arithmetic follows the published step: every patch is embedded and the visible ones are then
picked, query, key and value are one linear layer, and attention is PyTorch's
``scaled_dot_product_attention`` (flash attention on CPUs as well).
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def rotate(x, angle):
    """Turns neighbouring pairs of the first values of each head [b, h, n, k]."""
    turned = angle.shape[-1]
    pairs = x[..., :turned].unflatten(-1, (-1, 2))
    other = torch.stack([-pairs[..., 1], pairs[..., 0]], -1).flatten(-2)
    first = x[..., :turned] * angle.cos() + other * angle.sin()
    return torch.cat([first, x[..., turned:]], -1)


def angles(position, width):
    """Of each position, every angle twice, for :func:`rotate`."""
    rate = 1e4 ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
    return torch.outer(position / 2, rate).repeat_interleave(2, -1)


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = (nn.LayerNorm(width, eps=1e-6) for _ in range(2))
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, angle=None):
        b, n, d = x.shape
        qkv = self.qkv(self.norm1(x)).view(b, n, 3, self.heads, d // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        if angle is not None:
            q, k = rotate(q, angle), rotate(k, angle)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, d)
        x = x + self.proj(y)
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class Encoder(nn.Module):
    def __init__(self, width, depth, heads, summary, patch=64):
        super().__init__()
        self.patch, self.summary = patch, summary
        self.embed = nn.Conv2d(1, width, (1, patch), stride=(1, patch))
        self.channel = nn.Embedding(62, width)
        self.summary_token = nn.Parameter(torch.zeros(1, summary, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, signal, ids, keep=None):
        x = self.embed(signal.unsqueeze(1)).permute(0, 3, 2, 1) + self.channel(ids)
        b, p, c, d = x.shape
        if keep is not None:
            index = keep.reshape(1, -1, 1).expand(b, -1, d)
            x = x.reshape(b, p * c, d).gather(1, index).view(b, *keep.shape, d)
            p = keep.shape[0]
        x = torch.cat([x.flatten(0, 1), self.summary_token.expand(b * p, -1, -1)], 1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x[:, -self.summary :]).reshape(b, p, self.summary, d)


class Predictor(nn.Module):
    def __init__(self, width, depth, heads, summary):
        super().__init__()
        self.turned = width // heads // 2
        self.embed, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, summary, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, z, visible, hidden):
        b, v, s, d = z.shape
        p = v + len(hidden)
        order = torch.argsort(torch.cat([visible, hidden]))
        x = torch.cat([self.embed(z), self.mask_token.expand(b, len(hidden), -1, -1)], 1)
        x = x[:, order].flatten(1, 2)
        angle = angles(torch.arange(p).repeat_interleave(s), self.turned)
        for block in self.blocks:
            x = block(x, angle)
        x = self.out(self.norm(x)).view(b, p, s, d)
        return x, torch.cat([z, x[:, hidden]], 1)[:, order]


class Reconstructor(nn.Module):
    def __init__(self, width, depth, heads, patch=64):
        super().__init__()
        self.turned = width // heads // 2
        self.embed, self.out = nn.Linear(width, width), nn.Linear(width, patch)
        self.channel = nn.Embedding(62, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, z, ids, asked):
        b, p, s, _ = z.shape
        c = len(ids)
        y = self.mask_token + self.channel(ids)[None, asked % c]
        x = torch.cat([self.embed(z).flatten(1, 2), y.expand(b, -1, -1)], 1)
        position = torch.cat([torch.arange(p).repeat_interleave(s), asked // c])
        angle = angles(position, self.turned)
        for block in self.blocks:
            x = block(x, angle)
        return self.out(self.norm(x[:, -len(asked) :]))


class Masked(nn.Module):
    """Encoder, its momentum twin, predictor and reconstructor; the published loss."""

    def __init__(self, width, depths, heads, summary, patch=64):
        super().__init__()
        encoder, predictor, reconstructor = depths
        self.encoder, self.target = (
            Encoder(width, encoder, heads, summary, patch) for _ in range(2)
        )
        self.predictor = Predictor(width, predictor, heads, summary)
        self.reconstructor = Reconstructor(width, reconstructor, heads, patch)
        self.target.requires_grad_(False)

    def forward(self, signal, ids, keep, asked):
        """(alignment, reconstruction)."""
        b, c, t = signal.shape
        patch = self.encoder.patch
        p = t // patch
        with torch.no_grad():
            h = self.target(signal, ids)
            h = F.layer_norm(h, h.shape[-1:])
            y = signal.view(b, c, p, patch).transpose(1, 2).reshape(b, p * c, patch)[:, asked]
            y = F.layer_norm(y, (patch,))
        visible = keep[:, 0] // c
        hidden = torch.tensor(sorted(set(range(p)) - set(visible.tolist())))
        z, combined = self.predictor(self.encoder(signal, ids, keep), visible, hidden)
        return F.mse_loss(h, z), F.mse_loss(y, self.reconstructor(combined, ids, asked))

    @torch.no_grad()
    def follow(self, momentum):
        """The momentum twin's update."""
        for mine, theirs in zip(self.target.parameters(), self.encoder.parameters(), strict=True):
            mine.mul_(momentum).add_(theirs, alpha=1 - momentum)


def params_of(module):
    """The weights of Masked's encoder, predictor or reconstructor as our parameters."""
    state = {name: value.detach().numpy().copy() for name, value in module.state_dict().items()}
    tree = {}

    def put(path, value):
        *folders, leaf = path.split("/")
        inside = tree
        for folder in folders:
            inside = inside.setdefault(folder, {})
        inside[leaf] = value

    names = dict(norm1="attention_norm", norm2="mlp_norm", proj="attention/out")
    names |= dict(fc1="mlp/up", fc2="mlp/down")
    for name, value in state.items():
        if name == "channel.weight":
            put("channel_embed/embedding", value)
        elif name.endswith("_token"):
            put(name, value.reshape(-1, value.shape[-1]))
        else:
            *where, layer, leaf = name.split(".")
            place = f"layer_{where[1]}/{names.get(layer, layer)}" if where else layer
            if place == "embed" and isinstance(module, Encoder):
                place = "patch_embed"
                value = value.reshape(len(value), -1) if leaf == "weight" else value
            if "norm" in place:
                put(f"{place}/{'scale' if leaf == 'weight' else 'bias'}", value)
                continue
            leaf = "kernel" if leaf == "weight" else "bias"
            value = value.T if leaf == "kernel" else value
            if layer == "qkv":
                for ours, third in zip(
                    ("query", "key", "value"), np.split(value, 3, -1), strict=True
                ):
                    put(f"layer_{where[1]}/attention/{ours}/{leaf}", third)
            else:
                put(f"{place}/{leaf}", value)
    return tree
