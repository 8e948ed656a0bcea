"""Golden files of the masked models: the published state dicts as our parameters."""

import re

import jax.numpy as jnp
import numpy as np

_NAMES = {
    "norm1": "attention_norm", "norm2": "mlp_norm", "attn.proj": "attention/out",
    "mlp.fc1": "mlp/up", "mlp.fc2": "mlp/down",
}  # fmt: skip


def _put(tree, path, value):
    *folders, leaf = path.split("/")
    for folder in folders:
        tree = tree.setdefault(folder, {})
    assert leaf not in tree, path
    tree[leaf] = value


def _dense(tree, path, name, value):
    leaf = {"weight": "kernel", "bias": "bias"}[name]
    _put(tree, f"{path}/{leaf}", value.T if leaf == "kernel" else value)


def _norm(tree, path, name, value):
    _put(tree, f"{path}/{ {'weight': 'scale', 'bias': 'bias'}[name] }", value)


def part(state, prefix):
    """One part of a published state dict as our parameters; every tensor is placed or refused."""
    tree = {}
    for full, value in state.items():
        if not full.startswith(prefix + "."):
            continue
        name = re.sub(r"^(predictor|reconstructor)_", "", full[len(prefix) + 1 :])
        module, _, leaf = name.rpartition(".")
        block = re.fullmatch(r"blocks\.(\d+)\.(.*)", module)
        if block and block[2] == "attn.qkv":
            for ours, third in zip(("query", "key", "value"), np.split(value, 3), strict=True):
                _dense(tree, f"layer_{block[1]}/attention/{ours}", leaf, third)
        elif block:
            place = _norm if block[2].startswith("norm") else _dense
            place(tree, f"layer_{block[1]}/{_NAMES[block[2]]}", leaf, value)
        elif module == "norm":
            _norm(tree, "norm", leaf, value)
        elif module in ("embed", "proj"):
            _dense(tree, {"embed": "embed", "proj": "out"}[module], leaf, value)
        elif name == "patch_embed.proj.weight":
            _put(tree, "patch_embed/kernel", value.reshape(value.shape[0], -1).T)
        elif name == "patch_embed.proj.bias":
            _put(tree, "patch_embed/bias", value)
        elif name == "chan_embed.weight":
            _put(tree, "channel_embed/embedding", value)
        elif name in ("summary_token", "mask_token"):
            _put(tree, name, value.reshape(-1, value.shape[-1]))
        else:
            assert name == "time_embed.freqs", full
    return tree


class Golden:
    """Inputs, values and sizes of one golden file."""

    def __init__(self, path):
        with np.load(path) as archive:
            self.values = {name: archive[name] for name in archive.files}
        self.state = {k[3:]: v for k, v in self.values.items() if k.startswith("sd.")}

    def __getitem__(self, name):
        return jnp.asarray(self.values[name])

    def part(self, prefix):
        return part(self.state, prefix)

    def depth(self, prefix):
        pattern = re.compile(rf"{prefix}\.(?:\w+_)?blocks\.(\d+)\.")
        return 1 + max(int(m[1]) for m in map(pattern.match, self.state) if m)

    def sizes(self):
        s, d = self.state["encoder.summary_token"].shape[1:]
        return dict(width=d, heads=4, summary_tokens=s)
