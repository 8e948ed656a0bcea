"""MERL's training in PyTorch: its network and heads by their published names, and its loss."""

import pathlib
import sys

import torch
from torch import nn
from torch.nn import functional as F

from elm_jax.convert import folder

sys.path.append(str(pathlib.Path(folder.__file__).parent / "standalone"))
import ecg_torch  # noqa: E402


class Merl(nn.Module):
    """The signal side as it stands in ``ecg_torch``, and the projector of texts' vectors.

    Args:
      leads: of the signal.
      samples: of a window.
      encoder: settings of the network beside its name.
      width: of all projections.
      text_width: of the texts' vectors.
      heads: of the attention pooling.
    """

    def __init__(self, leads, samples, encoder=(), *, width=256, text_width=768, heads=4):
        super().__init__()
        head = dict(heads=heads, pooling="attention", dropout=0.0)
        objective = dict(loss="merl", signal_projection=[width], signal_head=head)
        recipe = dict(encoder=dict(name="resnet1d") | dict(encoder), objective=objective)
        spec = dict(channels=["?"] * leads, window_s=samples, sfreq_hz=1)
        self.signal = ecg_torch.Ecg(dict(spec=spec, recipe=recipe))
        pool = self.signal.att_pool_head
        with torch.no_grad():
            pool.positional_embedding.normal_(std=1 / width)
            pool.cls_token.normal_()
        self.proj_t = nn.Sequential(
            nn.Linear(text_width, width), nn.GELU(), nn.Linear(width, width)
        )

    def published(self):
        """The state dict under the published names, as arrays."""
        state = self.signal.state_dict() | {
            f"proj_t.{name}": value for name, value in self.proj_t.state_dict().items()
        }
        return {name: value.numpy().copy() for name, value in state.items()}

    def forward(self, signal, text):
        """The loss: signals against texts, and two views of the signals (no dropout here)."""
        tokens = self.signal.tokens(signal)
        down = self.signal.down(tokens)
        projection = self.signal.att_pool_head(down)
        seen = down.mean(dim=1)
        views = self.signal.linear1(seen), self.signal.linear2(seen)
        return contrast(projection, self.proj_t(text)) + contrast(*views)


def contrast(a, b, temperature=0.07):
    """InfoNCE of cosines, both directions summed."""
    logits = F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature
    own = torch.arange(len(a))
    return F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)
