"""A PyTorch twin of the encoder with its projector, named like the published state dicts.

Written for comparison only: parity tests and benchmarks run it beside ours.
"""

import torch
from torch import nn


def branches(c_in, kernels, stride=None):
    """Padded convolutions side by side; the convolution is entry 1 of each pair."""
    pairs = []
    for size, width, own_stride in kernels:
        pad = nn.ReflectionPad1d((size // 2, (size - 1) // 2))
        conv = nn.Conv1d(c_in, width, size, stride=own_stride if stride is None else stride)
        pairs.append(nn.Sequential(pad, conv))
    return nn.ModuleList(pairs)


def side_by_side(layers, x):
    return torch.cat([layer(x) for layer in layers], dim=1)


class Block(nn.Module):
    def __init__(self, width, kernels, pool):
        super().__init__()
        self.conv1_layers = branches(width, kernels)
        self.bn1 = nn.BatchNorm1d(width)
        self.conv2_layers = branches(width, kernels, stride=1)
        self.bn2 = nn.BatchNorm1d(width)
        self.stream_conv_layers = nn.ModuleList(
            nn.Conv1d(width, w, 1, stride=stride) for _, w, stride in kernels
        )
        self.stream_bn = nn.BatchNorm1d(width)
        self.pool = nn.MaxPool1d(pool, pool) if pool else nn.Identity()

    def forward(self, x):
        y = nn.functional.elu(self.bn1(side_by_side(self.conv1_layers, x)), inplace=True)
        y = self.bn2(side_by_side(self.conv2_layers, y))
        return self.pool(y + self.stream_bn(side_by_side(self.stream_conv_layers, x)))


class Elm(nn.Module):
    """Signal [b, c, t] -> (embedding [b, width], projection [b, e])."""

    def __init__(
        self,
        in_channels=20,
        kernels=((4, 32, 1), (8, 32, 1), (16, 32, 1)),
        pool_sizes=(3, 2, 2, 2),
        proj_sizes=(512, 256),
    ):
        super().__init__()
        width = sum(w for _, w, _ in kernels)
        self.conv1_layers = branches(in_channels, kernels)
        self.bn1 = nn.BatchNorm1d(width)
        self.res_blocks = nn.Sequential(*(Block(width, kernels, p) for p in pool_sizes))
        hidden, out = proj_sizes
        self.proj = nn.Sequential(
            nn.Linear(width, hidden),
            nn.BatchNorm1d(hidden),
            nn.ELU(inplace=True),
            nn.Linear(hidden, out, bias=False),
        )

    def forward(self, x):
        y = nn.functional.elu(self.bn1(side_by_side(self.conv1_layers, x)), inplace=True)
        emb = self.res_blocks(y).mean(dim=-1)
        return emb, self.proj(emb)


class TextProjector(nn.Module):
    """Linear, BatchNorm, ReLU, Linear, BatchNorm without affine."""

    def __init__(self, d, hidden, out):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(d, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, out),
            nn.BatchNorm1d(out, affine=False),
        )

    def forward(self, x):
        return self.layers(x)
