"""ELM's encoder, projectors and classifier in PyTorch (2.0 or later); a file that stands alone.

(A model with a head on tokens or an adapter needs ``heads_torch.py`` beside it.)

    import elm_torch
    model = elm_torch.load("FOLDER")              # from an export's config.json and weights
    features, projection = model(signal)          # float32 [b, channels, samples], network values

State dicts have the names of the published PyTorch models, so weights go over and back with
``load_state_dict(..., strict=True)``. ``preprocess.py`` beside this file makes network values from
electrodes; ``verify.py`` checks an export.

Part of elm_jax, Apache-2.0. Written from the paper's description and the published tensors' names
and shapes: Gijsen & Ritter, ICML 2025.
"""

import json
import pathlib

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
    """All layers over one input, their outputs joined along the channels."""
    return torch.cat([layer(x) for layer in layers], dim=1)


class Block(nn.Module):
    """Two groups of convolutions and a 1x1 skip, each with BatchNorm; then max-pooling."""

    def __init__(self, width, kernels, pool, dropout=0.0):
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
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        """[b, width, t] -> [b, width, u]."""
        y = nn.functional.elu(self.bn1(side_by_side(self.conv1_layers, x)), inplace=True)
        y = self.bn2(side_by_side(self.conv2_layers, y))
        y = self.pool(y + self.stream_bn(side_by_side(self.stream_conv_layers, x)))
        return self.dropout(y)


class Elm(nn.Module):
    """Signal [b, c, t] -> (features [b, width], projection [b, e] or None).

    Args:
      in_channels: channels of the signal.
      kernels: (size, width, stride) of each convolution of the first layer.
      pool_sizes: max-pooling of each block; 0 for none.
      proj_sizes: (hidden, out), (out,) for one linear layer, or None for no projector.
      block_kernels: as ``kernels``, of the blocks; None repeats those.
      dropout: rate on the features while training.
      res_dropout: rate on each block's output while training.
      adapter: a module ahead of it all; None: none.
    """

    def __init__(
        self,
        in_channels=20,
        kernels=((4, 32, 1), (8, 32, 1), (16, 32, 1)),
        pool_sizes=(3, 2, 2, 2),
        proj_sizes=(512, 256),
        block_kernels=None,
        dropout=0.0,
        res_dropout=0.0,
        adapter=None,
    ):
        super().__init__()
        self.chan_proj = adapter
        width = sum(w for _, w, _ in kernels)
        inner = kernels if block_kernels is None else block_kernels
        self.conv1_layers = branches(in_channels, kernels)
        self.bn1 = nn.BatchNorm1d(width)
        self.res_blocks = nn.Sequential(*(Block(width, inner, p, res_dropout) for p in pool_sizes))
        self.dropout = nn.Dropout(dropout)
        self.proj = projector(width, proj_sizes) if proj_sizes else None

    def tokens(self, x):
        """One vector a stretch of time: [b, c, t] -> [b, n, width]."""
        x = x if self.chan_proj is None else self.chan_proj(x)
        y = nn.functional.elu(self.bn1(side_by_side(self.conv1_layers, x)), inplace=True)
        return self.res_blocks(y).transpose(1, 2)

    def forward(self, x):
        """One batch of network values."""
        features = self.dropout(self.tokens(x).mean(dim=1))
        return features, None if self.proj is None else self.proj(features)


def projector(width, sizes):
    """Linear, BatchNorm, ELU, Linear without bias; with one size the last alone."""
    if len(sizes) == 1:
        return nn.Sequential(nn.Linear(width, sizes[0], bias=False))
    hidden, out = sizes
    return nn.Sequential(
        nn.Linear(width, hidden),
        nn.BatchNorm1d(hidden),
        nn.ELU(inplace=True),
        nn.Linear(hidden, out, bias=False),
    )


class TextProjector(nn.Module):
    """Text vectors [b, d] -> [b, e]: Linear, BatchNorm, ReLU, Linear, BatchNorm without affine."""

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
        """One batch of text vectors."""
        return self.layers(x)


class Classifier(nn.Module):
    """Vectors [b, d] -> logits [b, k]: (Linear, BatchNorm, ReLU, Dropout) times n, Linear.

    Args:
      d: width of the vectors.
      sizes: (hidden, ..., k).
      dropout: rate after each hidden layer while training.
      mean: of a regression's label: added to the output after multiplying by ``std``.
      std: likewise.
    """

    def __init__(self, d, sizes, dropout=0.0, mean=0.0, std=1.0):
        super().__init__()
        layers = []
        for size in sizes[:-1]:
            layers += [nn.Linear(d, size), nn.BatchNorm1d(size), nn.ReLU(), nn.Dropout(dropout)]
            d = size
        self.layers = nn.Sequential(*layers, nn.Linear(d, sizes[-1], bias=False))
        self.mean, self.std = mean, std

    def forward(self, x):
        """One batch: projections where the model has a projector, else features."""
        return self.layers(x) * self.std + self.mean


def read_config(folder):
    """An export's ``config.json``.

    Raises:
      ValueError: another kind of folder, or one of a newer format.
    """
    path = pathlib.Path(folder) / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(config, dict) or config.get("format") != "elm_jax":
        raise ValueError(f"{path}: expected an export of elm_jax (format 'elm_jax')")
    if config.get("format_version") != 1:
        raise ValueError(
            f"{path}: format_version {config.get('format_version')}, this file reads 1"
        )
    return config


def read_state(folder, stem="model"):
    """A state dict of an export: ``STEM.safetensors``, or ``STEM.pt`` without safetensors.

    Raises:
      ImportError: neither safetensors nor a PyTorch that reads ``.pt`` safely (2.6) is there.
    """
    folder = pathlib.Path(folder)
    try:
        from safetensors.torch import load_file
    except ImportError:
        numbers = torch.__version__.split(".")[:2]
        if tuple(map(int, numbers)) < (2, 6) or not (folder / f"{stem}.pt").exists():
            raise ImportError(
                f"reading {folder / stem}.safetensors needs: pip install safetensors (PyTorch "
                "before 2.6 can be made to run code by a .pt file)"
            ) from None
        return torch.load(folder / f"{stem}.pt", map_location="cpu", weights_only=True)
    return load_file(folder / f"{stem}.safetensors")


def build(config):
    """An :class:`Elm` with the sizes of a ``config.json``, weights as PyTorch draws them.

    Raises:
      ValueError: another encoder than ELM's.
    """
    settings, ahead = config["recipe"]["encoder"], config["recipe"]["objective"].get("adapter")
    if settings["name"] != "conv_eeg":
        raise ValueError(f"encoder {settings['name']!r}: this file knows 'conv_eeg'")
    adapter, channels = None, config["spec"]["channels"]
    if ahead:
        from heads_torch import adapter_of

        adapter, channels = adapter_of(config), ahead.get("channels", channels)
    return Elm(
        in_channels=len(channels),
        kernels=settings.get("kernels", ((4, 32, 1), (8, 32, 1), (16, 32, 1))),
        pool_sizes=settings.get("pool_sizes", (3, 2, 2, 2)),
        proj_sizes=config["recipe"]["objective"].get("signal_projection"),
        block_kernels=settings.get("block_kernels"),
        dropout=settings.get("dropout", 0.0),
        res_dropout=settings.get("res_dropout", 0.0),
        adapter=adapter,
    )


def load(folder):
    """The encoder with its projector, in evaluation mode.

    Raises:
      RuntimeError: a tensor is missing, unknown or of another shape (PyTorch names all of them).
    """
    return filled(build(read_config(folder)), folder)


def filled(model, folder, leave=()):
    """A model with an export's weights, in evaluation mode.

    Args:
      model: made by the export's config.
      folder: of the export.
      leave: beginnings of the names of tensors that it does not need.

    Raises:
      RuntimeError: a tensor is missing, unknown or of another shape (PyTorch names all of them).
    """
    state = read_state(folder).items()
    model.load_state_dict({k: v for k, v in state if not k.startswith(tuple(leave))}, strict=True)
    return model.eval()


def config_of(folder, encoder):
    """An export's config.

    Raises:
      ValueError: another encoder than the one of this name.
    """
    config = read_config(folder)
    if (found := config["recipe"]["encoder"]["name"]) != encoder:
        raise ValueError(f"{folder}: its encoder is {found!r}, expected {encoder!r}")
    return config


def gelu_projector(state):
    """MERL's text projector: Linear, GELU, Linear; CLIP's: one Linear without bias.

    Args:
      state: its state dict, whose names begin with ``proj_t``.
    """
    shapes = {name: value.shape for name, value in state.items()}
    first, d = shapes["proj_t.0.weight"]
    if "proj_t.2.weight" not in shapes:
        layers = [nn.Linear(d, first, bias=False)]
    else:
        layers = [nn.Linear(d, first), nn.GELU(), nn.Linear(first, len(state["proj_t.2.weight"]))]
    model = nn.Sequential(*layers)
    model.load_state_dict({k.removeprefix("proj_t."): v for k, v in state.items()}, strict=True)
    return model.eval()


def load_text_projector(folder):
    """The text projector, in evaluation mode; its input is the text tower's pooled vector."""
    state = read_state(folder, "text_projector")
    if "proj_t.0.weight" in state:
        return gelu_projector(state)
    (hidden, d), (out, _) = state["layers.0.weight"].shape, state["layers.3.weight"].shape
    model = TextProjector(d, hidden, out)
    model.load_state_dict(state, strict=True)
    return model.eval()


class InUnit(nn.Module):
    """A head whose output is multiplied by ``std`` and added to ``mean``: a regression's unit."""

    def __init__(self, head, mean, std):
        super().__init__()
        self.head, self.mean, self.std = head, mean, std

    def forward(self, x):
        """One batch of tokens."""
        return self.head(x) * self.std + self.mean


def load_classifier(folder):
    """The classifier, in evaluation mode; which label it gives stands in ``config.json``.

    Its input: of a model that was trained on pairs, the features of both windows; tokens, where
    ``recipe.objective`` has a ``head``; else projections where the model has a projector, else
    features.
    """
    config = read_config(folder)
    settings = config["recipe"]["objective"]
    state = read_state(folder, "classifier")
    label = settings.get("labels") or {}
    unit = [label.get("mean", 0.0), label.get("std", 1.0)]
    unit = unit if label.get("kind") == "regression" else [0.0, 1.0]
    if settings["name"] == "relative_position":
        from heads_torch import pair_head_of

        return pair_head_of(state, settings)
    if settings.get("head"):
        from heads_torch import head_of

        return InUnit(head_of(state, config), *unit)
    place = {int(n.split(".")[1]): w.shape for n, w in state.items() if n.endswith("weight")}
    matrices = [shape for _, shape in sorted(place.items()) if len(shape) == 2]
    sizes = [out for out, _ in matrices]
    model = Classifier(matrices[0][1], sizes, settings.get("dropout", 0.0), *unit)
    model.load_state_dict(state, strict=True)
    return model.eval()


def logits(folder, config, tokens, features, projection):
    """``{"logits": ...}`` of a model with a classifier; nothing of another."""
    settings = config["recipe"]["objective"]
    if not settings.get("labels"):
        return {}
    vector = features if projection is None else projection
    return {"logits": load_classifier(folder)(tokens if settings.get("head") else vector)}


def outputs(folder, signal):
    """All that the model gives for a signal, by name."""
    return outputs_of(load(folder), folder, signal)


def outputs_of(model, folder, signal):
    """All that an export's encoder and its classifier, if it has one, give for a signal."""
    features, projection = model(signal)
    found = {"features": features}
    found |= {} if projection is None else {"projection": projection}
    tokens = model.tokens(signal)
    return found | logits(folder, read_config(folder), tokens, features, projection)


def pool_text(hidden, valid, pooling):
    """Token vectors [b, l, d] -> [b, d]: the first ("cls"), or the real ones' mean at length 1."""
    if pooling == "cls":
        return hidden[:, 0]
    weight = valid.to(hidden.dtype)[..., None]
    mean = (hidden * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)
    return nn.functional.normalize(mean, dim=-1)
