"""What every kind of source gives and every kind of destination takes: a model in parts."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from elm_jax.channels import channel_id
from elm_jax.convert.engine import ConvertError, LoadReport, flatten
from elm_jax.convert.probe import Probe
from elm_jax.data.spec import SignalSpec

ELM_AUTHORS = "elm_authors"
SELECTED_ON = "selected_on"  # in ModelParts.extra: People.to_json() of whom a step was chosen on
# In ModelParts.extra: names of all channels that a model was trained on, which may be more than its
# spec has: it, or what it started from, saw several montages.
CHANNELS_SEEN = "channels_seen"
# Digests of the encoders' parameters that ELM's authors released (5 s and 60 s).
_RELEASED_ENCODERS = frozenset(
    {
        "b87689f6de1238ef944e30dc160f1358f210e7f817ba643197dd563c66d61c83",
        "7e1b0215f9bae5be53d6584f61cd4c7100b39e4980e51a7f00b54dd62f0e2ac8",
    }
)


@dataclasses.dataclass
class ModelParts:
    """A finished model, read and not yet built; arrays are numpy's.

    Attributes:
      spec: the signal that it takes.
      recipe: JSON-ready sections ``{"dtype", "encoder", "objective", "text"}`` from which
        :mod:`elm_jax.build` makes the network; ``text`` is None without a text side.
      params: ``{"encoder", "signal_projector"?, "text_projector"?, "text_tower"?, "classifier"?}``;
        of a masked pretraining also ``{"predictor", "reconstructor", "view_projector"?}``.
      model_state: ``{"batch_stats": {the same names}}``; of a masked pretraining also
        ``{"target": {"encoder"}}``, the momentum twin.
      trained_on: the people it was trained on, as ``People.to_json()`` has them; None: not told.
      text_tower_dir: a local Hugging Face folder with the tower, or at least its tokenizer.
      assumed: fields of ``spec`` that the source does not tell.
      report: what became of every tensor of the source.
      probe: what came with the source, to be checked once the network is built.
      source: where all this came from, for messages.
      origin: "elm_authors" where the weights are, or descend from, those that ELM's authors
        released, who state no licence; "" where nothing is known against passing them on.
      extra: JSON-ready settings that travel with the model (calibration, labels of classes, ...).
    """

    spec: SignalSpec
    recipe: dict[str, Any]
    params: dict[str, Any]
    model_state: dict[str, Any]
    trained_on: dict[str, Any] | None = None
    text_tower_dir: pathlib.Path | None = None
    assumed: tuple[str, ...] = ()
    report: LoadReport | None = None
    probe: Probe | None = None
    source: str = ""
    origin: str = ""
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def weights_sha256(self) -> str:
        """See :func:`weights_sha256`."""
        return weights_sha256(self.params, self.model_state)

    def with_moments(
        self, mean: float | tuple[float, ...] | None, std: float | tuple[float, ...] | None
    ) -> "ModelParts":
        """The same, mean and std of the training signals as a user says; None: as the source.

        Signals are then normalised by these, and not by those of each recording or window.
        """
        given: dict[str, Any] = {k: v for k, v in (("mean", mean), ("std", std)) if v is not None}
        if given:
            given["moments"] = "fixed"
        left = tuple(name for name in self.assumed if name not in given)
        return dataclasses.replace(self, spec=self.spec.replace(**given), assumed=left)


def channels_seen(parts: ModelParts) -> tuple[str, ...]:
    """Names of the channels that a model was trained on: its spec's, where it does not tell."""
    return tuple(parts.extra.get(CHANNELS_SEEN) or parts.spec.channels)


def unseen_channels(parts: ModelParts, channels: Iterable[str]) -> list[str]:
    """Those of ``channels`` that a model which reads them by name was not trained on."""
    seen = {channel_id(name) for name in channels_seen(parts)}
    return [name for name in channels if channel_id(name) not in seen]


ORIGINS = ("", ELM_AUTHORS)
_KINDS = {"spec": (dict,), "assumed": (list,), "origin": (str,), "extra": (dict,)}
_KINDS |= {"trained_on": (dict, type(None))}


def require_description(values: Mapping[str, Any], source: str) -> None:
    """Raises unless a stored description has what :class:`ModelParts` takes from it.

    Raises:
      ConvertError: fields are missing, of a wrong kind, or unknown values; names them.
    """
    missing = [name for name in _KINDS if name not in values]
    wrong = [k for k, kinds in _KINDS.items() if k in values and not isinstance(values[k], kinds)]
    if missing or wrong:
        raise ConvertError(
            f"{source}: the model's description lacks {missing}; wrong kind: {wrong}"
        )
    fields = {field.name for field in dataclasses.fields(SignalSpec)}
    if not all(isinstance(name, str) and name in fields for name in values["assumed"]):
        raise ConvertError(f"{source}: assumed is {values['assumed']}; known: {sorted(fields)}")
    if values["origin"] not in ORIGINS:
        raise ConvertError(f"{source}: origin is {values['origin']!r}; known: {ORIGINS}")


def weights_sha256(params: Mapping[str, Any], model_state: Mapping[str, Any]) -> str:
    """A digest over all parameters and batch statistics, in the order of their paths.

    Paths, shapes and types are part of it, so it also tells architectures apart.
    """
    digest = hashlib.sha256()
    for path, leaf in sorted(flatten({"params": params, "model_state": model_state}).items()):
        value = np.asarray(leaf)
        digest.update(f"{path} {value.dtype.name} {value.shape}\n".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def origin_of(params: Mapping[str, Any]) -> str:
    """:data:`ELM_AUTHORS` if the encoder is one that the authors released, else "".

    Only parameters count: the running statistics may have moved while the encoder was frozen.
    """
    return ELM_AUTHORS if weights_sha256(params["encoder"], {}) in _RELEASED_ENCODERS else ""
