"""The network of braindecode's example of relative positioning, in PyTorch."""

import torch


class Siamese(torch.nn.Module):
    """An encoder ``emb`` of both windows and a classifier ``clf`` of their vectors' distance."""

    def __init__(self, emb, width, dropout=0.0):
        super().__init__()
        self.emb = emb
        self.clf = torch.nn.Sequential(torch.nn.Dropout(dropout), torch.nn.Linear(width, 1))

    def forward(self, a, b):
        """Logits ``[b]`` of "near", of windows ``[b, c, t]`` each."""
        return self.clf((self.emb(a) - self.emb(b)).abs()).flatten()
